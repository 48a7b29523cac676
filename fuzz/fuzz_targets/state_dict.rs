#![no_main]
//! See `src/state_dict.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| facenet_fuzz::run("state_dict", bytes));
