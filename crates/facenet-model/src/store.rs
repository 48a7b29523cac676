//! A network's named tensors: made from a seed, or taken from a file.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use candle_nn::var_builder::SimpleBackend;

use crate::random::{INIT, fnv1a, generator, uniform};

/// One named tensor of a network.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) var: Var,
    /// Whether an optimizer moves it; running statistics are not trained.
    pub(crate) is_trained: bool,
    /// Whether weight decay pulls on it: weights of convolutions and linear layers.
    pub(crate) decays: bool,
}

impl Entry {
    /// What is known of a tensor by its name and rank: statistics are called `running_*`, and
    /// biases, normalisation and slopes are vectors.
    fn new(name: &str, var: Var) -> Self {
        let last = name.rsplit('.').next().unwrap_or(name);
        let is_trained = !last.starts_with("running_");
        let decays = is_trained && var.rank() > 1;
        Self {
            var,
            is_trained,
            decays,
        }
    }
}

/// Where the tensors come from.
pub(crate) enum Origin {
    /// Drawn from this seed.
    Seed(u64),
    /// Taken by name.
    Given(BTreeMap<String, Tensor>),
}

/// Collects a network's tensors by name while its layers ask a `VarBuilder` for them.
pub(crate) struct Store {
    origin: Origin,
    collected: Mutex<Collected>,
}

/// What a [`Store`] has handed out.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// The shape that was asked for of each.
    pub(crate) shapes: BTreeMap<String, Vec<usize>>,
    /// Tensors that were not given, or are of another shape or type.
    pub(crate) problems: Vec<String>,
}

impl Store {
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            origin,
            collected: Mutex::default(),
        }
    }

    /// A builder on this store.
    pub(crate) fn builder(&self, dtype: DType, device: &Device) -> VarBuilder<'_> {
        VarBuilder::from_backend(Box::new(self), dtype, device.clone())
    }

    /// What was handed out, and the names that were given and that nothing asked for.
    pub(crate) fn finish(self) -> (Collected, Vec<String>) {
        let collected = self
            .collected
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let given = match self.origin {
            Origin::Seed(_) => BTreeMap::new(),
            Origin::Given(tensors) => tensors,
        };
        let names = given.into_keys();
        let left_over = names
            .filter(|name| !collected.entries.contains_key(name))
            .collect();
        (collected, left_over)
    }

    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn value(
        &self,
        name: &str,
        shape: &Shape,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let found = match &self.origin {
            Origin::Seed(seed) => {
                let values = initial(*seed, name, shape, init)?;
                return Tensor::from_vec(values, shape, device)?.to_dtype(dtype);
            }
            Origin::Given(tensors) => tensors.get(name),
        };
        if let Some(problem) = problem(name, shape, found) {
            self.collected().problems.push(problem);
            // The network is refused in the end: no memory is spent on what its file lacks, as a
            // variable of that shape would, a view or not.
            return Tensor::zeros(vec![1; shape.rank()], dtype, device);
        }
        let found = found.expect("what is missing is a problem");
        found.to_device(device)?.to_dtype(dtype)?.force_contiguous()
    }
}

impl SimpleBackend for &Store {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let var = Var::from_tensor(&self.value(name, &shape, init, dtype, device)?)?;
        let tensor = var.as_tensor().clone();
        let entry = Entry::new(name, var);
        let mut collected = self.collected();
        collected.entries.insert(name.to_owned(), entry);
        collected.shapes.insert(name.to_owned(), shape.into_dims());
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        match self.collected().entries.get(name) {
            Some(entry) => Ok(entry.var.as_tensor().clone()),
            None => candle_core::bail!("{name}: a tensor is made where its shape is known"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        match &self.origin {
            Origin::Seed(_) => true,
            Origin::Given(tensors) => tensors.contains_key(name),
        }
    }
}

/// Why `found` cannot be the tensor `name`.
pub(crate) fn problem(name: &str, shape: &Shape, found: Option<&Tensor>) -> Option<String> {
    let Some(found) = found else {
        return Some(format!("{name} is missing"));
    };
    if found.shape() != shape {
        let (found, expected) = (found.dims(), shape.dims());
        return Some(format!("{name} has shape {found:?}, expected {expected:?}"));
    }
    let dtype = found.dtype();
    let is_float = matches!(dtype, DType::F32 | DType::F64);
    (!is_float).then(|| format!("{name} is of type {dtype:?}, expected F32"))
}

/// Weight of a convolution, OIHW, or a linear layer, `[out, in]`: Xavier uniform, within
/// `sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio, 2010).
pub(crate) fn weight(vb: &VarBuilder, name: &str, shape: impl Into<Shape>) -> Result<Var> {
    let shape = shape.into();
    let field: usize = shape.dims().iter().skip(2).product();
    let fans = (shape.dims()[0] + shape.dims()[1]) * field;
    let up = (6.0 / fans as f64).sqrt();
    Var::from_tensor(&vb.get_with_hints(shape, name, Init::Uniform { lo: -up, up })?)
}

/// A vector, one number throughout at first.
pub(crate) fn vector(vb: &VarBuilder, name: &str, len: usize, start: f64) -> Result<Var> {
    Var::from_tensor(&vb.get_with_hints(len, name, Init::Const(start))?)
}

/// The first values of tensor `name`, a function of the seed and the name.
fn initial(seed: u64, name: &str, shape: &Shape, init: Init) -> Result<Vec<f32>> {
    let n = shape.elem_count();
    match init {
        Init::Const(value) => Ok(vec![value as f32; n]),
        Init::Uniform { lo, up } => {
            let mut rng = generator([seed, INIT, 0, 0], fnv1a(name));
            Ok((0..n)
                .map(|_| (lo + (up - lo) * uniform(&mut rng)) as f32)
                .collect())
        }
        other => candle_core::bail!("{name}: {other:?} has no seeded generator"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeded(seed: u64, name: &str) -> Result<Vec<f32>> {
        let store = Store::new(Origin::Seed(seed));
        let vb = store.builder(DType::F32, &Device::Cpu);
        weight(&vb, name, (4, 2, 3, 3))?.flatten_all()?.to_vec1()
    }

    #[test]
    fn xavier_is_bounded_and_a_function_of_seed_and_name() -> Result<()> {
        let values = seeded(1, "a")?;
        // fan_in 2 x 9, fan_out 4 x 9.
        let bound = (6.0f32 / (18.0 + 36.0)).sqrt();
        assert!(values.iter().all(|value| value.abs() <= bound));
        assert!(values.iter().any(|&value| value > bound * 0.9));
        assert!(values.iter().any(|&value| value < -bound * 0.9));
        assert_eq!(values, seeded(1, "a")?);
        assert_ne!(values, seeded(2, "a")?);
        assert_ne!(values, seeded(1, "b")?);
        Ok(())
    }

    #[test]
    fn names_are_joined_by_dots_and_tell_what_is_trained() -> Result<()> {
        let store = Store::new(Origin::Seed(0));
        let vb = store.builder(DType::F32, &Device::Cpu).pp("a").pp(3);
        vector(&vb, "running_mean", 2, 0.0)?;
        vector(&vb, "bias", 2, 0.5)?;
        weight(&vb, "weight", (2, 2))?;
        drop(vb);
        let (collected, left_over) = store.finish();
        let told: Vec<_> = collected
            .entries
            .iter()
            .map(|(name, entry)| (name.as_str(), entry.is_trained, entry.decays))
            .collect();
        let expected = [
            ("a.3.bias", true, false),
            ("a.3.running_mean", false, false),
            ("a.3.weight", true, true),
        ];
        assert_eq!(told, expected);
        assert!(left_over.is_empty());
        Ok(())
    }

    #[test]
    fn everything_wrong_with_given_tensors_is_collected() -> Result<()> {
        let zeros = |len: usize, dtype| Tensor::zeros(len, dtype, &Device::Cpu);
        let given = BTreeMap::from([
            ("good".to_owned(), zeros(2, DType::F64)?),
            ("long".to_owned(), zeros(3, DType::F32)?),
            ("whole".to_owned(), zeros(2, DType::I64)?),
            ("unknown".to_owned(), zeros(2, DType::F32)?),
        ]);
        let store = Store::new(Origin::Given(given));
        let vb = store.builder(DType::F32, &Device::Cpu);
        // In place of what is wrong there is a number, whatever was asked for.
        for (name, held) in [("absent", 1), ("good", 2), ("long", 1), ("whole", 1)] {
            assert_eq!(vector(&vb, name, 2, 0.0)?.dims(), [held]);
        }
        drop(vb);
        let (collected, left_over) = store.finish();
        assert_eq!(left_over, ["unknown"]);
        let expected = [
            "absent is missing",
            "long has shape [3], expected [2]",
            "whole is of type I64, expected F32",
        ];
        assert_eq!(collected.problems, expected);
        Ok(())
    }
}
