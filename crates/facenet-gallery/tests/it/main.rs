//! Integration tests of the gallery: hostile files, and search against a naive oracle.

mod faults;
mod fuzz;
mod hostile;
mod people;
mod search;
