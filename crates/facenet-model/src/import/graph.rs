//! davidsandberg's frozen graphs onto Inception-ResNet-v1.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use facenet_formats::{Array, Element, Graph, Node};

use crate::config::{Architecture, ModelConfig};
use crate::import::layers::{BOTTLENECK, Kind, Layer, layers, scales};
use crate::import::{Foreign, REFERENCE_MOMENTUM};
use crate::model::shapes_of;
use crate::state::{FOREIGN_LISTED, listed};
use crate::unfold::{FOLDED_MEAN, folded_variance};

/// Multipliers of residual blocks are decimal fractions that went through float32.
const SCALE_TOLERANCE: f32 = 1e-6;

/// Reads a graph's tensors.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn read(bytes: &[u8], image_size: usize) -> Result<Foreign, String> {
    let graph = Graph::parse(bytes).map_err(|error| error.to_string())?;
    let mut config = config_of(&graph, image_size)?;
    let shapes = shapes_of(&config).map_err(|error| error.to_string())?;
    let mut reading = Reading::new(&graph, shapes);
    config.bn_eps = reading.epsilon(config.bn_eps);
    reading.folded_variance = folded_variance(config.bn_eps);
    for layer in layers() {
        reading.layer(&layer);
    }
    for (scope, scale) in scales() {
        reading.check_scale(&scope, scale);
    }
    let tolerated = reading.left_over();
    config.has_folded_norms = reading.is_folded;
    if reading.problems.is_empty() {
        Ok(Foreign {
            config,
            tensors: reading.tensors,
            tolerated,
        })
    } else {
        Err(listed(None, &reading.problems, FOREIGN_LISTED))
    }
}

/// The network that the graph claims to be, by the size of its embeddings.
fn config_of(graph: &Graph<'_>, image_size: usize) -> Result<ModelConfig, String> {
    let name = format!("{BOTTLENECK}/weights");
    let shape = graph.constant(&name).map(|array| &array.shape[..]);
    let Some(&[_, dim]) = shape else {
        return Err(match shape {
            None => format!("{name} is missing"),
            Some(found) => format!("{name} has shape {found:?}, expected two axes"),
        });
    };
    let dim = usize::try_from(dim).unwrap_or(usize::MAX);
    let mut config = ModelConfig::new(Architecture::InceptionResnetV1, image_size, dim);
    config.bn_momentum = REFERENCE_MOMENTUM;
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

/// A graph on its way to tensors of ours.
struct Reading<'g> {
    graph: &'g Graph<'g>,
    /// The tensors of the network, by name.
    shapes: BTreeMap<String, Vec<usize>>,
    /// The convolution or product that takes each tensor.
    takers: BTreeMap<&'g str, &'g Node<'g>>,
    /// The constant that is added to each node's output.
    added: BTreeMap<&'g str, &'g str>,
    taken: BTreeSet<String>,
    tensors: BTreeMap<String, Tensor>,
    is_folded: bool,
    /// Running variance of a norm that only adds.
    folded_variance: f32,
    problems: Vec<String>,
}

impl<'g> Reading<'g> {
    fn new(graph: &'g Graph<'g>, shapes: BTreeMap<String, Vec<usize>>) -> Self {
        let with_weights = |ops: &'static [&str]| {
            let nodes = graph.nodes().iter().filter(|node| ops.contains(&node.op));
            nodes.filter_map(|node| {
                Some((
                    node,
                    source(node.inputs.first()?),
                    source(node.inputs.get(1)?),
                ))
            })
        };
        let takers = with_weights(&["Conv2D", "MatMul"]).map(|(node, _, weights)| (weights, node));
        let added = with_weights(&["BiasAdd"]).map(|(_, output, bias)| (output, bias));
        Self {
            takers: takers.collect(),
            added: added.collect(),
            graph,
            shapes,
            taken: BTreeSet::new(),
            tensors: BTreeMap::new(),
            is_folded: false,
            folded_variance: 1.0,
            problems: Vec::new(),
        }
    }

    fn layer(&mut self, layer: &Layer) {
        let Layer { ours, scope, kind } = layer;
        let weights = format!("{scope}/weights");
        let Some(&taker) = self.takers.get(weights.as_str()) else {
            self.problems
                .push(format!("{weights} is missing, or nothing takes it"));
            return;
        };
        match *kind {
            Kind::Bottleneck => {
                self.take(&format!("{ours}linear.weight"), &weights);
                self.norm(&format!("{ours}bn"), scope, taker);
            }
            Kind::Biased => {
                self.check_window(taker, 1, true);
                self.take(&format!("{ours}.weight"), &weights);
                self.bias(&format!("{ours}.bias"), scope, taker);
            }
            Kind::Normed { stride, is_same } => {
                self.check_window(taker, stride, is_same);
                self.take(&format!("{ours}.conv.weight"), &weights);
                self.norm(&format!("{ours}.bn"), scope, taker);
            }
        }
    }

    /// Batch norm after `taker`: its own four tensors, or what folding left of them.
    fn norm(&mut self, ours: &str, scope: &str, taker: &Node<'_>) {
        let theirs = |name: &str| format!("{scope}/BatchNorm/{name}");
        if self.graph.constant(&theirs("moving_mean")).is_none() {
            self.folded_norm(ours, scope, taker);
            return;
        }
        self.take(&format!("{ours}.bias"), &theirs("beta"));
        self.take(&format!("{ours}.running_mean"), &theirs("moving_mean"));
        self.take(&format!("{ours}.running_var"), &theirs("moving_variance"));
        // Without a trained gamma the operation still takes one: a constant of ones.
        let gammas = ["gamma", "Const"].map(theirs);
        let gamma = gammas
            .iter()
            .find(|name| self.graph.constant(name).is_some());
        match gamma {
            Some(gamma) => self.take(&format!("{ours}.weight"), gamma),
            None => self.put(&format!("{ours}.weight"), 1.0),
        }
    }

    /// A norm that does no more than add what folding has left of it.
    fn folded_norm(&mut self, ours: &str, scope: &str, taker: &Node<'_>) {
        self.is_folded = true;
        self.bias(&format!("{ours}.bias"), scope, taker);
        self.put(&format!("{ours}.weight"), 1.0);
        self.put(&format!("{ours}.running_mean"), FOLDED_MEAN);
        self.put(&format!("{ours}.running_var"), self.folded_variance);
    }

    fn bias(&mut self, ours: &str, scope: &str, taker: &Node<'_>) {
        match self.added.get(taker.name) {
            Some(&bias) => self.take(ours, bias),
            None => self.problems.push(format!(
                "{scope} has neither BatchNorm/moving_mean nor a bias"
            )),
        }
    }

    /// Takes the constant `theirs` for the tensor `ours`.
    fn take(&mut self, ours: &str, theirs: &str) {
        self.taken.insert(theirs.to_owned());
        let shape = self.shapes.get(ours).cloned().unwrap_or_default();
        let taken = match self.graph.constant(theirs) {
            Some(array) => convert(theirs, array, &shape),
            None => Err(format!("{} is missing", theirs.escape_debug())),
        };
        match taken {
            Ok(tensor) => drop(self.tensors.insert(ours.to_owned(), tensor)),
            Err(problem) => self.problems.push(problem),
        }
    }

    /// One number throughout.
    fn put(&mut self, ours: &str, value: f32) {
        let shape = self.shapes.get(ours).cloned().unwrap_or_default();
        match Tensor::full(value, shape, &Device::Cpu) {
            Ok(tensor) => drop(self.tensors.insert(ours.to_owned(), tensor)),
            Err(error) => self.problems.push(format!("{ours}: {error}")),
        }
    }

    /// A 1 x 1 convolution never pads.
    fn check_window(&mut self, node: &Node<'_>, stride: u64, is_same: bool) {
        let padding = if is_same { "SAME" } else { "VALID" };
        let is_point = node.name.contains("1x1/");
        let found = node.padding.unwrap_or("no padding");
        if node.strides != [1, stride, stride, 1] || (!is_point && found != padding) {
            let (name, strides) = (node.name.escape_debug(), &node.strides);
            self.problems.push(format!(
                "{name} has strides {strides:?} and {}, expected [1, {stride}, {stride}, 1] and \
                 {padding}",
                found.escape_debug()
            ));
        }
    }

    fn check_scale(&mut self, scope: &str, expected: f32) {
        let names = ["x", "y"].map(|side| format!("{scope}/mul/{side}"));
        let scale = names.iter().find_map(|name| self.graph.constant(name));
        let found = scale.and_then(|scale| scale.to_f32(scope).ok()?.first().copied());
        match found {
            Some(found) if (found - expected).abs() <= SCALE_TOLERANCE => {}
            Some(found) => self
                .problems
                .push(format!("{} is {found}, expected {expected}", names[0])),
            None => self.problems.push(format!("{} is missing", names[0])),
        }
    }

    /// What all normalisations add to the variance; `usual` where none is left to say it.
    fn epsilon(&mut self, usual: f64) -> f64 {
        let norms = self.graph.nodes().iter();
        let mut said = norms.filter(|node| node.op.starts_with("FusedBatchNorm"));
        let Some(first) = said.next() else {
            return usual;
        };
        let epsilon = first.epsilon.unwrap_or(FUSED_DEFAULT);
        let other = said.find(|node| node.epsilon.unwrap_or(FUSED_DEFAULT) != epsilon);
        if let Some(other) = other {
            self.problems.push(format!(
                "{} has another epsilon than {}",
                other.name.escape_debug(),
                first.name.escape_debug()
            ));
        }
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            self.problems
                .push(format!("epsilon is {epsilon}, expected above 0"));
        }
        // The decimal number that was meant: 0.001 and not 0.0010000000474974513.
        epsilon.to_string().parse().unwrap_or(usual)
    }

    /// Finds real tensors that no layer took; gives those that an embedder has no use for.
    fn left_over(&mut self) -> Vec<String> {
        let constants = self.graph.nodes().iter().filter(|node| node.op == "Const");
        let real = constants.filter(|node| node.value.as_ref().is_some_and(is_parameter));
        let names = real
            .map(|node| node.name)
            .filter(|name| !self.taken.contains(*name));
        let (tolerated, strangers): (Vec<_>, Vec<_>) = names.partition(|name| is_classifier(name));
        self.problems
            .extend(strangers.into_iter().map(crate::state::stranger));
        tolerated.into_iter().map(str::to_owned).collect()
    }
}

/// `FusedBatchNorm`'s epsilon where the node does not say it.
const FUSED_DEFAULT: f32 = 1e-4;

/// The node behind an input, and behind the `read` of a variable that was frozen.
fn source(input: &str) -> &str {
    let name = input.strip_suffix(":0").unwrap_or(input);
    name.strip_suffix("/read").unwrap_or(name)
}

/// Real and not a single number: what training could have moved.
fn is_parameter(array: &Array<'_>) -> bool {
    let is_real = matches!(array.element, Element::F32 | Element::F64);
    is_real && !array.shape.is_empty() && !array.shape.contains(&0)
}

/// The classifier of the softmax training, which embeddings do not pass.
fn is_classifier(name: &str) -> bool {
    name.starts_with("Logits/")
}

/// HWIO to OIHW, `[in, out]` to `[out, in]`, vectors as they are.
fn convert(name: &str, array: &Array<'_>, shape: &[usize]) -> Result<Tensor, String> {
    let axes: &[usize] = match shape.len() {
        4 => &[3, 2, 0, 1],
        2 => &[1, 0],
        _ => &[0],
    };
    let is_same = array.shape.len() == axes.len()
        && axes
            .iter()
            .zip(shape)
            .all(|(&axis, &len)| array.shape[axis] == len as u64);
    if !is_same {
        let mut expected = vec![0; axes.len()];
        for (&axis, &len) in axes.iter().zip(shape) {
            expected[axis] = len;
        }
        let found = &array.shape;
        return Err(format!(
            "{} has shape {found:?}, expected {expected:?}",
            name.escape_debug()
        ));
    }
    let values = array.to_f32(name).map_err(|error| error.to_string())?;
    let dims: Vec<usize> = array.shape.iter().map(|&len| len as usize).collect();
    let tensor = Tensor::from_vec(values, dims, &Device::Cpu);
    let turned = tensor.and_then(|tensor| tensor.permute(axes)?.contiguous());
    turned.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::written::{Nodes, bytes_of, constant, model, node, nodes_of, pictures};
    use crate::model::Model;
    use candle_core::DType;

    fn of(foreign: Foreign) -> Model {
        let built = Model::from_tensors(foreign.config, foreign.tensors, DType::F32, &Device::Cpu);
        built.expect("all tensors").0
    }

    #[test]
    fn whole_norms_come_back_as_they_were_and_folded_ones_embed_alike() {
        let ours = model();
        let whole = read(&bytes_of(nodes_of(&ours, false)), 75).expect("the network");
        assert_eq!(whole.config, *ours.config());
        let state = ours.state();
        assert_eq!(whole.tensors.len(), state.len());
        for (name, tensor) in &whole.tensors {
            let values = |t: &Tensor| {
                t.flatten_all()
                    .and_then(|t| t.to_vec1::<f32>())
                    .expect("f32")
            };
            assert_eq!(tensor.dims(), state[name].dims(), "{name}");
            assert!(values(tensor) == values(&state[name]), "{name}");
        }
        let folded = read(&bytes_of(nodes_of(&ours, true)), 75).expect("the network");
        assert!(folded.config.has_folded_norms);
        let embed = |model: &Model| {
            let rows = model
                .embed(&pictures(2))
                .and_then(|rows| Ok(rows.flatten_all()?.to_vec1::<f32>()?));
            rows.expect("they fit")
        };
        // Folding rounds each weight once: 2^-24 of it through 50 layers.
        let (a, b) = (embed(&ours), embed(&of(folded)));
        let off = a
            .iter()
            .zip(&b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(off < 1e-4, "{off}");
    }

    #[track_caller]
    fn check_refused(nodes: &Nodes, change: impl FnOnce(&mut Nodes), expected: &str) {
        let mut nodes = nodes.clone();
        change(&mut nodes);
        let Err(problem) = read(&bytes_of(nodes), 75) else {
            panic!("read, expected {expected:?}")
        };
        assert!(problem.contains(expected), "{problem:?} lacks {expected:?}");
        assert!(!problem.contains('\n'), "{problem}");
    }

    #[test]
    fn what_is_missing_misshapen_or_left_over_is_listed() {
        let nodes = nodes_of(&model(), true);
        let stem = "InceptionResnetV1/Conv2d_1a_3x3";
        let put = |nodes: &mut Nodes, name: &str, node| drop(nodes.insert(name.to_owned(), node));
        let remove = |nodes: &mut Nodes, name: &str| {
            assert!(nodes.remove(&format!("{stem}/{name}")).is_some(), "{name}");
        };
        let conv = format!("{stem}/Conv2D");
        let idle = node(&conv, "Identity", &["input"]);
        check_refused(
            &nodes,
            |nodes| put(nodes, &conv, idle),
            "weights is missing, or nothing takes it",
        );
        check_refused(
            &nodes,
            |nodes| remove(nodes, "BiasAdd"),
            "neither BatchNorm/moving_mean nor a bias",
        );
        let weights = format!("{stem}/weights");
        let small = |dtype| constant(&weights, dtype, &[3, 3, 3, 16], &[0.0; 432]);
        check_refused(
            &nodes,
            |nodes| put(nodes, &weights, small(1)),
            "has shape [3, 3, 3, 16], expected [3, 3, 3, 32]",
        );
        let whole = constant(&weights, 3, &[3, 3, 3, 32], &[0.0; 864]);
        check_refused(
            &nodes,
            |nodes| put(nodes, &weights, whole),
            "type Other(3), expected float32",
        );
        let stray = constant("centers\n", 1, &[2], &[0.0; 2]);
        check_refused(
            &nodes,
            |nodes| put(nodes, "c", stray),
            "centers\\n is not part of it",
        );
        let scale = "InceptionResnetV1/Repeat/block35_1/mul/x";
        let other = constant(scale, 1, &[], &[0.2]);
        check_refused(
            &nodes,
            |nodes| put(nodes, scale, other),
            "mul/x is 0.2, expected 0.17",
        );
        let bare = node(&conv, "Conv2D", &["input", &weights]);
        check_refused(
            &nodes,
            |nodes| put(nodes, &conv, bare),
            "expected [1, 2, 2, 1] and VALID",
        );
        check_refused(
            &nodes,
            |nodes| nodes.retain(|name, _| name == "input"),
            "Bottleneck/weights is missing",
        );
    }

    #[test]
    fn the_classifier_is_passed_over() {
        let mut nodes = nodes_of(&model(), false);
        let logits = constant("Logits/biases", 1, &[2], &[0.0; 2]);
        nodes.insert("l".to_owned(), logits);
        let foreign = read(&bytes_of(nodes), 75).expect("the network");
        assert_eq!(foreign.tolerated, ["Logits/biases"]);
    }
}
