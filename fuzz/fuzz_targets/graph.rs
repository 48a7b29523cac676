#![no_main]
//! See `src/graph.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("graph"),
    |bytes: &[u8]| facenet_fuzz::run("graph", bytes)
);
