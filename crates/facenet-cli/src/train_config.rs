//! From `train`'s flags to a configuration: presets, explicit flags, the pretrained model.

use std::ffi::OsString;
use std::path::PathBuf;

use facenet_train::dataset::Recipe;
use facenet_train::{Strategy, TrainConfig, fastest_precision};

use crate::args::{RecipeArgs, TrainArgs};
use crate::failure::Failure;
use crate::idle::check_idle;
use crate::loss::check_loss;
use crate::strategy::strategy;
use crate::values::expand;

/// Sets each named field that was given.
macro_rules! take_given {
    ($from:expr => $into:expr; $($field:ident),* $(,)?) => {
        $(if let Some(value) = $from.$field.clone() { $into.$field = value; })*
    };
}

/// Sets each named field, itself optional, that was given.
macro_rules! take_given_some {
    ($from:expr => $into:expr; $($field:ident),* $(,)?) => {
        $(if $from.$field.is_some() { $into.$field.clone_from(&$from.$field); })*
    };
}

/// The configuration that the flags ask for: with `--data-dir` a preset's, the demo's without, and
/// explicit flags over either.
pub(crate) fn train_config(args: &TrainArgs) -> Result<TrainConfig, Failure> {
    let strategy = strategy(args)?;
    let mut config = match &args.data_dir {
        Some(data_dir) => args.preset.of(data_dir.clone()),
        None => TrainConfig::demo(),
    };
    config.strategy = strategy;
    apply_explicit(args, &mut config);
    if takes_fastest(args, strategy) {
        config.precision = fastest_precision(&config.device);
    }
    check_loss(args, config.loss)?;
    check_idle(args, &config)?;
    refuse_both_sources(args)?;
    apply_recipe(&args.recipe, &mut config)?;
    apply_scoring(args, &mut config);
    for base in [&mut config.logs_base_dir, &mut config.models_base_dir] {
        *base = expand(&base.to_string_lossy(), std::env::home_dir());
    }
    Ok(config)
}

/// Whether the precision is left to us: not that of the demo, nor of the reference's strategy, which
/// are to be the same on every machine.
fn takes_fastest(args: &TrainArgs, strategy: Strategy) -> bool {
    let is_ours = args.data_dir.is_some() && strategy == Strategy::OnePass;
    is_ours && args.compute.precision.is_none()
}

/// Refuses drawn identities beside a folder of real ones: no run has both.
fn refuse_both_sources(args: &TrainArgs) -> Result<(), Failure> {
    let synthetic = [
        ("synthetic-identities", args.synthetic_identities),
        ("synthetic-images", args.synthetic_images),
        ("synthetic-test-identities", args.synthetic_test_identities),
    ];
    match synthetic.iter().find(|(_, value)| value.is_some()) {
        Some((flag, _)) if args.data_dir.is_some() => Err(Failure::usage(format!(
            "--{flag}: --data-dir trains on images of its own; drop one of the two"
        ))),
        _ => Ok(()),
    }
}

fn apply_explicit(args: &TrainArgs, config: &mut TrainConfig) {
    take_given!(args => config;
        synthetic_identities, synthetic_images, synthetic_test_identities, max_bad_share,
        image_size, random_crop, random_flip, random_rotate,
        model_def, embedding_size, keep_probability, bn_momentum, people_per_batch,
        images_per_person, rule, negative, only_violating, max_triplets, mining_mode,
        leftover, max_empty_rounds, chunk_size, batch_size, epoch_size, max_nrof_epochs, optimizer,
        adam_epsilon, learning_rate, learning_rate_decay_epochs, learning_rate_decay_factor,
        learning_rate_schedule_file, weight_decay, moving_average_decay, seed,
        allow_missing, device, gpu_memory_fraction, loader_threads, logs_base_dir,
        models_base_dir,
    );
    take_given_some!(args => config;
        train_people, exclude_people, pretrained_model, checkpoint_every, lfw_nrof_folds,
    );
    take_given!(args.norms => config; freeze_bn, unfold_bn);
    take_given!(args.sampling => config; sampler, look_alike_share, look_alike_floor);
    take_given!(args.loss => config; loss, margin, arcface_scale, arcface_margin);
    take_given!(args.compute => config; precision, winograd);
    take_given!(args.course => config;
        learning_rate_schedule, learning_rate_power, warm_up_steps, on_collapse,
    );
    take_given_some!(args.course => config; clip_gradient_norm, patience);
    take_given_some!(args.compute => config; threads);
    config.max_image_side = args.limits.max_image_side;
    config.max_image_mib = args.limits.max_image_mib;
}

/// Takes the recipe: a name or a file, or the parts that were given.
fn apply_recipe(args: &RecipeArgs, config: &mut TrainConfig) -> Result<(), Failure> {
    if let Some(recipe) = explicit_recipe(args, &config.recipe())? {
        config.centre_crop = recipe.centre_crop;
        config.resize = recipe.resize;
        config.standardisation = recipe.standardisation;
    }
    Ok(())
}

/// The recipe that was asked for, missing parts taken from `base`; `None` where none was.
pub(crate) fn explicit_recipe(args: &RecipeArgs, base: &Recipe) -> Result<Option<Recipe>, Failure> {
    if let Some(name) = &args.recipe {
        let recipe = Recipe::from_name_or_file(name).map_err(facenet_train::TrainError::from)?;
        return Ok(Some(recipe));
    }
    let parts = (args.centre_crop, args.resize, args.standardisation);
    if parts == (None, None, None) {
        return Ok(None);
    }
    let mut recipe = base.clone();
    take_given_some!(args => recipe; centre_crop, resize);
    take_given!(args => recipe; standardisation);
    let origin = "--centre-crop, --resize";
    recipe
        .check(origin)
        .map_err(facenet_train::TrainError::from)?;
    Ok(Some(recipe))
}

/// The configuration of a run that goes on, with the flags that were given.
///
/// - `given`: names of the flags on the command line
pub(crate) fn overlaid(
    args: &TrainArgs,
    given: &[String],
    stored: &TrainConfig,
) -> Result<TrainConfig, Failure> {
    let is_given = |name: &str| given.iter().any(|flag| flag == name);
    let mut config = stored.clone();
    apply_explicit(args, &mut config);
    // These have defaults of their own.
    if !is_given("max-image-side") {
        config.max_image_side = stored.max_image_side;
    }
    if !is_given("max-image-mib") {
        config.max_image_mib = stored.max_image_mib;
    }
    take_given!(args => config; strategy);
    if args.data_dir.is_some() {
        config.data_dir.clone_from(&args.data_dir);
    }
    apply_recipe(&args.recipe, &mut config)?;
    if args.lfw_dir.is_some() {
        apply_scoring(args, &mut config);
    }
    take_given!(args => config; lfw_pairs);
    if let Some(folds) = &args.lfw_folds {
        config.lfw_folds = Some(folds.0.clone());
    }
    Ok(config)
}

/// `--lfw-dir ''` is none; without `--lfw-pairs`, the folder's own `pairs.txt` is preferred to
/// the reference's default where it exists.
fn apply_scoring(args: &TrainArgs, config: &mut TrainConfig) {
    let dir = args.lfw_dir.as_deref().filter(|dir| !dir.is_empty());
    config.lfw_dir = dir.map(|dir| expand(dir, std::env::home_dir()));
    config.lfw_folds = args.lfw_folds.clone().map(|folds| folds.0);
    config.lfw_pairs = pairs_file(args.lfw_pairs.as_ref(), config);
}

fn pairs_file(given: Option<&PathBuf>, config: &TrainConfig) -> PathBuf {
    if let Some(given) = given {
        return given.clone();
    }
    let beside = config.lfw_dir.as_ref().map(|dir| dir.join("pairs.txt"));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| config.lfw_pairs.clone())
}

/// Names of the flags on the command line, without dashes in front and with aliases resolved.
pub(crate) fn explicit_flags(arguments: &[OsString]) -> Vec<String> {
    let flags = arguments
        .iter()
        .filter_map(|argument| argument.to_str()?.strip_prefix("--"));
    let name = |flag: &str| match flag.split('=').next().unwrap_or_default() {
        "alpha" => "margin".to_owned(),
        "pairs" => "lfw-pairs".to_owned(),
        "nrof-folds" => "lfw-nrof-folds".to_owned(),
        name => name.to_owned(),
    };
    flags
        .take_while(|flag| !flag.is_empty())
        .map(name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use facenet_train::model::Precision;
    use facenet_train::{Loss, MiningMode, OptimizerKind};

    fn config_of(line: &str) -> TrainConfig {
        let words = std::iter::once("facenet").chain(line.split_whitespace());
        let arguments = crate::values::with_dashes(words.map(OsString::from));
        let cli = Cli::try_parse_from(arguments).expect("a command line that is understood");
        let Command::Train(args) = cli.command else {
            panic!("expected train, found another")
        };
        train_config(&args).expect("no files are named")
    }

    /// All 28 flags of the reference, as its users type them.
    const REFERENCE: &str = "train --logs_base_dir L --models_base_dir M \
        --gpu_memory_fraction 0.7 --pretrained_model P --data_dir D \
        --model_def models.inception_resnet_v1 --max_nrof_epochs 7 --batch_size 30 \
        --image_size 96 --people_per_batch 15 --images_per_person 6 --epoch_size 200 \
        --alpha 0.3 --embedding_size 64 --random_crop --random_flip --keep_probability 0.8 \
        --weight_decay 1e-4 --optimizer RMSPROP --learning_rate -1 \
        --learning_rate_decay_epochs 4 --learning_rate_decay_factor 0.98 \
        --moving_average_decay 0.99 --seed 1 --learning_rate_schedule_file S \
        --lfw_pairs Q --lfw_dir W --lfw_nrof_folds 5";

    #[test]
    fn a_command_line_of_the_reference_pastes() {
        let config = config_of(REFERENCE);
        let expected = TrainConfig {
            logs_base_dir: "L".into(),
            models_base_dir: "M".into(),
            gpu_memory_fraction: 0.7,
            pretrained_model: Some("P".into()),
            max_nrof_epochs: 7,
            batch_size: 30,
            image_size: 96,
            people_per_batch: 15,
            images_per_person: 6,
            epoch_size: 200,
            margin: 0.3,
            embedding_size: 64,
            random_crop: true,
            random_flip: true,
            keep_probability: 0.8,
            weight_decay: 1e-4,
            optimizer: OptimizerKind::RmsProp,
            learning_rate: -1.0,
            learning_rate_decay_epochs: 4,
            learning_rate_decay_factor: 0.98,
            moving_average_decay: 0.99,
            seed: 1,
            learning_rate_schedule_file: "S".into(),
            lfw_pairs: "Q".into(),
            lfw_dir: Some("W".into()),
            lfw_nrof_folds: Some(5),
            ..TrainConfig::reference("D".into())
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn a_loss_with_a_classifier_takes_a_step_a_round() {
        for (line, loss) in [("softmax", Loss::Softmax), ("arcface", Loss::Arcface)] {
            let expected = TrainConfig {
                loss,
                strategy: Strategy::OnePass,
                ..TrainConfig::demo()
            };
            assert_eq!(config_of(&format!("train --loss {line}")), expected);
        }
        let config = config_of("train --loss arcface --arcface-scale 30 --arcface-margin 0.3");
        assert_eq!((config.arcface_scale, config.arcface_margin), (30.0, 0.3));
    }

    #[test]
    fn without_a_folder_the_demo_applies_and_flags_beat_it() {
        assert_eq!(config_of("train"), TrainConfig::demo());
        let changed = config_of("train --epoch-size 2 --random-flip=false --patience 3");
        let expected = TrainConfig {
            epoch_size: 2,
            random_flip: false,
            patience: Some(3),
            ..TrainConfig::demo()
        };
        assert_eq!(changed, expected);
    }

    #[test]
    fn with_a_folder_a_step_is_a_round_unless_a_batch_is_asked_for() {
        let config = config_of("train --data-dir D");
        assert_eq!(config.strategy, Strategy::OnePass);
        assert_eq!(config.precision, fastest_precision("cpu"));
        let config = config_of("train --data-dir D --batch-size 90 --mining-mode train");
        assert_eq!((config.batch_size, config.image_size), (90, 160));
        assert_eq!(config.mining_mode, MiningMode::Train);
        assert_eq!(config.strategy, Strategy::Reference);
        assert_eq!(config.precision, Precision::F32);
        assert_eq!(config.rule.to_string(), "violating");
        let home = |path| expand(path, std::env::home_dir());
        assert_eq!(config.logs_base_dir, home("~/logs/facenet"));
        assert_eq!(config.models_base_dir, home("~/models/facenet"));
    }

    #[test]
    fn a_switch_alone_is_on_and_its_value_stands_behind_an_equals_sign() {
        let switches = [
            "--random-crop",
            "--random-flip",
            "--random-rotate",
            "--only-violating",
            "--allow-missing",
        ];
        let values = |suffix: &str| {
            let flags = switches.map(|switch| format!("{switch}{suffix}"));
            let config = config_of(&format!("train --data-dir D {}", flags.join(" ")));
            [
                config.random_crop,
                config.random_flip,
                config.random_rotate,
                config.only_violating,
                config.allow_missing,
            ]
        };
        assert_eq!(values(""), [true; 5]);
        assert_eq!(values("=true"), [true; 5]);
        assert_eq!(values("=false"), [false; 5]);
        for switch in switches {
            let words = ["facenet", "train", switch, "false"];
            assert!(Cli::try_parse_from(words).is_err(), "{switch} false");
        }
    }

    #[test]
    fn an_empty_lfw_folder_is_none() {
        let cli = Cli::try_parse_from(["facenet", "train", "--lfw-dir", ""]).expect("understood");
        let Command::Train(args) = cli.command else {
            panic!("expected train, found another")
        };
        assert_eq!(
            train_config(&args).expect("no files are named").lfw_dir,
            None
        );
    }

    #[test]
    fn recipes_are_named_or_given_by_parts() {
        let config = config_of("train --data-dir D --recipe facenet-fixed-160");
        assert_eq!((config.centre_crop, config.resize), (Some(150), Some(160)));
        let config = config_of("train --data-dir D --centre-crop 150 --standardisation fixed");
        assert_eq!((config.centre_crop, config.resize), (Some(150), None));
    }

    #[test]
    fn drawn_identities_beside_a_folder_are_refused_and_settings_of_a_preset_are_not() {
        let refused = |line: &str| {
            let words = std::iter::once("facenet").chain(line.split_whitespace());
            let cli = Cli::try_parse_from(words).expect("understood");
            let Command::Train(args) = cli.command else {
                panic!("expected train, found another")
            };
            train_config(&args).is_err()
        };
        assert!(refused("train --data-dir D --synthetic-images 3"));
        for line in [
            "train --rule violating --only-violating",
            "train --optimizer MOM --adam-epsilon 0.1",
            "train --synthetic-images 3",
        ] {
            assert!(!refused(line), "{line}");
        }
    }

    #[test]
    fn explicit_flags_are_found_under_their_own_names() {
        let words = [
            "facenet",
            "train",
            "--alpha",
            "0.2",
            "--epoch-size=3",
            "--",
            "--no-flag",
        ];
        assert_eq!(
            explicit_flags(&words.map(OsString::from)),
            ["margin", "epoch-size"]
        );
    }
}
