#![no_main]
//! See `src/import.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| facenet_fuzz::run("import", bytes));
