#![no_main]
//! See `src/schedule.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("schedule"),
    |bytes: &[u8]| facenet_fuzz::run("schedule", bytes)
);
