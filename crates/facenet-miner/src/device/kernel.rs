//! The kernels' texts.

/// Anchors a block on a GPU; the kernels get it by `-DTILE`.
pub const TILE: u32 = 64;

/// One file of `kernels/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// f32 distances of some anchors to all rows.
    PairwiseSqL2,
    /// f64 distances of pairs.
    PairSqL2,
    /// Number of admissible negatives of each pair in each slice of the rows.
    CountAdmissible,
    /// The admissible negative of a rank.
    PickAdmissible,
    /// The nearest admissible negative of each pair in each slice of the rows.
    ClosestAdmissible,
    /// Nearest negative and farthest positive of each anchor in each slice of the rows.
    Hardest,
}

/// A kernel's program: what the kernels share, then the kernel.
macro_rules! program {
    ($file:literal) => {
        concat!(
            include_str!("../../kernels/tile.cuh"),
            include_str!("../../kernels/admission.cuh"),
            include_str!(concat!("../../kernels/", $file)),
        )
    };
}

impl Kernel {
    /// Every kernel.
    pub const ALL: [Self; 6] = [
        Self::PairwiseSqL2,
        Self::PairSqL2,
        Self::CountAdmissible,
        Self::PickAdmissible,
        Self::ClosestAdmissible,
        Self::Hardest,
    ];

    /// Name of the function, and of its file without the ending.
    pub fn name(self) -> &'static str {
        match self {
            Self::PairwiseSqL2 => "pairwise_sq_l2",
            Self::PairSqL2 => "pair_sq_l2",
            Self::CountAdmissible => "count_admissible",
            Self::PickAdmissible => "pick_admissible",
            Self::ClosestAdmissible => "closest_admissible",
            Self::Hardest => "hardest",
        }
    }

    /// The whole program, as it is compiled: the headers and the file.
    pub fn program(self) -> &'static str {
        match self {
            Self::PairwiseSqL2 => program!("pairwise_sq_l2.cu"),
            Self::PairSqL2 => program!("pair_sq_l2.cu"),
            Self::CountAdmissible => program!("count_admissible.cu"),
            Self::PickAdmissible => program!("pick_admissible.cu"),
            Self::ClosestAdmissible => program!("closest_admissible.cu"),
            Self::Hardest => program!("hardest.cu"),
        }
    }
}

/// What NVRTC is given beside the architecture: no operation is fused, and no small number
/// flushed, unless a kernel says so.
pub fn compile_options() -> Vec<String> {
    vec![
        "--std=c++17".to_owned(),
        "--fmad=false".to_owned(),
        "--ftz=false".to_owned(),
        format!("-DTILE={TILE}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_has_its_kernel_and_no_other() {
        for kernel in Kernel::ALL {
            let text = kernel.program();
            assert_eq!(text.matches("__global__").count(), 1, "{kernel:?}");
            assert!(
                text.contains(&format!(" {}(\n", kernel.name())),
                "{kernel:?}"
            );
        }
    }

    #[test]
    fn no_kernel_is_atomic_or_fuses_by_chance() {
        for kernel in Kernel::ALL {
            assert!(
                !kernel.program().contains("atomic")
                    || kernel.program().contains("nothing is atomic")
            );
            assert!(!kernel.program().contains("atomicAdd"), "{kernel:?}");
        }
        assert!(compile_options().contains(&"--fmad=false".to_owned()));
        assert!(compile_options().contains(&"-DTILE=64".to_owned()));
    }
}
