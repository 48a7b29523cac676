//! TensorFlow's frozen graphs (`.pb`).

use facenet_formats::{FieldWriter, Graph};

/// What one value may be repeated to in a constant.
const REPEATED: usize = 1 << 20;

/// Reads a graph and all its constants, each within what the file or the bound on repeats gives.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(graph) = Graph::parse(bytes) else {
        return;
    };
    for node in graph.nodes() {
        let Some(array) = graph.constant(node.name) else {
            continue;
        };
        if let Ok(values) = array.to_f32(node.name) {
            assert!(values.len() <= REPEATED.max(bytes.len()));
        }
    }
}

/// A convolution with bias, and a graph of one constant that is a repeated value.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let conv = with(
        node("conv", "Conv2D", &["input:0", "weights"]),
        "strides",
        message().message(1, message().bytes(3, [1, 2, 2, 1])),
    );
    let conv = with(conv, "padding", message().bytes(2, "VALID"));
    let weights = constant("weights", &[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let input = node("input", "Placeholder", &[]);
    let bias = constant("bias", &[2], &[0.5]);
    let add = node("add", "BiasAdd", &["conv", "bias"]);
    vec![
        graph([input, weights, conv, bias, add]),
        graph([constant("t", &[1 << 10, 1 << 10], &[0.5])]),
    ]
}

fn graph(nodes: impl IntoIterator<Item = FieldWriter>) -> Vec<u8> {
    let graph = message().each(nodes, |graph, node| graph.message(1, node));
    graph.finish()
}

fn message() -> FieldWriter {
    FieldWriter::default()
}

fn with(node: FieldWriter, key: &str, value: FieldWriter) -> FieldWriter {
    node.message(5, message().bytes(1, key).message(2, value))
}

fn node(name: &str, op: &str, inputs: &[&str]) -> FieldWriter {
    let node = message().bytes(1, name).bytes(2, op);
    node.each(inputs, |node, input| node.bytes(3, input))
}

fn constant(name: &str, shape: &[u64], values: &[f32]) -> FieldWriter {
    let shape = message().each(shape, |shape, &len| {
        shape.message(2, message().varint(1, len))
    });
    let values = values.iter().flat_map(|value| value.to_le_bytes());
    let values: Vec<u8> = values.collect();
    let tensor = message().varint(1, 1).message(2, shape).bytes(4, values);
    with(
        node(name, "Const", &[]),
        "value",
        message().message(8, tensor),
    )
}
