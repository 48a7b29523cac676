//! An optimizer's state as named tensors, for checkpoints.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};

use super::slots::Slots;
use super::{Optimizer, describe};
use crate::error::TrainError;

impl Optimizer {
    /// All that [`Self::load_state`] needs, copied: `adagrad.steps` (i64 scalar) and, per
    /// parameter, tensors such as `adagrad.accumulator/conv2d_1a.conv.weight`.
    ///
    /// # Errors
    /// [`TrainError::Candle`] when a copy fails.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let mut state = BTreeMap::new();
        let steps = Tensor::new(self.steps as i64, &Device::Cpu)?;
        state.insert(self.steps_name(), steps);
        for (parameter, slots) in &self.slots {
            let names = self.config.kind.slots().iter().map(|(slot, _)| slot);
            for (slot, tensor) in names.zip(slots.tensors()?) {
                state.insert(self.slot_name(slot, parameter), tensor);
            }
        }
        Ok(state)
    }

    /// Goes on from `state`, as [`Self::state`] gave it for the same rule and parameters.
    ///
    /// - `parameters`: name and variable of each; its state comes to the variable's device
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when the state is of another rule or of other parameters, with
    /// the first name that is missing, left over or of another shape or type; nothing has then
    /// changed.
    pub fn load_state<'a>(
        &mut self,
        state: &BTreeMap<String, Tensor>,
        parameters: impl IntoIterator<Item = (&'a str, &'a Var)>,
    ) -> Result<(), TrainError> {
        let steps = self.read_steps(state)?;
        let mut slots = BTreeMap::new();
        let mut n_read = 1;
        if steps > 0 {
            for (parameter, var) in parameters {
                let tensors = self.read_slots(state, parameter, var)?;
                n_read += tensors.len();
                slots.insert(
                    parameter.to_owned(),
                    Slots::new(&tensors, var, self.is_fused)?,
                );
            }
        }
        if n_read != state.len() {
            return Err(self.left_over(state, &slots));
        }
        self.steps = steps;
        self.slots = slots;
        Ok(())
    }

    fn read_steps(&self, state: &BTreeMap<String, Tensor>) -> Result<u64, TrainError> {
        let name = self.steps_name();
        let Some(steps) = state.get(&name) else {
            let found = state.keys().next().map_or("nothing", String::as_str);
            return Err(mismatch(&format!(
                "this is not the state of {}: found {found}, expected {name}",
                self.config.kind
            )));
        };
        let steps = match (steps.dtype(), steps.elem_count()) {
            (DType::I64, 1) => steps.flatten_all()?.to_vec1::<i64>()?[0],
            _ => -1,
        };
        u64::try_from(steps).map_err(|_| mismatch(&format!("{name} is not a count of steps")))
    }

    fn read_slots(
        &self,
        state: &BTreeMap<String, Tensor>,
        parameter: &str,
        var: &Var,
    ) -> Result<Vec<Tensor>, TrainError> {
        let slots = self.config.kind.slots().iter();
        let read = slots.map(|(slot, _)| {
            let name = self.slot_name(slot, parameter);
            let tensor = state
                .get(&name)
                .ok_or_else(|| mismatch(&format!("{name} is missing")))?;
            check_alike(&name, tensor, var)?;
            Ok(tensor.clone())
        });
        read.collect()
    }

    fn left_over(
        &self,
        state: &BTreeMap<String, Tensor>,
        slots: &BTreeMap<String, Slots>,
    ) -> TrainError {
        let is_known = |name: &&String| {
            **name == self.steps_name()
                || slots.keys().any(|parameter| {
                    let kind_slots = self.config.kind.slots().iter();
                    kind_slots
                        .map(|(slot, _)| self.slot_name(slot, parameter))
                        .any(|n| n == **name)
                })
        };
        let name = state
            .keys()
            .find(|name| !is_known(name))
            .map_or("", String::as_str);
        mismatch(&format!("{name} belongs to no parameter of this model"))
    }

    fn steps_name(&self) -> String {
        format!("{}.steps", self.config.kind.prefix())
    }

    fn slot_name(&self, slot: &str, parameter: &str) -> String {
        format!("{}.{slot}/{parameter}", self.config.kind.prefix())
    }
}

fn check_alike(name: &str, tensor: &Tensor, var: &Var) -> Result<(), TrainError> {
    if tensor.shape() == var.shape() && tensor.dtype() == var.dtype() {
        return Ok(());
    }
    Err(mismatch(&format!(
        "{name} is {}, expected {}",
        describe(tensor),
        describe(var)
    )))
}

fn mismatch(what: &str) -> TrainError {
    let remedy = "go on with the --optimizer and --model-def that the checkpoint was made with";
    TrainError::checkpoint(Path::new("optimizer state"), what, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::{OptimizerConfig, OptimizerKind, Update};

    fn config(kind: OptimizerKind) -> OptimizerConfig {
        OptimizerConfig {
            kind,
            ..OptimizerConfig::default()
        }
    }

    fn parameter() -> Var {
        Var::new(&[[1.0f32, -2.0], [3.0, 0.5]], &Device::Cpu).expect("four numbers")
    }

    /// `n` steps with gradients that differ from step to step.
    fn advance(optimizer: &mut Optimizer, var: &Var, n: usize) {
        for _ in 0..n {
            let grad = (var.as_detached_tensor() * 0.7).expect("four numbers");
            let update = Update {
                name: "fc.weight",
                var,
                grad: &grad,
                decays: true,
            };
            optimizer.step(&[update], 0.1).expect("a fitting gradient");
        }
    }

    fn bits(var: &Var) -> Vec<u32> {
        let values = var
            .flatten_all()
            .and_then(|v| v.to_vec1::<f32>())
            .expect("four numbers");
        values.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn going_on_from_the_state_gives_the_same_bits() {
        for kind in OptimizerKind::ALL {
            let (straight, resumed) = (parameter(), parameter());
            let mut optimizer = Optimizer::new(&config(kind));
            advance(&mut optimizer, &straight, 5);

            let mut before = Optimizer::new(&config(kind));
            advance(&mut before, &resumed, 2);
            let state = before.state().expect("on the CPU");
            let mut after = Optimizer::new(&config(kind));
            after
                .load_state(&state, [("fc.weight", &resumed)])
                .expect("its own state");
            assert_eq!(after.steps(), 2);
            advance(&mut after, &resumed, 3);
            assert_eq!(bits(&straight), bits(&resumed), "{kind}");
        }
    }

    #[test]
    fn state_is_a_copy_under_visible_names() {
        let var = parameter();
        let mut optimizer = Optimizer::new(&config(OptimizerKind::Adam));
        assert_eq!(
            optimizer
                .state()
                .expect("on the CPU")
                .keys()
                .collect::<Vec<_>>(),
            ["adam.steps"]
        );
        advance(&mut optimizer, &var, 1);
        let state = optimizer.state().expect("on the CPU");
        let names: Vec<_> = state.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["adam.m/fc.weight", "adam.steps", "adam.v/fc.weight"]
        );
        let read = || {
            state["adam.m/fc.weight"]
                .to_vec2::<f32>()
                .expect("two rows")
        };
        let before = read();
        advance(&mut optimizer, &var, 1);
        assert_eq!(read(), before);
    }

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut BTreeMap<String, Tensor>), expected: &str) {
        let var = parameter();
        let mut optimizer = Optimizer::new(&config(OptimizerKind::Adagrad));
        advance(&mut optimizer, &var, 1);
        let mut state = optimizer.state().expect("on the CPU");
        change(&mut state);
        let mut fresh = Optimizer::new(&config(OptimizerKind::Adagrad));
        let error = fresh
            .load_state(&state, [("fc.weight", &var)])
            .expect_err("changed");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fresh.steps(), 0);
    }

    #[test]
    fn foreign_state_is_refused_by_name() {
        let number = || Tensor::new(&[1.0f32], &Device::Cpu).expect("a number");
        let slot = "adagrad.accumulator/fc.weight";
        check_refused(
            |s| drop(s.remove(slot)),
            "adagrad.accumulator/fc.weight is missing",
        );
        check_refused(
            |s| drop(s.insert(slot.into(), number())),
            "f32 [1], expected f32 [2, 2]",
        );
        check_refused(
            |s| drop(s.insert("x".into(), number())),
            "x belongs to no parameter",
        );
        check_refused(
            |s| drop(s.remove("adagrad.steps")),
            "not the state of ADAGRAD",
        );
        check_refused(
            |s| drop(s.insert("adagrad.steps".into(), number())),
            "not a count",
        );
        check_refused(
            |s| {
                *s = Optimizer::new(&config(OptimizerKind::Mom))
                    .state()
                    .expect("on the CPU");
            },
            "found mom.steps, expected adagrad.steps",
        );
    }
}
