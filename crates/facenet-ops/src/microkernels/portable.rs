//! Plain loops for any processor: 4 pixels by 16 channels.
#![expect(
    unsafe_code,
    reason = "the kernels of all instruction sets take the same pointers"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "a pixel's or a lane's number counts in several arrays"
)]

use super::kernels::{Activation, Kernels, Segment, Tile, WeightTile};

const LANES: usize = 8;
const PIXELS: usize = 4;

pub(super) static KERNELS: Kernels = Kernels {
    pixels: PIXELS,
    lanes: LANES,
    tiles: [
        &[tile::<8, 1>, tile::<8, 2>, tile::<8, 3>, tile::<8, 4>],
        &[tile::<16, 1>, tile::<16, 2>, tile::<16, 3>, tile::<16, 4>],
    ],
    weight_tiles: [
        &[
            weight_tile::<8, 1>,
            weight_tile::<8, 2>,
            weight_tile::<8, 3>,
            weight_tile::<8, 4>,
        ],
        &[
            weight_tile::<16, 1>,
            weight_tile::<16, 2>,
            weight_tile::<16, 3>,
            weight_tile::<16, 4>,
        ],
    ],
};

/// Runs one tile of panels `W` wide and stores it.
///
/// # Safety
/// Each segment's rows lie in the panel, its elements in the source of each of `J` pixels; the
/// output, and what the epilogue adds, hold the block's channels of each pixel; bias and slopes
/// hold the block's channels.
unsafe fn tile<const W: usize, const J: usize>(tile: &Tile<'_>) {
    let mut sums = [[0.0; W]; J];
    let (mut next, end) = (tile.segments, tile.segments_end);
    while next != end {
        // SAFETY: `next` is before the end, and rows and elements are there as promised.
        unsafe {
            let Segment { step, source, end } = *next;
            for k in 0..end - source {
                let row = *tile.panel.add((step + k) * W).cast::<[f32; W]>();
                for j in 0..J {
                    add_scaled(&mut sums[j], *tile.sources[j].add(source + k), &row);
                }
            }
            next = next.add(1);
        }
    }
    for j in 0..J {
        let place = tile.targets[j] + tile.channel;
        for lane in 0..tile.channels {
            let y = finished(tile, sums[j][lane], lane, place);
            // SAFETY: the output holds the block's channels of this pixel.
            unsafe { *tile.output.add(place + lane) = y };
        }
    }
}

#[inline]
fn add_scaled<const W: usize>(sums: &mut [f32; W], factor: f32, row: &[f32; W]) {
    for lane in 0..W {
        sums[lane] += factor * row[lane];
    }
}

/// The epilogue on one sum.
fn finished(tile: &Tile<'_>, sum: f32, lane: usize, place: usize) -> f32 {
    let (epilogue, channel) = (tile.epilogue, tile.channel + lane);
    let mut y = sum;
    if let Some(scale) = epilogue.scale {
        y *= scale[channel];
    }
    if let Some(bias) = epilogue.bias {
        y += bias[channel];
    }
    if let Some(added) = &epilogue.added {
        y = added.values[place + lane] + added.scale * y;
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
/// The table's rows lie in the panel of `W` channels, its elements and the `J - 1` behind each
/// in the input; the output holds `J` rows of `W` channels.
unsafe fn weight_tile<const W: usize, const J: usize>(tile: &WeightTile) {
    let mut sums = [[0.0; W]; J];
    let mut next = tile.table;
    while next != tile.table_end {
        // SAFETY: `next` is before the end; the table's elements and rows are there.
        unsafe {
            let [element, row] = (*next).map(|entry| entry as usize);
            let row = *tile.panel.add(row * W).cast::<[f32; W]>();
            for (j, sums) in sums.iter_mut().enumerate() {
                add_scaled(sums, *tile.input.add(element + j), &row);
            }
            next = next.add(1);
        }
    }
    for (j, sums) in sums.iter().enumerate() {
        // SAFETY: the output holds this row.
        unsafe {
            let place = tile.output.add(j * tile.row).cast::<[f32; W]>();
            let old = if tile.is_added { *place } else { [0.0; W] };
            *place = std::array::from_fn(|lane| sums[lane] + old[lane]);
        }
    }
}
