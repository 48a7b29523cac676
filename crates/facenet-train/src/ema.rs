//! Exponential moving average of the weights.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use crate::dense::{dense, dense_mut};
use crate::error::TrainError;

/// Numbers a thread takes at a time: two arrays of them stay in a second-level cache.
const CHUNK: usize = 16 * 1024;

/// A model's state, averaged over training: `shadow -= (1 - d) (shadow - value)`.
///
/// With the number of updates `n` made so far, `d = min(decay, (1 + n) / (10 + n))`, so that the
/// first steps do not hang on to the initial weights (TensorFlow's `ExponentialMovingAverage`);
/// without it, `d = decay`. Tensors of whole numbers are taken over as they are.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    shadow: BTreeMap<String, Tensor>,
}

impl Ema {
    /// An average that starts at `state`, which is copied.
    ///
    /// - `decay`: in `[0, 1]`; what each update keeps of the average
    ///
    /// # Errors
    /// [`TrainError::Config`] for another decay; [`TrainError::Candle`] when a copy fails.
    pub fn new(
        decay: f64,
        state: &BTreeMap<String, Tensor>,
    ) -> std::result::Result<Self, TrainError> {
        if !(0.0..=1.0).contains(&decay) {
            let problem = format!("found {decay}, expected from 0 to 1");
            return Err(TrainError::config("--moving-average-decay", problem));
        }
        let copies = state
            .iter()
            .map(|(name, value)| Ok((name.clone(), copy_of(value)?)));
        Ok(Self {
            decay,
            shadow: copies.collect::<Result<_>>()?,
        })
    }

    /// Moves the average towards `state`.
    ///
    /// - `num_updates`: updates made before this one; `None` for plain decay
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when `state` has other names, shapes or types than the average,
    /// which is then unchanged; [`TrainError::Candle`] when the device fails.
    pub fn update(
        &mut self,
        state: &BTreeMap<String, Tensor>,
        num_updates: Option<u64>,
    ) -> std::result::Result<(), TrainError> {
        check_alike(&self.shadow, state)?;
        let share = 1.0 - self.decay_at(num_updates);
        for (shadow, value) in self.shadow.values_mut().zip(state.values()) {
            *shadow = moved(shadow, &value.detach(), share)?;
        }
        Ok(())
    }

    /// What update `num_updates`, from 0, keeps of the average.
    pub fn decay_at(&self, num_updates: Option<u64>) -> f64 {
        num_updates.map_or(self.decay, |n| {
            self.decay.min((1.0 + n as f64) / (10.0 + n as f64))
        })
    }

    /// The average. Its tensors change with the next update: copy what is to stay.
    pub fn shadow(&self) -> &BTreeMap<String, Tensor> {
        &self.shadow
    }

    /// Goes on from `shadow`, as a checkpoint kept it; it is copied to the average's device.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn load_shadow(
        &mut self,
        shadow: &BTreeMap<String, Tensor>,
    ) -> std::result::Result<(), TrainError> {
        check_alike(&self.shadow, shadow)?;
        let pairs = self.shadow.iter().zip(shadow.values());
        let copies = pairs
            .map(|((name, old), new)| Ok((name.clone(), copy_of(&new.to_device(old.device())?)?)));
        self.shadow = copies.collect::<Result<_>>()?;
        Ok(())
    }
}

/// The same numbers in memory of their own.
fn copy_of(tensor: &Tensor) -> Result<Tensor> {
    tensor.detach().contiguous()?.copy()
}

/// `shadow` moved to `value` by `share`; in place on the CPU.
fn moved(shadow: &Tensor, value: &Tensor, share: f64) -> Result<Tensor> {
    if !value.dtype().is_float() {
        return copy_of(value);
    }
    let is_fused = matches!(value.dtype(), DType::F32 | DType::F64) && value.device().is_cpu();
    if is_fused {
        shadow.inplace_op2(&value.contiguous()?, &Average { share })?;
        return Ok(shadow.clone());
    }
    shadow - ((shadow - value)? * share)?
}

/// `shadow -= share (shadow - value)`, one threaded pass.
struct Average {
    share: f64,
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "moving-average"
    }

    fn cpu_fwd(
        &self,
        shadow: &mut CpuStorage,
        shadow_layout: &Layout,
        value: &CpuStorage,
        value_layout: &Layout,
    ) -> Result<()> {
        match (shadow, value) {
            (CpuStorage::F32(s), CpuStorage::F32(v)) => {
                let (s, v) = (dense_mut(s, shadow_layout)?, dense(v, value_layout)?);
                let share = self.share as f32;
                for_each_pair(s, v, |s, v| *s -= share * (*s - v));
            }
            (CpuStorage::F64(s), CpuStorage::F64(v)) => {
                let (s, v) = (dense_mut(s, shadow_layout)?, dense(v, value_layout)?);
                for_each_pair(s, v, |s, v| *s -= self.share * (*s - v));
            }
            _ => bail!("average and weights differ in type"),
        }
        Ok(())
    }
}

fn for_each_pair<T: Copy + Send + Sync>(s: &mut [T], v: &[T], f: impl Fn(&mut T, T) + Sync) {
    s.par_chunks_mut(CHUNK)
        .zip(v.par_chunks(CHUNK))
        .for_each(|(s, v)| {
            for (s, &v) in s.iter_mut().zip(v) {
                f(s, v);
            }
        });
}

fn check_alike(
    shadow: &BTreeMap<String, Tensor>,
    state: &BTreeMap<String, Tensor>,
) -> std::result::Result<(), TrainError> {
    let lacking = shadow.keys().find(|name| !state.contains_key(*name));
    let foreign = state.keys().find(|name| !shadow.contains_key(*name));
    let what = match (lacking, foreign) {
        (Some(name), _) => format!("{name} is missing"),
        (None, Some(name)) => format!("{name} is not part of the average"),
        (None, None) => {
            let mut pairs = shadow.iter().zip(state.values());
            let differ = |(_, (old, new)): &(_, (&Tensor, &Tensor))| {
                old.shape() != new.shape() || old.dtype() != new.dtype()
            };
            let different = pairs
                .by_ref()
                .map(|((name, old), new)| (name, (old, new)))
                .find(differ);
            let Some((name, (old, new))) = different else {
                return Ok(());
            };
            let describe = |t: &Tensor| format!("{} {:?}", t.dtype().as_str(), t.dims());
            format!("{name} is {}, expected {}", describe(new), describe(old))
        }
    };
    let remedy = "go on with the --model-def and --embedding-size of the checkpoint";
    Err(TrainError::checkpoint(
        Path::new("moving average"),
        what,
        remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn state(name: &str, values: &[f64]) -> BTreeMap<String, Tensor> {
        let tensor = Tensor::new(values, &Device::Cpu).expect("numbers on the CPU");
        BTreeMap::from([(name.to_owned(), tensor)])
    }

    fn values(ema: &Ema, name: &str) -> Vec<f64> {
        ema.shadow()[name].to_vec1().expect("one dimension of f64")
    }

    #[test]
    fn an_update_keeps_the_decays_share() {
        let mut ema = Ema::new(0.75, &state("w", &[4.0, -8.0])).expect("a good decay");
        ema.update(&state("w", &[0.0, 0.0]), None)
            .expect("the same names");
        assert_eq!(values(&ema, "w"), [3.0, -6.0]);
    }

    #[test]
    fn early_updates_forget_faster() {
        let ema = Ema::new(0.9999, &state("w", &[0.0])).expect("a good decay");
        let found = [Some(0), Some(10), Some(1_000_000), None].map(|n| ema.decay_at(n));
        let expected = [0.1, 11.0 / 20.0, 0.9999, 0.9999];
        assert_eq!(found.map(f64::to_bits), expected.map(f64::to_bits));
    }

    #[test]
    fn it_owns_its_numbers() {
        let var = Var::new(&[1.0f64], &Device::Cpu).expect("a number");
        let weights = BTreeMap::from([("w".to_owned(), var.as_tensor().clone())]);
        let mut ema = Ema::new(0.5, &weights).expect("a good decay");
        var.set(&Tensor::new(&[3.0f64], &Device::Cpu).expect("a number"))
            .expect("one number");
        assert_eq!(values(&ema, "w"), [1.0]);
        ema.update(&weights, None).expect("the same names");
        assert_eq!(values(&ema, "w"), [2.0]);
        assert_eq!(var.to_vec1::<f64>().expect("one dimension"), [3.0]);
    }

    #[test]
    fn the_fused_pass_equals_tensor_operations() {
        let n = 2 * CHUNK + 5;
        let numbers = |scale: f64| (0..n).map(|i| (i as f64 * scale).sin()).collect::<Vec<_>>();
        let (old, new) = (state("w", &numbers(0.1)), state("w", &numbers(0.7)));
        let mut ema = Ema::new(0.9, &old).expect("a good decay");
        ema.update(&new, None).expect("the same names");
        let (old, new) = (&old["w"], &new["w"]);
        let plain = old - ((old - new).expect("alike") * (1.0 - 0.9)).expect("alike");
        let plain = plain
            .and_then(|t| t.to_vec1::<f64>())
            .expect("one dimension");
        assert_eq!(values(&ema, "w"), plain);
    }

    #[test]
    fn whole_numbers_are_taken_over() {
        let counts = |count: u32| {
            let tensor = Tensor::new(&[count], &Device::Cpu).expect("a number");
            BTreeMap::from([("n".to_owned(), tensor)])
        };
        let mut ema = Ema::new(0.5, &counts(1)).expect("a good decay");
        ema.update(&counts(7), None).expect("the same names");
        assert_eq!(
            ema.shadow()["n"].to_vec1::<u32>().expect("one dimension"),
            [7]
        );
    }

    #[test]
    fn other_names_shapes_and_types_are_refused() {
        let refused = |other: BTreeMap<String, Tensor>| {
            let mut ema = Ema::new(0.5, &state("w", &[1.0])).expect("a good decay");
            let error = ema.update(&other, None).expect_err("not alike").to_string();
            assert!(ema.load_shadow(&other).is_err());
            assert_eq!(values(&ema, "w"), [1.0]);
            error
        };
        assert!(refused(BTreeMap::new()).contains("w is missing"));
        let both = state("w", &[1.0])
            .into_iter()
            .chain(state("x", &[1.0]))
            .collect();
        assert!(refused(both).contains("x is not part of the average"));
        assert!(refused(state("w", &[1.0, 2.0])).contains("f64 [2], expected f64 [1]"));
    }

    #[test]
    fn a_decay_outside_its_range_is_refused() {
        for decay in [-0.1, 1.1, f64::NAN] {
            assert!(Ema::new(decay, &BTreeMap::new()).is_err(), "{decay}");
        }
    }

    #[test]
    fn a_loaded_average_goes_on_from_there() {
        let mut ema = Ema::new(0.5, &state("w", &[0.0])).expect("a good decay");
        ema.load_shadow(&state("w", &[8.0])).expect("alike");
        ema.update(&state("w", &[0.0]), None).expect("alike");
        assert_eq!(values(&ema, "w"), [4.0]);
    }
}
