//! A classifier of the training identities on top of the embedder: it is trained beside it, kept
//! in checkpoints, and in no saved model.
//!
//! `softmax` is the linear layer with bias of the reference's `train_softmax.py`, which made the
//! published models, on rows that are not yet of unit length. `arcface` has no bias, and weights
//! and rows of unit length: outputs are cosines (arXiv:1801.07698).
//!
//! Of 8,000 identities and 128 numbers it is 3.9 MiB, as are its gradient and each of the
//! optimizer's slots; outputs of a chunk of 90 images are 5.5 MiB in `f64`.
//!
//! Its weights are drawn as every other: Xavier uniform, within `sqrt(6 / (identities + dim))`,
//! each identity's row from a stream of its own; biases begin at 0.

mod rows;
mod sum;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::loss::Loss;
use crate::optimizer::Update;
use rows::Logits;
#[cfg(test)]
pub(crate) use sum::tests::candles_loss;
pub(crate) use sum::{HeadMean, HeadSum};

/// Name of the weights, as in published files, where they are of no use to an embedder.
const WEIGHT: &str = "logits.weight";
/// Name of the biases.
const BIAS: &str = "logits.bias";
/// Purpose of the weights' draws.
const PURPOSE: u64 = u64::from_le_bytes(*b"head\0\0\0\0");

/// The classifier's parameters.
#[derive(Debug)]
pub(crate) struct Head {
    logits: Logits,
    /// `[identities, dim]`.
    weight: Var,
    /// `[identities]`; none where outputs are cosines.
    bias: Option<Var>,
}

impl Head {
    /// The head that the configuration asks for, drawn from its seed; `None` for triplets.
    ///
    /// - `sizes`: images of each training identity
    ///
    /// # Errors
    /// [`TrainError::Config`] where there are no two identities to tell apart.
    pub(crate) fn of(
        config: &TrainConfig,
        sizes: &[u32],
        device: &Device,
    ) -> std::result::Result<Option<Self>, TrainError> {
        if !config.loss.has_head() {
            return Ok(None);
        }
        check_identities(config.loss, sizes)?;
        let logits = match config.loss {
            Loss::Arcface => Logits {
                scale: config.arcface_scale,
                margin: Some(config.arcface_margin),
            },
            _ => Logits {
                scale: 1.0,
                margin: None,
            },
        };
        let dims = (sizes.len(), config.embedding_size);
        let zeros = Tensor::zeros(dims, DType::F32, device)?;
        Ok(Some(Self::drawn(logits, &zeros, config.seed)?))
    }

    /// - `zeros`: `[identities, dim]`, of the parameters' type and device
    fn drawn(logits: Logits, zeros: &Tensor, seed: u64) -> Result<Self> {
        let (identities, dim) = zeros.dims2()?;
        let bound = (6.0 / (identities + dim) as f64).sqrt();
        let rows = (0..identities as u64).flat_map(|row| {
            let mut rng = generator(seed, row);
            (0..dim).map(move |_| (bound * (2.0 * uniform(&mut rng) - 1.0)) as f32)
        });
        let weight = Tensor::from_iter(rows, zeros.device())?.reshape(zeros.shape())?;
        let has_bias = logits.margin.is_none();
        let bias = || Var::zeros(identities, zeros.dtype(), zeros.device());
        Ok(Self {
            logits,
            weight: Var::from_tensor(&weight.to_dtype(zeros.dtype())?)?,
            bias: has_bias.then(bias).transpose()?,
        })
    }

    /// Its parameters by name.
    pub(crate) fn parameters(&self) -> Vec<(&str, &Var)> {
        let bias = self.bias.iter().map(|bias| (BIAS, bias));
        std::iter::once((WEIGHT, &self.weight))
            .chain(bias)
            .collect()
    }

    /// How many numbers it trains.
    pub(crate) fn numbers(&self) -> usize {
        let parameters = self.parameters();
        parameters.iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// Bytes of its weights, of their gradient while chunks are added up, and of its outputs for
    /// a chunk of `n` rows, in f32 and twice in f64.
    pub(crate) fn bytes(&self, n: usize) -> usize {
        let (single, double) = (size_of::<f32>(), size_of::<f64>());
        let outputs = self.weight.dims()[0] * n * (single + 2 * double);
        4 * single * self.numbers() + outputs
    }

    /// Whether its outputs are cosines: it then takes rows of unit length.
    pub(crate) fn is_cosine(&self) -> bool {
        self.logits.margin.is_some()
    }

    /// Its tensors by name, for a checkpoint.
    pub(crate) fn state(&self) -> BTreeMap<String, Tensor> {
        let entries = self.parameters().into_iter();
        entries
            .map(|(name, var)| (name.to_owned(), var.as_detached_tensor()))
            .collect()
    }

    /// Takes over the tensors of a checkpoint.
    ///
    /// - `folder`: the checkpoint's, for messages
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where one is missing, of another shape or left over.
    pub(crate) fn load(
        &self,
        state: Option<&BTreeMap<String, Tensor>>,
        folder: &Path,
    ) -> std::result::Result<(), TrainError> {
        let parameters = self.parameters();
        let fits = |(name, var): &(&str, &Var)| {
            let found = state.and_then(|state| state.get(*name));
            found.is_some_and(|found| found.shape() == var.shape() && found.dtype() == var.dtype())
        };
        let n_found = state.map_or(0, BTreeMap::len);
        if n_found != parameters.len() || !parameters.iter().all(fits) {
            let what = format!(
                "found no classifier of {} identities, expected that of the run",
                self.weight.dims()[0]
            );
            let remedy = "begin a new run with --pretrained-model";
            return Err(TrainError::checkpoint(folder, what, remedy));
        }
        for (name, var) in parameters {
            let stored = &state.expect("found above")[name];
            var.set(&stored.to_device(var.device())?)?;
        }
        Ok(())
    }

    /// Begins a step on `n` rows.
    ///
    /// # Errors
    /// candle's own.
    pub(crate) fn begin(&self, n: usize) -> Result<HeadSum<'_>> {
        HeadSum::new(self, n)
    }

    /// The updates that gradients in order of [`Head::parameters`] make: weights decay, biases
    /// do not, as in the reference.
    pub(crate) fn updates<'a>(&'a self, gradients: &'a [Tensor]) -> Vec<Update<'a>> {
        let parameters = self.parameters().into_iter().zip(gradients);
        let update = |((name, var), grad)| Update {
            name,
            var,
            grad,
            decays: name == WEIGHT,
        };
        parameters.map(update).collect()
    }
}

/// Refuses a data set that leaves a classifier nothing to tell apart.
fn check_identities(loss: Loss, sizes: &[u32]) -> std::result::Result<(), TrainError> {
    let n_filled = sizes.iter().filter(|&&size| size > 0).count();
    if n_filled >= 2 {
        return Ok(());
    }
    let problem = format!(
        "{} tells identities apart, found {n_filled} with images, expected at least 2; add people \
         to the data set, or name more with --train-people",
        loss.name()
    );
    Err(TrainError::config("--loss", problem))
}

/// The generator of a row of weights.
fn generator(seed: u64, row: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, PURPOSE, 0, 0]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(row);
    rng
}

/// A number in `[0, 1)` with 53 random bits.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITIES: usize = 7;
    const DIM: usize = 5;

    pub(super) const SOFTMAX: Logits = Logits {
        scale: 1.0,
        margin: None,
    };
    pub(super) const ARCFACE: Logits = Logits {
        scale: 8.0,
        margin: Some(0.5),
    };

    /// A head of this type whose biases, if it has any, are not 0.
    pub(super) fn head_of(logits: Logits, dims: (usize, usize), dtype: DType) -> Head {
        let zeros = Tensor::zeros(dims, dtype, &Device::Cpu).expect("numbers");
        let head = Head::drawn(logits, &zeros, 3).expect("numbers");
        if let Some(bias) = &head.bias {
            let values = (0..dims.0).map(|at| at as f64 / 10.0);
            let values = Tensor::from_iter(values, &Device::Cpu).expect("numbers");
            let values = values.to_dtype(dtype).expect("a cast");
            bias.set(&values).expect("as many");
        }
        head
    }

    fn head(logits: Logits) -> Head {
        head_of(logits, (IDENTITIES, DIM), DType::F64)
    }

    pub(super) fn values(tensor: &Tensor) -> Vec<f64> {
        let tensor = tensor.to_dtype(DType::F64).and_then(|t| t.flatten_all());
        tensor.and_then(|t| t.to_vec1()).expect("on the CPU")
    }

    fn drawn(identities: usize, seed: u64) -> Vec<f64> {
        let zeros = Tensor::zeros((identities, DIM), DType::F64, &Device::Cpu).expect("numbers");
        let head = Head::drawn(SOFTMAX, &zeros, seed).expect("numbers");
        values(&head.weight)
    }

    #[test]
    fn draws_are_within_their_bound_and_a_function_of_seed_and_identity() {
        let bound = (6.0 / (IDENTITIES + DIM) as f64).sqrt();
        let first = drawn(IDENTITIES, 3);
        assert!(first.iter().all(|x| x.abs() <= bound));
        assert!(first.iter().any(|x| *x > 0.8 * bound) && first.iter().any(|x| *x < -0.8 * bound));
        assert_eq!(first, drawn(IDENTITIES, 3));
        assert_ne!(first, drawn(IDENTITIES, 4));
        assert_ne!(first[..DIM], first[DIM..2 * DIM]);
        // Another bound, the same draws.
        let ratio = |at: usize| drawn(50, 3)[at] / first[at];
        assert!(
            (ratio(0) - ratio(7)).abs() < 1e-6,
            "{} {}",
            ratio(0),
            ratio(7)
        );
    }

    #[test]
    fn only_a_softmax_has_biases_and_they_do_not_decay() {
        let names = |logits| -> Vec<_> {
            let head = head(logits);
            let zeros: Vec<_> = head
                .parameters()
                .iter()
                .map(|(_, var)| var.zeros_like())
                .collect();
            let zeros: Result<Vec<_>> = zeros.into_iter().collect();
            let zeros = zeros.expect("numbers");
            let updates = head.updates(&zeros).into_iter();
            updates
                .map(|update| (update.name.to_owned(), update.decays))
                .collect()
        };
        let (weight, bias) = ((WEIGHT.to_owned(), true), (BIAS.to_owned(), false));
        assert_eq!(names(SOFTMAX), [weight.clone(), bias]);
        assert_eq!(names(ARCFACE), [weight]);
    }

    #[test]
    fn a_head_comes_back_from_its_state_and_another_one_is_refused() {
        for logits in [SOFTMAX, ARCFACE] {
            let (saved, fresh) = (head(logits), head(logits));
            let zeros = saved.weight.zeros_like().expect("numbers");
            fresh.weight.set(&zeros).expect("as many");
            let folder = Path::new("checkpoint-7");
            fresh.load(Some(&saved.state()), folder).expect("its own");
            assert_eq!(values(&fresh.weight), values(&saved.weight));
            let larger = head_of(logits, (8, DIM), DType::F64).state();
            let mut more = saved.state();
            more.insert("x".to_owned(), zeros);
            for state in [None, Some(&larger), Some(&more)] {
                let error = saved.load(state, folder).expect_err("not its own");
                let expected = "checkpoint-7: found no classifier of 7 identities";
                assert!(error.to_string().contains(expected), "{error}");
            }
        }
    }

    #[test]
    fn one_identity_is_nothing_to_tell_apart() {
        let config = TrainConfig {
            loss: Loss::Softmax,
            ..TrainConfig::demo()
        };
        for sizes in [&[][..], &[9], &[0, 9, 0]] {
            let error = Head::of(&config, sizes, &Device::Cpu).expect_err("nobody else");
            let message = error.to_string();
            assert!(message.starts_with("--loss: softmax tells"), "{message}");
            assert!(message.contains("add people"), "{message}");
        }
        let two = Head::of(&config, &[1, 1], &Device::Cpu).expect("two");
        assert!(two.is_some());
        let triplets = Head::of(&TrainConfig::demo(), &[9], &Device::Cpu);
        assert!(triplets.expect("no head").is_none());
    }
}
