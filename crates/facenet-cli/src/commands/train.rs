//! `facenet train`.

use std::ffi::OsString;
use std::fmt::Write as _;

use facenet_train::{
    Outcome, ResumeOverrides, ResumeRequest, TrainConfig, TrainRequest, resume, saved_model, train,
};

use crate::args::TrainArgs;
use crate::failure::Failure;
use crate::progress::Console;
use crate::report::Output;
use crate::train_config::{explicit_flags, train_config};

pub(crate) fn run(args: &TrainArgs, arguments: &[OsString], output: Output) -> Result<(), Failure> {
    let command_line: Vec<_> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let mut console = Console::new(output);
    let outcome = if let Some(dir) = &args.resume {
        let overrides = overrides(args, arguments)?;
        let request = ResumeRequest {
            dir: dir.clone(),
            overrides,
            command_line,
        };
        resume(&request, &mut console)
    } else {
        let config = fresh_config(args, arguments)?;
        announce(args, &config, output);
        train(
            &TrainRequest {
                config,
                command_line,
            },
            &mut console,
        )
    };
    drop(console);
    let outcome = outcome?;
    output.result(&summary(&outcome), &outcome)
}

/// The configuration of a new run; a pretrained model brings its own network and recipe.
fn fresh_config(args: &TrainArgs, arguments: &[OsString]) -> Result<TrainConfig, Failure> {
    let mut config = train_config(args)?;
    let Some(dir) = config.pretrained_model.clone() else {
        return Ok(config);
    };
    let saved = saved_model(&dir)?;
    let fixed = [
        "model-def",
        "image-size",
        "embedding-size",
        "recipe",
        "centre-crop",
        "resize",
        "standardisation",
    ];
    let wanted = config.clone();
    config.take_model(&saved);
    let differs = (wanted.model(), wanted.recipe()) != (config.model(), config.recipe());
    let given: Vec<_> = explicit_flags(arguments)
        .into_iter()
        .filter(|flag| fixed.contains(&flag.as_str()))
        .collect();
    if differs && !given.is_empty() {
        return Err(Failure::usage(format!(
            "--{}: {} brings its own ({}, {} pixels, {} numbers); drop the flag",
            given.join(", --"),
            dir.display(),
            config.model_def,
            config.image_size,
            config.embedding_size,
        )));
    }
    Ok(config)
}

/// What a resumed run may change; any other explicit flag is refused.
fn overrides(args: &TrainArgs, arguments: &[OsString]) -> Result<ResumeOverrides, Failure> {
    let allowed = [
        "resume",
        "json",
        "quiet",
        "log-level",
        "max-nrof-epochs",
        "learning-rate",
        "device",
        "loader-threads",
        "checkpoint-every",
    ];
    let given = explicit_flags(arguments);
    let refused: Vec<_> = given
        .iter()
        .filter(|flag| !allowed.contains(&flag.as_str()))
        .collect();
    if let Some(flag) = refused.first() {
        return Err(Failure::usage(format!(
            "--{flag}: a resumed run keeps its configuration; only --{} may change",
            allowed[4..].join(", --")
        )));
    }
    Ok(ResumeOverrides {
        max_nrof_epochs: args.max_nrof_epochs,
        learning_rate: args.learning_rate,
        device: args.device.clone(),
        loader_threads: args.loader_threads,
        checkpoint_every: args.checkpoint_every,
    })
}

/// Says what the demo preset is made of: nobody has typed it.
fn announce(args: &TrainArgs, config: &TrainConfig, output: Output) {
    if args.data_dir.is_some() {
        return;
    }
    let mut text = String::from("No --data-dir: the demo, on synthetic identities, with\n");
    for (name, value) in config.arguments() {
        let _ = writeln!(text, "  --{} {value}", name.replace('_', "-"));
    }
    output.remark(text.trim_end());
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
            model_dir: "m".into(),
            log_dir: "l".into(),
        };
        let text = summary(&outcome);
        assert!(
            text.contains("50.00 % before, 87.50 % after (90.00 % with"),
            "{text}"
        );
        assert!(text.contains("Left out: 2 unreadable images\n"), "{text}");
        assert!(text.contains("Model: m\nLogs:  l\n"), "{text}");
    }
}
