//! The fuzz targets of this crate, on their seeds and on damaged copies of them.

#[path = "../../../../fuzz/check.rs"]
mod check;
#[path = "../../../../fuzz/src/embeddings.rs"]
mod embeddings;

#[test]
fn damaged_rows_end_in_no_panic() {
    check::check(embeddings::run, embeddings::seeds);
}
