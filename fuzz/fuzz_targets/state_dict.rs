#![no_main]
//! See `src/state_dict.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("state_dict"),
    |bytes: &[u8]| facenet_fuzz::run("state_dict", bytes)
);
