//! Every mining case of the golden folder: what the reference selects.
//!
//! The golden distances are f64 and no comparison is closer to its bound than the case's
//! `smallest_margin`, so lists and triplets are compared exactly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use facenet_miner::{Draw, Embeddings, Miner, MinerConfig, Rule};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::mt19937::Mt19937;

/// Seed of `numpy_seed666.triplets`.
const NUMPY_SEED: u32 = 666;

/// numpy sums squares in another order than the miner: relative difference of f64 distances.
const NUMPY_SUM: f64 = 1e-12;

struct Case {
    path: PathBuf,
    margin: f32,
    dim: usize,
    labels: Vec<u32>,
    rows: Vec<f32>,
    numbers: BTreeMap<String, Vec<i64>>,
    distances: Vec<f64>,
}

fn mining_dir() -> PathBuf {
    let root = std::env::var_os("FACENET_GOLDEN_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden"),
        PathBuf::from,
    );
    assert!(
        root.is_dir(),
        "{}: no such folder of golden values",
        root.display()
    );
    root.join("mining")
}

/// Every case of the folder but the sampler's; a file that is neither fails.
fn cases() -> Vec<Case> {
    let Ok(entries) = std::fs::read_dir(mining_dir()) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable folder").path())
        .collect();
    paths.sort();
    let (cases, others): (Vec<_>, Vec<_>) = paths
        .into_iter()
        .partition(|path| path.extension().is_some_and(|ext| ext == "safetensors"));
    for other in others {
        assert!(
            cases.contains(&other.with_extension("safetensors")) || is_sampling(&other),
            "{} is not walked",
            other.display()
        );
    }
    cases.into_iter().map(load).collect()
}

fn is_sampling(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext == "json") && json(path).get("class_sizes").is_some()
}

fn json(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn load(path: PathBuf) -> Case {
    let scalars = json(&path.with_extension("json"));
    let bytes = std::fs::read(&path).expect("readable case");
    let tensors = SafeTensors::deserialize(&bytes).expect("a case is safetensors");
    let (mut numbers, mut floats, mut distances) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (name, view) in tensors.tensors() {
        match view.dtype() {
            Dtype::F32 => floats = words(view.data(), f32::from_le_bytes),
            Dtype::F64 => distances = words(view.data(), f64::from_le_bytes),
            _ => {
                numbers.insert(name, whole_numbers(view.dtype(), view.data()));
            }
        }
    }
    let counts = scalars["counts"].as_array().expect("counts are a list");
    let counts = counts
        .iter()
        .map(|count| count.as_u64().expect("a count") as usize);
    let labels = (0u32..)
        .zip(counts)
        .flat_map(|(label, n)| std::iter::repeat_n(label, n));
    Case {
        margin: scalars["alpha"].as_f64().expect("alpha is a number") as f32,
        dim: scalars["dim"].as_u64().expect("dim is a number") as usize,
        labels: labels.collect(),
        rows: floats,
        numbers,
        distances,
        path,
    }
}

fn words<const N: usize, T>(bytes: &[u8], parse: fn([u8; N]) -> T) -> Vec<T> {
    let (words, rest) = bytes.as_chunks::<N>();
    assert!(rest.is_empty());
    words.iter().map(|&word| parse(word)).collect()
}

fn whole_numbers(dtype: Dtype, bytes: &[u8]) -> Vec<i64> {
    match dtype {
        Dtype::I64 => words(bytes, i64::from_le_bytes),
        Dtype::I32 => words(bytes, i32::from_le_bytes)
            .into_iter()
            .map(i64::from)
            .collect(),
        Dtype::U32 => words(bytes, u32::from_le_bytes)
            .into_iter()
            .map(i64::from)
            .collect(),
        other => panic!("whole numbers of type {other:?}"),
    }
}

impl Case {
    fn embeddings(&self) -> Embeddings<'_> {
        Embeddings::new(&self.rows, self.dim).expect("whole rows")
    }

    fn miner(&self, rule: Rule) -> Miner {
        let config = MinerConfig {
            rule,
            margin: self.margin,
            ..Default::default()
        };
        Miner::new(config).expect("a positive margin")
    }

    fn list(&self, name: &str) -> &[i64] {
        self.numbers
            .get(name)
            .unwrap_or_else(|| panic!("{}: no {name}", self.path.display()))
    }

    fn pairs(&self, rule: Rule) -> Vec<([u32; 2], Vec<u32>)> {
        let mut pairs = Vec::new();
        let visited = self.miner(rule).admissible_negatives(
            self.embeddings(),
            &self.labels,
            &mut |pair, negatives| {
                self.check_distance(pair.anchor, pair.positive, pair.d_ap);
                pairs.push(([pair.anchor, pair.positive], negatives.to_vec()));
            },
        );
        visited.expect("a label a row");
        pairs
    }

    fn check_distance(&self, row: u32, other: u32, found: f64) {
        let expected = self.distances[row as usize * self.labels.len() + other as usize];
        assert!(
            (found - expected).abs() <= NUMPY_SUM * expected,
            "{found}, not {expected}"
        );
    }
}

fn signed(rows: &[u32]) -> Vec<i64> {
    rows.iter().map(|&row| row.into()).collect()
}

#[test]
fn golden_admissible_negatives_are_the_references() {
    for case in cases() {
        let (anchors, positives) = (case.list("anchor"), case.list("positive"));
        for (rule, name) in [(Rule::Violating, "vgg"), (Rule::SemiHard, "semihard")] {
            let pairs = case.pairs(rule);
            let offsets = case.list(&format!("{name}.offsets"));
            let expected = case.list(&format!("{name}.negatives"));
            assert_eq!(pairs.len(), anchors.len(), "{}", case.path.display());
            for (i, (pair, negatives)) in pairs.iter().enumerate() {
                assert_eq!(
                    signed(pair),
                    [anchors[i], positives[i]],
                    "{}",
                    case.path.display()
                );
                let range = offsets[i] as usize..offsets[i + 1] as usize;
                assert_eq!(
                    signed(negatives),
                    &expected[range],
                    "{} {pair:?}",
                    case.path.display()
                );
            }
        }
    }
}

/// The reference's own draws: one for every pair that has a negative, then the shuffle.
#[test]
fn golden_numpy_triplets_are_the_references() {
    for case in cases() {
        let Some(expected) = case.numbers.get("numpy_seed666.triplets") else {
            continue;
        };
        let mut numpy = Mt19937::new(NUMPY_SEED);
        let mut triplets = Vec::new();
        for ([anchor, positive], negatives) in case.pairs(Rule::Violating) {
            if !negatives.is_empty() {
                triplets.push([anchor, positive, negatives[numpy.below(negatives.len())]]);
            }
        }
        numpy.shuffle(&mut triplets);
        assert_eq!(
            signed(triplets.as_flattened()),
            *expected,
            "{}",
            case.path.display()
        );
    }
}

/// Every triplet mined is in the reference's lists, and every pair with a list has one.
#[test]
fn golden_mined_triplets_are_admissible() {
    for case in cases() {
        for rule in [Rule::Violating, Rule::SemiHard] {
            let mined = case
                .miner(rule)
                .mine(case.embeddings(), &case.labels, Draw::default());
            let mined = mined.expect("a label a row");
            let mut pairs = case.pairs(rule);
            assert_eq!(mined.statistics.pairs, pairs.len() as u64);
            pairs.retain(|(_, negatives)| !negatives.is_empty());
            assert_eq!(mined.triplets.len(), pairs.len(), "{}", case.path.display());
            for (t, (pair, negatives)) in mined.triplets.iter().zip(pairs) {
                assert_eq!([t.anchor, t.positive], pair, "{}", case.path.display());
                assert!(
                    negatives.contains(&t.negative),
                    "{} {t:?}",
                    case.path.display()
                );
            }
        }
    }
}

#[test]
fn golden_hardest_rows_are_the_references() {
    for case in cases() {
        let found = case
            .miner(Rule::BatchHard)
            .hardest(case.embeddings(), &case.labels);
        let found = found.expect("a label a row");
        let index = |row: Option<facenet_miner::Neighbour>| row.map_or(-1, |row| row.index.into());
        let positives: Vec<i64> = found
            .iter()
            .map(|hardest| index(hardest.positive))
            .collect();
        let negatives: Vec<i64> = found
            .iter()
            .map(|hardest| index(hardest.negative))
            .collect();
        assert_eq!(
            positives,
            case.list("hardest_positive"),
            "{}",
            case.path.display()
        );
        assert_eq!(
            negatives,
            case.list("hardest_negative"),
            "{}",
            case.path.display()
        );
        for (row, hardest) in (0..).zip(&found) {
            for other in [hardest.positive, hardest.negative].into_iter().flatten() {
                case.check_distance(row, other.index, other.sq_l2);
            }
        }
    }
}
