//! Runs a plan: the forward pass and the data gradient.
#![expect(
    unsafe_code,
    reason = "kernels take pointers, and threads write parts of one output"
)]

use std::ops::Range;

use rayon::prelude::*;

use super::kernels::{Activation, Epilogue, Kernels, MOST_PIXELS, Tile};
use crate::nhwc::axis::Place;
use crate::nhwc::panels::Panels;
use crate::nhwc::plan::{Class, Plan};
use crate::number::Number;

/// Bytes of source images that are taken together, so that rare classes still fill tiles.
const IMAGES: usize = 512 * 1024;
/// Bytes of the source that an item reads: they stay in L2 beside a panel.
const SOURCE: usize = 256 * 1024;
/// Fewest and most pixels of an item.
const PIXELS: (usize, usize) = (48, 384);
/// Items that each thread should find.
const ITEMS: usize = 4;

/// A share of the work: some pixels of one class of some images, and some blocks of channels.
#[derive(Clone, Debug)]
struct Item {
    class: usize,
    first_image: usize,
    /// Pixels of the class, counted through the images from the first on.
    pixels: Range<usize>,
    blocks: Range<usize>,
}

/// The output, which threads write disjoint parts of.
#[derive(Clone, Copy)]
struct Output<T>(*mut T);

// SAFETY: each item writes the pixels and channels that are its own, and nothing reads them
// before all items are done.
unsafe impl<T: Send> Send for Output<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Output<T> {}

impl<T> Output<T> {
    fn pointer(self) -> *mut T {
        self.0
    }
}

/// Runs `plan` on `n` images: `target = epilogue(source * panels)`, threaded. Every sum is in one
/// piece, so no bit depends on the threads.
///
/// - `source`: steps, as the plan counts
///
/// # Panics
/// Where lengths disagree with the plan.
pub(crate) fn run<T: Number>(
    plan: &Plan,
    n: usize,
    source: &[T::Step],
    panels: &Panels<T>,
    epilogue: &Epilogue<'_, T>,
    target: &mut [T],
) {
    check(plan, n, source, panels, epilogue, target);
    let kernels = T::kernels(panels.isa);
    let output = Output(target.as_mut_ptr());
    items(plan, n, kernels, rayon::current_num_threads())
        .par_iter()
        .for_each(|item| run_item(kernels, plan, item, source, panels, epilogue, output));
}

fn check<T: Number>(
    plan: &Plan,
    n: usize,
    source: &[T::Step],
    panels: &Panels<T>,
    epilogue: &Epilogue<'_, T>,
    target: &[T],
) {
    let (source_image, target_image) = plan.images();
    assert_eq!(
        source.len(),
        n * source_image,
        "the source holds the images"
    );
    assert_eq!(
        target.len(),
        n * target_image,
        "the target holds the images"
    );
    let packed = (panels.steps, panels.channels);
    assert_eq!(
        packed,
        (plan.steps(), plan.channels().1),
        "the panels are of this plan"
    );
    let slopes = match epilogue.activation {
        Activation::Prelu(slopes) => Some(slopes),
        _ => None,
    };
    for vector in epilogue.scale.iter().chain(&epilogue.bias).chain(&slopes) {
        assert_eq!(vector.len(), panels.channels, "a value for each channel");
    }
    if let Some(added) = &epilogue.added {
        assert_eq!(
            added.values.len(),
            target.len(),
            "what is added is as the target"
        );
    }
}

/// Cuts the work: by groups of images, class, and stretch of pixels; where that gives too few
/// pieces for the threads, by blocks of channels too.
fn items<T: Number>(plan: &Plan, n: usize, kernels: &Kernels<T>, threads: usize) -> Vec<Item> {
    let (image, blocks) = (
        plan.images().0 * 4,
        plan.channels().1.div_ceil(kernels.width()),
    );
    let groups = n.div_ceil((IMAGES / image.max(1)).clamp(1, n.max(1)));
    let all = n * plan.classes().iter().map(Class::pixels).sum::<usize>();
    let most = (SOURCE / (plan.channels().0 * 4).max(1)).clamp(PIXELS.0, PIXELS.1);
    let most = most.min((all / (threads * ITEMS)).max(kernels.pixels));
    let is_split = threads > 1 && all.div_ceil(most) < threads * ITEMS;
    let pieces = if is_split {
        blocks.min(threads * ITEMS)
    } else {
        1
    };
    let mut items = Vec::new();
    for group in 0..groups {
        let images = n * group / groups..n * (group + 1) / groups;
        for (class, pixels) in plan.classes().iter().map(Class::pixels).enumerate() {
            let pixels = pixels * images.len();
            let parts = pixels.div_ceil(most);
            for part in 0..parts * pieces {
                let (part, piece) = (part / pieces, part % pieces);
                items.push(Item {
                    class,
                    first_image: images.start,
                    pixels: pixels * part / parts..pixels * (part + 1) / parts,
                    blocks: blocks * piece / pieces..blocks * (piece + 1) / pieces,
                });
            }
        }
    }
    items
}

/// Pixels, tiles innermost: a panel serves all of them before the next is read.
fn run_item<T: Number>(
    kernels: &Kernels<T>,
    plan: &Plan,
    item: &Item,
    source: &[T::Step],
    panels: &Panels<T>,
    epilogue: &Epilogue<'_, T>,
    output: Output<T>,
) {
    let mut tiles = tiles(kernels, plan, item, source, epilogue, output);
    for block in item.blocks.clone() {
        let first = block * kernels.width();
        let panel = panels.values[first * panels.steps..].as_ptr();
        let vectors = kernels.packed(block, panels.channels) / kernels.lanes;
        for (pixels, tile) in &mut tiles {
            tile.panel = panel;
            tile.channel = first;
            tile.channels = kernels.width().min(panels.channels - first);
            // SAFETY: the plan's segments lie inside the panel and, from each pixel's source,
            // inside an image, whose number is below `n`; the output holds each target pixel's
            // channels, as `check` has seen, and bias, slopes and what is added their own.
            unsafe { kernels.tiles[vectors - 1][*pixels - 1](tile) };
        }
    }
}

/// The tiles of an item's pixels, shared out evenly: 11 and 11 rather than 12 and 10.
fn tiles<'a, T: Number>(
    kernels: &Kernels<T>,
    plan: &'a Plan,
    item: &Item,
    source: &[T::Step],
    epilogue: &'a Epilogue<'a, T>,
    output: Output<T>,
) -> Vec<(usize, Tile<'a, T>)> {
    let class = &plan.classes()[item.class];
    let segments = class.segments.as_ptr_range();
    let mut places = places(plan, class, item);
    let (all, n) = (
        item.pixels.len(),
        item.pixels.len().div_ceil(kernels.pixels),
    );
    let tile = |tile: usize| {
        let pixels = all * (tile + 1) / n - all * tile / n;
        let (mut sources, mut targets) = ([std::ptr::null(); MOST_PIXELS], [0; MOST_PIXELS]);
        let both = sources.iter_mut().zip(&mut targets);
        for ((from, to), place) in both.zip(places.by_ref().take(pixels)) {
            *from = source[place.source..].as_ptr();
            *to = place.target;
        }
        let tile = Tile {
            panel: std::ptr::null(),
            segments: segments.start,
            segments_end: segments.end,
            sources,
            output: output.pointer(),
            targets,
            channel: 0,
            channels: 0,
            epilogue,
        };
        (pixels, tile)
    };
    (0..n).map(tile).collect()
}

/// Source steps and target elements of an item's pixels in order.
fn places<'a>(plan: &Plan, class: &'a Class, item: &Item) -> impl Iterator<Item = Place> + use<'a> {
    let (source_image, target_image) = plan.images();
    let (first, per_image) = (item.first_image, class.pixels());
    item.pixels.clone().map(move |pixel| {
        let (image, place) = (first + pixel / per_image, class.place(pixel % per_image));
        Place {
            source: image * source_image + place.source,
            target: image * target_image + place.target,
        }
    })
}
