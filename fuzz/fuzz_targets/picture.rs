#![no_main]
//! See `src/picture.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("picture"),
    |bytes: &[u8]| facenet_fuzz::run("picture", bytes)
);
