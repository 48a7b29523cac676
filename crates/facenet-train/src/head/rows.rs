//! Cross-entropy of rows of outputs and its gradient by them, on the host in `f64`.

use rayon::prelude::*;

/// Least sine that the slope of an angle's cosine is divided by. The part of the gradient that
/// turns a row goes to 0 with the sine; the other part, which the rows' normalisation takes out
/// again, would drown it.
const MIN_SINE: f64 = 1e-3;

/// How outputs become logits: the own class's moved by a margin, and all times `scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Logits {
    pub(super) scale: f64,
    /// Outputs are cosines, and this is added to the angle of the own class, in radians: `cos(θ)`
    /// becomes `cos(θ + m)` where `θ + m` is below π, and `cos(θ) - m sin(m)` beyond, so that it
    /// goes on falling (`ArcFace`, arXiv:1801.07698, and its authors' code without easy margin).
    pub(super) margin: Option<f64>,
}

/// What a row of outputs comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RowLoss {
    /// `-ln p` of its own class; NaN or infinite where outputs are no numbers.
    pub(super) loss: f64,
    /// Whether its own class has a larger output than any other: a tie is wrong.
    pub(super) is_right: bool,
}

impl Logits {
    /// Puts the gradient of `share` times each row's loss in the place of the outputs.
    ///
    /// - `outputs`: `[n, classes]` row-major
    /// - `labels`: `[n]`, below `classes`
    ///
    /// Rows are independent: no bit depends on the number of threads.
    pub(super) fn differentiate(
        self,
        outputs: &mut [f64],
        labels: &[u32],
        share: f64,
    ) -> Vec<RowLoss> {
        let classes = outputs.len() / labels.len().max(1);
        let rows = outputs.par_chunks_mut(classes.max(1)).zip(labels);
        rows.map(|(row, &label)| self.row(row, label as usize, share))
            .collect()
    }

    fn row(self, outputs: &mut [f64], label: usize, share: f64) -> RowLoss {
        let own = outputs[label];
        let mut others = outputs.iter().enumerate().filter(|(at, _)| *at != label);
        let is_right = others.all(|(_, &other)| other < own);
        let (target, slope) = self.target(own);
        outputs[label] = target;
        let largest = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        for output in &mut *outputs {
            // Never above 0: no output is too large for it, and NaN stays NaN.
            *output = (self.scale * (*output - largest)).exp();
            sum += *output;
        }
        let factor = share * self.scale;
        let own_share = outputs[label] / sum - 1.0;
        for output in &mut *outputs {
            *output *= factor / sum;
        }
        outputs[label] = factor * slope * own_share;
        let loss = sum.ln() + self.scale * (largest - target);
        RowLoss { loss, is_right }
    }

    /// What the own class's output becomes, and the derivative.
    fn target(self, own: f64) -> (f64, f64) {
        let Some(margin) = self.margin else {
            return (own, 1.0);
        };
        let (sin_m, cos_m) = margin.sin_cos();
        if own <= -cos_m {
            return (own - margin * sin_m, 1.0);
        }
        // Rounding may have left the cosine above 1.
        let sine = (1.0 - own * own).max(0.0).sqrt();
        let slope = cos_m + own * sin_m / sine.max(MIN_SINE);
        (own * cos_m - sine * sin_m, slope)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Logits = Logits {
        scale: 1.0,
        margin: None,
    };
    const ARC: Logits = Logits {
        scale: 4.0,
        margin: Some(0.5),
    };

    /// The loss by its definition.
    fn naive(logits: Logits, outputs: &[f64], label: usize) -> f64 {
        let moved = |(at, &output): (usize, &f64)| match logits.margin {
            Some(margin) if at == label => {
                let angle = output.acos() + margin;
                if angle < std::f64::consts::PI {
                    angle.cos()
                } else {
                    output - margin * margin.sin()
                }
            }
            _ => output,
        };
        let outputs = outputs.iter().enumerate().map(moved);
        let outputs: Vec<_> = outputs.map(|output| logits.scale * output).collect();
        let sum: f64 = outputs.iter().map(|output| output.exp()).sum();
        sum.ln() - outputs[label]
    }

    #[test]
    fn equal_outputs_cost_the_logarithm_of_their_number_and_are_not_right() {
        let mut outputs = [3.0; 8];
        let rows = PLAIN.differentiate(&mut outputs, &[1, 2], 0.5);
        for row in rows {
            assert!(
                (row.loss - 4f64.ln()).abs() < 1e-15 && !row.is_right,
                "{row:?}"
            );
        }
        let (a, b) = (0.125, -0.375);
        assert_eq!(outputs, [a, b, a, a, a, a, b, a]);
    }

    #[test]
    fn huge_outputs_are_no_trouble() {
        let mut outputs = [1e300, -1e300, 0.0];
        let row = PLAIN.differentiate(&mut outputs, &[0], 1.0)[0];
        assert_eq!((row.loss, row.is_right, outputs), (0.0, true, [0.0; 3]));
        let mut outputs = [1e300, -1e300, 0.0];
        let row = PLAIN.differentiate(&mut outputs, &[1], 1.0)[0];
        assert_eq!((row.loss, row.is_right), (2e300, false));
        assert_eq!(outputs, [1.0, -1.0, 0.0]);
    }

    #[test]
    fn what_is_no_number_is_not_hidden() {
        for wrong in [f64::NAN, f64::INFINITY] {
            for at in 0..3 {
                for logits in [PLAIN, ARC] {
                    let mut outputs = [0.0; 3];
                    outputs[at] = wrong;
                    let row = logits.differentiate(&mut outputs, &[1], 1.0)[0];
                    assert!(!row.loss.is_finite(), "{wrong} at {at}: {row:?}");
                }
            }
        }
    }

    #[test]
    fn a_margin_turns_the_own_class_away_and_never_back() {
        let target = |angle: f64| ARC.target(angle.cos()).0;
        assert!((target(1.0) - 1.5f64.cos()).abs() < 1e-15);
        let beyond = 3f64.cos() - 0.5 * 0.5f64.sin();
        assert!((target(3.0) - beyond).abs() < 1e-15);
        let falling: Vec<_> = (0..=314).map(|at| target(f64::from(at) / 100.0)).collect();
        assert!(falling.is_sorted_by(|a, b| a > b));
        // The cosine of a row that lies on its class, rounded up.
        let (target, slope) = ARC.target(1.0 + 1e-7);
        assert!(
            (target - 0.5f64.cos()).abs() < 1e-6 && slope < 500.0,
            "{target} {slope}"
        );
    }

    /// Holds the gradient of a row against differences of the loss by its definition.
    fn check_gradient(logits: Logits, outputs: &[f64], label: usize) -> Result<(), TestCaseError> {
        let mut gradient = outputs.to_vec();
        let row = logits.differentiate(&mut gradient, &[label as u32], 1.0)[0];
        prop_assert!((row.loss - naive(logits, outputs, label)).abs() < 1e-13);
        for (at, gradient) in gradient.into_iter().enumerate() {
            let loss_at = |offset: f64| {
                let mut moved = outputs.to_vec();
                moved[at] += offset;
                naive(logits, &moved, label)
            };
            let difference = (loss_at(STEP) - loss_at(-STEP)) / (2.0 * STEP);
            prop_assert!(
                (difference - gradient).abs() < 1e-7,
                "{at}: {difference} {gradient}"
            );
        }
        Ok(())
    }

    /// Losses of up to 18 are rounded by 2^-53 of themselves, over this; its square is what
    /// differences are off by, times a third derivative of up to 300 where cosines end at 0.95.
    const STEP: f64 = 1e-5;

    proptest! {
        #[test]
        fn the_gradient_is_that_of_finite_differences(
            outputs in prop::collection::vec(-8.0f64..8.0, 2..9), label in 0usize..9,
        ) {
            check_gradient(PLAIN, &outputs, label % outputs.len())?;
        }

        #[test]
        fn the_gradient_with_a_margin_is_that_of_finite_differences(
            cosines in prop::collection::vec(-0.95f64..0.95, 2..9), label in 0usize..9,
        ) {
            let label = label % cosines.len();
            // There is a step where the angle meets π.
            prop_assume!((cosines[label] + 0.5f64.cos()).abs() > 2.0 * STEP);
            check_gradient(ARC, &cosines, label)?;
        }

        #[test]
        fn a_rows_gradient_adds_up_to_nothing(
            outputs in prop::collection::vec(prop::sample::select(vec![-1e3, 0.0, 1.0, 1e3]), 2..9),
        ) {
            let mut gradient = outputs.clone();
            PLAIN.differentiate(&mut gradient, &[0], 1.0);
            prop_assert!(gradient.iter().sum::<f64>().abs() < 1e-14, "{gradient:?}");
        }
    }
}
