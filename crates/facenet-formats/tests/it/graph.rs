//! Graphs that were damaged: read or refused, and never more memory than the file has bytes.

use facenet_formats::{FieldWriter, Graph};
use proptest::prelude::*;

fn message() -> FieldWriter {
    FieldWriter::default()
}

fn with(node: FieldWriter, key: &str, value: FieldWriter) -> FieldWriter {
    node.message(5, message().bytes(1, key).message(2, value))
}

fn constant(name: &str, shape: &[u64], values: &[f32]) -> FieldWriter {
    let shape = message().each(shape, |shape, &len| {
        shape.message(2, message().varint(1, len))
    });
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let tensor = message().varint(1, 1).message(2, shape).bytes(4, bytes);
    let node = message().bytes(1, name).bytes(2, "Const");
    with(node, "value", message().message(8, tensor))
}

/// A convolution of a picture with bias: every part that the reader knows.
fn small() -> Vec<u8> {
    let conv = message()
        .bytes(1, "conv")
        .bytes(2, "Conv2D")
        .bytes(3, "input:0")
        .bytes(3, "weights");
    let strides = message().bytes(3, [1, 2, 2, 1]);
    let conv = with(conv, "strides", message().message(1, strides));
    let conv = with(conv, "padding", message().bytes(2, "VALID"));
    let bias = message()
        .bytes(1, "add")
        .bytes(2, "BiasAdd")
        .bytes(3, "conv")
        .bytes(3, "bias");
    let bias = with(bias, "epsilon", message().float(4, 0.001));
    let nodes = [
        message().bytes(1, "input").bytes(2, "Placeholder"),
        constant("weights", &[1, 1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        conv,
        constant("bias", &[3], &[0.5]),
        bias,
    ];
    message()
        .each(nodes, |graph, node| graph.message(1, node))
        .finish()
}

/// Reads all that a graph has, and gives how many values that was.
fn read(bytes: &[u8]) -> Option<usize> {
    let graph = Graph::parse(bytes).ok()?;
    let constants = graph
        .nodes()
        .iter()
        .filter_map(|node| graph.constant(node.name));
    Some(
        constants
            .map(|array| array.to_f32("t").map_or(0, |values| values.len()))
            .sum(),
    )
}

#[test]
fn the_whole_graph_is_read_and_none_that_is_cut() {
    let bytes = small();
    assert_eq!(read(&bytes), Some(9));
    let whole_nodes = |length: &usize| read(&bytes[..*length]).is_some();
    // A cut between nodes leaves a graph, if no node is left that asks for one behind the cut.
    let left: Vec<_> = (0..bytes.len()).filter(whole_nodes).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

/// What a lone value may be repeated to, a constant: five of them at most are in the graph.
const REPEATED: usize = 5 << 20;

proptest! {
    #[test]
    fn a_damaged_graph_is_read_or_refused_within_bounds(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut bytes = small();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert!(read(&bytes).unwrap_or(0) <= REPEATED + bytes.len());
    }

    #[test]
    fn parts_of_graphs_in_any_order_are_read_or_refused(
        parts in prop::collection::vec((any::<prop::sample::Index>(), 1usize..40), 1..12),
    ) {
        let whole = small();
        let part = |(at, length): (prop::sample::Index, usize)| {
            let at = at.index(whole.len());
            whole[at..(at + length).min(whole.len())].to_vec()
        };
        let bytes: Vec<u8> = parts.into_iter().flat_map(part).collect();
        prop_assert!(read(&bytes).unwrap_or(0) <= REPEATED + bytes.len());
    }
}
