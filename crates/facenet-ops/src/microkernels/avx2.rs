//! AVX2 with FMA: 6 pixels by 16 channels in 12 registers; as `avx512.rs`, half as wide.
#![expect(unsafe_code, reason = "vector instructions")]
#![expect(
    clippy::needless_range_loop,
    reason = "a pixel's or a vector's number counts in several arrays"
)]

use std::arch::asm;
use std::arch::x86_64::{
    __m256, __m256i, _CMP_LT_OQ, _mm256_add_ps, _mm256_blendv_ps, _mm256_cmp_ps, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_mul_ps,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

use super::kernels::{Activation, Kernels, Tile, WeightTile, kernels};

const LANES: usize = 8;
const PIXELS: usize = 6;

pub(super) static F32: Kernels<f32> = kernels!(LANES, [1, 2, 3, 4, 5, 6]);

/// Accumulators: a pixel's two vectors.
type Sums = [[__m256; 2]; PIXELS];

/// One pixel: broadcast its element at `$at` and add its products to the pixel's two sums.
macro_rules! pixel {
    ($j:literal, $at:literal, $first:literal, $second:literal) => {
        concat!(
            ".if {J} > ",
            $j,
            "\n",
            "vbroadcastss ymm14, dword ptr [",
            $at,
            "]\n",
            "vfmadd231ps ",
            $first,
            ", ymm12, ymm14\n",
            ".if {V} > 1\n",
            "vfmadd231ps ",
            $second,
            ", ymm13, ymm14\n",
            ".endif\n",
            ".endif\n"
        )
    };
}

macro_rules! clear_sums {
    () => {
        ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\nvxorps ymm\\r, ymm\\r, ymm\\r\n.endr\n"
    };
}

/// `sums[j][v] = Σ panel[step][v] sources[j][element]` over the segments.
///
/// # Safety
/// The processor has AVX2 and FMA; each segment's rows lie in the panel of `V` vectors, and its
/// elements in the source of each of `J` pixels.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn sums<const V: usize, const J: usize>(tile: &Tile<'_, f32>) -> Sums {
    let mut sums: Sums = [[_mm256_setzero_ps(); 2]; PIXELS];
    let [a0, a1, a2, a3, a4, a5] = &mut sums;
    // SAFETY: reads what the caller promised and no more: `r10` runs over a segment's elements
    // and `r11` over its rows.
    unsafe {
        asm!(
            clear_sums!(),
            "mov rax, [rdi + 24]",
            "mov rcx, [rdi + 32]",
            "mov rdx, [rdi + 40]",
            "mov rsi, [rdi + 48]",
            "mov r8, [rdi + 56]",
            "mov r9, [rdi + 64]",
            "mov r12, [rdi + 8]",  // next segment
            "mov r13, [rdi + 16]", // end of the segments
            "mov rdi, [rdi]",      // the panel
            "2:",
            "cmp r12, r13",
            "je 4f",
            "mov r11, [r12]",
            "shl r11, 4 + {V}", // a row is 32 or 64 bytes
            "add r11, rdi",
            "mov r10, [r12 + 8]",
            "mov r14, [r12 + 16]",
            "add r12, 24",
            ".p2align 5",
            "3:",
            "vmovups ymm12, [r11]",
            ".if {V} > 1",
            "vmovups ymm13, [r11 + 32]",
            ".endif",
            pixel!("0", "rax + 4*r10", "ymm0", "ymm1"),
            pixel!("1", "rcx + 4*r10", "ymm2", "ymm3"),
            pixel!("2", "rdx + 4*r10", "ymm4", "ymm5"),
            pixel!("3", "rsi + 4*r10", "ymm6", "ymm7"),
            pixel!("4", "r8 + 4*r10", "ymm8", "ymm9"),
            pixel!("5", "r9 + 4*r10", "ymm10", "ymm11"),
            "add r11, 32*{V}",
            "add r10, 1",
            "cmp r10, r14",
            "jne 3b",
            "jmp 2b",
            "4:",
            J = const J, V = const V,
            inout("rdi") std::ptr::from_ref(tile) => _,
            out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _, out("r12") _, out("r13") _, out("r14") _,
            out("ymm0") a0[0], out("ymm1") a0[1], out("ymm2") a1[0], out("ymm3") a1[1],
            out("ymm4") a2[0], out("ymm5") a2[1], out("ymm6") a3[0], out("ymm7") a3[1],
            out("ymm8") a4[0], out("ymm9") a4[1], out("ymm10") a5[0], out("ymm11") a5[1],
            out("ymm12") _, out("ymm13") _, out("ymm14") _,
            options(nostack, readonly),
        );
    }
    sums
}

/// The lanes of vector `v` that hold channels.
#[inline]
#[target_feature(enable = "avx2")]
fn mask(channels: usize, v: usize) -> __m256i {
    const MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let left = channels.saturating_sub(LANES * v).min(LANES);
    // SAFETY: eight of the sixteen, from the eighth at the latest.
    unsafe { _mm256_loadu_si256(MASKS[LANES - left..].as_ptr().cast()) }
}

/// Runs one tile and stores it.
///
/// # Safety
/// As [`sums`], and the output, and what the epilogue adds, hold the block's channels of each
/// pixel; bias and slopes hold the block's channels.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const V: usize, const J: usize>(tile: &Tile<'_, f32>) {
    // SAFETY: the caller's promise.
    let sums = unsafe { sums::<V, J>(tile) };
    let epilogue = tile.epilogue;
    for v in 0..V {
        let (mask, channel) = (mask(tile.channels, v), tile.channel + LANES * v);
        // SAFETY: lanes beyond the channels are masked, the others are there.
        let vector = |values: &[f32]| unsafe {
            _mm256_maskload_ps(values.as_ptr().wrapping_add(channel), mask)
        };
        let scale = epilogue.scale.map_or(_mm256_set1_ps(1.0), vector);
        let bias = epilogue.bias.map_or(_mm256_setzero_ps(), vector);
        for j in 0..J {
            let place = tile.targets[j] + channel;
            let mut y = sums[j][v];
            if epilogue.scale.is_some() {
                y = _mm256_mul_ps(y, scale);
            }
            if epilogue.bias.is_some() {
                y = _mm256_add_ps(y, bias);
            }
            if let Some(added) = &epilogue.added {
                // SAFETY: it is laid out as the output; see above.
                let other =
                    unsafe { _mm256_maskload_ps(added.values.as_ptr().wrapping_add(place), mask) };
                y = _mm256_fmadd_ps(y, _mm256_set1_ps(added.scale), other);
            }
            y = activated(y, &epilogue.activation, vector);
            // SAFETY: the output holds these channels; the others are masked.
            unsafe { _mm256_maskstore_ps(tile.output.wrapping_add(place), mask, y) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn activated(y: __m256, activation: &Activation<'_>, vector: impl Fn(&[f32]) -> __m256) -> __m256 {
    let zero = _mm256_setzero_ps();
    // Ordered: no comparison with NaN holds, and NaN stays.
    let is_negative = _mm256_cmp_ps::<_CMP_LT_OQ>(y, zero);
    match activation {
        Activation::Identity => y,
        Activation::Relu => _mm256_blendv_ps(y, zero, is_negative),
        Activation::Prelu(slopes) => {
            _mm256_blendv_ps(y, _mm256_mul_ps(y, vector(slopes)), is_negative)
        }
    }
}

/// `sums[j][v] = Σ panel[row][v] input[element + j]` over the table.
///
/// # Safety
/// The processor has AVX2 and FMA; the table's rows lie in the panel of `V` vectors, its
/// elements and the `J - 1` behind each in the input; [`super::kernels::AHEAD`] entries follow
/// the table.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn weight_sums<const V: usize, const J: usize>(tile: &WeightTile<f32>) -> Sums {
    let mut sums: Sums = [[_mm256_setzero_ps(); 2]; PIXELS];
    let [a0, a1, a2, a3, a4, a5] = &mut sums;
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
            "movsxd r10, dword ptr [rsi + 8*16]",
            "lea rax, [r8 + 4*rax]",
            "prefetcht0 [r8 + 4*r10]",
            "shl rcx, 4 + {V}",
            "vmovups ymm12, [r9 + rcx]",
            ".if {V} > 1",
            "vmovups ymm13, [r9 + rcx + 32]",
            ".endif",
            pixel!("0", "rax + 0", "ymm0", "ymm1"),
            pixel!("1", "rax + 4", "ymm2", "ymm3"),
            pixel!("2", "rax + 8", "ymm4", "ymm5"),
            pixel!("3", "rax + 12", "ymm6", "ymm7"),
            pixel!("4", "rax + 16", "ymm8", "ymm9"),
            pixel!("5", "rax + 20", "ymm10", "ymm11"),
            "add rsi, 8",
            "cmp rsi, rdi",
            "jne 3b",
            "4:",
            J = const J, V = const V,
            inout("rsi") tile.table => _, in("rdi") tile.table_end,
            in("r8") tile.input, in("r9") tile.panel,
            out("rax") _, out("rcx") _, out("r10") _,
            out("ymm0") a0[0], out("ymm1") a0[1], out("ymm2") a1[0], out("ymm3") a1[1],
            out("ymm4") a2[0], out("ymm5") a2[1], out("ymm6") a3[0], out("ymm7") a3[1],
            out("ymm8") a4[0], out("ymm9") a4[1], out("ymm10") a5[0], out("ymm11") a5[1],
            out("ymm12") _, out("ymm13") _, out("ymm14") _,
            options(nostack, readonly),
        );
    }
    sums
}

/// Runs one tile of the weight gradient and stores or adds it.
///
/// # Safety
/// As [`weight_sums`], and the output holds `J` rows of `V` vectors.
#[target_feature(enable = "avx2,fma")]
unsafe fn weight_tile<const V: usize, const J: usize>(tile: &WeightTile<f32>) {
    // SAFETY: the caller's promise.
    let sums = unsafe { weight_sums::<V, J>(tile) };
    for (j, sums) in sums.iter().enumerate().take(J) {
        for (v, &sum) in sums.iter().enumerate().take(V) {
            let place = tile.output.wrapping_add(j * tile.row + LANES * v);
            // SAFETY: the output holds this vector.
            unsafe {
                let old = if tile.is_added {
                    _mm256_loadu_ps(place)
                } else {
                    _mm256_setzero_ps()
                };
                _mm256_storeu_ps(place, _mm256_add_ps(sum, old));
            }
        }
    }
}
