//! The layers of Inception-ResNet-v1 by their names here and in davidsandberg's graphs.

/// A layer with weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// What its tensors' names begin with here.
    pub(super) ours: String,
    /// Its scope in TensorFlow.
    pub(super) scope: String,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a layer is, and hence which tensors it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A convolution with batch norm: stride, and whether it pads to keep the size.
    Normed { stride: u64, is_same: bool },
    /// The end of a residual block: a convolution with bias.
    Biased,
    /// The matrix before the embedding, with batch norm.
    Bottleneck,
}

/// The scope of everything.
pub(super) const ROOT: &str = "InceptionResnetV1";
/// The layer before the embedding.
pub(super) const BOTTLENECK: &str = "InceptionResnetV1/Bottleneck";

/// Names of a stem's convolution here, in TensorFlow, its stride and padding.
type Stem = (&'static str, &'static str, u64, bool);

const STEM: [Stem; 6] = [
    ("conv2d_1a", "Conv2d_1a_3x3", 2, false),
    ("conv2d_2a", "Conv2d_2a_3x3", 1, false),
    ("conv2d_2b", "Conv2d_2b_3x3", 1, true),
    ("conv2d_3b", "Conv2d_3b_1x1", 1, false),
    ("conv2d_4a", "Conv2d_4a_3x3", 1, false),
    ("conv2d_4b", "Conv2d_4b_3x3", 2, false),
];

/// Blocks that are alike.
struct Blocks {
    ours: &'static str,
    scope: &'static str,
    /// How many; 0 for one that has no number in its name.
    count: usize,
    /// The convolutions of each branch.
    branches: &'static [&'static [&'static str]],
    /// What a residual block's output is multiplied by; nothing for a reduction.
    scale: Option<f32>,
}

const BLOCKS: [Blocks; 6] = [
    Blocks {
        ours: "repeat_1",
        scope: "Repeat/block35",
        count: 5,
        branches: &[
            &["Conv2d_1x1"],
            &["Conv2d_0a_1x1", "Conv2d_0b_3x3"],
            &["Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_0c_3x3"],
        ],
        scale: Some(0.17),
    },
    Blocks {
        ours: "mixed_6a",
        scope: "Mixed_6a",
        count: 0,
        branches: &[
            &["Conv2d_1a_3x3"],
            &["Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_1a_3x3"],
        ],
        scale: None,
    },
    Blocks {
        ours: "repeat_2",
        scope: "Repeat_1/block17",
        count: 10,
        branches: &[
            &["Conv2d_1x1"],
            &["Conv2d_0a_1x1", "Conv2d_0b_1x7", "Conv2d_0c_7x1"],
        ],
        scale: Some(0.10),
    },
    Blocks {
        ours: "mixed_7a",
        scope: "Mixed_7a",
        count: 0,
        branches: &[
            &["Conv2d_0a_1x1", "Conv2d_1a_3x3"],
            &["Conv2d_0a_1x1", "Conv2d_1a_3x3"],
            &["Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_1a_3x3"],
        ],
        scale: None,
    },
    Blocks {
        ours: "repeat_3",
        scope: "Repeat_2/block8",
        count: 5,
        branches: BLOCK8,
        scale: Some(0.20),
    },
    Blocks {
        ours: "block8",
        scope: "Block8",
        count: 0,
        branches: BLOCK8,
        scale: Some(1.0),
    },
];

const BLOCK8: &[&[&str]] = &[
    &["Conv2d_1x1"],
    &["Conv2d_0a_1x1", "Conv2d_0b_1x3", "Conv2d_0c_3x1"],
];

/// All layers, in no order that means anything.
pub(super) fn layers() -> Vec<Layer> {
    let stem = STEM.iter().map(|&(ours, scope, stride, is_same)| Layer {
        ours: ours.to_owned(),
        scope: format!("{ROOT}/{scope}"),
        kind: Kind::Normed { stride, is_same },
    });
    let bottleneck = Layer {
        ours: "last_".to_owned(),
        scope: BOTTLENECK.to_owned(),
        kind: Kind::Bottleneck,
    };
    let blocks = numbered().flat_map(|(blocks, ours, scope)| blocks.layers(&ours, &scope));
    stem.chain(blocks).chain([bottleneck]).collect()
}

/// The scope of each residual block, and what its output is multiplied by.
pub(super) fn scales() -> Vec<(String, f32)> {
    let scaled = numbered().filter_map(|(blocks, _, scope)| Some((scope, blocks.scale?)));
    scaled.collect()
}

/// Each block with its name here and its scope.
fn numbered() -> impl Iterator<Item = (&'static Blocks, String, String)> {
    BLOCKS.iter().flat_map(|blocks| {
        (0..blocks.count.max(1)).map(move |at| {
            let Blocks {
                ours, scope, count, ..
            } = blocks;
            if *count == 0 {
                return (blocks, (*ours).to_owned(), format!("{ROOT}/{scope}"));
            }
            let scope = format!("{ROOT}/{scope}_{}", at + 1);
            (blocks, format!("{ours}.{at}"), scope)
        })
    })
}

impl Blocks {
    fn layers(&self, ours: &str, scope: &str) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (branch, convolutions) in self.branches.iter().enumerate() {
            for (place, name) in convolutions.iter().enumerate() {
                let place = match convolutions.len() {
                    1 => String::new(),
                    _ => format!(".{place}"),
                };
                layers.push(Layer {
                    ours: format!("{ours}.branch{branch}{place}"),
                    scope: format!("{scope}/Branch_{branch}/{name}"),
                    kind: inside(name),
                });
            }
        }
        if self.scale.is_some() {
            layers.push(Layer {
                ours: format!("{ours}.conv2d"),
                scope: format!("{scope}/Conv2d_1x1"),
                kind: Kind::Biased,
            });
        }
        layers
    }
}

/// Inside a block all but the last ones of a reduction keep the size.
fn inside(name: &str) -> Kind {
    let is_half = name == "Conv2d_1a_3x3";
    Kind::Normed {
        stride: if is_half { 2 } else { 1 },
        is_same: !is_half,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_those_of_the_published_graph() {
        let layers = layers();
        // 132 convolutions and a matrix, 21 of the convolutions at the ends of blocks.
        assert_eq!(layers.len(), 133);
        let biased = layers.iter().filter(|layer| layer.kind == Kind::Biased);
        assert_eq!(biased.count(), 21);
        let scope_of = |ours: &str| {
            let layer = layers.iter().find(|layer| layer.ours == ours);
            layer.map(|layer| {
                layer
                    .scope
                    .strip_prefix("InceptionResnetV1/")
                    .expect("the root")
            })
        };
        let expected = [
            ("conv2d_4b", "Conv2d_4b_3x3"),
            (
                "repeat_1.0.branch2.2",
                "Repeat/block35_1/Branch_2/Conv2d_0c_3x3",
            ),
            (
                "repeat_2.9.branch1.1",
                "Repeat_1/block17_10/Branch_1/Conv2d_0b_1x7",
            ),
            ("repeat_3.4.conv2d", "Repeat_2/block8_5/Conv2d_1x1"),
            ("mixed_7a.branch0.1", "Mixed_7a/Branch_0/Conv2d_1a_3x3"),
            ("block8.branch0", "Block8/Branch_0/Conv2d_1x1"),
        ];
        for (ours, scope) in expected {
            assert_eq!(scope_of(ours), Some(scope), "{ours}");
        }
    }

    #[test]
    fn every_residual_block_has_its_scale() {
        let scales = scales();
        assert_eq!(scales.len(), 21);
        assert_eq!(
            scales[0],
            ("InceptionResnetV1/Repeat/block35_1".to_owned(), 0.17)
        );
        assert_eq!(scales[20], ("InceptionResnetV1/Block8".to_owned(), 1.0));
    }
}
