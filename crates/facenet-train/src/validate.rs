//! Checks of a [`TrainConfig`] that need neither files nor a model.

use std::f64::consts::FRAC_PI_2;

use crate::compute::check_arithmetic;
use crate::config::{MiningMode, TrainConfig};
use crate::error::TrainError;
use crate::rounds::Sampling;
use crate::source::FIRST_TEST_IDENTITY;
use crate::strategy::Strategy;

/// Most images of a step or a round: their embeddings alone would fill a large machine.
const MAX_COUNT: u64 = 1 << 24;
/// Fewest images of a chunk: in even parts of three or fewer each has two, which batch statistics
/// need.
const MIN_CHUNK: usize = 3;
/// Most unseen synthetic identities: the names of their pictures are held in memory.
const MAX_TESTED: u64 = 1 << 14;
/// Most pictures of a synthetic identity.
const MAX_SYNTHETIC_IMAGES: u64 = 1 << 10;

/// A flag, whether its value is fine, and what is expected and to be done otherwise.
type Check = (&'static str, bool, String);

/// Returns the first check that fails as an error.
pub(crate) fn check(config: &TrainConfig) -> Result<(), TrainError> {
    let groups = [
        sizes(config),
        beside_classifier(config),
        norms(config),
        bounds(config),
        shares(config),
        rates(config),
        course(config),
        data(config),
    ];
    check_arithmetic(config.arithmetic(), &config.device)?;
    let failed = groups.into_iter().flatten().find(|(_, holds, _)| !holds);
    failed.map_or(Ok(()), |(flag, _, problem)| {
        Err(TrainError::config(flag, problem))
    })
}

fn sizes(config: &TrainConfig) -> Vec<Check> {
    let batch = config.batch_size;
    let least = |value: usize, least: usize| format!("found {value}, expected at least {least}");
    vec![
        (
            "--batch-size",
            batch >= 3 && batch.is_multiple_of(3),
            format!(
                "found {batch}, expected a multiple of 3 (anchor, positive, negative); \
                 give {} or {}",
                (batch / 3 * 3).max(3),
                (batch / 3 * 3).saturating_add(3)
            ),
        ),
        (
            "--chunk-size",
            config.chunk_size >= MIN_CHUNK,
            least(config.chunk_size, MIN_CHUNK),
        ),
        (
            "--people-per-batch",
            config.people_per_batch >= 2,
            least(config.people_per_batch, 2),
        ),
        (
            "--images-per-person",
            config.images_per_person >= 2,
            least(config.images_per_person, 2),
        ),
        (
            "--epoch-size",
            config.epoch_size >= 1,
            least(config.epoch_size as usize, 1),
        ),
        (
            "--max-nrof-epochs",
            config.max_nrof_epochs >= 1,
            least(config.max_nrof_epochs as usize, 1),
        ),
        (
            "--embedding-size",
            config.embedding_size >= 1,
            least(config.embedding_size, 1),
        ),
        (
            "--lfw-nrof-folds",
            config.lfw_nrof_folds.is_none_or(|n_folds| n_folds >= 2),
            least(config.lfw_nrof_folds.unwrap_or(0), 2),
        ),
        (
            "--max-empty-rounds",
            config.max_empty_rounds >= 1,
            least(0, 1),
        ),
        (
            "--checkpoint-every",
            config.checkpoint_every != Some(0),
            least(0, 1),
        ),
        ("--loader-threads", config.loader_threads >= 1, least(0, 1)),
        ("--centre-crop", config.centre_crop != Some(0), least(0, 1)),
        ("--resize", config.resize != Some(0), least(0, 1)),
        (
            "--random-crop",
            !config.random_crop || recipe_side(config).is_none_or(|side| side >= config.image_size),
            no_room(config),
        ),
    ]
}

/// What a loss with a classifier leaves no choice in.
fn beside_classifier(config: &TrainConfig) -> Vec<Check> {
    vec![
        (
            "--strategy",
            !config.loss.has_head() || config.strategy == Strategy::OnePass,
            format!(
                "found reference beside --loss {}, which mines nothing: a round is a step; give \
                 one-pass",
                config.loss.name()
            ),
        ),
        (
            "--sampler",
            !config.loss.has_head() || config.sampler == Sampling::Random,
            format!(
                "found look-alike beside --loss {}, which learns no one's looks; give random",
                config.loss.name()
            ),
        ),
    ]
}

/// What batch norms go by.
fn norms(config: &TrainConfig) -> Vec<Check> {
    let (is_frozen, is_unfolded) = (config.freeze_bn, config.unfold_bn);
    let has_model = config.pretrained_model.is_some();
    let without =
        |what: &str| format!("there is no --pretrained-model {what}; give one, or drop the flag");
    vec![
        (
            "--unfold-bn",
            !(is_frozen && is_unfolded),
            "found beside --freeze-bn: norms are given statistics to train with, or keep those \
             they have; drop one of the two"
                .to_owned(),
        ),
        (
            "--freeze-bn",
            !is_frozen || has_model,
            without("whose statistics could be kept"),
        ),
        (
            "--unfold-bn",
            !is_unfolded || has_model,
            without("whose norms could be unfolded"),
        ),
        (
            "--unfold-bn",
            !is_unfolded || config.folded_bn,
            "the batch norms of --pretrained-model are not folded; drop the flag".to_owned(),
        ),
        (
            "--freeze-bn",
            !config.folded_bn || is_frozen || is_unfolded,
            "found false, but the batch norms of --pretrained-model are folded and have no \
             statistics of data to go on from; drop it, or give --unfold-bn"
                .to_owned(),
        ),
        (
            "--mining-mode",
            !is_frozen || config.mining_mode == MiningMode::Eval,
            "found train beside --freeze-bn, which leaves batch norms no statistics of a batch; \
             give eval"
                .to_owned(),
        ),
    ]
}

/// The side that the recipe gives every image that is not smaller before, if it gives one.
fn recipe_side(config: &TrainConfig) -> Option<usize> {
    let side = config.resize.or(config.centre_crop)?;
    Some(side as usize)
}

fn no_room(config: &TrainConfig) -> String {
    let (made, flag) = match config.resize {
        Some(_) => ("resized", "--resize"),
        None => ("cropped", "--centre-crop"),
    };
    format!(
        "cannot cut {0} x {0} pixels out of images {made} to {1}; raise {flag} above --image-size \
         or drop --random-crop",
        config.image_size,
        recipe_side(config).unwrap_or(0)
    )
}

/// Numbers so large that memory would end before training begins.
fn bounds(config: &TrainConfig) -> Vec<Check> {
    let most = |flag, value: u64, most: u64| -> Check {
        let problem = format!("found {value}, expected at most {most}");
        (flag, value <= most, problem)
    };
    let identities = u64::from(config.synthetic_identities);
    let tested = u64::from(config.synthetic_test_identities);
    let images = u64::from(config.synthetic_images);
    vec![
        most("--chunk-size", config.chunk_size as u64, MAX_COUNT),
        most("--batch-size", config.batch_size as u64, MAX_COUNT),
        most(
            "--people-per-batch",
            config.people_per_batch as u64,
            MAX_COUNT,
        ),
        most(
            "--images-per-person",
            config.images_per_person as u64,
            MAX_COUNT,
        ),
        most(
            "--synthetic-identities",
            identities,
            u64::from(FIRST_TEST_IDENTITY),
        ),
        most("--synthetic-test-identities", tested, MAX_TESTED),
        most("--synthetic-images", images, MAX_SYNTHETIC_IMAGES),
    ]
}

fn shares(config: &TrainConfig) -> Vec<Check> {
    let share = |value: f64| format!("found {value}, expected a share above 0 and up to 1");
    let positive_share = |value: f64| value > 0.0 && value <= 1.0;
    vec![
        (
            "--keep-probability",
            positive_share(config.keep_probability),
            share(config.keep_probability),
        ),
        (
            "--bn-momentum",
            positive_share(config.bn_momentum),
            share(config.bn_momentum),
        ),
        (
            "--gpu-memory-fraction",
            positive_share(config.gpu_memory_fraction),
            share(config.gpu_memory_fraction),
        ),
        (
            "--moving-average-decay",
            (0.0..1.0).contains(&config.moving_average_decay),
            format!(
                "found {}, expected at least 0 and below 1",
                config.moving_average_decay
            ),
        ),
        (
            "--max-bad-share",
            (0.0..=1.0).contains(&config.max_bad_share),
            format!("found {}, expected from 0 to 1", config.max_bad_share),
        ),
    ]
}

fn rates(config: &TrainConfig) -> Vec<Check> {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let above_zero = |value: f64| format!("found {value}, expected a finite number above 0");
    let (share, floor) = (config.look_alike_share, config.look_alike_floor);
    vec![
        (
            "--look-alike-share",
            (0.0..1.0).contains(&share),
            format!("found {share}, expected a share from 0, below 1"),
        ),
        (
            "--look-alike-floor",
            (0.0..=4.0).contains(&floor),
            format!("found {floor}, expected a squared L2 from 0 to 4"),
        ),
        (
            "--margin",
            positive(f64::from(config.margin)),
            above_zero(f64::from(config.margin)),
        ),
        (
            "--arcface-scale",
            positive(config.arcface_scale),
            above_zero(config.arcface_scale),
        ),
        (
            "--arcface-margin",
            (0.0..=FRAC_PI_2).contains(&config.arcface_margin),
            format!(
                "found {}, expected an angle from 0 to pi / 2",
                config.arcface_margin
            ),
        ),
        (
            "--adam-epsilon",
            positive(config.adam_epsilon),
            above_zero(config.adam_epsilon),
        ),
        (
            "--learning-rate",
            config.learning_rate.is_finite(),
            format!("found {}, expected a finite number", config.learning_rate),
        ),
        (
            "--learning-rate-decay-epochs",
            config.learning_rate_decay_epochs >= 1,
            "found 0, expected at least 1; a factor of 1 means no decay".to_owned(),
        ),
        (
            "--learning-rate-decay-factor",
            positive(config.learning_rate_decay_factor),
            above_zero(config.learning_rate_decay_factor),
        ),
        (
            "--weight-decay",
            config.weight_decay.is_finite() && config.weight_decay >= 0.0,
            format!("found {}, expected 0 or more", config.weight_decay),
        ),
    ]
}

/// How the rate goes and what a step or a run is cut off by.
fn course(config: &TrainConfig) -> Vec<Check> {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let above_zero = |value: f64| format!("found {value}, expected a finite number above 0");
    let total = config.total_steps();
    vec![
        (
            "--learning-rate-power",
            positive(config.learning_rate_power),
            above_zero(config.learning_rate_power),
        ),
        (
            "--warm-up-steps",
            config.warm_up_steps == 0 || config.warm_up_steps < total,
            format!(
                "found {}, expected fewer than the {total} steps of the run; lower it, or raise \
                 --max-nrof-epochs",
                config.warm_up_steps
            ),
        ),
        (
            "--clip-gradient-norm",
            config.clip_gradient_norm.is_none_or(positive),
            above_zero(config.clip_gradient_norm.unwrap_or(0.0)),
        ),
        (
            "--patience",
            config.patience != Some(0),
            "found 0, expected at least 1; drop the flag to train all epochs".to_owned(),
        ),
    ]
}

fn data(config: &TrainConfig) -> Vec<Check> {
    let synthetic = config.data_dir.is_none();
    vec![
        (
            "--synthetic-identities",
            !synthetic || config.synthetic_identities >= 2,
            format!("found {}, expected at least 2", config.synthetic_identities),
        ),
        (
            "--synthetic-images",
            !synthetic || config.synthetic_images >= 2,
            format!("found {}, expected at least 2", config.synthetic_images),
        ),
        (
            "--train-people",
            !synthetic || (config.train_people.is_none() && config.exclude_people.is_none()),
            "names people, but there is no --data-dir to find them in; give one".to_owned(),
        ),
        (
            "--lfw-folds",
            config
                .lfw_folds
                .as_ref()
                .is_none_or(|folds| !folds.is_empty() && !folds.contains(&0)),
            "folds are counted from 1; give for example --lfw-folds 9,10".to_owned(),
        ),
        (
            "--lfw-folds",
            config.lfw_folds.is_none() || config.lfw_dir.is_some(),
            "there is no --lfw-dir to take folds from; give one".to_owned(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut TrainConfig), expected: &str) {
        let mut config = TrainConfig::demo();
        change(&mut config);
        let message = config
            .validate()
            .expect_err("this cannot train")
            .to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }

    #[test]
    fn presets_pass() {
        TrainConfig::demo().validate().expect("the demo trains");
        TrainConfig::reference("data".into())
            .validate()
            .expect("the reference trains");
    }

    #[test]
    fn a_batch_holds_whole_triplets() {
        check_refused(
            |c| c.batch_size = 91,
            "--batch-size: found 91, expected a multiple of 3",
        );
        check_refused(|c| c.batch_size = 91, "give 90 or 93");
        check_refused(|c| c.batch_size = 0, "give 3 or 3");
    }

    #[test]
    fn a_chunk_has_batch_statistics() {
        check_refused(
            |c| c.chunk_size = 2,
            "--chunk-size: found 2, expected at least 3",
        );
        check_refused(|c| c.chunk_size = usize::MAX, "--chunk-size");
    }

    #[test]
    fn what_no_memory_holds_is_refused() {
        check_refused(|c| c.batch_size = usize::MAX, "expected at most 16777216");
        check_refused(|c| c.people_per_batch = usize::MAX, "--people-per-batch");
        check_refused(|c| c.synthetic_images = u32::MAX, "expected at most 1024");
        check_refused(|c| c.synthetic_identities = u32::MAX, "1048576");
        check_refused(|c| c.synthetic_test_identities = u32::MAX, "16384");
    }

    #[test]
    fn a_triplet_needs_two_people_and_two_images() {
        check_refused(|c| c.people_per_batch = 1, "--people-per-batch: found 1");
        check_refused(|c| c.images_per_person = 1, "--images-per-person: found 1");
    }

    #[test]
    fn numbers_are_finite_and_in_range() {
        check_refused(|c| c.margin = f32::NAN, "--margin");
        check_refused(|c| c.keep_probability = 0.0, "--keep-probability");
        check_refused(|c| c.moving_average_decay = 1.0, "--moving-average-decay");
        check_refused(|c| c.learning_rate = f64::INFINITY, "--learning-rate");
        check_refused(|c| c.bn_momentum = 1.5, "--bn-momentum");
        check_refused(|c| c.arcface_scale = 0.0, "--arcface-scale: found 0");
        check_refused(|c| c.arcface_margin = 1.6, "--arcface-margin: found 1.6");
        check_refused(|c| c.arcface_margin = f64::NAN, "--arcface-margin");
    }

    #[test]
    fn norms_go_by_one_thing() {
        let pretrained = |c: &mut TrainConfig| c.pretrained_model = Some("m".into());
        check_refused(|c| c.freeze_bn = true, "--freeze-bn: there is no --pretr");
        check_refused(|c| c.unfold_bn = true, "--unfold-bn: there is no --pretr");
        check_refused(
            |c| {
                pretrained(c);
                (c.folded_bn, c.freeze_bn, c.unfold_bn) = (true, true, true);
            },
            "--unfold-bn: found beside --freeze-bn",
        );
        check_refused(
            |c| {
                pretrained(c);
                c.unfold_bn = true;
            },
            "--unfold-bn: the batch norms of --pretrained-model are not folded",
        );
        check_refused(
            |c| {
                pretrained(c);
                c.folded_bn = true;
            },
            "--freeze-bn: found false, but",
        );
        check_refused(
            |c| {
                pretrained(c);
                c.freeze_bn = true;
                c.mining_mode = MiningMode::Train;
            },
            "--mining-mode: found train beside --freeze-bn",
        );
        for (folded_bn, freeze_bn, unfold_bn) in [
            (true, true, false),
            (true, false, true),
            (false, true, false),
        ] {
            let config = TrainConfig {
                pretrained_model: Some("m".into()),
                folded_bn,
                freeze_bn,
                unfold_bn,
                ..TrainConfig::demo()
            };
            config.validate().expect("this can train");
            assert_eq!(config.model().has_folded_norms, folded_bn && !unfold_bn);
        }
    }

    #[test]
    fn courses_and_limits_are_in_range() {
        check_refused(|c| c.learning_rate_power = 0.0, "--learning-rate-power");
        check_refused(
            |c| c.warm_up_steps = c.total_steps(),
            "--warm-up-steps: found 165, expected fewer than the 165 steps of the run",
        );
        check_refused(
            |c| c.clip_gradient_norm = Some(0.0),
            "--clip-gradient-norm: found 0",
        );
        check_refused(|c| c.clip_gradient_norm = Some(f64::NAN), "found NaN");
        check_refused(|c| c.patience = Some(0), "--patience: found 0");
    }

    #[test]
    fn combinations_without_sense_are_refused() {
        check_refused(
            |c| {
                c.loss = crate::loss::Loss::Softmax;
                c.strategy = Strategy::Reference;
            },
            "--strategy: found reference beside --loss softmax",
        );
        check_refused(
            |c| {
                c.loss = crate::loss::Loss::Softmax;
                c.strategy = Strategy::OnePass;
                c.sampler = Sampling::LookAlike;
            },
            "--sampler: found look-alike beside --loss softmax",
        );
        check_refused(
            |c| c.train_people = Some("people.txt:1-8".to_owned()),
            "--data-dir",
        );
        check_refused(|c| c.lfw_folds = Some(vec![1]), "--lfw-dir");
        check_refused(
            |c| {
                c.random_crop = true;
                c.resize = Some(30);
            },
            "cannot cut 32 x 32 pixels out of images resized to 30",
        );
        check_refused(
            |c| {
                c.random_crop = true;
                c.centre_crop = Some(31);
            },
            "cannot cut 32 x 32 pixels out of images cropped to 31; raise --centre-crop",
        );
    }
}
