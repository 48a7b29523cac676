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
    /// Number format of activations, on the CPU: bf16 is half the memory and, on processors with AVX512-BF16, faster; weights stay f32 [f32; train --data-dir in one pass takes what is faster]
    #[arg(long, value_name = "f32|bf16", value_parser = precision, help_heading = "Running")]
    pub precision: Option<Precision>,
    /// Let 3 x 3 convolutions go by Winograd's algorithm where that is faster, with sums off by about
    /// 1e-5 of the largest [default: on]
    #[arg(long, value_name = "on|off", value_parser = switch, help_heading = "Running")]
    pub winograd: Option<bool>,
}

impl ComputeArgs {
    /// The arithmetic that was asked for, on top of `base`.
    pub(crate) fn arithmetic(self, base: Arithmetic) -> Arithmetic {
        Arithmetic {
            precision: self.precision.unwrap_or(base.precision),
            is_winograd: self.winograd.unwrap_or(base.is_winograd),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_as_it_was() {
        for base in [Arithmetic::default(), Arithmetic::of_inference()] {
            assert_eq!(ComputeArgs::default().arithmetic(base), base);
        }
        let given = ComputeArgs {
            winograd: Some(true),
            precision: Some(Precision::Bf16),
            threads: None,
        };
        let given = given.arithmetic(Arithmetic::default());
        assert!(given.is_winograd);
        assert_eq!(given.precision, Precision::Bf16);
    }
}
