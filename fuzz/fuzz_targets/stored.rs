#![no_main]
//! See `src/stored.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("stored"),
    |bytes: &[u8]| facenet_fuzz::run("stored", bytes)
);
