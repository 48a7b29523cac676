//! How a round's triplets become optimizer steps.

use serde::{Deserialize, Serialize};

/// How a run trains on what a round gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// One step a round, on all its triplets: each image is loaded once, embedded, and taken
    /// forward and back once more (arXiv:2101.06983) unless the round fits in one chunk.
    OnePass,
    /// Many steps a round, as the reference: each takes some of the triplets and loads their
    /// images anew.
    #[default]
    Reference,
}

impl Strategy {
    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnePass => "one-pass",
            Self::Reference => "reference",
        }
    }

    /// The settings that belong to the other strategy and do nothing here.
    pub fn idle_settings(self) -> &'static [&'static str] {
        match self {
            // A round is embedded as it is trained on, and its triplets are visited and not held.
            Self::OnePass => &["batch_size", "max_triplets", "mining_mode", "leftover"],
            Self::Reference => &["chunk_size"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_stored() {
        for strategy in [Strategy::OnePass, Strategy::Reference] {
            let stored = serde_json::to_value(strategy).expect("a name");
            assert_eq!(stored, strategy.name());
        }
    }
}
