//! Integration tests of the gallery: hostile files, and search against a naive oracle.

mod fuzz;
mod hostile;
mod people;
mod search;
