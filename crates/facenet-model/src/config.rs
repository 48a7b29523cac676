//! Which network, and its sizes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// A network that this crate builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// Inception-ResNet-v1 as facenet-pytorch defines it (23.5 M parameters at 512 numbers).
    #[serde(rename = "inception_resnet_v1")]
    InceptionResnetV1,
    /// MobileFaceNet, arXiv:1804.07573, table 1 (1.0 M parameters at 128 numbers).
    #[serde(rename = "mobilefacenet")]
    MobileFaceNet,
    /// About two thousand parameters, so that tests and proofs of everything around a network are
    /// cheap; no help or message offers it, and nobody recognises a face by it.
    #[serde(rename = "tiny")]
    Tiny,
}

impl Architecture {
    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::InceptionResnetV1 => "inception_resnet_v1",
            Self::MobileFaceNet => "mobilefacenet",
            Self::Tiny => "tiny",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Architecture {
    type Err = ModelError;

    /// The name, also as the reference's python module: `models.inception_resnet_v1`.
    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text.strip_prefix("models.").unwrap_or(text) {
            "inception_resnet_v1" => Ok(Self::InceptionResnetV1),
            "mobilefacenet" => Ok(Self::MobileFaceNet),
            "tiny" => Ok(Self::Tiny),
            _ => Err(ModelError::Architecture {
                found: text.to_owned(),
            }),
        }
    }
}

/// A network's shape and its batch normalisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The network.
    pub architecture: Architecture,
    /// Side of the input, in pixels.
    pub image_size: usize,
    /// Numbers of an embedding.
    pub embedding_size: usize,
    /// Share of the new batch in the running statistics, in `(0, 1]`.
    pub bn_momentum: f64,
    /// Added to the variance before the root.
    pub bn_eps: f64,
    /// Share of activations kept before the bottleneck, in `(0, 1]`.
    pub keep_probability: f64,
    /// Whether batch norms were folded into convolutions: those left add a bias, and their
    /// statistics are no data's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_folded_norms: bool,
}

impl ModelConfig {
    /// `architecture` with the defaults of the published networks: momentum 0.1, eps 1e-3, no
    /// dropout.
    pub fn new(architecture: Architecture, image_size: usize, embedding_size: usize) -> Self {
        Self {
            architecture,
            image_size,
            embedding_size,
            bn_momentum: 0.1,
            bn_eps: 1e-3,
            keep_probability: 1.0,
            has_folded_norms: false,
        }
    }

    /// Refuses sizes that the network cannot have.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the value found and what is expected.
    pub fn validate(&self) -> Result<(), ModelError> {
        let side = self.image_size;
        let size_fits = side <= MAX_SIDE
            && match self.architecture {
                Architecture::InceptionResnetV1 => side >= SMALLEST_INCEPTION,
                Architecture::MobileFaceNet => side >= 16 && side.is_multiple_of(16),
                Architecture::Tiny => side >= SMALLEST_TINY,
            };
        let expected = match self.architecture {
            Architecture::InceptionResnetV1 => {
                format!("at least {SMALLEST_INCEPTION} pixels and at most {MAX_SIDE}")
            }
            Architecture::MobileFaceNet => {
                format!("a multiple of 16 pixels, at most {MAX_SIDE}")
            }
            Architecture::Tiny => {
                format!("at least {SMALLEST_TINY} pixels and at most {MAX_SIDE}")
            }
        };
        let share = |x: f64| x > 0.0 && x <= 1.0;
        let checks = [
            ("image size", side.to_string(), size_fits, expected),
            (
                "embedding size",
                self.embedding_size.to_string(),
                (1..=MAX_EMBEDDING).contains(&self.embedding_size),
                format!("1 to {MAX_EMBEDDING}"),
            ),
            (
                "bn momentum",
                self.bn_momentum.to_string(),
                share(self.bn_momentum),
                "above 0 and up to 1".to_owned(),
            ),
            (
                "bn eps",
                self.bn_eps.to_string(),
                self.bn_eps > 0.0 && self.bn_eps.is_finite(),
                "above 0".to_owned(),
            ),
            (
                "keep probability",
                self.keep_probability.to_string(),
                share(self.keep_probability),
                "above 0 and up to 1".to_owned(),
            ),
        ];
        match checks.into_iter().find(|check| !check.2) {
            Some((what, found, _, expected)) => Err(ModelError::Config {
                architecture: self.architecture,
                what,
                found,
                expected,
            }),
            None => Ok(()),
        }
    }
}

/// Below it the unpadded convolutions of Inception-ResNet-v1 run out of pixels.
const SMALLEST_INCEPTION: usize = 75;
/// Four activations a channel are then left to average.
const SMALLEST_TINY: usize = 8;
/// Far above any face crop; bounds what a foreign configuration can ask for.
const MAX_SIDE: usize = 4096;
/// Far above any embedding in use; bounds what a foreign configuration can ask for.
const MAX_EMBEDDING: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_module_name_is_understood() {
        for text in ["inception_resnet_v1", "models.inception_resnet_v1"] {
            assert_eq!(
                text.parse::<Architecture>().expect(text),
                Architecture::InceptionResnetV1
            );
        }
        assert_eq!(
            "mobilefacenet"
                .parse::<Architecture>()
                .expect("known")
                .name(),
            "mobilefacenet"
        );
        assert_eq!(
            "tiny".parse::<Architecture>().expect("known").name(),
            "tiny"
        );
        let message = "models.squeezenet"
            .parse::<Architecture>()
            .expect_err("unknown")
            .to_string();
        assert!(
            message.contains("squeezenet")
                && message.contains("mobilefacenet")
                && !message.contains("tiny"),
            "{message}"
        );
    }

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut ModelConfig), expected: &str) {
        let mut config = ModelConfig::new(Architecture::MobileFaceNet, 112, 128);
        config.validate().expect("the usual sizes");
        change(&mut config);
        let message = config.validate().expect_err("out of range").to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        check_refused(
            |c| c.image_size = 100,
            "found 100, expected a multiple of 16",
        );
        check_refused(|c| c.image_size = 0, "image size");
        check_refused(|c| c.image_size = 1 << 40, "at most 4096");
        check_refused(|c| c.embedding_size = 0, "embedding size");
        check_refused(|c| c.bn_momentum = 0.0, "bn momentum");
        check_refused(|c| c.keep_probability = f64::NAN, "keep probability");
        check_refused(
            |c| {
                c.architecture = Architecture::InceptionResnetV1;
                c.image_size = 74;
            },
            "at least 75",
        );
        check_refused(
            |c| {
                c.architecture = Architecture::Tiny;
                c.image_size = 7;
            },
            "at least 8",
        );
    }
}
