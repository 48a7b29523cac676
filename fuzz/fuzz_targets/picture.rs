#![no_main]
//! See `src/picture.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| facenet_fuzz::run("picture", bytes));
