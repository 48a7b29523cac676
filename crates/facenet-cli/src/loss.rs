//! Which of `train`'s flags belong to which loss.

use facenet_train::{Loss, Strategy};

use crate::args::TrainArgs;
use crate::failure::Failure;

/// Refuses flags that do nothing beside this loss. Those that do nothing beside something else are
/// [`check_idle`](crate::idle::check_idle)'s.
///
/// # Errors
/// A usage failure that names the first one.
pub(crate) fn check_loss(args: &TrainArgs, loss: Loss) -> Result<(), Failure> {
    let idle = loss.idle_settings();
    let given = given(args).into_iter();
    let mut strangers = given.filter(|(name, is_given)| *is_given && idle.contains(name));
    if let Some((name, _)) = strangers.next() {
        return Err(stranger(&format!("--{}", name.replace('_', "-")), loss));
    }
    if !loss.has_head() {
        return Ok(());
    }
    match args.strategy {
        Some(Strategy::Reference) => Err(stranger("--strategy reference", loss)),
        _ if args.batch_size.is_some() => Err(stranger("--batch-size", loss)),
        _ => Ok(()),
    }
}

/// Names of the settings that belong to some losses, and whether their flags were given.
fn given(args: &TrainArgs) -> [(&'static str, bool); 10] {
    [
        ("margin", args.loss.margin.is_some()),
        ("rule", args.rule.is_some()),
        ("negative", args.negative.is_some()),
        ("only_violating", args.only_violating.is_some()),
        ("max_triplets", args.max_triplets.is_some()),
        ("mining_mode", args.mining_mode.is_some()),
        ("leftover", args.leftover.is_some()),
        ("max_empty_rounds", args.max_empty_rounds.is_some()),
        ("arcface_scale", args.loss.arcface_scale.is_some()),
        ("arcface_margin", args.loss.arcface_margin.is_some()),
    ]
}

fn stranger(flag: &str, loss: Loss) -> Failure {
    let hint = if flag.starts_with("--arcface") {
        "it belongs to --loss arcface"
    } else if flag == "--batch-size" {
        "a step is a round of --people-per-batch times --images-per-person images, in chunks of \
         --chunk-size"
    } else if flag == "--margin" && loss == Loss::Arcface {
        "its margin is --arcface-margin, an angle"
    } else {
        "it mines nothing, and a round is a step"
    };
    Failure::usage(format!(
        "{flag}: does nothing with --loss {}: {hint}; drop one of the two",
        loss.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn args(line: &str) -> TrainArgs {
        let words = ["facenet", "train"].into_iter();
        let cli = Cli::try_parse_from(words.chain(line.split_whitespace())).expect("understood");
        let Command::Train(args) = cli.command else {
            panic!("expected train, found another")
        };
        *args
    }

    #[track_caller]
    fn check_refused(line: &str, loss: Loss, expected: &[&str]) {
        let failure = check_loss(&args(line), loss).expect_err(line);
        let message = format!("{failure:?}");
        for expected in expected {
            assert!(message.contains(expected), "{message:?} lacks {expected:?}");
        }
    }

    #[test]
    fn every_setting_that_may_be_idle_has_a_flag_here() {
        let names = given(&args("")).map(|(name, _)| name);
        for loss in [Loss::Triplet, Loss::Softmax] {
            assert!(loss.idle_settings().iter().all(|idle| names.contains(idle)));
        }
    }

    #[test]
    fn what_belongs_to_triplets_is_refused_beside_a_classifier() {
        for flag in [
            "--margin 0.2",
            "--rule semi-hard",
            "--negative closest",
            "--only-violating",
            "--max-triplets 9",
            "--mining-mode eval",
            "--leftover drop",
            "--max-empty-rounds 3",
            "--strategy reference",
        ] {
            let name = flag.split(' ').next().expect("a flag");
            let expected = [name, "--loss softmax", "mines nothing"];
            check_refused(flag, Loss::Softmax, &expected);
            assert!(check_loss(&args(flag), Loss::SoftMargin).is_ok(), "{flag}");
        }
        check_refused("--batch-size 90", Loss::Softmax, &["--people-per-batch"]);
        check_refused("--margin 0.2", Loss::Arcface, &["--arcface-margin"]);
        let fits = args("--strategy one-pass --chunk-size 30 --people-per-batch 9");
        assert!(check_loss(&fits, Loss::Arcface).is_ok());
    }

    #[test]
    fn what_belongs_to_arcface_is_refused_elsewhere() {
        for flag in ["--arcface-scale 30", "--arcface-margin 0.3"] {
            for loss in [Loss::Triplet, Loss::SoftMargin, Loss::Softmax] {
                check_refused(flag, loss, &["belongs to --loss arcface", loss.name()]);
            }
            assert!(check_loss(&args(flag), Loss::Arcface).is_ok(), "{flag}");
        }
    }
}
