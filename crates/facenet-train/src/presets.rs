//! Settings of whole runs: the reference's, ours, and a few that were measured.

use std::path::PathBuf;

use facenet_dataset::{DecodeLimits, Standardisation};
use facenet_miner::{MinerConfig, Rule};
use facenet_model::{Architecture, Precision};

use crate::config::{
    Leftover, MiningMode, TrainConfig, default_arcface_margin, default_arcface_scale,
    default_chunk_size, default_floor, default_power, default_share,
};
use crate::loss::Loss;
use crate::optimizer::OptimizerKind;
use crate::rollback::OnCollapse;
use crate::rounds::Sampling;
use crate::schedule::Course;
use crate::strategy::Strategy;

impl TrainConfig {
    /// The reference script's defaults (davidsandberg/facenet `train_tripletloss.py`).
    pub fn reference(data_dir: PathBuf) -> Self {
        let miner = MinerConfig::default();
        let limits = DecodeLimits::default();
        Self {
            data_dir: Some(data_dir),
            synthetic_identities: 0,
            synthetic_images: 0,
            synthetic_test_identities: 0,
            train_people: None,
            exclude_people: None,
            max_bad_share: 0.01,
            max_image_side: limits.max_side,
            max_image_mib: limits.max_bytes >> 20,
            centre_crop: None,
            resize: None,
            standardisation: Standardisation::PerImage,
            image_size: 160,
            random_crop: false,
            random_flip: false,
            random_rotate: false,
            model_def: Architecture::InceptionResnetV1,
            embedding_size: 128,
            keep_probability: 1.0,
            bn_momentum: 0.1,
            pretrained_model: None,
            freeze_bn: false,
            unfold_bn: false,
            folded_bn: false,
            people_per_batch: 45,
            images_per_person: 40,
            sampler: Sampling::Random,
            look_alike_share: default_share(),
            look_alike_floor: default_floor(),
            rule: miner.rule,
            negative: miner.negative,
            only_violating: miner.only_violating,
            max_triplets: miner.max_triplets,
            margin: miner.margin,
            loss: Loss::Triplet,
            arcface_scale: default_arcface_scale(),
            arcface_margin: default_arcface_margin(),
            mining_mode: MiningMode::Eval,
            leftover: Leftover::Drop,
            max_empty_rounds: 10,
            strategy: Strategy::Reference,
            chunk_size: default_chunk_size(),
            batch_size: 90,
            epoch_size: 1000,
            max_nrof_epochs: 500,
            optimizer: OptimizerKind::Adagrad,
            adam_epsilon: 0.1,
            weight_decay: 0.0,
            learning_rate: 0.1,
            learning_rate_decay_epochs: 100,
            learning_rate_decay_factor: 1.0,
            learning_rate_schedule_file: PathBuf::from("data/learning_rate_schedule.txt"),
            learning_rate_schedule: Course::Exponential,
            learning_rate_power: default_power(),
            warm_up_steps: 0,
            clip_gradient_norm: None,
            patience: None,
            on_collapse: OnCollapse::Stop,
            moving_average_decay: 0.9999,
            lfw_dir: None,
            lfw_pairs: PathBuf::from("data/pairs.txt"),
            lfw_nrof_folds: None,
            lfw_folds: None,
            allow_missing: false,
            seed: 666,
            device: "cpu".to_owned(),
            gpu_memory_fraction: 1.0,
            threads: None,
            precision: Precision::F32,
            winograd: true,
            loader_threads: 4,
            logs_base_dir: PathBuf::from("~/logs/facenet"),
            models_base_dir: PathBuf::from("~/models/facenet"),
            checkpoint_every: None,
        }
    }

    /// The reference's settings, and of those that it lacks what came furthest in equal time
    /// (BENCHMARKS.md): a step a round. Precision is the caller's to choose:
    /// [`fastest_precision`](crate::fastest_precision).
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            strategy: Strategy::OnePass,
            ..Self::reference(data_dir)
        }
    }

    /// A run of about two minutes on two cores: synthetic identities, the small network.
    pub fn demo() -> Self {
        Self {
            data_dir: None,
            synthetic_identities: 1000,
            synthetic_images: 12,
            synthetic_test_identities: 100,
            image_size: 32,
            random_flip: true,
            model_def: Architecture::MobileFaceNet,
            people_per_batch: 16,
            images_per_person: 4,
            // With `reference` too a round is one step: 64 images give at most 192 pairs x 60 negatives.
            rule: Rule::BatchAll,
            only_violating: true,
            batch_size: 3 * 192 * 60,
            epoch_size: 55,
            max_nrof_epochs: 3,
            optimizer: OptimizerKind::Adam,
            adam_epsilon: 1e-3,
            learning_rate: 4e-3,
            learning_rate_decay_epochs: 1,
            learning_rate_decay_factor: 0.45,
            moving_average_decay: 0.95,
            logs_base_dir: PathBuf::from("logs"),
            models_base_dir: PathBuf::from("models"),
            ..Self::new(PathBuf::new())
        }
    }

    /// The small network on 48 pixels of LFW's frames: the settings of BENCHMARKS.md's runs in equal
    /// time, with a cosine in place of their file of rates, and for longer.
    pub fn lfw(data_dir: PathBuf) -> Self {
        Self {
            centre_crop: Some(150),
            resize: Some(56),
            standardisation: Standardisation::Fixed,
            image_size: 48,
            random_crop: true,
            random_flip: true,
            model_def: Architecture::MobileFaceNet,
            people_per_batch: 24,
            images_per_person: 4,
            epoch_size: 100,
            max_nrof_epochs: 60,
            optimizer: OptimizerKind::Adam,
            adam_epsilon: 1e-3,
            weight_decay: 1e-4,
            learning_rate: 3e-3,
            learning_rate_schedule: Course::Cosine,
            moving_average_decay: 0.98,
            ..Self::new(data_dir)
        }
    }
}
