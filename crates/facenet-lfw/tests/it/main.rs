//! Goldens, hostile and real files, properties and oracles of facenet-lfw.

mod files;
mod fuzz;
mod golden;
mod making;
mod naive;
mod oracle;
mod parser;
#[path = "../../../../fixtures/skip.rs"]
mod skip;
