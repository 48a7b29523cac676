//! The fuzz targets of this crate, on their seeds and on damaged copies of them.

#[path = "../../../../fuzz/check.rs"]
mod check;
#[path = "../../../../fuzz/src/import.rs"]
mod import;
#[path = "../../../../fuzz/src/model_config.rs"]
mod model_config;

#[test]
fn damaged_models_end_in_no_panic() {
    check::check(import::run, import::seeds);
}

#[test]
fn damaged_configurations_end_in_no_panic() {
    check::check(model_config::run, model_config::seeds);
}
