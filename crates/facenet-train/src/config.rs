//! What a training run is asked to do: one flat record, field for field the command's flags.

use std::path::PathBuf;

use facenet_dataset::{Augment, DecodeLimits, Recipe, Standardisation};
use facenet_miner::{MinerConfig, NegativeChoice, Rule};
use facenet_model::{Architecture, ModelConfig, Precision};
use facenet_sampler::{LookAlikeConfig, SamplerConfig};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::loss::Loss;
use crate::optimizer::{OptimizerConfig, OptimizerKind};
use crate::rollback::OnCollapse;
use crate::rounds::Sampling;
use crate::schedule::Course;
use crate::strategy::Strategy;

/// What [`TrainConfig::arguments`] has for a setting without a value.
pub const UNSET: &str = "none";
/// Epsilon of every batch normalisation, as in the reference networks.
pub(crate) const BATCH_NORM_EPS: f64 = 1e-3;
/// Most images of a forward pass in eval mode, the reference's batch: a batch is counted in
/// triplets' images, of which a step embeds the distinct ones only, and may be far larger.
pub(crate) const MAX_FORWARD: usize = 90;
/// Largest rotation of `random_rotate`, in degrees either way (the reference's softmax script).
pub const MAX_ROTATION_DEGREES: f32 = 10.0;

/// Whether batch normalisation uses running or batch statistics while mining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MiningMode {
    /// Running statistics, no dropout: embeddings as they will be used.
    Eval,
    /// Batch statistics and dropout, as the reference mines; running statistics move.
    Train,
}

/// What happens at an epoch's end to mined triplets that no step has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leftover {
    /// They are forgotten; the next epoch begins with a fresh round.
    Drop,
    /// The next epoch begins with them.
    Carry,
}

/// A training run. [`TrainConfig::reference`] has the reference script's defaults,
/// [`TrainConfig::new`] ours where it has none, [`TrainConfig::demo`] is a small run on synthetic
/// identities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and none depends on another"
)]
pub struct TrainConfig {
    /// Folder of identity folders; `None` trains on synthetic identities.
    pub data_dir: Option<PathBuf>,
    /// Synthetic identities to train on, without `data_dir`.
    pub synthetic_identities: u32,
    /// Pictures of each synthetic identity.
    pub synthetic_images: u32,
    /// Synthetic identities to score on, none of them trained on.
    pub synthetic_test_identities: u32,
    /// Only these people train: a file of names, or `people.txt:1-8`.
    pub train_people: Option<String>,
    /// These people never train; same forms.
    pub exclude_people: Option<String>,
    /// Share of unreadable images, in `[0, 1]`, above which the run stops.
    pub max_bad_share: f64,
    /// Largest accepted image side, in pixels.
    pub max_image_side: u32,
    /// Largest accepted decoded image, in MiB.
    pub max_image_mib: u64,

    /// Central square cut out of each image first, in pixels.
    pub centre_crop: Option<u32>,
    /// Side to which the image is then resized, in pixels.
    pub resize: Option<u32>,
    /// How pixels become network input.
    pub standardisation: Standardisation,
    /// Side of the network's input, in pixels.
    pub image_size: usize,
    /// Cut the input at a random place instead of the centre.
    pub random_crop: bool,
    /// Mirror half of the inputs.
    pub random_flip: bool,
    /// Rotate each input by up to [`MAX_ROTATION_DEGREES`].
    pub random_rotate: bool,

    /// The network.
    pub model_def: Architecture,
    /// Length of an embedding.
    pub embedding_size: usize,
    /// Share of activations that dropout keeps before the bottleneck, in `(0, 1]`.
    pub keep_probability: f64,
    /// Share of the new batch in the running statistics, in `(0, 1]`.
    pub bn_momentum: f64,
    /// Model folder whose weights training starts from.
    pub pretrained_model: Option<PathBuf>,
    /// Batch norms go by the running statistics of `pretrained_model`, which do not move.
    #[serde(default)]
    pub freeze_bn: bool,
    /// Folded batch norms of `pretrained_model` are given statistics of the training images first,
    /// and are then trained as any.
    #[serde(default)]
    pub unfold_bn: bool,
    /// Whether `pretrained_model` has folded batch norms: no flag, [`TrainConfig::take_model`]
    /// finds out.
    #[serde(default)]
    pub folded_bn: bool,

    /// P: identities sampled a round.
    pub people_per_batch: usize,
    /// K: images of each, at most.
    pub images_per_person: usize,
    /// How a round's identities are chosen.
    #[serde(default)]
    pub sampler: Sampling,
    /// With `look-alike`: largest share of a round's images that are of look-alikes, in `[0, 1)`.
    #[serde(default = "default_share")]
    pub look_alike_share: f64,
    /// With `look-alike`: squared L2 below which two identities may be one person under two names,
    /// and are not put beside each other.
    #[serde(default = "default_floor")]
    pub look_alike_floor: f64,
    /// Which triplets a round trains on.
    pub rule: Rule,
    /// Which of a pair's admissible negatives is taken.
    pub negative: NegativeChoice,
    /// With `distance-weighted`, `batch-hard` and `batch-all`: only triplets that violate the margin.
    pub only_violating: bool,
    /// Most triplets that `batch-all` may collect in a round.
    pub max_triplets: usize,
    /// Triplet margin, in squared L2.
    pub margin: f32,
    /// What a step minimises.
    #[serde(default)]
    pub loss: Loss,
    /// With `arcface`: what cosines are multiplied by.
    #[serde(default = "default_arcface_scale")]
    pub arcface_scale: f64,
    /// With `arcface`: what is added to the angle of the own identity, in radians.
    #[serde(default = "default_arcface_margin")]
    pub arcface_margin: f64,
    /// Batch-norm statistics while mining.
    pub mining_mode: MiningMode,
    /// Fate of unused triplets at an epoch's end.
    pub leftover: Leftover,
    /// Rounds in a row without a triplet that end the run.
    pub max_empty_rounds: u32,

    /// How a round's triplets become steps.
    #[serde(default)]
    pub strategy: Strategy,
    /// With `one-pass`: most images that go through the network at once.
    #[serde(default = "default_chunk_size")]
    pub chunk_size: usize,
    /// With `reference`: images of a training step, three times its triplets.
    pub batch_size: usize,
    /// Optimizer steps of an epoch, exactly.
    pub epoch_size: u64,
    /// Epochs.
    pub max_nrof_epochs: u64,
    /// Update rule.
    pub optimizer: OptimizerKind,
    /// Adam's epsilon.
    pub adam_epsilon: f64,
    /// L2 decay of convolution and linear weights.
    pub weight_decay: f64,
    /// Learning rate; zero or negative reads the schedule file.
    pub learning_rate: f64,
    /// Epochs between two decays of the rate.
    pub learning_rate_decay_epochs: u64,
    /// Factor of each decay.
    pub learning_rate_decay_factor: f64,
    /// Lines `epoch: rate`.
    pub learning_rate_schedule_file: PathBuf,
    /// How the rate falls; the decay above is that of `exponential` and does nothing with others.
    #[serde(default)]
    pub learning_rate_schedule: Course,
    /// Exponent of the `polynomial` schedule.
    #[serde(default = "default_power")]
    pub learning_rate_power: f64,
    /// First steps, over which the rate rises in a line.
    #[serde(default)]
    pub warm_up_steps: u64,
    /// Largest L2 norm of the loss's gradient that a step is made with; a larger one is scaled
    /// down to it (arXiv:1211.5063). Weight decay comes after.
    #[serde(default)]
    pub clip_gradient_norm: Option<f64>,
    /// Epochs in a row without a better score that end the run.
    #[serde(default)]
    pub patience: Option<u64>,
    /// What becomes of a run whose embeddings have collapsed or are no numbers.
    #[serde(default)]
    pub on_collapse: OnCollapse,
    /// Decay of the weights' moving average, in `[0, 1)`.
    pub moving_average_decay: f64,

    /// Root of the LFW images; `None` scores nothing (or, on synthetic data, unseen identities).
    pub lfw_dir: Option<PathBuf>,
    /// Pairs file.
    pub lfw_pairs: PathBuf,
    /// Folds of the scoring protocol; `None` takes the pairs file's own, or
    /// [`DEFAULT_FOLDS`](facenet_lfw::DEFAULT_FOLDS) where it has none.
    pub lfw_nrof_folds: Option<usize>,
    /// Score only these folds of the pairs file, counted from 1.
    pub lfw_folds: Option<Vec<usize>>,
    /// Score the pairs whose images exist; the result is then not LFW.
    pub allow_missing: bool,

    /// Seed of every random draw.
    pub seed: u64,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Share of the device's memory that may be used, in `(0, 1]`.
    pub gpu_memory_fraction: f64,
    /// Threads that compute; `None` takes all that the process has. No result depends on it.
    pub threads: Option<usize>,
    /// Number format of the network's activations and their gradients; weights are f32. bf16 is
    /// for the CPU.
    #[serde(default, with = "crate::compute::named")]
    pub precision: Precision,
    /// Let 3 x 3 convolutions go by Winograd's algorithm, where that is faster: training comes as far
    /// with it (BENCHMARKS.md). Runs of before there was a choice went without.
    #[serde(default)]
    pub winograd: bool,
    /// Threads that decode images.
    pub loader_threads: usize,
    /// Parent of the run's log folder.
    pub logs_base_dir: PathBuf,
    /// Parent of the run's model folder.
    pub models_base_dir: PathBuf,
    /// Steps between checkpoints within an epoch; there is one at each epoch's end anyway.
    pub checkpoint_every: Option<u64>,
}

impl TrainConfig {
    /// Every value under its flag's name, by name, as it would be typed, or [`UNSET`]:
    /// `arguments.txt`, and what the demo prints.
    ///
    /// # Panics
    /// Never: a record of plain fields is JSON.
    pub fn arguments(&self) -> Vec<(String, String)> {
        let fields = self.fields().into_iter();
        fields.map(|(name, value)| (name, plain(&value))).collect()
    }

    /// Every value under its flag's name, by name.
    pub(crate) fn fields(&self) -> Vec<(String, serde_json::Value)> {
        // By way of text: an f32 has its own digits there, and those of an f64 in a `Value`.
        let text = serde_json::to_string(self).expect("a record of plain fields is JSON");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON, just written");
        let fields = value.as_object().expect("a struct is a JSON object");
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Names of the fields in which `other` differs from `self`, for messages.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let theirs = other.arguments();
        let pairs = self.arguments().into_iter().zip(theirs);
        pairs
            .filter(|(a, b)| a != b)
            .map(|((name, a), (_, b))| format!("{name}: {a} → {b}"))
            .collect()
    }

    /// Refuses values and combinations that cannot train, before any work is done.
    ///
    /// # Errors
    /// [`TrainError::Config`] naming the flag, what was found and what to give instead.
    pub fn validate(&self) -> Result<(), TrainError> {
        crate::validate::check(self)
    }

    /// Names of the settings that do nothing beside this loss, strategy, sampler, course of the rate
    /// and choice of statistics, and of what is no flag.
    pub fn idle_settings(&self) -> Vec<&'static str> {
        let mut idle = self.loss.idle_settings();
        idle.extend(self.strategy.idle_settings());
        idle.push("folded_bn");
        if self.sampler == Sampling::Random {
            idle.extend(["look_alike_share", "look_alike_floor"]);
        }
        if self.learning_rate_schedule != Course::Polynomial {
            idle.push("learning_rate_power");
        }
        if self.freeze_bn {
            idle.push("bn_momentum");
        }
        idle
    }

    /// The preprocessing recipe.
    pub fn recipe(&self) -> Recipe {
        Recipe {
            centre_crop: self.centre_crop,
            resize: self.resize,
            standardisation: self.standardisation,
        }
    }

    /// The training-time augmentation.
    pub fn augment(&self) -> Augment {
        Augment {
            random_crop: self.random_crop,
            random_flip: self.random_flip,
            max_rotation_degrees: if self.random_rotate {
                MAX_ROTATION_DEGREES
            } else {
                0.0
            },
        }
    }

    /// The bounds on one image.
    pub fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits {
            max_side: self.max_image_side,
            max_bytes: self.max_image_mib.saturating_mul(1 << 20),
        }
    }

    /// The network.
    pub fn model(&self) -> ModelConfig {
        ModelConfig {
            architecture: self.model_def,
            image_size: self.image_size,
            embedding_size: self.embedding_size,
            bn_momentum: self.bn_momentum,
            bn_eps: BATCH_NORM_EPS,
            keep_probability: self.keep_probability,
            has_folded_norms: self.folded_bn && !self.unfold_bn,
        }
    }

    /// Steps of the whole run: exactly epochs times epoch size.
    pub(crate) fn total_steps(&self) -> u64 {
        self.max_nrof_epochs.saturating_mul(self.epoch_size)
    }

    /// Images of a forward pass that is not differentiated: those of one that is, where they are
    /// not many.
    pub(crate) fn forward_batch(&self) -> usize {
        let images = match self.strategy {
            Strategy::OnePass => self.chunk_size,
            Strategy::Reference => self.batch_size,
        };
        images.min(MAX_FORWARD)
    }

    /// The mining rule, on the device of the run.
    pub fn miner(&self) -> MinerConfig {
        MinerConfig {
            rule: self.rule,
            margin: self.margin,
            negative: self.negative,
            only_violating: self.only_violating,
            max_triplets: self.max_triplets,
            device: self.device.parse().unwrap_or_default(),
            ..MinerConfig::default()
        }
    }

    /// The size of a round.
    pub(crate) fn sampling(&self) -> SamplerConfig {
        SamplerConfig {
            people_per_batch: self.people_per_batch,
            images_per_person: self.images_per_person,
            seed: self.seed,
        }
    }

    /// The update rule.
    pub fn optimizer(&self) -> OptimizerConfig {
        OptimizerConfig {
            kind: self.optimizer,
            adam_epsilon: self.adam_epsilon,
            weight_decay: self.weight_decay,
        }
    }
}

/// The chunk of a run that names none, and of runs from before there were chunks.
pub(crate) fn default_chunk_size() -> usize {
    MAX_FORWARD
}

/// The scale of the paper (arXiv:1801.07698, §3.1).
pub(crate) fn default_arcface_scale() -> f64 {
    64.0
}

/// The margin of the paper, in radians (arXiv:1801.07698, §3.1).
pub(crate) fn default_arcface_margin() -> f64 {
    0.5
}

/// Settings of look-alikes where none are named, and of runs from before there were any.
pub(crate) fn default_share() -> f64 {
    LookAlikeConfig::default().share
}

pub(crate) fn default_floor() -> f64 {
    LookAlikeConfig::default().floor
}

/// A straight line.
pub(crate) fn default_power() -> f64 {
    1.0
}

/// A value as a user would type it.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => UNSET.to_owned(),
        serde_json::Value::Array(values) => {
            let values: Vec<_> = values.iter().map(plain).collect();
            values.join(",")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_as_they_are_typed() {
        let config = TrainConfig {
            margin: 0.2,
            lfw_folds: Some(vec![9, 10]),
            ..TrainConfig::reference("my faces".into())
        };
        let arguments = config.arguments();
        let value = |wanted: &str| {
            let found = arguments.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(value("margin"), Some("0.2"));
        assert_eq!(value("lfw_folds"), Some("9,10"));
        assert_eq!(value("data_dir"), Some("my faces"));
        assert_eq!(value("resize"), Some(UNSET));
        assert_eq!(value("random_crop"), Some("false"));
    }
}
