#![no_main]
//! See `src/people.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("people"),
    |bytes: &[u8]| facenet_fuzz::run("people", bytes)
);
