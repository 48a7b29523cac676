//! What a step minimises.

use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;

/// The loss of a training step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Mean over triplets of `max(0, d_ap - d_an + margin)` (FaceNet, arXiv:1503.03832).
    #[default]
    Triplet,
    /// Mean over triplets of `ln(1 + exp(d_ap - d_an))` (arXiv:1703.07737). The margin is then
    /// what mining rules select by, and no part of the loss.
    SoftMargin,
    /// Mean over images of the cross-entropy of a linear layer on rows not yet of unit length
    /// (the reference's `train_softmax.py`). Nothing is mined.
    Softmax,
    /// The same on cosines, that of the own identity moved by a margin in its angle
    /// (arXiv:1801.07698). Nothing is mined.
    Arcface,
}

/// Settings of mining, which a loss without triplets does not do.
const OF_TRIPLETS: [&str; 8] = [
    "margin",
    "rule",
    "negative",
    "only_violating",
    "max_triplets",
    "mining_mode",
    "leftover",
    "max_empty_rounds",
];
/// Settings of [`Loss::Arcface`].
const OF_ARCFACE: [&str; 2] = ["arcface_scale", "arcface_margin"];

impl Loss {
    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triplet => "triplet",
            Self::SoftMargin => "soft-margin",
            Self::Softmax => "softmax",
            Self::Arcface => "arcface",
        }
    }

    /// Whether it trains a classifier of the identities beside the network, a step on each round,
    /// instead of triplets.
    pub fn has_head(self) -> bool {
        matches!(self, Self::Softmax | Self::Arcface)
    }

    /// Names of the settings that belong to other losses and do nothing here.
    pub fn idle_settings(self) -> Vec<&'static str> {
        let of_triplets = OF_TRIPLETS.iter().filter(|_| self.has_head());
        let of_arcface = OF_ARCFACE.iter().filter(|_| self != Self::Arcface);
        of_triplets.chain(of_arcface).copied().collect()
    }
}

/// What one triplet costs, given its squared L2 distances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    pub(crate) is_soft: bool,
    /// In squared L2.
    pub(crate) margin: f64,
}

/// A triplet's part of a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    pub(crate) loss: f64,
    /// Derivative by `d_ap`; by `d_an` it is the negative.
    pub(crate) slope: f64,
    /// Whether the margin is violated.
    pub(crate) is_active: bool,
}

impl Cost {
    /// That of a run's triplets.
    pub(crate) fn of(config: &TrainConfig) -> Self {
        Self {
            is_soft: config.loss == Loss::SoftMargin,
            margin: f64::from(config.margin),
        }
    }

    /// A triplet's share, in finite numbers for finite distances.
    pub(crate) fn share(self, d_ap: f64, d_an: f64) -> Share {
        let excess = d_ap - d_an + self.margin;
        let is_active = excess > 0.0;
        let (loss, slope) = match (self.is_soft, is_active) {
            (true, _) => softplus(d_ap - d_an),
            (false, true) => (excess, 1.0),
            (false, false) => (0.0, 0.0),
        };
        Share {
            loss,
            slope,
            is_active,
        }
    }
}

/// `ln(1 + exp(x))` and its derivative, by way of an exponent that is never positive.
fn softplus(x: f64) -> (f64, f64) {
    let small = (-x.abs()).exp();
    let slope = if x < 0.0 { small } else { 1.0 } / (1.0 + small);
    (x.max(0.0) + small.ln_1p(), slope)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_those_that_are_stored() {
        for loss in [
            Loss::Triplet,
            Loss::SoftMargin,
            Loss::Softmax,
            Loss::Arcface,
        ] {
            let stored = serde_json::to_value(loss).expect("a name");
            assert_eq!(stored, loss.name());
        }
    }

    #[test]
    fn every_idle_setting_is_one_of_a_configuration() {
        let names = TrainConfig::demo().arguments();
        for loss in [Loss::Triplet, Loss::Softmax, Loss::Arcface] {
            for idle in loss.idle_settings() {
                assert!(names.iter().any(|(name, _)| name == idle), "{idle}");
            }
        }
        assert_eq!(Loss::SoftMargin.idle_settings(), OF_ARCFACE);
        assert_eq!(Loss::Arcface.idle_settings(), OF_TRIPLETS);
    }

    #[test]
    fn a_hinge_has_no_loss_at_the_margin_and_a_soft_one_everywhere() {
        let share = |is_soft, d_an| {
            Cost {
                is_soft,
                margin: 0.25,
            }
            .share(0.5, d_an)
        };
        assert_eq!(
            (share(false, 0.75).loss, share(false, 0.75).slope),
            (0.0, 0.0)
        );
        assert_eq!(
            (share(false, 0.5).loss, share(false, 0.5).slope),
            (0.25, 1.0)
        );
        let soft = share(true, 0.75);
        assert!(
            !soft.is_active && soft.loss > 0.5 && soft.slope > 0.4,
            "{soft:?}"
        );
        assert!(share(true, 0.5).is_active);
    }

    #[test]
    fn a_tie_costs_ln_2_and_extremes_are_finite() {
        assert_eq!(softplus(0.0), (std::f64::consts::LN_2, 0.5));
        assert_eq!(softplus(f64::MAX), (f64::MAX, 1.0));
        assert_eq!(softplus(f64::MIN), (0.0, 0.0));
        assert!(softplus(f64::NAN).0.is_nan() && softplus(f64::NAN).1.is_nan());
    }

    proptest! {
        #[test]
        fn the_slope_is_that_of_the_loss(x in -700.0f64..700.0) {
            let step = 1e-6 * x.abs().max(1.0);
            let (loss, slope) = softplus(x);
            let difference = (softplus(x + step).0 - softplus(x - step).0) / (2.0 * step);
            // Two losses, each rounded by 2^-53 of itself, over a step of 1e-6 of that.
            prop_assert!((difference - slope).abs() < 1e-9, "{x}: {difference} {slope}");
            prop_assert!(loss >= x.max(0.0) && loss <= x.max(0.0) + std::f64::consts::LN_2);
            // What a triplet pulls up, the mirrored one pulls down.
            let mirrored = softplus(-x).1;
            prop_assert!((slope + mirrored - 1.0).abs() < 1e-15, "{slope} {mirrored}");
        }
    }
}
