//! The names of the update rules, their formulas and the state each keeps.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// An update rule, with the reference's constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OptimizerKind {
    /// `a += g²; w -= lr g / sqrt(a)`, where `a` starts at 0.1.
    Adagrad,
    /// `a = 0.9 a + 0.1 g²; u = g sqrt(b + 1e-6) / sqrt(a + 1e-6); w -= lr u; b = 0.9 b + 0.1 u²`.
    Adadelta,
    /// `m = 0.9 m + 0.1 g; v = 0.999 v + 0.001 g²;
    /// w -= lr sqrt(1 - 0.999^t) / (1 - 0.9^t) m / (sqrt(v) + epsilon)` at step `t` from 1.
    Adam,
    /// `s = 0.9 s + 0.1 g²; m = 0.9 m + lr g / sqrt(s + 1); w -= m`, where `s` starts at 1.
    RmsProp,
    /// Nesterov's momentum: `a = 0.9 a + g; w -= lr g + lr 0.9 a`.
    Mom,
}

impl OptimizerKind {
    /// Every kind, in the reference's order.
    pub const ALL: [Self; 5] = [
        Self::Adagrad,
        Self::Adadelta,
        Self::Adam,
        Self::RmsProp,
        Self::Mom,
    ];

    /// The reference's name, upper case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adagrad => "ADAGRAD",
            Self::Adadelta => "ADADELTA",
            Self::Adam => "ADAM",
            Self::RmsProp => "RMSPROP",
            Self::Mom => "MOM",
        }
    }

    /// What each parameter's state tensors are called, and the value they start with.
    pub(super) const fn slots(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Adagrad => &[("accumulator", 0.1)],
            Self::Adadelta => &[("accumulator", 0.0), ("accumulator_update", 0.0)],
            Self::Adam => &[("m", 0.0), ("v", 0.0)],
            Self::RmsProp => &[("mean_square", 1.0), ("momentum", 0.0)],
            Self::Mom => &[("momentum", 0.0)],
        }
    }

    pub(super) fn prefix(self) -> String {
        self.name().to_lowercase()
    }
}

impl std::fmt::Display for OptimizerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for OptimizerKind {
    type Err = TrainError;

    /// Takes a name in any case.
    fn from_str(name: &str) -> Result<Self, TrainError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::name).join(", ");
                TrainError::config(
                    "--optimizer",
                    format!("found {name:?}, expected one of {names}"),
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_references_in_any_case() {
        for kind in OptimizerKind::ALL {
            let name = kind.to_string();
            assert_eq!(name.parse::<OptimizerKind>().expect("its own name"), kind);
            assert_eq!(
                name.to_lowercase()
                    .parse::<OptimizerKind>()
                    .expect("any case"),
                kind
            );
            let json = serde_json::to_string(&kind).expect("a plain name");
            assert_eq!(json, format!("{name:?}"));
            assert_eq!(
                serde_json::from_str::<OptimizerKind>(&json).expect("as written"),
                kind
            );
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_choice() {
        let message = "SGD"
            .parse::<OptimizerKind>()
            .expect_err("not one of ours")
            .to_string();
        assert!(message.contains("found \"SGD\", expected one of ADAGRAD, ADADELTA, ADAM"));
    }
}
