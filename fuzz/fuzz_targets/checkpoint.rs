#![no_main]
//! See `src/checkpoint.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("checkpoint"),
    |bytes: &[u8]| facenet_fuzz::run("checkpoint", bytes)
);
