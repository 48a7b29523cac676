//! Kinds of runs that are disturbed: between them, everything that has a state.

use crate::args::ProvenStrategies;

/// A kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trained {
    /// A round is a step; identities are drawn by their looks, which the sampler remembers.
    OnePass,
    /// Many steps a round, within which a run may be resumed.
    Reference,
    /// With a classifier of the people, which mines nothing.
    Classifier,
}

impl Trained {
    /// Those that were asked for, in order.
    pub(super) fn all(asked: ProvenStrategies) -> &'static [Self] {
        match asked {
            ProvenStrategies::All => &[Self::OnePass, Self::Reference, Self::Classifier],
            ProvenStrategies::OnePass => &[Self::OnePass],
            ProvenStrategies::Reference => &[Self::Reference],
            ProvenStrategies::Classifier => &[Self::Classifier],
        }
    }

    /// As the flag has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OnePass => "one-pass",
            Self::Reference => "reference",
            Self::Classifier => "classifier",
        }
    }

    /// Flags of `train` that make it.
    pub(super) fn flags(self) -> &'static str {
        match self {
            Self::OnePass => "--strategy one-pass --chunk-size 5 --sampler look-alike --margin 0.1",
            Self::Reference => {
                "--strategy reference --batch-size 63 --margin 0.1 --max-triplets 1000"
            }
            Self::Classifier => "--strategy one-pass --chunk-size 5 --loss arcface",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn all_are_proven_unless_one_is_named() {
        let all = Trained::all(ProvenStrategies::default());
        assert_eq!(all.len(), 3);
        for one in all {
            let named = ProvenStrategies::from_str(one.name(), false).expect("a name");
            assert_eq!(Trained::all(named), [*one]);
        }
    }
}
