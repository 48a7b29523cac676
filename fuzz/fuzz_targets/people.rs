#![no_main]
//! See `src/people.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| facenet_fuzz::run("people", bytes));
