//! The fuzz targets of this crate, on their seeds and on damaged copies of them.

#[path = "../../../../fuzz/check.rs"]
mod check;
#[path = "../../../../fuzz/src/pairs.rs"]
mod pairs;

#[test]
fn damaged_pairs_files_end_in_no_panic() {
    check::check(pairs::run, pairs::seeds);
}
