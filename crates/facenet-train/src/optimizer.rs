//! The reference's five update rules, as TensorFlow 1 computes them.
//!
//! Formulas are in [`OptimizerKind`]; `g` is the gradient, decay included, `lr` the rate. On the
//! CPU a parameter is updated in one threaded pass over memory, elsewhere by tensor operations.

mod fused;
mod kind;
mod rule;
mod slots;
mod state;

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::squares::sum_of_squares;
pub use kind::OptimizerKind;
use rule::Rule;
use slots::Slots;

/// Adam's epsilon in the reference script, far from the usual 1e-8.
pub const DEFAULT_ADAM_EPSILON: f64 = 0.1;

/// Which rule updates the weights, and its settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// The rule.
    pub kind: OptimizerKind,
    /// Adam's epsilon, outside the bias correction; other rules have none of their own to set.
    pub adam_epsilon: f64,
    /// L2 decay: the loss gains `weight_decay / 2` times the sum of squared decaying weights.
    pub weight_decay: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        let kind = OptimizerKind::Adagrad;
        Self {
            kind,
            adam_epsilon: DEFAULT_ADAM_EPSILON,
            weight_decay: 0.0,
        }
    }
}

/// One parameter and its gradient.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The parameter's name, unique in the model; its state is kept under it.
    pub name: &'a str,
    /// The parameter, f32 or f64.
    pub var: &'a Var,
    /// Gradient of the loss without regularisation; same shape, type and device.
    pub grad: &'a Tensor,
    /// Whether weight decay applies: true for convolution and linear weights.
    pub decays: bool,
}

/// An update rule with its state: the step count and the tensors of each parameter.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    steps: u64,
    slots: BTreeMap<String, Slots>,
    is_fused: bool,
}

impl Optimizer {
    /// An optimizer before its first step.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self {
            config: *config,
            steps: 0,
            slots: BTreeMap::new(),
            is_fused: true,
        }
    }

    /// The settings.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Steps made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Numbers of state that a parameter's number has.
    pub(crate) fn slots_per_number(&self) -> usize {
        self.config.kind.slots().len()
    }

    /// Takes the memory of these parameters' state now, where a first step would.
    ///
    /// # Errors
    /// [`TrainError::Candle`] when the device has none.
    pub(crate) fn prepare<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = (&'a str, &'a Var)>,
    ) -> Result<(), TrainError> {
        for (name, var) in parameters {
            self.slots_of(name, var)?;
        }
        Ok(())
    }

    /// Moves every parameter by one step of the rule at learning rate `rate`.
    ///
    /// The result does not depend on the number of threads nor on the order of `updates`.
    ///
    /// # Errors
    /// [`TrainError::Config`] when `rate` is negative or not finite (gradient ascent is never
    /// meant); [`TrainError::Candle`] when a gradient does not fit its parameter. Both are found
    /// before anything changes.
    pub fn step(&mut self, updates: &[Update<'_>], rate: f64) -> Result<(), TrainError> {
        check_rate(rate)?;
        updates.iter().try_for_each(check_update)?;
        self.steps += 1;
        let rule = Rule::new(&self.config, self.steps, rate);
        for update in updates {
            self.step_one(update, &rule)?;
        }
        Ok(())
    }

    fn step_one(&mut self, update: &Update<'_>, rule: &Rule) -> Result<(), TrainError> {
        let decay = if update.decays {
            self.config.weight_decay
        } else {
            0.0
        };
        let slots = self.slots_of(update.name, update.var)?;
        slots.apply(rule, update.var, update.grad, decay)?;
        Ok(())
    }

    /// A parameter's state, fresh where there is none.
    fn slots_of(&mut self, name: &str, var: &Var) -> Result<&mut Slots, TrainError> {
        if !self.slots.contains_key(name) {
            let fresh = Slots::fresh(self.config.kind.slots(), var, self.is_fused)?;
            self.slots.insert(name.to_owned(), fresh);
        }
        Ok(self.slots.get_mut(name).expect("inserted above"))
    }

    /// What weight decay adds to the loss: `weight_decay / 2` times the sum of squares of the
    /// decaying parameters, summed in f64; 0 at once without decay.
    ///
    /// # Errors
    /// [`TrainError::Candle`] when the device fails.
    pub fn regularisation(&self, updates: &[Update<'_>]) -> Result<f64, TrainError> {
        if self.config.weight_decay == 0.0 {
            return Ok(0.0);
        }
        let mut sum = 0.0;
        for update in updates.iter().filter(|update| update.decays) {
            sum += sum_of_squares(&update.var.as_detached_tensor())?;
        }
        Ok(self.config.weight_decay / 2.0 * sum)
    }
}

fn check_rate(rate: f64) -> Result<(), TrainError> {
    if rate.is_finite() && rate >= 0.0 {
        return Ok(());
    }
    let problem = format!("found a rate of {rate}, expected a finite number, 0 or more");
    Err(TrainError::config("--learning-rate", problem))
}

fn check_update(update: &Update<'_>) -> Result<(), TrainError> {
    let Update {
        name, var, grad, ..
    } = update;
    let fits = var.shape() == grad.shape() && var.dtype() == grad.dtype();
    if fits && matches!(var.dtype(), DType::F32 | DType::F64) {
        return Ok(());
    }
    let (var, grad) = (describe(var), describe(grad));
    let what = format!("{name}: gradient {grad}, parameter {var}, expected alike, f32 or f64");
    Err(candle_core::Error::Msg(what).into())
}

fn describe(tensor: &Tensor) -> String {
    format!("{} {:?}", tensor.dtype().as_str(), tensor.dims())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, WithDType};
    use proptest::prelude::*;

    /// Relative; the two routes round in another order, a few units in the last place.
    const ROUTES_TOLERANCE_F64: f64 = 1e-12;
    /// Same for f32, over five steps.
    const ROUTES_TOLERANCE_F32: f64 = 2e-5;

    fn optimizer(kind: OptimizerKind, weight_decay: f64, is_fused: bool) -> Optimizer {
        let config = OptimizerConfig {
            kind,
            weight_decay,
            ..OptimizerConfig::default()
        };
        Optimizer {
            is_fused,
            ..Optimizer::new(&config)
        }
    }

    /// The parameter after a step per gradient.
    fn run<T: WithDType>(
        mut optimizer: Optimizer,
        initial: &[T],
        gradients: &[Vec<T>],
    ) -> Vec<f64> {
        let var = Var::new(initial, &Device::Cpu).expect("numbers on the CPU");
        for gradient in gradients {
            let grad = Tensor::new(gradient.as_slice(), &Device::Cpu).expect("numbers");
            let update = Update {
                name: "w",
                var: &var,
                grad: &grad,
                decays: true,
            };
            optimizer.step(&[update], 0.1).expect("fitting gradients");
        }
        let values = var.to_dtype(DType::F64).and_then(|w| w.to_vec1::<f64>());
        values.expect("one dimension")
    }

    fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
        a.iter()
            .zip(b)
            .all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + a.abs()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_fused_pass_equals_tensor_operations(
            rows in prop::collection::vec(prop::collection::vec(-2.0f64..2.0, 7), 2..6),
            kind in prop::sample::select(OptimizerKind::ALL.to_vec()),
            weight_decay in prop::sample::select(vec![0.0, 0.01]),
        ) {
            let both = [true, false].map(|is_fused| {
                run(optimizer(kind, weight_decay, is_fused), &rows[0], &rows[1..])
            });
            prop_assert!(close(&both[0], &both[1], ROUTES_TOLERANCE_F64), "{both:?}");
            let rows: Vec<Vec<f32>> =
                rows.iter().map(|row| row.iter().map(|x| *x as f32).collect()).collect();
            let both = [true, false].map(|is_fused| {
                run(optimizer(kind, weight_decay, is_fused), &rows[0], &rows[1..])
            });
            prop_assert!(close(&both[0], &both[1], ROUTES_TOLERANCE_F32), "{both:?}");
        }
    }

    #[test]
    fn weight_decay_is_the_gradient_of_the_regularisation() {
        // d/dw (0.5 / 2 * w^2) = 0.5 w = 2 at w = 4: as if the gradient were 1 + 2 = 3.
        for is_fused in [true, false] {
            let with = run(
                optimizer(OptimizerKind::Mom, 0.5, is_fused),
                &[4.0],
                &[vec![1.0]],
            );
            let without = run(
                optimizer(OptimizerKind::Mom, 0.0, is_fused),
                &[4.0],
                &[vec![3.0]],
            );
            assert_eq!(with, without);
        }
    }

    #[test]
    fn weight_decay_moves_decaying_parameters_only() {
        let moved = |decays| {
            // The gradient is 0: what moves is the decay's.
            with_update(&[4.0], decays, |update| {
                let mut optimizer = optimizer(OptimizerKind::Mom, 0.5, true);
                optimizer.step(&[update], 0.1).expect("a fitting gradient");
                update.var.to_vec1::<f32>().expect("one dimension") != [4.0]
            })
        };
        assert!(moved(true) && !moved(false));
    }

    fn with_update<R>(values: &[f32], decays: bool, f: impl FnOnce(Update<'_>) -> R) -> R {
        let var = Var::new(values, &Device::Cpu).expect("numbers on the CPU");
        let grad = var.zeros_like().expect("numbers on the CPU");
        f(Update {
            name: "w",
            var: &var,
            grad: &grad,
            decays,
        })
    }

    #[test]
    fn regularisation_is_half_the_decay_times_the_squares() {
        let decaying = optimizer(OptimizerKind::Adam, 0.1, true);
        let found = |decays| {
            with_update(&[1.0, -2.0], decays, |u| {
                decaying.regularisation(&[u]).expect("on the CPU")
            })
        };
        assert!((found(true) - 0.25).abs() < 1e-12, "0.1 / 2 * (1 + 4)");
        assert!(found(false).abs() < 1e-12);
    }

    #[test]
    fn gradient_ascent_is_refused() {
        for rate in [-0.1, f64::NAN, f64::INFINITY] {
            let mut optimizer = Optimizer::new(&OptimizerConfig::default());
            let refused = with_update(&[1.0], false, |update| optimizer.step(&[update], rate));
            assert!(matches!(refused, Err(TrainError::Config { .. })), "{rate}");
            assert_eq!(optimizer.steps(), 0);
        }
    }

    #[test]
    fn a_gradient_of_another_shape_changes_nothing() {
        let mut optimizer = Optimizer::new(&OptimizerConfig::default());
        let good = Var::new(&[1.0f32], &Device::Cpu).expect("a number");
        let one = Tensor::new(&[1.0f32], &Device::Cpu).expect("a number");
        let two = Tensor::new(&[1.0f32, 1.0], &Device::Cpu).expect("two numbers");
        let update = |name, grad| Update {
            name,
            var: &good,
            grad,
            decays: false,
        };
        assert!(
            optimizer
                .step(&[update("a", &one), update("b", &two)], 0.1)
                .is_err()
        );
        assert_eq!(good.to_vec1::<f32>().expect("one dimension"), [1.0]);
        assert_eq!(optimizer.steps(), 0);
    }
}
