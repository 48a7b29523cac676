//! A loop of nothing but multiplications and additions in registers: the most that a core does.
#![expect(unsafe_code, reason = "vector instructions")]

use crate::arithmetic::Precision;
use crate::isa::Isa;
use crate::number::{Bf16, Number};

/// Runs `rounds` of the loop on the calling thread; gives its floating-point operations.
///
/// # Panics
/// Where the machine lacks the set.
pub(crate) fn multiply_and_add(isa: Isa, precision: Precision, rounds: u64) -> f64 {
    assert!(
        isa.is_available(),
        "{isa:?} was checked where it was chosen"
    );
    let rounds = rounds.max(1);
    let (registers, lanes) = match (isa, precision) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, Precision::F32) => {
            // SAFETY: the set is available, as was just seen.
            unsafe { avx512::<{ f32::PACK }>(rounds) };
            (24, 16)
        }
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, Precision::Bf16) if isa.has_bf16() => {
            // SAFETY: the set is available, with pairs, as was just seen.
            unsafe { avx512::<{ Bf16::PACK }>(rounds) };
            (24, 16 * Bf16::PACK)
        }
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, Precision::F32) => {
            // SAFETY: the set is available, as was just seen.
            unsafe { avx2(rounds) };
            (12, 8)
        }
        (_, Precision::F32) => {
            portable::<f32>(rounds, (0.999, 0.001));
            (8, 4)
        }
        (_, Precision::Bf16) => {
            let factor = [Bf16::from_f32(0.5); 2];
            portable::<Bf16>(rounds, (factor, factor));
            (8, 4 * Bf16::PACK)
        }
    };
    (2 * registers * lanes) as f64 * rounds as f64
}

/// # Safety
/// The processor has AVX-512F, and BF16 for steps of two.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const PACK: usize>(rounds: u64) {
    // SAFETY: registers only; all that change are named.
    unsafe {
        std::arch::asm!(
            "vpxord zmm24, zmm24, zmm24",
            "2:",
            ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
            ".if {PACK} > 1",
            "vdpbf16ps zmm\\r, zmm24, zmm24",
            ".else",
            "vfmadd231ps zmm\\r, zmm24, zmm24",
            ".endif",
            ".endr",
            "sub {rounds}, 1",
            "jnz 2b",
            rounds = inout(reg) rounds => _,
            PACK = const PACK,
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _,
            out("zmm5") _, out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _,
            out("zmm10") _, out("zmm11") _, out("zmm12") _, out("zmm13") _, out("zmm14") _,
            out("zmm15") _, out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
            out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _, out("zmm24") _,
            options(nomem, nostack),
        );
    }
}

/// # Safety
/// The processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(rounds: u64) {
    // SAFETY: registers only; all that change are named.
    unsafe {
        std::arch::asm!(
            "vxorps ymm12, ymm12, ymm12",
            "2:",
            ".irp r,0,1,2,3,4,5,6,7,8,9,10,11",
            "vfmadd231ps ymm\\r, ymm12, ymm12",
            ".endr",
            "sub {rounds}, 1",
            "jnz 2b",
            rounds = inout(reg) rounds => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _,
            out("ymm5") _, out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _,
            out("ymm10") _, out("ymm11") _, out("ymm12") _,
            options(nomem, nostack),
        );
    }
}

fn portable<T: Number>(rounds: u64, (a, b): (T::Step, T::Step)) {
    let (a, b) = std::hint::black_box((a, b));
    let mut sums = [[0.5_f32; 4]; 8];
    for _ in 0..rounds {
        for sum in sums.iter_mut().flatten() {
            *sum = T::add_product(*sum, a, b);
        }
    }
    std::hint::black_box(sums);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_grow_with_the_rounds() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for precision in [Precision::F32, Precision::Bf16] {
                let one = multiply_and_add(isa, precision, 1);
                assert!(one > 0.0);
                let ten = multiply_and_add(isa, precision, 10);
                assert_eq!(ten, 10.0 * one, "{isa:?} {precision:?}");
            }
        }
    }
}
