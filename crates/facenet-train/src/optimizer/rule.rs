//! One step's formula with its constants, for a slice of numbers and for tensors.

use candle_core::{Result, Tensor, WithDType};

use super::fused::{each_with_one, each_with_two};
use super::{OptimizerConfig, OptimizerKind};

/// Share that the averages of `ADADELTA` and `RMSPROP` keep (reference constants).
const AVERAGE_DECAY: f64 = 0.9;
/// Share of the last velocity that `RMSPROP` and `MOM` keep.
const MOMENTUM: f64 = 0.9;
/// Adadelta's epsilon, inside both roots.
const ADADELTA_EPSILON: f64 = 1e-6;
/// Epsilon of `RMSPROP`, inside the root.
const RMSPROP_EPSILON: f64 = 1.0;
/// Adam's shares of the first and second moment.
const ADAM_BETAS: (f64, f64) = (0.9, 0.999);

/// A number that a parameter can be made of.
pub(super) trait Real: WithDType {
    /// The square root.
    fn root(self) -> Self;
}

impl Real for f32 {
    fn root(self) -> Self {
        self.sqrt()
    }
}

impl Real for f64 {
    fn root(self) -> Self {
        self.sqrt()
    }
}

/// The formula of one step; `rate` has Adam's bias correction in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    kind: OptimizerKind,
    rate: f64,
    adam_epsilon: f64,
}

impl Rule {
    /// The rule of step `step`, from 1, at learning rate `rate`.
    pub(super) fn new(config: &OptimizerConfig, step: u64, rate: f64) -> Self {
        let rate = match config.kind {
            OptimizerKind::Adam => rate * adam_correction(step),
            _ => rate,
        };
        Self {
            kind: config.kind,
            rate,
            adam_epsilon: config.adam_epsilon,
        }
    }

    /// Updates `w` and its state in place from the gradient `g` plus `decay` times `w`; all of
    /// one length, but `second` is empty for the rules with one state tensor.
    pub(super) fn apply<T: Real>(
        &self,
        w: &mut [T],
        g: &[T],
        [first, second]: [&mut [T]; 2],
        decay: f64,
    ) {
        let (rate, decay) = (T::from_f64(self.rate), T::from_f64(decay));
        match self.kind {
            OptimizerKind::Adagrad => each_with_one(w, g, first, |w, g, sum| {
                let g = g + decay * *w;
                *sum += g * g;
                *w -= rate * g / sum.root();
            }),
            OptimizerKind::Mom => {
                let momentum = T::from_f64(MOMENTUM);
                each_with_one(w, g, first, |w, g, velocity| {
                    let g = g + decay * *w;
                    *velocity = momentum * *velocity + g;
                    *w -= rate * g + rate * (momentum * *velocity);
                });
            }
            OptimizerKind::Adadelta => {
                let (new, epsilon) = (
                    T::from_f64(1.0 - AVERAGE_DECAY),
                    T::from_f64(ADADELTA_EPSILON),
                );
                each_with_two(w, g, [first, second], |w, g, square, moved| {
                    let g = g + decay * *w;
                    *square += (g * g - *square) * new;
                    let u = g * (*moved + epsilon).root() / (*square + epsilon).root();
                    *w -= rate * u;
                    *moved += (u * u - *moved) * new;
                });
            }
            OptimizerKind::Adam => {
                let epsilon = T::from_f64(self.adam_epsilon);
                let new = (
                    T::from_f64(1.0 - ADAM_BETAS.0),
                    T::from_f64(1.0 - ADAM_BETAS.1),
                );
                each_with_two(w, g, [first, second], |w, g, m, v| {
                    let g = g + decay * *w;
                    *m += (g - *m) * new.0;
                    *v += (g * g - *v) * new.1;
                    *w -= rate * *m / (v.root() + epsilon);
                });
            }
            OptimizerKind::RmsProp => {
                let (new, epsilon) = (
                    T::from_f64(1.0 - AVERAGE_DECAY),
                    T::from_f64(RMSPROP_EPSILON),
                );
                let momentum = T::from_f64(MOMENTUM);
                each_with_two(w, g, [first, second], |w, g, square, velocity| {
                    let g = g + decay * *w;
                    *square += (g * g - *square) * new;
                    *velocity = momentum * *velocity + rate * g / (*square + epsilon).root();
                    *w -= *velocity;
                });
            }
        }
    }

    /// The same by tensor operations: the new parameter, and its new state in `state`.
    pub(super) fn apply_tensors(
        &self,
        w: &Tensor,
        g: &Tensor,
        state: &mut [Tensor],
        decay: f64,
    ) -> Result<Tensor> {
        let g = if decay == 0.0 {
            g.clone()
        } else {
            (g + (w * decay)?)?
        };
        let step = match (self.kind, state) {
            (OptimizerKind::Adagrad, [sum]) => {
                *sum = (&*sum + g.sqr()?)?;
                ((g * self.rate)? / sum.sqrt()?)?
            }
            (OptimizerKind::Mom, [velocity]) => {
                *velocity = ((&*velocity * MOMENTUM)? + &g)?;
                ((g * self.rate)? + ((&*velocity * MOMENTUM)? * self.rate)?)?
            }
            (OptimizerKind::Adadelta, [square, moved]) => {
                *square = average(square, &g.sqr()?, 1.0 - AVERAGE_DECAY)?;
                let u = (g * (&*moved + ADADELTA_EPSILON)?.sqrt()?)?;
                let u = (u / (&*square + ADADELTA_EPSILON)?.sqrt()?)?;
                *moved = average(moved, &u.sqr()?, 1.0 - AVERAGE_DECAY)?;
                (u * self.rate)?
            }
            (OptimizerKind::Adam, [m, v]) => {
                *m = average(m, &g, 1.0 - ADAM_BETAS.0)?;
                *v = average(v, &g.sqr()?, 1.0 - ADAM_BETAS.1)?;
                ((&*m * self.rate)? / (v.sqrt()? + self.adam_epsilon)?)?
            }
            (OptimizerKind::RmsProp, [square, velocity]) => {
                *square = average(square, &g.sqr()?, 1.0 - AVERAGE_DECAY)?;
                let pull = ((g * self.rate)? / (&*square + RMSPROP_EPSILON)?.sqrt()?)?;
                *velocity = ((&*velocity * MOMENTUM)? + pull)?;
                velocity.clone()
            }
            (kind, state) => candle_core::bail!("{kind} does not keep {} tensors", state.len()),
        };
        w - step
    }
}

/// `old + (value - old) share`.
fn average(old: &Tensor, value: &Tensor, share: f64) -> Result<Tensor> {
    old + ((value - old)? * share)?
}

/// `sqrt(1 - b2^t) / (1 - b1^t)`, epsilon being outside of it.
fn adam_correction(step: u64) -> f64 {
    let t = step as f64;
    (1.0 - ADAM_BETAS.1.powf(t)).sqrt() / (1.0 - ADAM_BETAS.0.powf(t))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_corrects_the_first_step_fully() {
        // sqrt(1 - 0.999) / (1 - 0.9) = 0.0316227766 / 0.1
        assert!((adam_correction(1) - 0.316_227_766).abs() < 1e-8);
        assert!((adam_correction(100_000) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn momentum_looks_ahead() {
        // a = 0.9 * 1 + 2 = 2.9; w = 10 - (0.1 * 2 + 0.1 * 0.9 * 2.9) = 10 - 0.461
        let config = OptimizerConfig {
            kind: OptimizerKind::Mom,
            ..OptimizerConfig::default()
        };
        let (mut w, mut velocity) = ([10.0f64], [1.0]);
        Rule::new(&config, 1, 0.1).apply(&mut w, &[2.0], [&mut velocity, &mut []], 0.0);
        assert!((velocity[0] - 2.9).abs() < 1e-12);
        assert!((w[0] - 9.539).abs() < 1e-12);
    }
}
