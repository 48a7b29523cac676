#![no_main]
//! See `src/model_config.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("model_config"),
    |bytes: &[u8]| facenet_fuzz::run("model_config", bytes)
);
