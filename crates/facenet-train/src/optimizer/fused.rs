//! One threaded pass over a parameter, its gradient and its state, in place.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, WithDType, bail};
use rayon::prelude::*;

use super::rule::{Real, Rule};
use crate::dense::{dense, dense_mut};

/// Numbers a thread takes at a time: four arrays of them stay in a second-level cache.
const CHUNK: usize = 16 * 1024;

/// A parameter's state on the CPU, in its own precision; the second is empty for one-tensor rules.
#[derive(Debug)]
pub(super) enum HostSlots {
    /// State of an f32 parameter.
    F32([Vec<f32>; 2]),
    /// State of an f64 parameter.
    F64([Vec<f64>; 2]),
}

/// A rule's step as an operation on the parameter (written) and the gradient (read).
pub(super) struct FusedStep<'a> {
    rule: &'a Rule,
    decay: f64,
    // candle hands the operation over by shared reference; nobody else ever holds the lock.
    slots: Mutex<&'a mut HostSlots>,
}

impl<'a> FusedStep<'a> {
    /// The step of `rule` with weight decay `decay` on the state `slots`.
    pub(super) fn new(rule: &'a Rule, decay: f64, slots: &'a mut HostSlots) -> Self {
        Self {
            rule,
            decay,
            slots: Mutex::new(slots),
        }
    }

    /// Updates `var` in place; `grad` has its shape.
    pub(super) fn run(&self, var: &Tensor, grad: &Tensor) -> Result<()> {
        var.inplace_op2(&grad.contiguous()?, self)
    }
}

impl InplaceOp2 for FusedStep<'_> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(
        &self,
        var: &mut CpuStorage,
        var_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<()> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match (var, grad, &mut **slots) {
            (CpuStorage::F32(w), CpuStorage::F32(g), HostSlots::F32(slots)) => {
                self.apply(dense_mut(w, var_layout)?, dense(g, grad_layout)?, slots)
            }
            (CpuStorage::F64(w), CpuStorage::F64(g), HostSlots::F64(slots)) => {
                self.apply(dense_mut(w, var_layout)?, dense(g, grad_layout)?, slots)
            }
            _ => bail!("parameter, gradient and optimizer state differ in type"),
        }
    }
}

impl FusedStep<'_> {
    fn apply<T: Real>(&self, w: &mut [T], g: &[T], slots: &mut [Vec<T>; 2]) -> Result<()> {
        let [first, second] = slots;
        if first.len() != w.len() || g.len() != w.len() {
            bail!(
                "{} weights, {} gradients, {} state values",
                w.len(),
                g.len(),
                first.len()
            );
        }
        self.rule.apply(w, g, [first, second], self.decay);
        Ok(())
    }
}

/// Calls `f(w[i], g[i], s[i])` for every `i`; threads share the work, each element on its own.
pub(super) fn each_with_one<T: WithDType>(
    w: &mut [T],
    g: &[T],
    s: &mut [T],
    f: impl Fn(&mut T, T, &mut T) + Sync,
) {
    let chunks = w
        .par_chunks_mut(CHUNK)
        .zip(g.par_chunks(CHUNK))
        .zip(s.par_chunks_mut(CHUNK));
    chunks.for_each(|((w, g), s)| one_by_one(w, g, s, &f));
}

/// A function of its own, so that the compiler knows the slices apart and works on vectors.
#[inline(never)]
fn one_by_one<T: WithDType>(w: &mut [T], g: &[T], s: &mut [T], f: impl Fn(&mut T, T, &mut T)) {
    for ((w, &g), s) in w.iter_mut().zip(g).zip(s) {
        f(w, g, s);
    }
}

/// Calls `f(w[i], g[i], s[i], t[i])` for every `i`; threads share the work, each element on its
/// own.
pub(super) fn each_with_two<T: WithDType>(
    w: &mut [T],
    g: &[T],
    [s, t]: [&mut [T]; 2],
    f: impl Fn(&mut T, T, &mut T, &mut T) + Sync,
) {
    let states = s.par_chunks_mut(CHUNK).zip(t.par_chunks_mut(CHUNK));
    let chunks = w.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).zip(states);
    chunks.for_each(|((w, g), (s, t))| one_by_one_with_two(w, g, s, t, &f));
}

/// As [`one_by_one`].
#[inline(never)]
fn one_by_one_with_two<T: WithDType>(
    w: &mut [T],
    g: &[T],
    s: &mut [T],
    t: &mut [T],
    f: impl Fn(&mut T, T, &mut T, &mut T),
) {
    let n = w.len();
    let (g, s, t) = (&g[..n], &mut s[..n], &mut t[..n]);
    for i in 0..n {
        f(&mut w[i], g[i], &mut s[i], &mut t[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_visited_once_across_chunks() {
        let n = 2 * CHUNK + 3;
        let (mut w, g) = (
            vec![0.0f64; n],
            (0..n).map(|i| i as f64).collect::<Vec<_>>(),
        );
        let (mut s, mut t) = (vec![1.0; n], vec![2.0; n]);
        each_with_two(&mut w, &g, [&mut s, &mut t], |w, g, s, t| {
            *w += g;
            *s += g;
            *t += g;
        });
        assert_eq!(w, g);
        assert_eq!(s, g.iter().map(|g| g + 1.0).collect::<Vec<_>>());
        assert_eq!(t, g.iter().map(|g| g + 2.0).collect::<Vec<_>>());
    }

    #[test]
    fn state_of_another_length_is_an_error() {
        let config = super::super::OptimizerConfig::default();
        let rule = Rule::new(&config, 1, 0.1);
        let mut slots = HostSlots::F32([vec![0.1; 2], Vec::new()]);
        let step = FusedStep::new(&rule, 0.0, &mut slots);
        let var = Tensor::zeros(3, candle_core::DType::F32, &candle_core::Device::Cpu);
        let (var, grad) = (var.expect("three zeros"), [0.0f32; 3]);
        let grad = Tensor::new(&grad, &candle_core::Device::Cpu).expect("three zeros");
        assert!(step.run(&var, &grad).is_err());
    }
}
