//! Which taps of a window meet the source along one axis.

/// One axis of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) size: usize,
    pub(crate) out: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

/// A position of the target, and the source position that its first tap reads; each further tap
/// reads the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source: usize,
    pub(crate) target: usize,
}

/// Positions that read the same taps, all inside the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Ascending; none for positions that read nothing.
    pub(crate) taps: Vec<usize>,
    pub(crate) places: Vec<Place>,
}

impl Axis {
    /// Output positions by the taps that lie inside the input.
    pub(crate) fn forward(&self) -> Vec<Group> {
        let inside = |out: usize| {
            let first = out * self.stride;
            let taps = (0..self.kernel).filter_map(move |tap| {
                let source = (first + tap).checked_sub(self.padding)?;
                (source < self.size).then_some((tap, source))
            });
            (out, taps.collect())
        };
        grouped((0..self.out).map(inside))
    }

    /// Input positions by the taps through which an output reads them; taps count from the
    /// kernel's end, so that they ascend with the output.
    pub(crate) fn gradient(&self) -> Vec<Group> {
        let reached = |input: usize| {
            let taps = (0..self.kernel).filter_map(move |tap| {
                let first = (input + self.padding).checked_sub(self.kernel - 1 - tap)?;
                let out = first / self.stride;
                (first % self.stride == 0 && out < self.out).then_some((tap, out))
            });
            (input, taps.collect())
        };
        grouped((0..self.size).map(reached))
    }
}

/// Positions with their pairs of tap and source, by equal taps.
fn grouped(positions: impl Iterator<Item = (usize, Vec<(usize, usize)>)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (target, pairs) in positions {
        let taps: Vec<_> = pairs.iter().map(|pair| pair.0).collect();
        let source = pairs.first().map_or(0, |pair| pair.1);
        let place = Place { source, target };
        match groups.iter_mut().find(|group| group.taps == taps) {
            Some(group) => group.places.push(place),
            None => groups.push(Group {
                taps,
                places: vec![place],
            }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(pairs: &[(usize, usize)]) -> Vec<Place> {
        let place = |&(source, target)| Place { source, target };
        pairs.iter().map(place).collect()
    }

    #[test]
    fn padding_makes_three_groups() {
        let axis = Axis {
            size: 4,
            out: 4,
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        let expected = [
            Group {
                taps: vec![1, 2],
                places: places(&[(0, 0)]),
            },
            Group {
                taps: vec![0, 1, 2],
                places: places(&[(0, 1), (1, 2)]),
            },
            Group {
                taps: vec![0, 1],
                places: places(&[(2, 3)]),
            },
        ];
        assert_eq!(axis.forward(), expected);
    }

    /// Outputs 0 and 1 read inputs 0 to 2 and 2 to 4; input 5 is read by none.
    #[test]
    fn a_stride_makes_phases_and_what_is_not_read_has_no_taps() {
        let axis = Axis {
            size: 6,
            out: 2,
            kernel: 3,
            stride: 2,
            padding: 0,
        };
        let expected = [
            Group {
                taps: vec![2],
                places: places(&[(0, 0)]),
            },
            Group {
                taps: vec![1],
                places: places(&[(0, 1), (1, 3)]),
            },
            Group {
                taps: vec![0, 2],
                places: places(&[(0, 2)]),
            },
            Group {
                taps: vec![0],
                places: places(&[(1, 4)]),
            },
            Group {
                taps: vec![],
                places: places(&[(0, 5)]),
            },
        ];
        assert_eq!(axis.gradient(), expected);
    }
}
