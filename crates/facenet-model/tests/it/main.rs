//! Integration tests of facenet-model.

mod case;
mod eval;
mod filler;
mod optim;
mod steps;
mod tolerance;
mod train;
