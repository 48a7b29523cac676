//! A convolution, or its data gradient, as classes of pixels with the same reduction.

use candle_core::Result;

use crate::config::ConvConfig;
use crate::microkernels::Segment;
use crate::nhwc::axis::{Axis, Group, Place};

/// Sizes of one convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub(crate) n: usize,
    pub(crate) size: (usize, usize),
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    pub(crate) kernel: (usize, usize),
    pub(crate) out: (usize, usize),
    pub(crate) config: ConvConfig,
}

impl ConvShape {
    /// Of `n` images of `size` with `c_in` and `c_out` channels.
    ///
    /// # Errors
    /// Where the window does not fit.
    pub(crate) fn new(
        n: usize,
        size: (usize, usize),
        (c_in, c_out): (usize, usize),
        kernel: (usize, usize),
        config: ConvConfig,
    ) -> Result<Self> {
        let out = config.output(size, kernel)?;
        Ok(Self {
            n,
            size,
            c_in,
            c_out,
            kernel,
            out,
            config,
        })
    }

    /// Elements of one input image.
    pub(crate) fn image(&self) -> usize {
        self.size.0 * self.size.1 * self.c_in
    }

    /// Output pixels of one image.
    pub(crate) fn pixels(&self) -> usize {
        self.out.0 * self.out.1
    }

    /// Elements of one output image.
    pub(crate) fn out_image(&self) -> usize {
        self.pixels() * self.c_out
    }

    /// Taps of the kernel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// The vertical axis, then the horizontal one.
    pub(crate) fn axes(&self) -> [Axis; 2] {
        let ConvConfig { stride, padding } = self.config;
        let axis = |size, out, kernel, stride, padding| Axis {
            size,
            out,
            kernel,
            stride,
            padding,
        };
        [
            axis(self.size.0, self.out.0, self.kernel.0, stride.0, padding.0),
            axis(self.size.1, self.out.1, self.kernel.1, stride.1, padding.1),
        ]
    }
}

/// Pixels that read the same taps: all of `rows` times `columns`.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    /// The reduction, from a pixel's source.
    pub(crate) segments: Vec<Segment>,
    /// Steps of the source and elements of the target, to be added to those of the column.
    pub(crate) rows: Vec<Place>,
    pub(crate) columns: Vec<Place>,
}

impl Class {
    /// Pixels of one image.
    pub(crate) fn pixels(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Source step and target element of pixel `pixel`.
    pub(crate) fn place(&self, pixel: usize) -> Place {
        let row = self.rows[pixel / self.columns.len()];
        let column = self.columns[pixel % self.columns.len()];
        Place {
            source: row.source + column.source,
            target: row.target + column.target,
        }
    }
}

/// Where a pass reads, or writes: pixels of a row, and channels, of a source in steps.
#[derive(Clone, Copy, Debug)]
struct Side {
    width: usize,
    channels: usize,
}

/// A pass as classes. Each class's segments, from each of its places, lie inside a source image,
/// and each target pixel is in one class.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    classes: Vec<Class>,
    source_image: usize,
    target_image: usize,
    channels: (usize, usize),
    steps: usize,
}

impl Plan {
    /// From input to output.
    ///
    /// - `pack`: channels of a step of the source
    pub(crate) fn forward(shape: &ConvShape, pack: usize) -> Self {
        let groups = shape.axes().map(|axis| axis.forward());
        let source = Side {
            width: shape.size.1,
            channels: shape.c_in.div_ceil(pack),
        };
        let target = Side {
            width: shape.out.1,
            channels: shape.c_out,
        };
        Self {
            classes: classes(&groups, shape.kernel.1, source, target),
            source_image: shape.size.0 * shape.size.1 * source.channels,
            target_image: shape.out_image(),
            channels: (source.channels, shape.c_out),
            steps: shape.taps() * source.channels,
        }
    }

    /// From the output's gradient to the input's. With a stride its phases come out as classes
    /// of fewer taps; what no output reads is a class without any, and gets zero.
    ///
    /// - `pack`: as [`Plan::forward`]
    pub(crate) fn gradient(shape: &ConvShape, pack: usize) -> Self {
        let groups = shape.axes().map(|axis| axis.gradient());
        let source = Side {
            width: shape.out.1,
            channels: shape.c_out.div_ceil(pack),
        };
        let target = Side {
            width: shape.size.1,
            channels: shape.c_in,
        };
        Self {
            classes: classes(&groups, shape.kernel.1, source, target),
            source_image: shape.pixels() * source.channels,
            target_image: shape.image(),
            channels: (source.channels, shape.c_in),
            steps: shape.taps() * source.channels,
        }
    }

    pub(crate) fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// Steps of a source image and elements of a target image.
    pub(crate) fn images(&self) -> (usize, usize) {
        (self.source_image, self.target_image)
    }

    /// Steps of a source pixel and channels of a target pixel.
    pub(crate) fn channels(&self) -> (usize, usize) {
        self.channels
    }

    /// Rows of a packed panel.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }
}

fn classes(groups: &[Vec<Group>; 2], kw: usize, source: Side, target: Side) -> Vec<Class> {
    let places = |places: &[Place], source: usize, target: usize| -> Vec<Place> {
        let scaled = |place: &Place| Place {
            source: place.source * source,
            target: place.target * target,
        };
        places.iter().map(scaled).collect()
    };
    let [vertical, horizontal] = groups;
    let pairs = vertical
        .iter()
        .flat_map(|v| horizontal.iter().map(move |h| (v, h)));
    let class = |(v, h): (&Group, &Group)| Class {
        segments: segments((&v.taps, &h.taps), kw, source),
        rows: places(
            &v.places,
            source.width * source.channels,
            target.width * target.channels,
        ),
        columns: places(&h.places, source.channels, target.channels),
    };
    pairs.map(class).collect()
}

/// The taps of a class in order; taps of a row that are neighbours in the kernel are one segment.
fn segments((vertical, horizontal): (&[usize], &[usize]), kw: usize, source: Side) -> Vec<Segment> {
    let channels = source.channels;
    let is_run = horizontal.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let (runs, length) = if is_run {
        (horizontal.len().min(1), horizontal.len())
    } else {
        (horizontal.len(), 1)
    };
    let mut segments = Vec::with_capacity(vertical.len() * runs);
    for (y, tap_y) in vertical.iter().enumerate() {
        for (x, tap_x) in horizontal.iter().take(runs).enumerate() {
            let from = (y * source.width + x) * channels;
            segments.push(Segment {
                step: (tap_y * kw + tap_x) * channels,
                source: from,
                end: from + length * channels,
            });
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(kernel: (usize, usize), stride: usize, padding: (usize, usize)) -> ConvShape {
        let config = ConvConfig {
            stride: (stride, stride),
            padding,
        };
        let size = (5, 6);
        ConvShape {
            n: 1,
            size,
            c_in: 2,
            c_out: 3,
            kernel,
            out: config.output(size, kernel).expect("it fits"),
            config,
        }
    }

    #[test]
    fn a_padded_kernel_has_nine_classes_and_a_plain_one_a_single_segment_a_row() {
        assert_eq!(
            Plan::forward(&shape((3, 3), 1, (1, 1)), 1).classes().len(),
            9
        );
        let plan = Plan::forward(&shape((3, 3), 1, (0, 0)), 1);
        let [class] = plan.classes() else {
            panic!("one class")
        };
        // Six elements a row of three taps; rows of the input are 12 apart.
        let starts: Vec<_> = class
            .segments
            .iter()
            .map(|s| (s.step, s.source, s.end))
            .collect();
        assert_eq!(starts, [(0, 0, 6), (6, 12, 18), (12, 24, 30)]);
        // Half as many pairs.
        let plan = Plan::forward(&shape((3, 3), 1, (0, 0)), 2);
        let second = plan.classes()[0].segments[1];
        assert_eq!((second.step, second.source, second.end), (3, 6, 9));
        assert_eq!((plan.steps(), plan.images().0), (9, 30));
    }

    #[test]
    fn every_target_is_in_one_class_and_no_segment_leaves_the_source() {
        for (kernel, stride, padding) in [
            ((3, 3), 1, (1, 1)),
            ((3, 3), 2, (0, 0)),
            ((1, 5), 3, (0, 2)),
            ((5, 5), 1, (2, 2)),
        ] {
            let shape = shape(kernel, stride, padding);
            let both = |pack| [Plan::forward(&shape, pack), Plan::gradient(&shape, pack)];
            for plan in both(1).into_iter().chain(both(2)) {
                let mut seen = vec![0; plan.images().1];
                for class in plan.classes() {
                    for pixel in 0..class.pixels() {
                        let place = class.place(pixel);
                        seen[place.target] += 1;
                        let end = class.segments.iter().map(|s| place.source + s.end).max();
                        assert!(end.unwrap_or(0) <= plan.images().0);
                    }
                }
                let is_first = |at: usize| usize::from(at.is_multiple_of(plan.channels().1));
                assert!(
                    seen.iter()
                        .enumerate()
                        .all(|(at, &times)| times == is_first(at))
                );
            }
        }
    }
}
