#![no_main]
//! See `src/schedule.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| facenet_fuzz::run("schedule", bytes));
