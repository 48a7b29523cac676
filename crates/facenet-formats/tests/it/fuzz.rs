//! The fuzz targets of this crate, on their seeds and on damaged copies of them.

#[path = "../../../../fuzz/check.rs"]
mod check;
#[path = "../../../../fuzz/src/graph.rs"]
mod graph;
#[path = "../../../../fuzz/src/state_dict.rs"]
mod state_dict;
#[path = "../../../../fuzz/src/wire.rs"]
mod wire;

#[test]
fn damaged_graphs_end_in_no_panic() {
    check::check(graph::run, graph::seeds);
}

#[test]
fn damaged_state_dictionaries_end_in_no_panic() {
    check::check(state_dict::run, state_dict::seeds);
}

#[test]
fn damaged_messages_end_in_no_panic() {
    check::check(wire::run, wire::seeds);
}
