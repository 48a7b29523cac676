//! Graphs written for tests, as TensorFlow freezes them.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use facenet_formats::FieldWriter;

use crate::config::{Architecture, ModelConfig};
use crate::import::layers::{Kind, Layer, layers, scales};
use crate::model::Model;

/// A graph's nodes by name, so that a test can take one away or change it.
pub(super) type Nodes = BTreeMap<String, FieldWriter>;

/// The larger network at its smallest, its running statistics not those of a new one.
pub(super) fn model() -> Model {
    let config = ModelConfig {
        bn_momentum: super::REFERENCE_MOMENTUM,
        ..ModelConfig::new(Architecture::InceptionResnetV1, 75, 8)
    };
    let model = Model::new(config, 3, DType::F32, &Device::Cpu).expect("a size it can have");
    let moved = |(name, tensor): (&String, &Tensor)| {
        let rate = if name.ends_with("running_var") {
            0.5
        } else {
            0.125
        };
        let values = (0..tensor.elem_count()).map(|at| rate * (1.0 + (at % 5) as f32));
        let values = Tensor::from_iter(values, &Device::Cpu).expect("as many");
        (name.clone(), values)
    };
    let statistics = model.running_statistics().expect("small");
    let statistics = statistics.iter().map(moved).collect();
    model.set_running_statistics(&statistics).expect("its own");
    model
}

/// [`model`], with statistics of pictures, as it comes back from a graph with folded norms.
pub(crate) fn folded_model() -> Model {
    let ours = model();
    ours.recalibrate(&[pictures(16)]).expect("sixteen pictures");
    let foreign = super::graph::read(&bytes_of(nodes_of(&ours, true)), 75);
    let super::Foreign {
        config, tensors, ..
    } = foreign.expect("the network");
    let built = Model::from_tensors(config, tensors, DType::F32, &Device::Cpu);
    built.expect("all tensors").0
}

/// `n` pictures for [`model`]: waves of other lengths and directions each.
pub(crate) fn pictures(n: usize) -> Tensor {
    let numbers = 0..n * 3 * 75 * 75;
    let pixels = numbers.map(|at| {
        let (plane, y, x) = (at / (75 * 75), at / 75 % 75, at % 75);
        let (down, along) = ((plane * 7 % 11) as f32, (plane * 5 % 13) as f32);
        ((down * y as f32 + along * x as f32) / 25.0 + plane as f32).sin()
    });
    let pixels = Tensor::from_iter(pixels, &Device::Cpu).expect("small");
    pixels.reshape((n, 3, 75, 75)).expect("as many")
}

fn message() -> FieldWriter {
    FieldWriter::default()
}

fn with(node: FieldWriter, key: &str, value: FieldWriter) -> FieldWriter {
    node.message(5, message().bytes(1, key).message(2, value))
}

pub(super) fn node(name: &str, op: &str, inputs: &[&str]) -> FieldWriter {
    let node = message().bytes(1, name).bytes(2, op);
    node.each(inputs, |node, input| node.bytes(3, input))
}

/// - `dtype`: 1 is float32
pub(super) fn constant(name: &str, dtype: u64, shape: &[usize], values: &[f32]) -> FieldWriter {
    let shape = message().each(shape, |shape, &len| {
        shape.message(2, message().varint(1, len as u64))
    });
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let tensor = message().varint(1, dtype).message(2, shape).bytes(4, bytes);
    with(
        node(name, "Const", &[]),
        "value",
        message().message(8, tensor),
    )
}

/// The nodes of a model's graph; norms are folded where `is_folded`.
pub(super) fn nodes_of(model: &Model, is_folded: bool) -> Nodes {
    let mut writing = Writing {
        state: model.state(),
        nodes: Nodes::new(),
        is_folded,
    };
    writing.put("input", node("input", "Placeholder", &[]));
    for layer in layers() {
        writing.layer(&layer);
    }
    for (scope, scale) in scales() {
        let name = format!("{scope}/mul/x");
        writing.put(&name, constant(&name, 1, &[], &[scale]));
    }
    writing.nodes
}

pub(super) fn bytes_of(nodes: Nodes) -> Vec<u8> {
    let graph = message().each(nodes.into_values(), |graph, node| graph.message(1, node));
    graph.finish()
}

struct Writing {
    state: BTreeMap<String, Tensor>,
    nodes: Nodes,
    is_folded: bool,
}

impl Writing {
    fn put(&mut self, name: &str, node: FieldWriter) {
        self.nodes.insert(name.to_owned(), node);
    }

    fn variable(&mut self, name: &str, tensor: &Tensor) {
        let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>());
        let values = values.expect("f32");
        self.put(name, constant(name, 1, tensor.dims(), &values));
        let read = format!("{name}/read");
        self.put(&read, node(&read, "Identity", &[name]));
    }

    fn layer(&mut self, layer: &Layer) {
        let Layer { ours, scope, kind } = layer;
        match *kind {
            Kind::Normed { stride, is_same } => {
                let weights = self.state[&format!("{ours}.conv.weight")].clone();
                self.normed(
                    &format!("{ours}.bn"),
                    scope,
                    &weights,
                    ("Conv2D", stride, is_same),
                );
            }
            Kind::Bottleneck => {
                let weights = self.state[&format!("{ours}linear.weight")].clone();
                self.normed(&format!("{ours}bn"), scope, &weights, ("MatMul", 1, true));
            }
            Kind::Biased => {
                let weights = self.state[&format!("{ours}.weight")].clone();
                let bias = self.state[&format!("{ours}.bias")].clone();
                self.taker(scope, &weights, ("Conv2D", 1, true));
                self.added(scope, "biases", &bias);
            }
        }
    }

    /// A convolution or product of weights, which are turned to TensorFlow's order.
    fn taker(&mut self, scope: &str, weights: &Tensor, (op, stride, is_same): (&str, u64, bool)) {
        let turned = match weights.rank() {
            4 => weights.permute((2, 3, 1, 0)),
            _ => weights.t(),
        };
        let name = format!("{scope}/weights");
        self.variable(&name, &turned.and_then(|t| t.contiguous()).expect("small"));
        let taker = node(
            &format!("{scope}/{op}"),
            op,
            &["input", &format!("{name}/read")],
        );
        let strides = message().bytes(3, [1, stride as u8, stride as u8, 1]);
        let taker = with(taker, "strides", message().message(1, strides));
        let padding = if is_same { "SAME" } else { "VALID" };
        let taker = with(taker, "padding", message().bytes(2, padding));
        self.put(&format!("{scope}/{op}"), taker);
    }

    fn added(&mut self, scope: &str, name: &str, bias: &Tensor) {
        let bias_name = format!("{scope}/{name}");
        self.variable(&bias_name, bias);
        let inputs = [&format!("{scope}/Conv2D"), &format!("{bias_name}/read")];
        let add = node(
            &format!("{scope}/BiasAdd"),
            "BiasAdd",
            &inputs.map(String::as_str),
        );
        self.put(&format!("{scope}/BiasAdd"), add);
    }

    fn normed(&mut self, ours: &str, scope: &str, weights: &Tensor, taker: (&str, u64, bool)) {
        let part = |name: &str| self.state[&format!("{ours}.{name}")].clone();
        let (gamma, beta) = (part("weight"), part("bias"));
        let (mean, variance) = (part("running_mean"), part("running_var"));
        if self.is_folded && taker.0 == "Conv2D" {
            let folded = fold(weights, [&gamma, &beta, &mean, &variance]).expect("they fit");
            self.taker(scope, &folded.0, taker);
            self.added(scope, "Conv2D_bn_offset", &folded.1);
            return;
        }
        self.taker(scope, weights, taker);
        let parts = [
            ("gamma", gamma),
            ("beta", beta),
            ("moving_mean", mean),
            ("moving_variance", variance),
        ];
        for (name, tensor) in parts {
            self.variable(&format!("{scope}/BatchNorm/{name}"), &tensor);
        }
        let norm = format!("{scope}/BatchNorm/FusedBatchNorm");
        let fused = node(&norm, "FusedBatchNorm", &[]);
        self.put(&norm, with(fused, "epsilon", message().float(4, 0.001)));
    }
}

/// Weights and bias that do what convolution and norm did.
fn fold(
    weights: &Tensor,
    [gamma, beta, mean, variance]: [&Tensor; 4],
) -> candle_core::Result<(Tensor, Tensor)> {
    let scale = (gamma / (variance + 1e-3)?.sqrt()?)?;
    let bias = (beta - (mean * &scale)?)?;
    let scale = scale.reshape(((), 1, 1, 1))?;
    Ok((weights.broadcast_mul(&scale)?, bias))
}
