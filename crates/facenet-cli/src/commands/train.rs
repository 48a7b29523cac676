//! `facenet train`.

mod going_on;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write as _;

use facenet_train::dataset::Recipe;
use facenet_train::model::Precision;
use facenet_train::{
    Outcome, ResumeRequest, SavedModel, TrainConfig, TrainError, TrainRequest, UNSET, dry_run,
    resume, saved_model, train,
};
use serde_json::json;

use crate::args::TrainArgs;
use crate::failure::Failure;
use crate::memory::dry_run_text;
use crate::progress::Console;
use crate::report::Output;
use crate::signals::Signal;
use crate::strategy;
use crate::train_config::train_config;
use going_on::overrides;

pub(crate) fn run(args: &TrainArgs, arguments: &[OsString], output: Output) -> Result<(), Failure> {
    let command_line: Vec<_> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let mut console = Console::that_stops(output);
    let outcome = if let Some(dir) = &args.resume {
        let overrides = overrides(args, dir, arguments, output)?;
        let request = ResumeRequest {
            dir: dir.clone(),
            overrides,
            command_line,
        };
        resume(&request, &mut console)
    } else {
        let config = fresh_config(args)?;
        announce(args, &config, arguments, output);
        for text in strategy::remark(args)
            .into_iter()
            .chain(faster(args, &config))
        {
            output.remark(&text);
        }
        if args.run.dry_run {
            let made = dry_run(&config, &mut console);
            let signal = console.stopped_by();
            drop(console);
            let made = made.map_err(|error| failure(error, signal))?;
            return output.result(&dry_run_text(&made), &made);
        }
        train(
            &TrainRequest {
                config,
                command_line,
            },
            &mut console,
        )
    };
    let signal = console.stopped_by();
    drop(console);
    let outcome = outcome.map_err(|error| failure(error, signal))?;
    output.result(&summary(&outcome), &outcome)
}

/// The error, or what a signal has left.
fn failure(error: TrainError, signal: Option<Signal>) -> Failure {
    let Some(signal) = signal else {
        return error.into();
    };
    let message = match error {
        TrainError::Interrupted => format!("stopped by {}", signal.name()),
        TrainError::Stopped { step, run_dir } => format!(
            "stopped by {} after step {step}, which is kept; go on with: facenet train --resume {}",
            signal.name(),
            quoted(&run_dir.to_string_lossy())
        ),
        other => return other.into(),
    };
    Failure::stopped(message, signal.0)
}

/// Says that this processor has chosen the precision.
fn faster(args: &TrainArgs, config: &TrainConfig) -> Option<String> {
    let is_chosen = args.compute.precision.is_none() && config.precision == Precision::Bf16;
    is_chosen.then(|| {
        "--precision bf16, which this processor multiplies twice as fast; with --precision f32 a run is \
         that of any machine of the kind"
            .to_owned()
    })
}

/// The configuration of a new run; a pretrained model brings its own network and recipe.
fn fresh_config(args: &TrainArgs) -> Result<TrainConfig, Failure> {
    let mut config = train_config(args)?;
    let Some(dir) = config.pretrained_model.clone() else {
        return Ok(config);
    };
    let saved = saved_model(&dir)?;
    let wanted = config.recipe();
    check_norms(args, &saved)?;
    config.take_model(&saved);
    if let Some(momentum) = args.bn_momentum {
        config.bn_momentum = momentum;
    }
    let differing = differing(args, &wanted, &saved);
    if differing.is_empty() {
        return Ok(config);
    }
    Err(Failure::usage(format!(
        "{}: {} brings its own ({}, {} pixels, {} numbers) and recipe {}; drop the flag",
        differing.join(", "),
        dir.display(),
        config.model_def,
        config.image_size,
        config.embedding_size,
        json!(saved.recipe),
    )))
}

/// Refuses flags that the pretrained model's batch norms leave no room for.
fn check_norms(args: &TrainArgs, saved: &SavedModel) -> Result<(), Failure> {
    let is_folded = saved.model.has_folded_norms;
    let is_unfolded = args.norms.unfold_bn.unwrap_or(false);
    let frozen = args.norms.freeze_bn;
    if is_folded && !is_unfolded && frozen == Some(false) {
        return Err(Failure::usage(
            "--freeze-bn: found false, but the batch norms of --pretrained-model are folded and \
             have no statistics of data to go on from; drop it, or give --unfold-bn",
        ));
    }
    let is_frozen = frozen.unwrap_or(is_folded && !is_unfolded);
    if is_frozen && args.bn_momentum.is_some() {
        return Err(Failure::usage(
            "--bn-momentum: statistics of frozen batch norms do not move (--freeze-bn, the default \
             for a model with folded norms); drop it, or give --unfold-bn for such a model",
        ));
    }
    Ok(())
}

/// Flags given whose value is not the saved model's own.
///
/// - `wanted`: the recipe that the flags ask for
fn differing(args: &TrainArgs, wanted: &Recipe, saved: &SavedModel) -> Vec<&'static str> {
    let SavedModel { model, recipe } = saved;
    let parts = &args.recipe;
    let flags = [
        (
            "--model-def",
            args.model_def.is_some_and(|own| own != model.architecture),
        ),
        (
            "--image-size",
            args.image_size.is_some_and(|own| own != model.image_size),
        ),
        (
            "--embedding-size",
            args.embedding_size
                .is_some_and(|own| own != model.embedding_size),
        ),
        ("--recipe", parts.recipe.is_some() && wanted != recipe),
        (
            "--centre-crop",
            parts.centre_crop.is_some() && parts.centre_crop != recipe.centre_crop,
        ),
        (
            "--resize",
            parts.resize.is_some() && parts.resize != recipe.resize,
        ),
        (
            "--standardisation",
            parts
                .standardisation
                .is_some_and(|own| own != recipe.standardisation),
        ),
    ];
    let differing = flags.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(flag, _)| flag).collect()
}

/// Says what the demo preset is made of: nobody has typed it.
fn announce(args: &TrainArgs, config: &TrainConfig, arguments: &[OsString], output: Output) {
    if args.data_dir.is_some() {
        return;
    }
    let program = arguments.first().map(|name| name.to_string_lossy());
    let program = quoted(program.as_deref().unwrap_or("facenet"));
    output.remark(&format!(
        "No --data-dir: the demo, on synthetic identities. Typed out it is\n{program} train{}",
        spelled(config)
    ));
}

/// The configuration as flags, to be pasted into a shell, and what it leaves unset.
fn spelled(config: &TrainConfig) -> String {
    let (mut flags, mut unset) = (vec![String::new()], Vec::new());
    let idle = config.idle_settings();
    for (name, value) in config.arguments() {
        if idle.contains(&name.as_str()) {
            continue;
        }
        let name = name.replace('_', "-");
        match value.as_str() {
            UNSET => unset.push(name),
            // A flag that may be bare takes its value after `=` only.
            "true" | "false" => flags.push(format!("--{name}={value}")),
            _ => flags.push(format!("--{name} {}", quoted(&value))),
        }
    }
    let flags = flags.join(" \\\n  ");
    format!("{flags}\nand without --{}", unset.join(", --"))
}

/// A value as a POSIX shell must see it to pass it on.
fn quoted(value: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%~".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        value.into()
    } else {
        format!("'{}'", value.replace('\'', "'\\''")).into()
    }
}

/// What a person wants to know at the end.
fn summary(outcome: &Outcome) -> String {
    let mut text = format!(
        "{}: {} steps, {} images, {:.0} s\n",
        outcome.status, outcome.steps, outcome.images, outcome.seconds
    );
    if outcome.unreadable_images > 0 {
        let n_images = outcome.unreadable_images;
        let _ = writeln!(text, "Left out: {n_images} unreadable images");
    }
    if outcome.rollbacks > 0 {
        let _ = writeln!(text, "Rollbacks: {}", outcome.rollbacks);
    }
    let percent = |accuracy: Option<f64>| {
        accuracy.map_or("not scored".to_owned(), |accuracy| {
            format!("{:.2} %", 100.0 * accuracy)
        })
    };
    if outcome.accuracy_after.is_some() {
        let _ = writeln!(
            text,
            "Accuracy: {} before, {} after ({} with averaged weights)",
            percent(outcome.accuracy_before),
            percent(outcome.accuracy_after),
            percent(outcome.ema_accuracy),
        );
    }
    let _ = writeln!(text, "Model: {}", outcome.model_dir.display());
    let _ = writeln!(text, "Logs:  {}", outcome.log_dir.display());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use facenet_train::{Course, Loss, OnCollapse, Strategy};

    /// The arguments that a POSIX shell makes of `text`, which has quotes around whole words only.
    fn words(text: &str) -> Vec<String> {
        let text = text.replace("\\\n", " ");
        let (mut words, mut rest) = (Vec::new(), text.trim());
        while !rest.is_empty() {
            let (quotes, end) = match rest.strip_prefix('\'') {
                Some(inner) => (1, inner.find('\'').expect("a closing quote") + 1),
                None => (0, rest.find(char::is_whitespace).unwrap_or(rest.len())),
            };
            words.push(rest[quotes..end].to_owned());
            rest = rest[end + quotes..].trim_start();
        }
        words
    }

    #[track_caller]
    fn check_comes_back(config: &TrainConfig) {
        let text = spelled(config);
        let (flags, unset) = text.split_once("\nand without ").expect("both parts");
        assert!(unset.contains("--data-dir"), "{unset}");
        let line = ["facenet", "train"].map(str::to_owned).into_iter();
        let cli = Cli::try_parse_from(line.chain(words(flags))).expect(flags);
        let Command::Train(args) = cli.command else {
            panic!("expected train, found another")
        };
        assert_eq!(train_config(&args).expect("no files are named"), *config);
    }

    #[test]
    fn the_demos_list_pastes_back() {
        check_comes_back(&TrainConfig::demo());
        check_comes_back(&TrainConfig {
            models_base_dir: "my models".into(),
            lfw_dir: Some("lfw".into()),
            lfw_folds: Some(vec![9, 10]),
            resize: Some(40),
            margin: 0.3,
            learning_rate: -1.0,
            checkpoint_every: Some(5),
            random_flip: false,
            ..TrainConfig::demo()
        });
        for loss in [Loss::Triplet, Loss::Softmax, Loss::Arcface] {
            check_comes_back(&TrainConfig {
                strategy: Strategy::OnePass,
                chunk_size: 30,
                loss,
                ..TrainConfig::demo()
            });
        }
        check_comes_back(&TrainConfig {
            learning_rate_schedule: Course::Polynomial,
            learning_rate_power: 2.5,
            warm_up_steps: 7,
            clip_gradient_norm: Some(0.5),
            patience: Some(3),
            on_collapse: OnCollapse::Rollback,
            ..TrainConfig::demo()
        });
    }

    #[test]
    fn values_are_quoted_where_a_shell_would_cut_them() {
        assert_eq!(quoted("a/b-1.5"), "a/b-1.5");
        assert_eq!(quoted("my models"), "'my models'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_summary_says_before_and_after_and_where() {
        let outcome = Outcome {
            status: "done",
            steps: 3,
            images: 90,
            unreadable_images: 2,
            seconds: 1.0,
            accuracy_before: Some(0.5),
            accuracy_after: Some(0.875),
            ema_accuracy: Some(0.9),
            val: None,
            far: None,
            health: None,
            rollbacks: 2,
            model_dir: "m".into(),
            log_dir: "l".into(),
            memory: crate::memory::tests::PLAN,
            peak_rss_mib: None,
        };
        let text = summary(&outcome);
        assert!(
            text.contains("50.00 % before, 87.50 % after (90.00 % with"),
            "{text}"
        );
        assert!(text.contains("Rollbacks: 2\n"), "{text}");
        assert!(text.contains("Left out: 2 unreadable images\n"), "{text}");
        assert!(text.contains("Model: m\nLogs:  l\n"), "{text}");
    }
}
