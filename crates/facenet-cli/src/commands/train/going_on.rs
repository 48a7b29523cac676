//! What a resumed run may be given.

use std::ffi::OsString;
use std::path::Path;

use facenet_train::{ResumeOverrides, TrainConfig, stored_config};

use crate::args::{Preset, TrainArgs};
use crate::failure::Failure;
use crate::idle::check_idle;
use crate::loss::check_loss;
use crate::report::Output;
use crate::train_config::{explicit_flags, overlaid};

/// Settings that change no step already made, and that a resumed run may be given.
const FREE: [&str; 6] = [
    "max_nrof_epochs",
    "learning_rate",
    "device",
    "threads",
    "loader_threads",
    "checkpoint_every",
];

/// What the flags change of the run that goes on from `dir`, which is told.
///
/// # Errors
/// A usage failure that lists every setting that differs from the run's own, but for those that may,
/// unless `--allow-change` is given.
pub(super) fn overrides(
    args: &TrainArgs,
    dir: &Path,
    arguments: &[OsString],
    output: Output,
) -> Result<ResumeOverrides, Failure> {
    if args.preset != Preset::default() {
        return Err(Failure::usage(
            "--preset: a resumed run keeps its configuration; drop the flag",
        ));
    }
    let stored = stored_config(dir)?;
    let asked = overlaid(args, &explicit_flags(arguments), &stored)?;
    let changed = changed(&stored, &asked);
    if let Some((first, _)) = changed.first()
        && !args.run.allow_change
    {
        return Err(refusal(first, &changed));
    }
    check_loss(args, asked.loss)?;
    check_idle(args, &asked)?;
    let all = stored.differences(&asked);
    if !all.is_empty() {
        output.remark(&format!("from here on: {}", all.join(", ")));
    }
    Ok(ResumeOverrides {
        max_nrof_epochs: args.max_nrof_epochs,
        learning_rate: args.learning_rate,
        device: args.device.clone(),
        threads: args.compute.threads,
        loader_threads: args.loader_threads,
        checkpoint_every: args.checkpoint_every,
        config: (!changed.is_empty()).then(|| Box::new(asked)),
    })
}

/// Name and change of each setting that is not free and that differs.
fn changed(stored: &TrainConfig, asked: &TrainConfig) -> Vec<(String, String)> {
    let all = stored.differences(asked).into_iter();
    let named = all.filter_map(|text| {
        let name = text.split_once(':')?.0.to_owned();
        (!FREE.contains(&name.as_str())).then_some((name, text))
    });
    named.collect()
}

fn refusal(first: &str, changed: &[(String, String)]) -> Failure {
    let dashed = |name: &str| format!("--{}", name.replace('_', "-"));
    let listed: Vec<_> = changed.iter().map(|(_, text)| text.as_str()).collect();
    Failure::usage(format!(
        "{}: a resumed run keeps its configuration, and this would change {}; only {} may change \
         without --allow-change, with which the run is no longer the one that it was",
        dashed(first),
        listed.join(", "),
        FREE.map(dashed).join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_that_is_not_free_is_listed() {
        let stored = TrainConfig::demo();
        let asked = TrainConfig {
            seed: 7,
            margin: 0.5,
            threads: Some(2),
            max_nrof_epochs: 99,
            ..stored.clone()
        };
        let changed = changed(&stored, &asked);
        let names: Vec<_> = changed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["margin", "seed"]);
        let message = format!("{:?}", refusal("margin", &changed));
        for part in [
            "--margin: a resumed",
            "margin: 0.2 → 0.5, seed: 666 → 7",
            "--threads",
        ] {
            assert!(message.contains(part), "{message} lacks {part}");
        }
    }

    #[test]
    fn what_is_free_is_listed_by_nobody() {
        let stored = TrainConfig::demo();
        let asked = TrainConfig {
            max_nrof_epochs: 99,
            device: "cuda:1".to_owned(),
            threads: Some(2),
            loader_threads: 5,
            checkpoint_every: Some(7),
            learning_rate: 0.5,
            ..stored.clone()
        };
        assert_eq!(stored.differences(&asked).len(), FREE.len());
        assert_eq!(changed(&stored, &asked), []);
    }
}
