#![no_main]
//! See `src/pairs.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| facenet_fuzz::run("pairs", bytes));
