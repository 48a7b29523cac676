#![no_main]
//! See `src/import.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("import"),
    |bytes: &[u8]| facenet_fuzz::run("import", bytes)
);
