#![no_main]
//! See `src/events.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("events"),
    |bytes: &[u8]| facenet_fuzz::run("events", bytes)
);
