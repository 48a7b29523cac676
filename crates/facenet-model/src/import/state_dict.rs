//! State dictionaries with `PyTorch`'s names, which are ours: facenet-pytorch's files, and what
//! `facenet export` writes.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use facenet_formats::{Array, Element, StateDict};
use safetensors::{Dtype, SafeTensors};

use crate::config::{Architecture, ModelConfig};
use crate::import::{Foreign, REFERENCE_MOMENTUM};
use crate::model::{is_tolerated, shapes_of};
use crate::state::{FOREIGN_LISTED, listed, stranger};
use crate::unfold::is_folded;

/// The kernel that covers what is left of the image in the smaller network.
const WHOLE_IMAGE: &str = "gdc.conv.weight";
/// The matrix before the embedding.
const LAST: &str = "last_linear.weight";

/// The tensors of a file by name.
type Arrays<'a> = BTreeMap<&'a str, Array<'a>>;

/// Reads a file of `torch.save`.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn read_torch(bytes: &[u8], image_size: usize) -> Result<Foreign, String> {
    let state = StateDict::parse(bytes).map_err(|error| error.to_string())?;
    foreign(state.tensors(), image_size)
}

/// Whether bytes begin as a safetensors file does: with the length of a header, and the header.
pub(super) fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return false;
    };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) <= rest.len() as u64
}

/// Reads a safetensors file.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn read_safetensors(bytes: &[u8], image_size: usize) -> Result<Foreign, String> {
    // The parser's words may hold a piece of the file: its control characters are escaped.
    let file = SafeTensors::deserialize(bytes).map_err(|error| {
        format!(
            "not a safetensors file ({})",
            error.to_string().escape_debug()
        )
    })?;
    let views = file.iter().map(|(name, view)| {
        let shape = view.shape().iter().map(|&axis| axis as u64).collect();
        (name, Array::new(element(view.dtype()), shape, view.data()))
    });
    foreign(&views.collect(), image_size)
}

fn element(dtype: Dtype) -> Element {
    match dtype {
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::I32 => Element::I32,
        Dtype::I64 => Element::I64,
        other => Element::Other(other as u64),
    }
}

/// The network that has these tensors, or a list of what does not fit.
fn foreign(arrays: &Arrays<'_>, image_size: usize) -> Result<Foreign, String> {
    let mut config = config_of(arrays, image_size)?;
    let shapes = shapes_of(&config).map_err(|error| error.to_string())?;
    let (mut tensors, mut tolerated, mut problems) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (&name, array) in arrays {
        match shapes.get(name) {
            Some(shape) => match convert(name, array, shape) {
                Ok(tensor) => drop(tensors.insert(name.to_owned(), tensor)),
                Err(problem) => problems.push(problem),
            },
            None if is_tolerated(name) => tolerated.push(name.to_owned()),
            None => problems.push(stranger(name)),
        }
    }
    let missing = shapes
        .keys()
        .filter(|name| !arrays.contains_key(name.as_str()));
    problems.extend(missing.map(|name| format!("{name} is missing")));
    if !problems.is_empty() {
        let guess = format!("these are not the tensors of {}", config.architecture);
        return Err(listed(Some(guess), &problems, FOREIGN_LISTED));
    }
    config.has_folded_norms = has_folded_norm(&tensors, config.bn_eps)?;
    Ok(Foreign {
        config,
        tensors,
        tolerated,
    })
}

/// Whether a norm has the statistics that reading a graph with folded norms gives it: such a
/// model keeps them through a file, and no training ends there.
fn has_folded_norm(tensors: &BTreeMap<String, Tensor>, eps: f64) -> Result<bool, String> {
    for (name, mean) in tensors {
        let norm = name.strip_suffix("running_mean");
        let variance = norm.and_then(|norm| tensors.get(&format!("{norm}running_var")));
        let Some(variance) = variance else { continue };
        if is_folded(mean, variance, eps).map_err(|error| format!("{name}: {error}"))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The network that the tensors claim to be, by their names and the embedding's size; the smaller
/// one says the size of its images too.
fn config_of(arrays: &Arrays<'_>, image_size: usize) -> Result<ModelConfig, String> {
    let shape = |name: &str| arrays.get(name).map(|array| array.shape.as_slice());
    let Some(&[dim, _]) = shape(LAST) else {
        return Err(match shape(LAST) {
            None => format!("{LAST} is missing"),
            Some(found) => format!("{LAST} has shape {found:?}, expected two axes"),
        });
    };
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let (architecture, side) = match shape(WHOLE_IMAGE) {
        Some(&[_, _, side, _]) => (Architecture::MobileFaceNet, whole(side).saturating_mul(16)),
        _ => (Architecture::InceptionResnetV1, image_size),
    };
    let mut config = ModelConfig::new(architecture, side, whole(dim));
    config.bn_momentum = REFERENCE_MOMENTUM;
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

/// A tensor of the network; nothing is copied before shape and type are known to fit.
fn convert(name: &str, array: &Array<'_>, shape: &[usize]) -> Result<Tensor, String> {
    let fits = array.shape.len() == shape.len()
        && array
            .shape
            .iter()
            .zip(shape)
            .all(|(&found, &expected)| found == expected as u64);
    if !fits {
        return Err(format!(
            "{name} has shape {:?}, expected {shape:?}",
            array.shape
        ));
    }
    let values = array.to_f32(name).map_err(|error| error.to_string())?;
    Tensor::from_vec(values, shape, &Device::Cpu).map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::written::{folded_model, pictures};
    use crate::model::Model;
    use crate::tensors::{tensors_to_bytes, tensors_to_torch};
    use candle_core::DType;

    fn model() -> Model {
        let config = ModelConfig::new(Architecture::MobileFaceNet, 32, 8);
        Model::new(config, 3, DType::F32, &Device::Cpu).expect("a size it can have")
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>());
        values.expect("f32")
    }

    #[track_caller]
    fn check_same(foreign: &Foreign, state: &BTreeMap<String, Tensor>) {
        let bits = |tensor: &Tensor| {
            let values = values(tensor).into_iter().map(f32::to_bits);
            values.collect::<Vec<_>>()
        };
        assert!(foreign.tensors.keys().eq(state.keys()));
        for (name, tensor) in state {
            assert_eq!(bits(&foreign.tensors[name]), bits(tensor), "{name}");
        }
    }

    #[test]
    fn a_model_comes_back_from_both_kinds_of_files_with_its_sizes() {
        let state = model().state();
        let bytes = tensors_to_torch(&state).expect("encodable");
        let of_torch = read_torch(&bytes, 160).expect("its own");
        let bytes = tensors_to_bytes(&state).expect("encodable");
        assert!(is_safetensors(&bytes) && !is_safetensors(b"PK\x03\x04...{{"));
        let of_safetensors = read_safetensors(&bytes, 160).expect("its own");
        for foreign in [of_torch, of_safetensors] {
            let config = &foreign.config;
            assert_eq!((config.image_size, config.embedding_size), (32, 8));
            assert_eq!(config.architecture, Architecture::MobileFaceNet);
            assert!(!config.has_folded_norms);
            check_same(&foreign, &state);
        }
    }

    #[test]
    fn folded_norms_come_back_folded_from_both_kinds_of_files() {
        let (folded, images) = (folded_model(), pictures(2));
        let embedded = |model: &Model| values(&model.embed(&images).expect("they fit"));
        let state = folded.state();
        let of_torch = tensors_to_torch(&state).expect("encodable");
        let of_safetensors = tensors_to_bytes(&state).expect("encodable");
        for foreign in [
            read_torch(&of_torch, 75).expect("its own"),
            read_safetensors(&of_safetensors, 75).expect("its own"),
        ] {
            let Foreign {
                config, tensors, ..
            } = foreign;
            assert_eq!(config, *folded.config());
            let (again, _) =
                Model::from_tensors(config, tensors, DType::F32, &Device::Cpu).expect("whole");
            assert!(again.has_frozen_norms());
            assert_eq!(embedded(&again), embedded(&folded));
        }
    }

    /// What is said of the model's tensors after a change.
    fn problem(change: impl FnOnce(&mut BTreeMap<String, Tensor>)) -> String {
        let mut state = model().state();
        change(&mut state);
        let bytes = tensors_to_torch(&state).expect("encodable");
        read_torch(&bytes, 160).err().unwrap_or_default()
    }

    fn ones(shape: &[usize]) -> Tensor {
        Tensor::ones(shape, DType::F32, &Device::Cpu).expect("small")
    }

    #[test]
    fn what_is_missing_misshapen_or_left_over_is_listed() {
        let found = problem(|state| drop(state.remove("conv1.bn.bias")));
        assert!(found.ends_with("conv1.bn.bias is missing"), "{found}");
        let found = problem(|state| drop(state.insert("conv1.bn.bias".to_owned(), ones(&[3]))));
        assert!(
            found.contains("conv1.bn.bias has shape [3], expected [64]"),
            "{found}"
        );
        let found = problem(|state| drop(state.insert("a\nb".to_owned(), ones(&[3]))));
        assert!(found.contains("a\\nb is not part of it"), "{found}");
        let found = problem(|state| state.retain(|name, _| !name.starts_with("conv1.bn.")));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            assert!(
                found.contains(&format!("conv1.bn.{part} is missing")),
                "{found}"
            );
        }
        let found = problem(|state| state.retain(|name, _| name == LAST || name == WHOLE_IMAGE));
        let missing = model().state().len() - 2;
        assert_eq!(found.matches(" is missing").count(), missing, "{found}");
        let found = problem(|state| drop(state.remove(LAST)));
        assert_eq!(found, "last_linear.weight is missing");
        let found = problem(|state| drop(state.insert(LAST.to_owned(), ones(&[3]))));
        assert!(found.contains("expected two axes"), "{found}");
        let found = problem(|state| drop(state.insert("logits.weight".to_owned(), ones(&[3]))));
        assert_eq!(found, "", "the classifier is of no use");
    }
}
