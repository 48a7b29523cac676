//! For tests: a file system in which each operation fails in turn, and crashes lose what was not
//! synchronised.

mod faulty;
mod scenario;
mod tree;

pub use faulty::{Fault, Faulty};
pub use scenario::{Count, Problem, Scenario, Told};
pub use tree::{Contents, Names, Survival};
