//! ONNX files computed by candle's own operations, as the operators' definitions have it: enough
//! for the networks here, and nothing of the code that writes them.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use facenet_formats::{Fields, Value};

/// The values of a field, in order.
pub(crate) fn values(bytes: &[u8], number: u64) -> Vec<Value<'_>> {
    let fields = Fields::new(bytes, 0).map(|field| field.expect("a message"));
    let of_number = fields.filter(|field| field.number == number);
    of_number.map(|field| field.value).collect()
}

/// The messages, texts or bytes of a field, in order.
pub(crate) fn parts(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let values = values(bytes, number).into_iter();
    values.map(|value| value.bytes().expect("bytes")).collect()
}

/// The texts of a field, in order.
pub(crate) fn texts(bytes: &[u8], number: u64) -> Vec<&str> {
    let text = |bytes| std::str::from_utf8(bytes).expect("UTF-8");
    parts(bytes, number).into_iter().map(text).collect()
}

/// The whole numbers of a field, in order.
pub(crate) fn numbers(bytes: &[u8], number: u64) -> Vec<usize> {
    let values = values(bytes, number).into_iter();
    let number = |value: Value<'_>| value.varint().expect("a number") as usize;
    values.map(number).collect()
}

/// What an ONNX model gives for `input`.
pub(crate) fn run(model: &[u8], input: &Tensor) -> Tensor {
    let graph = parts(model, 7)[0];
    let mut known: BTreeMap<&str, Tensor> = BTreeMap::new();
    known.insert(texts(parts(graph, 11)[0], 1)[0], input.clone());
    for constant in parts(graph, 5) {
        known.insert(texts(constant, 8)[0], floats(constant));
    }
    for node in parts(graph, 1) {
        let inputs: Vec<_> = texts(node, 1)
            .into_iter()
            .map(|name| known.get(name).expect("computed before it is used"))
            .collect();
        let output = compute(node, &inputs).expect("shapes that fit");
        let before = known.insert(texts(node, 2)[0], output);
        assert!(before.is_none(), "each value is computed once");
    }
    known[texts(parts(graph, 12)[0], 1)[0]].clone()
}

/// A constant; whole numbers too.
fn floats(constant: &[u8]) -> Tensor {
    let raw = parts(constant, 9)[0];
    let values: Vec<f32> = match numbers(constant, 2)[0] {
        1 => raw
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().expect("four")))
            .collect(),
        7 => raw
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().expect("eight")) as f32)
            .collect(),
        other => panic!("a constant of type {other}"),
    };
    Tensor::from_vec(values, numbers(constant, 1), &Device::Cpu).expect("as many as it says")
}

/// A node's setting: its list of numbers, or its number.
fn setting(node: &[u8], name: &str) -> Vec<usize> {
    let all = parts(node, 5);
    let found = all.iter().find(|part| texts(part, 1)[0] == name);
    let found = found.unwrap_or_else(|| panic!("no setting {name}"));
    [numbers(found, 8), numbers(found, 3)].concat()
}

fn compute(node: &[u8], inputs: &[&Tensor]) -> candle_core::Result<Tensor> {
    let x = inputs[0];
    match texts(node, 4)[0] {
        "Conv" => convolve(node, inputs),
        "Relu" => x.relu(),
        "PRelu" => x.maximum(0f32)? + x.minimum(0f32)?.broadcast_mul(inputs[1])?,
        "Add" => x + inputs[1],
        "Mul" => x * inputs[1],
        "Concat" => Tensor::cat(inputs, setting(node, "axis")[0]),
        "MaxPool" => {
            let (kernel, stride) = (setting(node, "kernel_shape"), setting(node, "strides"));
            x.max_pool2d_with_stride((kernel[0], kernel[1]), (stride[0], stride[1]))
        }
        "GlobalAveragePool" => x.mean_keepdim((2, 3)),
        "Flatten" => x.flatten_from(setting(node, "axis")[0]),
        "Gemm" => {
            assert_eq!(setting(node, "transB"), [1]);
            x.matmul(&inputs[1].t()?)?.broadcast_add(inputs[2])
        }
        "ReduceSum" => {
            assert_eq!(inputs[1].to_vec1::<f32>()?, [1.0]);
            x.sum_keepdim(1)
        }
        "Max" => x.broadcast_maximum(inputs[1]),
        "Sqrt" => x.sqrt(),
        "Div" => x.broadcast_div(inputs[1]),
        other => panic!("an operator {other}"),
    }
}

fn convolve(node: &[u8], inputs: &[&Tensor]) -> candle_core::Result<Tensor> {
    let pads = setting(node, "pads");
    let (stride, groups) = (setting(node, "strides"), setting(node, "group")[0]);
    assert_eq!(setting(node, "kernel_shape"), inputs[1].dims()[2..]);
    assert_eq!(stride[0], stride[1], "candle has one stride");
    let x = inputs[0].pad_with_zeros(2, pads[0], pads[2])?;
    let x = x.pad_with_zeros(3, pads[1], pads[3])?;
    let y = x.conv2d(inputs[1], 0, stride[0], 1, groups)?;
    y.broadcast_add(&inputs[2].reshape((1, (), 1, 1))?)
}
