//! Which strategy `train`'s flags ask for.

use facenet_train::Strategy;

use crate::args::TrainArgs;
use crate::failure::Failure;

/// A flag of one strategy alone that was given, and the strategy.
type Own = (&'static str, Strategy);

/// The strategy that was named, or that a flag of its own stands for, or one-pass.
///
/// # Errors
/// A usage failure where a flag belongs to another strategy than asked for.
pub(crate) fn strategy(args: &TrainArgs) -> Result<Strategy, Failure> {
    let own = own_flags(args);
    let own_choice = own.first().map(|(_, strategy)| *strategy);
    let chosen = args.strategy.or(own_choice).unwrap_or(Strategy::OnePass);
    let stranger = own.iter().find(|(_, strategy)| *strategy != chosen);
    let Some((flag, theirs)) = stranger else {
        return Ok(chosen);
    };
    let asked = match args.strategy {
        Some(_) => format!("--strategy {}", chosen.name()),
        None => own[0].0.to_owned(),
    };
    Err(Failure::usage(format!(
        "{flag}: belongs to --strategy {}, found beside {asked}; drop one of the two",
        theirs.name()
    )))
}

/// What a flag has chosen without a word of the strategy.
pub(crate) fn remark(args: &TrainArgs) -> Option<String> {
    let own = own_flags(args);
    let (flag, strategy) = own.first().filter(|_| args.strategy.is_none())?;
    Some(format!("{flag} selects --strategy {}", strategy.name()))
}

fn own_flags(args: &TrainArgs) -> Vec<Own> {
    let batch = args
        .batch_size
        .map(|_| ("--batch-size", Strategy::Reference));
    let chunk = args.chunk_size.map(|_| ("--chunk-size", Strategy::OnePass));
    batch.into_iter().chain(chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn args(line: &str) -> TrainArgs {
        let words = ["facenet", "train"]
            .into_iter()
            .chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).expect("understood");
        let Command::Train(args) = cli.command else {
            panic!("expected train, found another")
        };
        *args
    }

    #[track_caller]
    fn check(line: &str, expected: Strategy, remarked: Option<&str>) {
        let args = args(line);
        assert_eq!(
            strategy(&args).expect("no contradiction"),
            expected,
            "{line}"
        );
        assert_eq!(remark(&args).as_deref(), remarked, "{line}");
    }

    #[test]
    fn a_flag_of_its_own_selects_a_strategy_and_says_so() {
        let (one_pass, reference) = (Strategy::OnePass, Strategy::Reference);
        check("", one_pass, None);
        let said = Some("--batch-size selects --strategy reference");
        check("--batch-size 90", reference, said);
        let said = Some("--chunk-size selects --strategy one-pass");
        check("--chunk-size 90", one_pass, said);
        check("--strategy one-pass --chunk-size 9", one_pass, None);
        check("--strategy reference --batch-size 9", reference, None);
        check("--strategy one-pass", one_pass, None);
    }

    #[test]
    fn the_other_strategys_flag_is_refused() {
        for line in [
            "--strategy one-pass --batch-size 9",
            "--strategy reference --chunk-size 9",
            "--chunk-size 9 --batch-size 9",
        ] {
            assert!(strategy(&args(line)).is_err(), "{line}");
        }
    }
}
