#![no_main]
//! See `src/wire.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("wire"),
    |bytes: &[u8]| facenet_fuzz::run("wire", bytes)
);
