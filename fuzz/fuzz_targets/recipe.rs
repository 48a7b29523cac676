#![no_main]
//! See `src/recipe.rs`.

libfuzzer_sys::fuzz_target!(
    init: facenet_fuzz::begin("recipe"),
    |bytes: &[u8]| facenet_fuzz::run("recipe", bytes)
);
