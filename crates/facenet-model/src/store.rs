//! A network's named tensors: made from a seed, or taken from a file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use candle_core::{DType, Device, Result, Shape, Tensor, Var};

use crate::random::{INIT, fnv1a, generator, uniform};

/// What a tensor is before training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Init {
    /// Uniform within `sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio, 2010).
    Xavier,
    /// One number throughout.
    Constant(f64),
}

/// One named tensor of a network.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) var: Var,
    /// Whether an optimizer moves it; running statistics are not trained.
    pub(crate) is_trained: bool,
    /// Whether weight decay pulls on it: weights of convolutions and linear layers.
    pub(crate) decays: bool,
}

/// Where the tensors come from.
pub(crate) enum Origin {
    /// Drawn from this seed.
    Seed(u64),
    /// Taken by name; what is taken is removed.
    Given(BTreeMap<String, Tensor>),
}

/// Collects a network's tensors while its layers ask for them.
pub(crate) struct Builder {
    origin: Origin,
    dtype: DType,
    device: Device,
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Tensors that were not given, or had another shape.
    pub(crate) problems: Vec<String>,
}

impl Builder {
    pub(crate) fn new(origin: Origin, dtype: DType, device: &Device) -> Self {
        let device = device.clone();
        Self {
            origin,
            dtype,
            device,
            entries: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Names that were given and that nothing asked for.
    pub(crate) fn left_over(&self) -> Vec<String> {
        match &self.origin {
            Origin::Seed(_) => Vec::new(),
            Origin::Given(tensors) => tensors.keys().cloned().collect(),
        }
    }

    fn value(&mut self, name: &str, shape: &Shape, init: Init) -> Result<Tensor> {
        match &mut self.origin {
            Origin::Seed(seed) => {
                let values = initial(*seed, name, shape, init);
                Tensor::from_vec(values, shape, &self.device)?.to_dtype(self.dtype)
            }
            Origin::Given(tensors) => match tensors.remove(name) {
                Some(tensor) if tensor.shape() == shape => {
                    tensor.to_device(&self.device)?.to_dtype(self.dtype)?.copy()
                }
                found => {
                    self.problems.push(match found {
                        Some(found) => {
                            let (found, expected) = (found.dims(), shape.dims());
                            format!("{name} has shape {found:?}, expected {expected:?}")
                        }
                        None => format!("{name} is missing"),
                    });
                    Tensor::zeros(shape, self.dtype, &self.device)
                }
            },
        }
    }
}

/// The first values of tensor `name`, a function of the seed and the name.
fn initial(seed: u64, name: &str, shape: &Shape, init: Init) -> Vec<f32> {
    let n = shape.elem_count();
    let Init::Xavier = init else {
        let Init::Constant(value) = init else {
            unreachable!("the other variant")
        };
        return vec![value as f32; n];
    };
    let field: usize = shape.dims().iter().skip(2).product();
    let (fan_in, fan_out) = (shape.dims()[1] * field, shape.dims()[0] * field);
    let bound = (6.0 / (fan_in + fan_out) as f64).sqrt();
    let mut rng = generator([seed, INIT, 0, 0], fnv1a(name));
    (0..n)
        .map(|_| (bound * (2.0 * uniform(&mut rng) - 1.0)) as f32)
        .collect()
}

/// A place in the tree of names.
#[derive(Clone)]
pub(crate) struct Scope {
    builder: Rc<RefCell<Builder>>,
    prefix: String,
}

impl Scope {
    pub(crate) fn root(builder: &Rc<RefCell<Builder>>) -> Self {
        Self {
            builder: Rc::clone(builder),
            prefix: String::new(),
        }
    }

    /// The place `name` below this one.
    pub(crate) fn pp(&self, name: impl std::fmt::Display) -> Self {
        Self {
            builder: Rc::clone(&self.builder),
            prefix: self.path(&name.to_string()),
        }
    }

    fn path(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }

    /// A convolution's or linear layer's weight.
    pub(crate) fn weight(&self, name: &str, shape: impl Into<Shape>) -> Result<Var> {
        self.take(name, shape.into(), Init::Xavier, (true, true))
    }

    /// A vector that is trained without decay.
    pub(crate) fn vector(&self, name: &str, len: usize, start: f64) -> Result<Var> {
        self.take(name, len.into(), Init::Constant(start), (true, false))
    }

    /// A running statistic.
    pub(crate) fn statistic(&self, name: &str, len: usize, start: f64) -> Result<Var> {
        self.take(name, len.into(), Init::Constant(start), (false, false))
    }

    fn take(
        &self,
        name: &str,
        shape: Shape,
        init: Init,
        (is_trained, decays): (bool, bool),
    ) -> Result<Var> {
        let path = self.path(name);
        let mut builder = self.builder.borrow_mut();
        let var = Var::from_tensor(&builder.value(&path, &shape, init)?)?;
        builder.entries.insert(
            path,
            Entry {
                var: var.clone(),
                is_trained,
                decays,
            },
        );
        Ok(var)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xavier_is_bounded_and_a_function_of_seed_and_name() {
        let shape = Shape::from((4, 2, 3, 3));
        let draw = |seed, name| initial(seed, name, &shape, Init::Xavier);
        let values = draw(1, "a");
        let bound = (6.0f32 / (18.0 + 36.0)).sqrt();
        assert!(values.iter().all(|value| value.abs() <= bound));
        assert!(values.iter().any(|value| value.abs() > bound / 2.0));
        assert_eq!(values, draw(1, "a"));
        assert_ne!(values, draw(2, "a"));
        assert_ne!(values, draw(1, "b"));
    }

    #[test]
    fn names_are_joined_by_dots() -> Result<()> {
        let builder = Builder::new(Origin::Seed(0), DType::F32, &Device::Cpu);
        let builder = Rc::new(RefCell::new(builder));
        Scope::root(&builder).pp("a").pp(3).vector("bias", 2, 0.5)?;
        assert_eq!(
            builder.borrow().entries.keys().collect::<Vec<_>>(),
            ["a.3.bias"]
        );
        Ok(())
    }
}
