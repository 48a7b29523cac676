#![no_main]
//! See `src/events.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| facenet_fuzz::run("events", bytes));
