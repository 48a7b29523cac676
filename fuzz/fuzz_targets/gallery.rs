#![no_main]
//! See `src/gallery.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("gallery"),
    |bytes: &[u8]| facenet_fuzz::run("gallery", bytes)
);
