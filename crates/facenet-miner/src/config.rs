//! Which triplets to mine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::MineError;

/// Margin α in squared L2; the paper's (arXiv:1503.03832, §3.2) and the reference's.
pub const DEFAULT_MARGIN: f32 = 0.2;

/// Most triplets that [`Miner::mine`](crate::Miner::mine) collects: 12 MB of them.
pub const DEFAULT_MAX_TRIPLETS: usize = 1_000_000;

/// Which triplets a batch gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// For every pair one negative with `d_an - d_ap < margin`: the rule of the VGG face
    /// descriptor, and the one that the reference runs.
    Violating,
    /// For every pair one negative with `d_ap < d_an` and `d_an - d_ap < margin`: the paper's.
    SemiHard,
    /// For every anchor the farthest positive and the nearest negative (arXiv:1703.07737).
    BatchHard,
    /// Every anchor, positive and negative (arXiv:1703.07737).
    BatchAll,
}

/// Which of a pair's admissible negatives the pair rules take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NegativeChoice {
    /// One drawn uniformly.
    Random,
    /// The closest to the anchor; ties go to the smaller index.
    Closest,
}

/// What mines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MineDevice {
    /// The threads of the current rayon pool.
    #[default]
    Cpu,
    /// An NVIDIA GPU; the CPU where there is none, with [`Miner::fallback`] to say why.
    ///
    /// [`Miner::fallback`]: crate::Miner::fallback
    Cuda {
        /// Number of the GPU, from 0.
        ordinal: usize,
    },
}

/// The rule and its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinerConfig {
    /// Which triplets are mined.
    pub rule: Rule,
    /// Margin of the triplet loss, in squared L2; positive and finite.
    pub margin: f32,
    /// Which admissible negative the pair rules take; the others ignore it.
    pub negative: NegativeChoice,
    /// With `batch-hard` and `batch-all`: only triplets with `d_an - d_ap < margin`.
    pub only_violating: bool,
    /// Most triplets that [`Miner::mine`](crate::Miner::mine) collects.
    pub max_triplets: usize,
    /// What mines; the triplets are the same.
    pub device: MineDevice,
}

impl Default for MinerConfig {
    fn default() -> Self {
        Self {
            rule: Rule::Violating,
            margin: DEFAULT_MARGIN,
            negative: NegativeChoice::Random,
            only_violating: false,
            max_triplets: DEFAULT_MAX_TRIPLETS,
            device: MineDevice::Cpu,
        }
    }
}

impl MinerConfig {
    pub(crate) fn validate(&self) -> Result<(), MineError> {
        if self.margin.is_finite() && self.margin > 0.0 {
            return Ok(());
        }
        Err(MineError::Margin { found: self.margin })
    }
}

impl Rule {
    /// Every rule, in the order of the documentation.
    pub const ALL: [Self; 4] = [
        Self::Violating,
        Self::SemiHard,
        Self::BatchHard,
        Self::BatchAll,
    ];

    /// The rule's name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Violating => "violating",
            Self::SemiHard => "semi-hard",
            Self::BatchHard => "batch-hard",
            Self::BatchAll => "batch-all",
        }
    }
}

impl NegativeChoice {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Random, Self::Closest];

    /// The choice's name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Closest => "closest",
        }
    }
}

impl fmt::Display for MineDevice {
    /// `cpu` or `cuda:N`, as on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.pad("cpu"),
            Self::Cuda { ordinal } => f.pad(&format!("cuda:{ordinal}")),
        }
    }
}

impl FromStr for MineDevice {
    type Err = MineError;

    /// `cpu`, `cuda` (the first GPU) or `cuda:N`.
    fn from_str(name: &str) -> Result<Self, MineError> {
        let ordinal = |digits: &str| digits.parse().ok().map(|ordinal| Self::Cuda { ordinal });
        let device = match name.split_once(':').unwrap_or((name, "0")) {
            ("cpu", "0") if name == "cpu" => Some(Self::Cpu),
            ("cuda", digits) => ordinal(digits),
            _ => None,
        };
        device.ok_or_else(|| MineError::UnknownName {
            what: "device",
            found: name.to_owned(),
            expected: "cpu, cuda, cuda:N".to_owned(),
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for NegativeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Rule {
    type Err = MineError;

    fn from_str(name: &str) -> Result<Self, MineError> {
        by_name("rule", &Self::ALL, Self::name, name)
    }
}

impl FromStr for NegativeChoice {
    type Err = MineError;

    fn from_str(name: &str) -> Result<Self, MineError> {
        by_name("choice of negative", &Self::ALL, Self::name, name)
    }
}

fn by_name<T: Copy>(
    what: &'static str,
    all: &[T],
    name_of: fn(T) -> &'static str,
    found: &str,
) -> Result<T, MineError> {
    let named = all.iter().copied().find(|&item| name_of(item) == found);
    named.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|&item| name_of(item)).collect();
        MineError::UnknownName {
            what,
            found: found.to_owned(),
            expected: names.join(", "),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_back_and_forth() {
        for rule in Rule::ALL {
            assert_eq!(rule.to_string().parse(), Ok(rule));
            assert_eq!(
                serde_json::to_string(&rule).expect("json"),
                format!("\"{rule}\"")
            );
        }
        for choice in NegativeChoice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            assert_eq!(
                serde_json::to_string(&choice).expect("json"),
                format!("\"{choice}\"")
            );
        }
    }

    #[test]
    fn devices_go_back_and_forth() {
        for device in [MineDevice::Cpu, MineDevice::Cuda { ordinal: 3 }] {
            assert_eq!(device.to_string().parse(), Ok(device));
            let json = serde_json::to_string(&device).expect("json");
            assert_eq!(
                serde_json::from_str::<MineDevice>(&json).expect("its own"),
                device
            );
        }
        assert_eq!("cuda".parse(), Ok(MineDevice::Cuda { ordinal: 0 }));
        for name in ["gpu", "cpu:0", "cuda:", "cuda:x", "CPU"] {
            let error = name.parse::<MineDevice>().expect_err(name);
            assert!(error.to_string().contains("cpu, cuda, cuda:N"), "{error}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "hard".parse::<Rule>().expect_err("no such rule");
        let expected = "miner: no rule is named \"hard\"; expected one of violating, semi-hard, \
                        batch-hard, batch-all";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_margin_is_positive_and_finite() {
        for margin in [0.0, -0.2, f32::NAN, f32::INFINITY] {
            assert!(
                MinerConfig {
                    margin,
                    ..Default::default()
                }
                .validate()
                .is_err(),
                "{margin}"
            );
        }
        assert_eq!(MinerConfig::default().validate(), Ok(()));
    }
}
