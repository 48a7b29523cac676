//! The commands from outside: downloads against a loopback server, and the program itself.

mod download;
mod program;
mod server;
#[path = "../../../fixtures/skip.rs"]
mod skip;
