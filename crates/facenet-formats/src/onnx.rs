//! Networks written as ONNX files.
//!
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>; what an operator means is
//! <https://onnx.ai/onnx/operators/> of operator set 17.

use crate::wire::FieldWriter;

/// Version of the file's form that operator set 17 came with.
const IR_VERSION: u64 = 8;
/// Version of the operators.
const OPERATORS: u64 = 17;
/// `TensorProto.FLOAT`.
const FLOAT: u64 = 1;
/// `TensorProto.INT64`.
const INT64: u64 = 7;

/// An axis of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis<'a> {
    /// As long as the caller likes, by a name.
    Any(&'a str),
    /// Of this length.
    Of(usize),
}

/// A setting of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting<'a> {
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(&'a [i64]),
}

/// An ONNX model as it is written, node by node in the order of computation.
///
/// It checks nothing: who describes a graph knows it.
#[derive(Clone, Debug, Default)]
pub struct OnnxWriter {
    graph: FieldWriter,
    metadata: FieldWriter,
    nodes: usize,
}

impl OnnxWriter {
    /// An input of f32.
    pub fn input(&mut self, name: &str, axes: &[Axis<'_>]) {
        self.put(11, value(name, axes));
    }

    /// An output of f32: one of the nodes' values, or none is computed.
    pub fn output(&mut self, name: &str, axes: &[Axis<'_>]) {
        self.put(12, value(name, axes));
    }

    /// A constant of f32.
    ///
    /// - `values`: as many as `dims` multiply to, the last axis fastest
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.put(5, tensor(name, FLOAT, dims, &raw));
    }

    /// A constant list of whole numbers.
    pub fn integers(&mut self, name: &str, values: &[i64]) {
        let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.put(5, tensor(name, INT64, &[values.len()], &raw));
    }

    /// The name that the next node of `operator` has, its output's too.
    pub fn next_name(&self, operator: &str) -> String {
        format!("{}_{operator}", self.nodes)
    }

    /// A node of one output; gives its name.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        settings: &[(&str, Setting<'_>)],
    ) -> String {
        let name = self.next_name(operator);
        self.named_node(&name, operator, inputs, settings);
        name
    }

    /// [`OnnxWriter::node`] with a name of its own.
    pub fn named_node(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[&str],
        settings: &[(&str, Setting<'_>)],
    ) {
        let node = FieldWriter::default()
            .each(inputs, |node, input| node.bytes(1, input))
            .bytes(2, name)
            .bytes(3, name)
            .bytes(4, operator)
            .each(settings, |node, setting| {
                node.message(5, attribute(setting))
            });
        self.put(1, node);
        self.nodes += 1;
    }

    /// Something to know about the model.
    pub fn metadata(&mut self, key: &str, value: &str) {
        let entry = FieldWriter::default().bytes(1, key).bytes(2, value);
        self.metadata = std::mem::take(&mut self.metadata).message(14, entry);
    }

    /// The file's bytes.
    ///
    /// - `name`: the graph's
    /// - `producer`: the program's
    pub fn finish(self, name: &str, producer: &str) -> Vec<u8> {
        let operators = FieldWriter::default().bytes(1, "").varint(2, OPERATORS);
        let model = FieldWriter::default()
            .varint(1, IR_VERSION)
            .bytes(2, producer)
            .message(7, self.graph.bytes(2, name))
            .message(8, operators);
        model.joined(self.metadata).finish()
    }

    fn put(&mut self, field: u64, message: FieldWriter) {
        self.graph = std::mem::take(&mut self.graph).message(field, message);
    }
}

/// A `ValueInfoProto` of f32.
fn value(name: &str, axes: &[Axis<'_>]) -> FieldWriter {
    let shape = FieldWriter::default().each(axes, |shape, axis| {
        let axis = match *axis {
            Axis::Of(length) => FieldWriter::default().varint(1, length as u64),
            Axis::Any(name) => FieldWriter::default().bytes(2, name),
        };
        shape.message(1, axis)
    });
    let tensor = FieldWriter::default().varint(1, FLOAT).message(2, shape);
    let kind = FieldWriter::default().message(1, tensor);
    FieldWriter::default().bytes(1, name).message(2, kind)
}

/// A `TensorProto`.
fn tensor(name: &str, kind: u64, dims: &[usize], raw: &[u8]) -> FieldWriter {
    FieldWriter::default()
        .each(dims, |tensor, &length| tensor.varint(1, length as u64))
        .varint(2, kind)
        .bytes(8, name)
        .bytes(9, raw)
}

/// An `AttributeProto`; a negative number is its two's complement, as protocol buffers have it.
fn attribute(&(name, setting): &(&str, Setting<'_>)) -> FieldWriter {
    let attribute = FieldWriter::default().bytes(1, name);
    match setting {
        Setting::Int(value) => attribute.varint(3, value as u64).varint(20, 2),
        Setting::Ints(values) => attribute
            .each(values, |all, &value| all.varint(8, value as u64))
            .varint(20, 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Fields, Value};

    /// The values of a field, in order.
    fn values(bytes: &[u8], number: u64) -> Vec<Value<'_>> {
        let fields = Fields::new(bytes, 0).map(|field| field.expect("a message"));
        let of_number = fields.filter(|field| field.number == number);
        of_number.map(|field| field.value).collect()
    }

    fn texts(bytes: &[u8], number: u64) -> Vec<&str> {
        let values = values(bytes, number).into_iter();
        let texts = values.filter_map(|value| std::str::from_utf8(value.bytes()?).ok());
        texts.collect()
    }

    fn small() -> Vec<u8> {
        let mut writer = OnnxWriter::default();
        writer.input("images", &[Axis::Any("n"), Axis::Of(3)]);
        writer.floats("weight", &[1, 2], &[0.5, -1.0]);
        writer.integers("axes", &[1, -1]);
        let first = writer.node("Neg", &["images"], &[]);
        let settings = [
            ("axis", Setting::Int(-1)),
            ("pads", Setting::Ints(&[0, 300])),
        ];
        writer.named_node("rows", "Softmax", &[&first], &settings);
        writer.output("rows", &[Axis::Any("n"), Axis::Of(3)]);
        writer.metadata("recipe", "{}");
        writer.finish("net", "facenet")
    }

    #[test]
    fn a_model_says_its_versions_its_maker_and_what_to_know() {
        let bytes = small();
        assert_eq!(values(&bytes, 1), [Value::Varint(8)]);
        assert_eq!(texts(&bytes, 2), ["facenet"]);
        let operators = values(&bytes, 8)[0].bytes().expect("a message");
        assert_eq!(values(operators, 2), [Value::Varint(17)]);
        let entry = values(&bytes, 14)[0].bytes().expect("a message");
        assert_eq!(
            (texts(entry, 1), texts(entry, 2)),
            (vec!["recipe"], vec!["{}"])
        );
    }

    #[test]
    fn nodes_are_in_order_and_take_each_others_outputs() {
        let bytes = small();
        let graph = values(&bytes, 7)[0].bytes().expect("a message");
        assert_eq!(texts(graph, 2), ["net"]);
        let nodes = values(graph, 1);
        let nodes: Vec<_> = nodes.iter().filter_map(|node| node.bytes()).collect();
        let parts = |node| (texts(node, 1), texts(node, 2), texts(node, 4));
        assert_eq!(
            parts(nodes[0]),
            (vec!["images"], vec!["0_Neg"], vec!["Neg"])
        );
        assert_eq!(
            parts(nodes[1]),
            (vec!["0_Neg"], vec!["rows"], vec!["Softmax"])
        );
        let settings = values(nodes[1], 5);
        let pads = settings[1].bytes().expect("a message");
        assert_eq!(values(pads, 8), [Value::Varint(0), Value::Varint(300)]);
        let axis = settings[0].bytes().expect("a message");
        assert_eq!(values(axis, 3), [Value::Varint(u64::MAX)]);
    }

    #[test]
    fn constants_are_their_values_little_endian() {
        let bytes = small();
        let graph = values(&bytes, 7)[0].bytes().expect("a message");
        let constants = values(graph, 5);
        let weight = constants[0].bytes().expect("a message");
        assert_eq!(values(weight, 1), [Value::Varint(1), Value::Varint(2)]);
        let raw = [0.5f32.to_le_bytes(), (-1f32).to_le_bytes()].concat();
        assert_eq!(values(weight, 9), [Value::Bytes(&raw)]);
        let axes = constants[1].bytes().expect("a message");
        assert_eq!(
            (values(axes, 2), values(axes, 1)),
            (vec![Value::Varint(7)], vec![Value::Varint(2)])
        );
    }
}
