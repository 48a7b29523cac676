//! `train`'s flags that do nothing beside what else was chosen.

use facenet_train::TrainConfig;

use crate::args::TrainArgs;
use crate::failure::Failure;

/// A flag, whether it was given, and what it would do something with.
type Given = (&'static str, bool, &'static str);

/// Refuses flags that strategy, sampler or course of the rate have no use for: who has typed them
/// expects something of them. The loss's own are [`check_loss`](crate::loss::check_loss)'s.
///
/// # Errors
/// A usage failure that names all of them: a file of flags is mended at once.
pub(crate) fn check_idle(args: &TrainArgs, config: &TrainConfig) -> Result<(), Failure> {
    let idle = config.idle_settings();
    let given = given(args).into_iter();
    let strangers = given.filter(|(name, is_given, _)| *is_given && idle.contains(name));
    let told: Vec<_> = strangers
        .map(|(name, _, needed)| told(name, needed, config))
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(told.join("; ")))
}

fn told(name: &str, needed: &str, config: &TrainConfig) -> String {
    let beside = match name {
        "learning_rate_power" => format!(
            "--learning-rate-schedule {}",
            config.learning_rate_schedule.name()
        ),
        "look_alike_share" | "look_alike_floor" => format!("--sampler {}", config.sampler.name()),
        _ => format!("--strategy {}", config.strategy.name()),
    };
    let name = name.replace('_', "-");
    format!("--{name}: does nothing with {beside}; drop it, or give {needed}")
}

fn given(args: &TrainArgs) -> [Given; 6] {
    let (reference, alike) = ("--strategy reference", "--sampler look-alike");
    [
        ("max_triplets", args.max_triplets.is_some(), reference),
        ("mining_mode", args.mining_mode.is_some(), reference),
        ("leftover", args.leftover.is_some(), reference),
        (
            "look_alike_share",
            args.sampling.look_alike_share.is_some(),
            alike,
        ),
        (
            "look_alike_floor",
            args.sampling.look_alike_floor.is_some(),
            alike,
        ),
        (
            "learning_rate_power",
            args.course.learning_rate_power.is_some(),
            "--learning-rate-schedule polynomial",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use crate::args::{Cli, Command};
    use crate::train_config::train_config;
    use clap::Parser;

    /// What is said of these flags; nothing where they are taken.
    fn said(line: &str) -> String {
        let words = ["facenet", "train"].into_iter();
        let cli = Cli::try_parse_from(words.chain(line.split_whitespace())).expect("understood");
        let Command::Train(args) = cli.command else {
            panic!("expected train, found another")
        };
        let failure = train_config(&args).err();
        failure.map_or_else(String::new, |failure| format!("{failure:?}"))
    }

    #[test]
    fn what_a_step_a_round_has_no_use_for_is_refused() {
        for flag in [
            "--max-triplets 9",
            "--mining-mode train",
            "--leftover carry",
        ] {
            let name = flag.split(' ').next().expect("a flag");
            let expected = format!(
                "{name}: does nothing with --strategy one-pass; drop it, or give --strategy reference"
            );
            for line in [
                "",
                "--strategy one-pass ",
                "--data-dir D ",
                "--chunk-size 9 ",
            ] {
                let said = said(&format!("{line}{flag}"));
                assert!(said.contains(&expected), "{line}{flag}: {said}");
            }
            for line in ["--strategy reference ", "--batch-size 90 "] {
                assert_eq!(said(&format!("{line}{flag}")), "", "{line}{flag}");
            }
        }
    }

    #[test]
    fn what_belongs_to_another_sampler_or_course_is_refused() {
        let alike = "--sampler random; drop it, or give --sampler look-alike";
        let line =
            "--learning-rate-schedule cosine; drop it, or give --learning-rate-schedule polynomial";
        for (flags, expected) in [
            ("--look-alike-share 0.3", alike),
            ("--sampler random --look-alike-floor 0.3", alike),
            (
                "--learning-rate-schedule cosine --learning-rate-power 2",
                line,
            ),
        ] {
            let said = said(flags);
            assert!(said.contains(expected), "{flags}: {said}");
        }
        assert!(said("--learning-rate-power 2").contains("--learning-rate-schedule exponential"));
        let both = said("--look-alike-share 0.3 --learning-rate-power 2");
        assert!(both.contains("--look-alike-share: ") && both.contains("--learning-rate-power: "));
        for flags in [
            "--sampler look-alike --look-alike-share 0.3 --look-alike-floor 0.3",
            "--learning-rate-schedule polynomial --learning-rate-power 2",
        ] {
            assert_eq!(said(flags), "", "{flags}");
        }
    }
}
