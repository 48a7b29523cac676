#![no_main]
//! See `src/embeddings.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("embeddings"),
    |bytes: &[u8]| facenet_fuzz::run("embeddings", bytes)
);
