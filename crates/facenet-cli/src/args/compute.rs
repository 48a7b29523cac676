//! How a network computes.

use clap::Args;
use facenet_train::model::{Arithmetic, Precision};

use crate::values::{precision, switch, threads};

/// Threads and arithmetic, of every command that runs a network.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ComputeArgs {
    /// Threads that compute; no result depends on it [as many as the machine has]
    #[arg(long, value_name = "N", value_parser = threads, help_heading = "Running")]
    pub threads: Option<usize>,
    /// Number format of activations, on the CPU: f32, or bf16 with sums in f32 [f32]
    #[arg(long, value_name = "f32|bf16", value_parser = precision, help_heading = "Running")]
    pub precision: Option<Precision>,
    /// Let 3 x 3 convolutions in f32 go by Winograd where that is faster: on or off
    /// [on where a model is used, off in training]
    #[arg(long, value_name = "on|off", value_parser = switch, help_heading = "Running")]
    pub winograd: Option<bool>,
}

impl ComputeArgs {
    /// The arithmetic that was asked for.
    ///
    /// - `is_winograd`: without `--winograd`
    pub(crate) fn arithmetic(self, is_winograd: bool) -> Arithmetic {
        Arithmetic {
            precision: self.precision.unwrap_or_default(),
            is_winograd: self.winograd.unwrap_or(is_winograd),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_the_commands_own() {
        let none = ComputeArgs::default();
        assert!(none.arithmetic(true).is_winograd && !none.arithmetic(false).is_winograd);
        let given = ComputeArgs {
            winograd: Some(false),
            precision: Some(Precision::Bf16),
            ..none
        };
        assert!(!given.arithmetic(true).is_winograd);
        assert_eq!(given.arithmetic(true).precision, Precision::Bf16);
    }
}
