//! AVX-512: 12 pixels by 32 channels in 24 registers, `f32` or pairs of `bf16`.
//!
//! The reduction is one block of assembly: from intrinsics the compiler hoists the broadcasts
//! and spills accumulators, at half the speed.
#![expect(unsafe_code, reason = "vector instructions")]
#![expect(
    clippy::needless_range_loop,
    reason = "a pixel's or a vector's number counts in several arrays"
)]

use std::arch::asm;
use std::arch::x86_64::{
    __m256i, __m512, __mmask16, _CMP_LT_OQ, _mm256_mask_storeu_epi16, _mm256_maskz_loadu_epi16,
    _mm512_add_ps, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepu16_epi32, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_mask_mov_ps, _mm512_mask_mul_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32,
    _mm512_storeu_ps,
};

use super::kernels::{Activation, Kernels, MOST_PIXELS, Tile, WeightTile, kernels};
use crate::number::{Bf16, Number};

const LANES: usize = 16;

pub(super) static F32: Kernels<f32> = kernels!(f32, LANES, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);

/// Only where the processor has AVX512-BF16.
pub(super) static BF16: Kernels<Bf16> =
    kernels!(Bf16, LANES, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);

/// Accumulators: a pixel's two vectors.
type Sums = [[__m512; 2]; MOST_PIXELS];

/// One vector of products: `f32`, or pairs of `bf16`.
macro_rules! add_products {
    ($sums:literal, $factors:literal) => {
        concat!(
            ".if {PACK} > 1\n",
            "vdpbf16ps ",
            $sums,
            ", ",
            $factors,
            ", zmm30\n",
            ".else\n",
            "vfmadd231ps ",
            $sums,
            ", ",
            $factors,
            ", zmm30\n",
            ".endif\n"
        )
    };
}

/// One pixel: broadcast its step at `$at` and add its products to the pixel's two sums.
macro_rules! pixel {
    ($j:literal, $at:literal, $first:literal, $second:literal) => {
        concat!(
            ".if {J} > ",
            $j,
            "\n",
            "vbroadcastss zmm30, dword ptr [",
            $at,
            "]\n",
            add_products!($first, "zmm28"),
            ".if {V} > 1\n",
            add_products!($second, "zmm29"),
            ".endif\n",
            ".endif\n"
        )
    };
}

macro_rules! clear_sums {
    () => {
        ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n\
         vpxord zmm\\r, zmm\\r, zmm\\r\n.endr\n"
    };
}

/// `sums[j][v] = Σ panel[step][v] sources[j][step]` over the segments.
///
/// # Safety
/// The processor has AVX-512F, and BF16 for pairs; each segment's rows lie in the panel of `V` vectors, and its
/// steps in the source of each of `J` pixels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn sums<T: Number, const V: usize, const J: usize>(tile: &Tile<'_, T>) -> Sums {
    let mut sums: Sums = [[_mm512_setzero_ps(); 2]; MOST_PIXELS];
    let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11] = &mut sums;
    // SAFETY: reads what the caller promised and no more: `rbx` runs over a segment's steps
    // and `rbp` over its rows. `rbx` and `rbp`, which cannot be operands, are saved.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "push [rdi]",      // [rsp + 16]: the panel
            "push [rdi + 16]", // [rsp + 8]: end of the segments
            "push [rdi + 8]",  // [rsp]: next segment
            clear_sums!(),
            "mov rax, [rdi + 24]",
            "mov rcx, [rdi + 32]",
            "mov rdx, [rdi + 40]",
            "mov rsi, [rdi + 48]",
            "mov r8, [rdi + 56]",
            "mov r9, [rdi + 64]",
            "mov r10, [rdi + 72]",
            "mov r11, [rdi + 80]",
            "mov r12, [rdi + 88]",
            "mov r13, [rdi + 96]",
            "mov r14, [rdi + 104]",
            "mov r15, [rdi + 112]",
            "2:",
            "mov rdi, [rsp]",
            "cmp rdi, [rsp + 8]",
            "je 4f",
            "mov rbp, [rdi]",
            "shl rbp, 5 + {V}", // a row is 64 or 128 bytes
            "add rbp, [rsp + 16]",
            "mov rbx, [rdi + 8]",
            "add rdi, 24",
            "mov [rsp], rdi",
            "mov rdi, [rdi - 8]",
            ".p2align 5",
            "3:",
            "vmovups zmm28, [rbp]",
            ".if {V} > 1",
            "vmovups zmm29, [rbp + 64]",
            ".endif",
            pixel!("0", "rax + 4*rbx", "zmm0", "zmm1"),
            pixel!("1", "rcx + 4*rbx", "zmm2", "zmm3"),
            pixel!("2", "rdx + 4*rbx", "zmm4", "zmm5"),
            pixel!("3", "rsi + 4*rbx", "zmm6", "zmm7"),
            pixel!("4", "r8 + 4*rbx", "zmm8", "zmm9"),
            pixel!("5", "r9 + 4*rbx", "zmm10", "zmm11"),
            pixel!("6", "r10 + 4*rbx", "zmm12", "zmm13"),
            pixel!("7", "r11 + 4*rbx", "zmm14", "zmm15"),
            pixel!("8", "r12 + 4*rbx", "zmm16", "zmm17"),
            pixel!("9", "r13 + 4*rbx", "zmm18", "zmm19"),
            pixel!("10", "r14 + 4*rbx", "zmm20", "zmm21"),
            pixel!("11", "r15 + 4*rbx", "zmm22", "zmm23"),
            "add rbp, 64*{V}",
            "add rbx, 1",
            "cmp rbx, rdi",
            "jne 3b",
            "jmp 2b",
            "4:",
            "add rsp, 24",
            "pop rbp",
            "pop rbx",
            J = const J, V = const V, PACK = const T::PACK,
            inout("rdi") std::ptr::from_ref(tile) => _,
            out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            out("zmm0") a0[0], out("zmm1") a0[1], out("zmm2") a1[0], out("zmm3") a1[1],
            out("zmm4") a2[0], out("zmm5") a2[1], out("zmm6") a3[0], out("zmm7") a3[1],
            out("zmm8") a4[0], out("zmm9") a4[1], out("zmm10") a5[0], out("zmm11") a5[1],
            out("zmm12") a6[0], out("zmm13") a6[1], out("zmm14") a7[0], out("zmm15") a7[1],
            out("zmm16") a8[0], out("zmm17") a8[1], out("zmm18") a9[0], out("zmm19") a9[1],
            out("zmm20") a10[0], out("zmm21") a10[1], out("zmm22") a11[0], out("zmm23") a11[1],
            out("zmm28") _, out("zmm29") _, out("zmm30") _,
        );
    }
    sums
}

/// The lanes of vector `v` that hold channels.
fn mask(channels: usize, v: usize) -> __mmask16 {
    let left = channels.saturating_sub(LANES * v).min(LANES);
    ((1_u32 << left) - 1) as __mmask16
}

/// Runs one tile and stores it.
///
/// # Safety
/// As [`sums`], and the output, and what the epilogue adds, hold the block's channels of each
/// pixel; bias and slopes hold the block's channels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn tile<T: Number, const V: usize, const J: usize>(tile: &Tile<'_, T>) {
    // SAFETY: the caller's promise.
    let sums = unsafe { sums::<T, V, J>(tile) };
    let epilogue = tile.epilogue;
    if tile.channels == V * LANES && epilogue.is_none() {
        for (target, sums) in tile.targets.iter().zip(&sums).take(J) {
            for (v, &sum) in sums.iter().enumerate().take(V) {
                let to = tile.output.wrapping_add(target + tile.channel + LANES * v);
                // SAFETY: the output holds all lanes of these channels.
                unsafe { store(to, __mmask16::MAX, sum) };
            }
        }
        return;
    }
    for v in 0..V {
        let (mask, channel) = (mask(tile.channels, v), tile.channel + LANES * v);
        // SAFETY: lanes beyond the channels are masked, the others are there.
        let vector = |values: &[f32]| unsafe {
            _mm512_maskz_loadu_ps(mask, values.as_ptr().wrapping_add(channel))
        };
        let scale = epilogue.scale.map_or(_mm512_set1_ps(1.0), vector);
        let bias = epilogue.bias.map_or(_mm512_setzero_ps(), vector);
        for j in 0..J {
            let place = tile.targets[j] + channel;
            let mut y = sums[j][v];
            if epilogue.scale.is_some() {
                y = _mm512_mul_ps(y, scale);
            }
            if epilogue.bias.is_some() {
                y = _mm512_add_ps(y, bias);
            }
            if let Some(added) = &epilogue.added {
                // SAFETY: it is laid out as the output; see above.
                let other = unsafe { load(added.values.as_ptr().wrapping_add(place), mask) };
                y = _mm512_fmadd_ps(y, _mm512_set1_ps(added.scale), other);
            }
            y = activated(y, &epilogue.activation, vector);
            // SAFETY: the output holds these channels; the others are masked.
            unsafe { store(tile.output.wrapping_add(place), mask, y) };
        }
    }
}

/// The numbers in the mask's lanes; zeros elsewhere.
///
/// # Safety
/// They are there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn load<T: Number>(from: *const T, mask: __mmask16) -> __m512 {
    // SAFETY: the caller's promise; what is masked is not read.
    unsafe {
        if T::PACK == 1 {
            return _mm512_maskz_loadu_ps(mask, from.cast());
        }
        let halves = _mm256_maskz_loadu_epi16(mask, from.cast());
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
    }
}

/// Stores the mask's lanes, rounded to the nearest.
///
/// # Safety
/// There is room for them; for `bf16`, the processor has AVX512-BF16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn store<T: Number>(to: *mut T, mask: __mmask16, values: __m512) {
    // SAFETY: the caller's promise; what is masked is not written.
    unsafe {
        if T::PACK == 1 {
            return _mm512_mask_storeu_ps(to.cast(), mask, values);
        }
        let halves: __m256i;
        // As assembly, since the `f32` kernels run where there is no such instruction.
        asm!(
            "vcvtneps2bf16 {halves}, {values}",
            halves = lateout(ymm_reg) halves, values = in(zmm_reg) values,
            options(pure, nomem, nostack),
        );
        _mm256_mask_storeu_epi16(to.cast(), mask, halves);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn activated(y: __m512, activation: &Activation<'_>, vector: impl Fn(&[f32]) -> __m512) -> __m512 {
    let zero = _mm512_setzero_ps();
    // Ordered: no comparison with NaN holds, and NaN stays.
    let is_negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(y, zero);
    match activation {
        Activation::Identity => y,
        Activation::Relu => _mm512_mask_mov_ps(y, is_negative, zero),
        Activation::Prelu(slopes) => _mm512_mask_mul_ps(y, is_negative, y, vector(slopes)),
    }
}

/// `sums[j][v] = Σ panel[row][v] input[step + j]` over the table.
///
/// # Safety
/// The processor has AVX-512F, and BF16 for pairs; the table's rows lie in the panel of `V` vectors, its steps
/// and the `J - 1` behind each in the input; [`super::kernels::AHEAD`] entries follow the table.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn weight_sums<T: Number, const V: usize, const J: usize>(tile: &WeightTile<T>) -> Sums {
    let mut sums: Sums = [[_mm512_setzero_ps(); 2]; MOST_PIXELS];
    let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11] = &mut sums;
    // SAFETY: reads what the caller promised; a prefetch reads nothing.
    unsafe {
        asm!(
            clear_sums!(),
            "cmp rsi, rdi",
            "je 4f",
            ".p2align 5",
            "3:",
            "movsxd rax, dword ptr [rsi]",
            "movsxd rcx, dword ptr [rsi + 4]",
            "lea rax, [r8 + 4*rax]",
            ".if {PACK} == 1", // pairs were just made, and are near
            "movsxd r10, dword ptr [rsi + 8*16]",
            "prefetcht0 [r8 + 4*r10]",
            "prefetcht0 [r8 + 4*r10 + 44]",
            ".endif",
            "shl rcx, 5 + {V}",
            "vmovups zmm28, [r9 + rcx]",
            ".if {V} > 1",
            "vmovups zmm29, [r9 + rcx + 64]",
            ".endif",
            pixel!("0", "rax + 0", "zmm0", "zmm1"),
            pixel!("1", "rax + 4", "zmm2", "zmm3"),
            pixel!("2", "rax + 8", "zmm4", "zmm5"),
            pixel!("3", "rax + 12", "zmm6", "zmm7"),
            pixel!("4", "rax + 16", "zmm8", "zmm9"),
            pixel!("5", "rax + 20", "zmm10", "zmm11"),
            pixel!("6", "rax + 24", "zmm12", "zmm13"),
            pixel!("7", "rax + 28", "zmm14", "zmm15"),
            pixel!("8", "rax + 32", "zmm16", "zmm17"),
            pixel!("9", "rax + 36", "zmm18", "zmm19"),
            pixel!("10", "rax + 40", "zmm20", "zmm21"),
            pixel!("11", "rax + 44", "zmm22", "zmm23"),
            "add rsi, 8",
            "cmp rsi, rdi",
            "jne 3b",
            "4:",
            J = const J, V = const V, PACK = const T::PACK,
            inout("rsi") tile.table => _, in("rdi") tile.table_end,
            in("r8") tile.input, in("r9") tile.panel,
            out("rax") _, out("rcx") _, out("r10") _,
            out("zmm0") a0[0], out("zmm1") a0[1], out("zmm2") a1[0], out("zmm3") a1[1],
            out("zmm4") a2[0], out("zmm5") a2[1], out("zmm6") a3[0], out("zmm7") a3[1],
            out("zmm8") a4[0], out("zmm9") a4[1], out("zmm10") a5[0], out("zmm11") a5[1],
            out("zmm12") a6[0], out("zmm13") a6[1], out("zmm14") a7[0], out("zmm15") a7[1],
            out("zmm16") a8[0], out("zmm17") a8[1], out("zmm18") a9[0], out("zmm19") a9[1],
            out("zmm20") a10[0], out("zmm21") a10[1], out("zmm22") a11[0], out("zmm23") a11[1],
            out("zmm28") _, out("zmm29") _, out("zmm30") _,
            options(nostack, readonly),
        );
    }
    sums
}

/// Runs one tile of the weight gradient and stores or adds it.
///
/// # Safety
/// As [`weight_sums`], and the output holds `J` rows of `V` vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn weight_tile<T: Number, const V: usize, const J: usize>(tile: &WeightTile<T>) {
    // SAFETY: the caller's promise.
    let sums = unsafe { weight_sums::<T, V, J>(tile) };
    for (j, sums) in sums.iter().enumerate().take(J) {
        for (v, &sum) in sums.iter().enumerate().take(V) {
            let place = tile.output.wrapping_add(j * tile.row + LANES * v);
            // SAFETY: the output holds this vector.
            unsafe {
                let old = if tile.is_added {
                    _mm512_loadu_ps(place)
                } else {
                    _mm512_setzero_ps()
                };
                _mm512_storeu_ps(place, _mm512_add_ps(sum, old));
            }
        }
    }
}
