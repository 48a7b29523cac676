#![no_main]
//! See `src/graph.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| facenet_fuzz::run("graph", bytes));
