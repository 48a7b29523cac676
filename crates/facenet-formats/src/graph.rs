//! TensorFlow's frozen graphs: `GraphDef` of `tensorflow/core/framework/graph.proto`.

use std::collections::HashMap;

use crate::error::FormatError;
use crate::order;
use crate::tensor::{Array, Element, MAX_RANK};
use crate::wire::{Fields, Value};

/// Most nodes of a graph that is read; the largest published FaceNet graph has 5 thousand.
pub const MAX_NODES: usize = 1 << 16;
/// Most inputs of all nodes together.
pub const MAX_INPUTS: usize = 1 << 18;

/// A graph's nodes, whose names, constants and attributes lie where the file has them.
#[derive(Clone, Debug)]
pub struct Graph<'a> {
    nodes: Vec<Node<'a>>,
    places: HashMap<&'a str, usize>,
}

/// A node: an operation on other nodes' outputs, or a constant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node<'a> {
    /// Its name, which no other node has.
    pub name: &'a str,
    /// What it computes: `Const`, `Conv2D`, ...
    pub op: &'a str,
    /// Where its inputs come from: `name`, `name:output`, or `^name` for order alone.
    pub inputs: Vec<&'a str>,
    /// Attribute `value`: what a `Const` holds.
    pub value: Option<Array<'a>>,
    /// Attribute `epsilon` of a normalisation.
    pub epsilon: Option<f32>,
    /// Attribute `padding` of a convolution or pool: `VALID`, `SAME`.
    pub padding: Option<&'a str>,
    /// Attribute `strides` of a convolution or pool, as far as eight numbers.
    pub strides: Vec<u64>,
}

impl<'a> Graph<'a> {
    /// Reads a graph. Memory is asked for by node and input, which are bounded, and for no
    /// constant's values.
    ///
    /// # Errors
    /// [`FormatError`] for bytes that are no graph, for more than [`MAX_NODES`] or
    /// [`MAX_INPUTS`], for names that are double or lead nowhere, and for cycles.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut nodes: Vec<Node<'a>> = Vec::new();
        let mut inputs = 0;
        for field in delimited(bytes, 0) {
            let (number, inner, at) = field?;
            if number == 1 {
                let node = Node::parse(inner, at)?;
                inputs += node.inputs.len();
                bound("nodes", nodes.len(), MAX_NODES)?;
                bound("inputs", inputs, MAX_INPUTS)?;
                nodes.push(node);
            }
        }
        if nodes.is_empty() {
            return Err(FormatError::bytes(0, "no node", "a TensorFlow graph"));
        }
        let places: HashMap<_, _> = (0..)
            .zip(&nodes)
            .map(|(at, node)| (node.name, at))
            .collect();
        order::check(&nodes, &places)?;
        Ok(Self { nodes, places })
    }

    /// The nodes in the file's order.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node<'a>> {
        self.places.get(name).map(|&at| &self.nodes[at])
    }

    /// The tensor of the constant of this name.
    pub fn constant(&self, name: &str) -> Option<&Array<'a>> {
        let node = self.node(name)?;
        (node.op == "Const").then_some(node.value.as_ref())?
    }
}

impl<'a> Node<'a> {
    fn parse(bytes: &'a [u8], at: usize) -> Result<Self, FormatError> {
        let mut node = Self::default();
        for field in delimited(bytes, at) {
            let (number, inner, at) = field?;
            match number {
                1 => node.name = text(inner, at)?,
                2 => node.op = text(inner, at)?,
                3 => {
                    bound("inputs", node.inputs.len(), MAX_INPUTS)?;
                    node.inputs.push(text(inner, at)?);
                }
                5 => node.attribute(inner, at)?,
                _ => {}
            }
        }
        if node.name.is_empty() || node.op.is_empty() {
            return Err(FormatError::bytes(at, "a node without name or op", "both"));
        }
        Ok(node)
    }

    /// An entry of the map `attr`: field 1 the key, field 2 an `AttrValue`.
    fn attribute(&mut self, bytes: &'a [u8], at: usize) -> Result<(), FormatError> {
        let (mut key, mut value) = ("", None);
        for field in delimited(bytes, at) {
            let (number, inner, at) = field?;
            match number {
                1 => key = text(inner, at)?,
                2 => value = Some((inner, at)),
                _ => {}
            }
        }
        let Some((value, at)) = value else {
            return Ok(());
        };
        match key {
            "value" => self.value = parse_value(value, at)?,
            "epsilon" => self.epsilon = parse_float(value, at)?,
            "padding" => self.padding = parse_text(value, at)?,
            "strides" => self.strides = parse_list(value, at)?,
            _ => {}
        }
        Ok(())
    }
}

/// `AttrValue.tensor` (8), a `TensorProto`.
fn parse_value(bytes: &[u8], at: usize) -> Result<Option<Array<'_>>, FormatError> {
    let inner = find(bytes, at, 8)?;
    inner.map(|(inner, at)| parse_tensor(inner, at)).transpose()
}

/// `AttrValue.f` (4).
fn parse_float(bytes: &[u8], at: usize) -> Result<Option<f32>, FormatError> {
    let mut found = None;
    for field in Fields::new(bytes, at) {
        let field = field?;
        if let (4, Value::Fixed32(bytes)) = (field.number, field.value) {
            found = Some(f32::from_le_bytes(bytes));
        }
    }
    Ok(found)
}

/// `AttrValue.s` (2).
fn parse_text(bytes: &[u8], at: usize) -> Result<Option<&str>, FormatError> {
    let inner = find(bytes, at, 2)?;
    inner.map(|(inner, at)| text(inner, at)).transpose()
}

/// `AttrValue.list` (1), its whole numbers (3): packed, or one by one.
fn parse_list(bytes: &[u8], at: usize) -> Result<Vec<u64>, FormatError> {
    let Some((inner, at)) = find(bytes, at, 1)? else {
        return Ok(Vec::new());
    };
    let mut numbers = Vec::new();
    for field in Fields::new(inner, at) {
        let field = field?;
        match (field.number, field.value) {
            (3, Value::Varint(number)) => numbers.push(number),
            // A packed list of numbers below 128, as all strides are, is their bytes.
            (3, Value::Bytes(packed)) => {
                numbers.extend(packed.iter().take(MAX_RANK).map(|&byte| u64::from(byte)));
            }
            _ => {}
        }
        bound("axes", numbers.len(), 2 * MAX_RANK)?;
    }
    Ok(numbers)
}

/// `TensorProto`: `dtype` (1), `tensor_shape` (2), `tensor_content` (4), `float_val` (5), `double_val` (6).
fn parse_tensor(bytes: &[u8], at: usize) -> Result<Array<'_>, FormatError> {
    let mut array = Array {
        element: Element::Other(0),
        shape: Vec::new(),
        values: &[],
        single: None,
    };
    for (field, end) in located(bytes, at) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Varint(dtype)) => array.element = element(dtype),
            (2, Value::Bytes(inner)) => array.shape = parse_shape(inner, end - inner.len())?,
            (4..=6, Value::Bytes(inner)) => array.values = inner,
            // Of numbers that are not packed none but a lone one occurs.
            (5 | 6, Value::Fixed32(_) | Value::Fixed64(_)) if array.single.is_some() => {
                return Err(FormatError::bytes(end, "numbers one by one", "packed"));
            }
            (5, Value::Fixed32(value)) => array.single = Some(f32::from_le_bytes(value)),
            (6, Value::Fixed64(value)) => array.single = Some(f64::from_le_bytes(value) as f32),
            _ => {}
        }
    }
    Ok(array)
}

/// `DataType` of `types.proto`.
fn element(dtype: u64) -> Element {
    match dtype {
        1 => Element::F32,
        2 => Element::F64,
        other => Element::Other(other),
    }
}

/// `TensorShapeProto`: its `dim`s (2), each with a `size` (1) that is absent where it is 0.
fn parse_shape(bytes: &[u8], at: usize) -> Result<Vec<u64>, FormatError> {
    let mut shape = Vec::new();
    for field in delimited(bytes, at) {
        let (2, dim, at) = field? else {
            continue;
        };
        bound("axes", shape.len(), MAX_RANK)?;
        let sizes = Fields::new(dim, at);
        let mut size = 0;
        for field in sizes {
            let field = field?;
            if let (1, Some(number)) = (field.number, field.value.varint()) {
                size = number;
            }
        }
        shape.push(size);
    }
    Ok(shape)
}

/// The last length-delimited field of this number, and where it begins.
fn find(bytes: &[u8], at: usize, number: u64) -> Result<Option<(&[u8], usize)>, FormatError> {
    let mut found = None;
    for field in delimited(bytes, at) {
        let (other, inner, at) = field?;
        if other == number {
            found = Some((inner, at));
        }
    }
    Ok(found)
}

/// Length-delimited fields: the number of each, its bytes, and where in the file they begin.
fn delimited<'a>(
    bytes: &'a [u8],
    at: usize,
) -> impl Iterator<Item = Result<(u64, &'a [u8], usize), FormatError>> {
    located(bytes, at).filter_map(|(field, end)| {
        let part = |field: crate::wire::Field<'a>| {
            let inner = field.value.bytes()?;
            Some((field.number, inner, end - inner.len()))
        };
        field.map(part).transpose()
    })
}

/// Fields with where each ends, which is where a length-delimited value ends too.
fn located(
    bytes: &[u8],
    at: usize,
) -> impl Iterator<Item = (Result<crate::wire::Field<'_>, FormatError>, usize)> {
    let mut fields = Fields::new(bytes, at);
    std::iter::from_fn(move || fields.next().map(|field| (field, fields.at())))
}

fn text(bytes: &[u8], at: usize) -> Result<&str, FormatError> {
    std::str::from_utf8(bytes).map_err(|_| FormatError::bytes(at, "no UTF-8", "a name"))
}

/// Refuses one more than `most`.
fn bound(what: &'static str, have: usize, most: usize) -> Result<(), FormatError> {
    if have < most {
        Ok(())
    } else {
        Err(FormatError::TooMany { what, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::FieldWriter;

    fn node(name: &str, op: &str, inputs: &[&str]) -> FieldWriter {
        let named = FieldWriter::default().bytes(1, name).bytes(2, op);
        named.each(inputs, |node, input| node.bytes(3, input))
    }

    fn with(node: FieldWriter, key: &str, value: FieldWriter) -> FieldWriter {
        let entry = FieldWriter::default().bytes(1, key).message(2, value);
        node.message(5, entry)
    }

    fn constant(name: &str, shape: &[u64], values: &[u8]) -> FieldWriter {
        let shape = FieldWriter::default().each(shape, |shape, &len| {
            shape.message(2, FieldWriter::default().varint(1, len))
        });
        let tensor = FieldWriter::default().varint(1, 1).message(2, shape);
        let tensor = FieldWriter::default().message(8, tensor.bytes(4, values));
        with(node(name, "Const", &[]), "value", tensor)
    }

    fn graph(nodes: impl IntoIterator<Item = FieldWriter>) -> Vec<u8> {
        let graph = FieldWriter::default().each(nodes, |graph, node| graph.message(1, node));
        graph.finish()
    }

    #[track_caller]
    fn check_refused(nodes: impl IntoIterator<Item = FieldWriter>, expected: &str) {
        let bytes = graph(nodes);
        let message = Graph::parse(&bytes).expect_err("no graph").to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }

    #[test]
    fn a_graph_has_its_nodes_constants_and_attributes() {
        let strides = FieldWriter::default().bytes(3, [1, 2, 2, 1]);
        let conv = node("c", "Conv2D", &["x:0", "^x", "w"]);
        let conv = with(conv, "strides", FieldWriter::default().message(1, strides));
        let conv = with(conv, "padding", FieldWriter::default().bytes(2, "SAME"));
        let conv = with(conv, "epsilon", FieldWriter::default().float(4, 0.5));
        let weights = constant("w", &[1, 2], b"\0\0\x80\x3f\0\0\0\x40");
        let bytes = graph([node("x", "Placeholder", &[]), conv, weights]);
        let graph = Graph::parse(&bytes).expect("a graph");
        let conv = graph.node("c").expect("there");
        assert_eq!((conv.op, conv.padding), ("Conv2D", Some("SAME")));
        assert_eq!(
            (conv.epsilon, &conv.strides[..]),
            (Some(0.5), &[1, 2, 2, 1][..])
        );
        assert_eq!(conv.inputs, ["x:0", "^x", "w"]);
        let weights = graph.constant("w").expect("a constant");
        assert_eq!(weights.shape, [1, 2]);
        assert_eq!(weights.to_f32("w"), Ok(vec![1.0, 2.0]));
        assert!(graph.constant("x").is_none() && graph.node("y").is_none());
    }

    #[test]
    fn nodes_that_contradict_each_other_are_refused() {
        check_refused([], "no node");
        let x = || node("x", "Placeholder", &[]);
        check_refused([x(), x()], "x: found two nodes, expected one");
        check_refused([x(), node("y", "Relu", &["z"])], "y: found an input from z");
        let cycle = [node("a", "Relu", &["b:0"]), node("b", "Relu", &["a"])];
        check_refused(cycle, "a: found a node that waits for its own output");
        check_refused([node("", "Relu", &[])], "a node without name or op");
    }

    #[test]
    fn more_than_any_model_has_is_refused() {
        let many = (0..=MAX_NODES).map(|at| node(&at.to_string(), "NoOp", &[]));
        check_refused(many, "found more than 65536 nodes");
        check_refused([constant("w", &[1; 9], b"")], "found more than 8 axes");
        let x = node("x", "NoOp", &[]);
        let wide = node("y", "AddN", &vec!["x"; MAX_INPUTS + 1]);
        check_refused([x, wide], "found more than 262144 inputs");
    }

    #[test]
    fn numbers_one_by_one_are_taken_alone_only() {
        let of = |values: &[f32]| {
            let tensor = FieldWriter::default().varint(1, 1);
            let tensor = tensor.each(values, |tensor, &value| tensor.float(5, value));
            let value = FieldWriter::default().message(8, tensor);
            graph([with(node("s", "Const", &[]), "value", value)])
        };
        let single = of(&[0.25]);
        let single = Graph::parse(&single).expect("a graph");
        let scalar = single.constant("s").expect("a constant").to_f32("s");
        assert_eq!(scalar, Ok(vec![0.25]));
        let message = Graph::parse(&of(&[0.25, 0.5]))
            .expect_err("two")
            .to_string();
        assert!(
            message.ends_with("found numbers one by one, expected packed"),
            "{message}"
        );
    }
}
