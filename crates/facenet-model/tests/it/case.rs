//! Golden cases of the networks: what they hold, and the models that they are about.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Tensor};
use facenet_model::{Architecture, Isa, Model, ModelConfig, Route};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::filler;

/// Both networks, as the folders are named.
pub(crate) const ARCHITECTURES: [Architecture; 2] =
    [Architecture::InceptionResnetV1, Architecture::MobileFaceNet];

/// Where the golden values lie.
pub(crate) fn golden_dir() -> PathBuf {
    let dir = std::env::var_os("FACENET_GOLDEN_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden"),
        PathBuf::from,
    );
    assert!(
        dir.is_dir(),
        "{}: no such folder of golden values",
        dir.display()
    );
    dir
}

/// One case at a time: the large network in f64 keeps gigabytes of activations.
pub(crate) fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A JSON array of numbers.
pub(crate) fn numbers(json: &Value) -> Vec<f64> {
    let array = json.as_array().expect("an array");
    array
        .iter()
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

/// A JSON array of float32 values; the parser may be off by the last place of an f64.
pub(crate) fn singles(json: &Value) -> Vec<f32> {
    numbers(json)
        .into_iter()
        .map(|number| number as f32)
        .collect()
}

/// All values of a tensor, in f64.
pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor
        .to_dtype(DType::F64)
        .and_then(|tensor| tensor.flatten_all());
    flat.and_then(|tensor| tensor.to_vec1())
        .expect("a tensor on the CPU")
}

/// How a case is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) dtype: DType,
    pub(crate) route: Route,
}

/// The instruction sets that this machine has, but for the best, which every other test runs on.
pub(crate) fn lesser() -> impl Iterator<Item = Isa> {
    let others = Isa::ALL.into_iter().filter(|&isa| isa != Isa::best());
    others.filter(|isa| isa.is_available())
}

/// A pair of files of golden values.
pub(crate) struct Case {
    pub(crate) architecture: Architecture,
    pub(crate) json: Value,
    /// By name, with the ending that tells the precision.
    pub(crate) tensors: BTreeMap<String, Vec<f64>>,
}

impl Case {
    fn read(architecture: Architecture, path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a case has its JSON");
        let bytes = fs::read(path.with_extension("safetensors")).expect("a case has its tensors");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = file.iter().map(|(name, view)| {
            let numbers = match view.dtype() {
                Dtype::F32 => {
                    let (chunks, _) = view.data().as_chunks::<4>();
                    chunks
                        .iter()
                        .map(|&b| f64::from(f32::from_le_bytes(b)))
                        .collect()
                }
                Dtype::F64 => {
                    let (chunks, _) = view.data().as_chunks::<8>();
                    chunks.iter().map(|&b| f64::from_le_bytes(b)).collect()
                }
                other => panic!("{}: {name} is {other:?}", path.display()),
            };
            (name.to_owned(), numbers)
        });
        let json = serde_json::from_str(&text).expect("JSON");
        Self {
            architecture,
            json,
            tensors: tensors.collect(),
        }
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        format!(
            "{}/{}",
            self.architecture,
            self.json["name"].as_str().expect("a name")
        )
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        self.json[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{}: {key}", self.name()))
    }

    /// The tensor in f64 and in float32.
    pub(crate) fn pair(&self, name: &str) -> (&[f64], &[f64]) {
        let get = |ending: &str| {
            let found = self.tensors.get(&format!("{name}.{ending}"));
            found
                .unwrap_or_else(|| panic!("{}: no {name}.{ending}", self.name()))
                .as_slice()
        };
        (get("f64"), get("f32"))
    }

    /// Names of the tensors without the ending, those of f64.
    pub(crate) fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors
            .keys()
            .filter_map(|name| name.strip_suffix(".f64"))
    }

    /// The model that the case is about.
    pub(crate) fn model(&self, run: Run) -> Model {
        let (size, dim) = (self.number("size") as usize, self.number("dim") as usize);
        let config = ModelConfig::new(self.architecture, size, dim);
        let model = Model::new(config, 0, run.dtype, &Device::Cpu).expect("a usual size");
        filler::fill(&model, self.text("salt"));
        model.with_route(run.route)
    }

    /// Its pictures.
    pub(crate) fn input(&self, run: Run) -> Tensor {
        let seed = format!("{}{}", self.text("salt"), self.text("input_tag"));
        let (n, size) = (self.number("batch") as usize, self.number("size") as usize);
        let pixels = filler::input(&seed, n, size, run.dtype);
        let first: Vec<_> = values(&pixels).iter().take(8).map(|&x| x as f32).collect();
        let expected = singles(&self.json["input"]["first8"]);
        assert_eq!(first, expected, "{}", self.name());
        pixels
    }

    fn text(&self, key: &str) -> &str {
        self.json[key]
            .as_str()
            .unwrap_or_else(|| panic!("{}: {key}", self.name()))
    }
}

/// The JSON files of a network's folder, which may not be there.
fn files(architecture: Architecture) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(golden_dir().join(architecture.name())) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    files
}

/// All cases of a network in a mode: `eval`, `train` or `steps`.
pub(crate) fn cases(architecture: Architecture, mode: &str) -> Vec<Case> {
    let files = files(architecture).into_iter();
    let jsons = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let cases = jsons.map(|path| Case::read(architecture, &path));
    cases.filter(|case| case.json["mode"] == mode).collect()
}

#[test]
fn golden_no_network_file_is_passed_over() {
    for architecture in ARCHITECTURES {
        for path in files(architecture) {
            let json = path.with_extension("json");
            assert!(json.exists(), "{}: no JSON beside it", path.display());
            let case = Case::read(architecture, &json);
            let mode = case.json["mode"].as_str().expect("a mode");
            assert!(
                ["eval", "train", "steps"].contains(&mode),
                "{}: {mode}",
                case.name()
            );
            let other = path
                .extension()
                .is_none_or(|e| e != "json" && e != "safetensors");
            assert!(!other, "{}: of no known kind", path.display());
        }
    }
}
