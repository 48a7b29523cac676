//! Plain loops for any processor: 4 pixels by 16 channels.
#![expect(
    unsafe_code,
    reason = "the kernels of all instruction sets take the same pointers"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "a pixel's or a lane's number counts in several arrays"
)]

use super::kernels::{Activation, Kernels, Segment, Tile, WeightTile, kernels};
use crate::number::{Bf16, Number};

const LANES: usize = 8;

pub(super) static F32: Kernels<f32> = kernels!(f32, LANES, [1, 2, 3, 4]);
pub(super) static BF16: Kernels<Bf16> = kernels!(Bf16, LANES, [1, 2, 3, 4]);

/// A row of `V` vectors.
type Row<N, const V: usize> = [[N; LANES]; V];

/// Runs one tile of panels of `V` vectors and stores it.
///
/// # Safety
/// Each segment's rows lie in the panel, its steps in the source of each of `J` pixels; the
/// output, and what the epilogue adds, hold the block's channels of each pixel; bias and slopes
/// hold the block's channels.
unsafe fn tile<T: Number, const V: usize, const J: usize>(tile: &Tile<'_, T>) {
    let mut sums = [[[0.0; LANES]; V]; J];
    let (mut next, end) = (tile.segments, tile.segments_end);
    while next != end {
        // SAFETY: `next` is before the end, and rows and steps are there as promised.
        unsafe {
            let Segment { step, source, end } = *next;
            for k in 0..end - source {
                let row = *tile.panel.cast::<Row<T::Step, V>>().add(step + k);
                for j in 0..J {
                    add_products::<T, V>(&mut sums[j], *tile.sources[j].add(source + k), &row);
                }
            }
            next = next.add(1);
        }
    }
    for j in 0..J {
        let place = tile.targets[j] + tile.channel;
        for lane in 0..tile.channels {
            let y = finished(tile, sums[j].as_flattened()[lane], lane, place);
            // SAFETY: the output holds the block's channels of this pixel.
            unsafe { *tile.output.add(place + lane) = T::of(y) };
        }
    }
}

#[inline]
fn add_products<T: Number, const V: usize>(
    sums: &mut Row<f32, V>,
    step: T::Step,
    row: &Row<T::Step, V>,
) {
    for v in 0..V {
        for lane in 0..LANES {
            sums[v][lane] = T::add_product(sums[v][lane], step, row[v][lane]);
        }
    }
}

/// The epilogue on one sum.
fn finished<T: Number>(tile: &Tile<'_, T>, sum: f32, lane: usize, place: usize) -> f32 {
    let (epilogue, channel) = (tile.epilogue, tile.channel + lane);
    let mut y = sum;
    if let Some(scale) = epilogue.scale {
        y *= scale[channel];
    }
    if let Some(bias) = epilogue.bias {
        y += bias[channel];
    }
    if let Some(added) = &epilogue.added {
        y = added.values[place + lane].widened() + added.scale * y;
    }
    match epilogue.activation {
        Activation::Relu if y < 0.0 => 0.0,
        Activation::Prelu(slopes) if y < 0.0 => y * slopes[channel],
        _ => y,
    }
}

/// Runs one tile of the weight gradient and stores or adds it.
///
/// # Safety
/// The table's rows lie in the panel of `V` vectors, its steps and the `J - 1` behind each in
/// the input; the output holds `J` rows of `V` vectors.
unsafe fn weight_tile<T: Number, const V: usize, const J: usize>(tile: &WeightTile<T>) {
    let mut sums = [[[0.0; LANES]; V]; J];
    let mut next = tile.table;
    while next != tile.table_end {
        // SAFETY: `next` is before the end; the table's steps and rows are there.
        unsafe {
            let [step, row] = (*next).map(|entry| entry as usize);
            let row = *tile.panel.cast::<Row<T::Step, V>>().add(row);
            for (j, sums) in sums.iter_mut().enumerate() {
                add_products::<T, V>(sums, *tile.input.add(step + j), &row);
            }
            next = next.add(1);
        }
    }
    for (j, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the output holds this row.
        unsafe {
            let place = tile.output.add(j * tile.row).cast::<Row<f32, V>>();
            if tile.is_added {
                let (sums, old) = (sums.as_flattened_mut(), (*place).as_flattened());
                sums.iter_mut().zip(old).for_each(|(sum, old)| *sum += old);
            }
            *place = *sums;
        }
    }
}
