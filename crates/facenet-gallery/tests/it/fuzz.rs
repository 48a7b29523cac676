//! The fuzz targets of this crate, on their seeds and on damaged copies of them.

#[path = "../../../../fuzz/check.rs"]
mod check;
#[path = "../../../../fuzz/src/gallery.rs"]
mod gallery;

#[test]
fn damaged_galleries_end_in_no_panic() {
    check::check(gallery::run, gallery::seeds);
}
