#![no_main]
//! See `src/pairs.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("pairs"),
    |bytes: &[u8]| facenet_fuzz::run("pairs", bytes)
);
