//! Values as people type them.

use std::env::home_dir;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use facenet_train::lfw::Metric;
use facenet_train::model::Precision;
use facenet_train::{MAX_THREADS, OptimizerKind, TrainError};
use serde::de::DeserializeOwned;

use crate::args::Folds;

/// A path; a leading `~` is the home folder, also where no shell has expanded it.
pub(crate) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("expected a path, found nothing".to_owned());
    }
    Ok(expand(text, home_dir()))
}

/// `~` and `~/rest` below `home`; anything else, `~user` included, as it is.
pub(crate) fn expand(text: &str, home: Option<PathBuf>) -> PathBuf {
    match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home,
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(&rest[1..]),
        _ => PathBuf::from(text),
    }
}

/// A path with something behind it, or another name: `~` is expanded as in [`path`].
pub(crate) fn path_text(text: &str) -> Result<String, String> {
    let path = path(text)?.into_os_string().into_string();
    path.map_err(|_| "expected a home folder whose name is UTF-8".to_owned())
}

/// The name of an optimizer.
pub(crate) fn optimizer(text: &str) -> Result<OptimizerKind, String> {
    text.parse().map_err(|error| problem(&error))
}

/// The name of a number format.
pub(crate) fn precision(text: &str) -> Result<Precision, String> {
    facenet_train::precision(text).map_err(|error| problem(&error))
}

/// What is wrong; the library's error names the flag, as clap does already.
fn problem(error: &TrainError) -> String {
    match error {
        TrainError::Config { problem, .. } => problem.clone(),
        other => other.to_string(),
    }
}

/// `on` or `off`; also as a configuration is printed, `true` or `false`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(format!("found {text:?}, expected on or off")),
    }
}

/// A number of threads.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (1..=MAX_THREADS).contains(number))
        .ok_or_else(|| format!("found {text:?}, expected a whole number from 1 to {MAX_THREADS}"))
}

/// Seconds: zero or more, an hour at most.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (0.0..=3600.0).contains(number))
        .ok_or_else(|| format!("found {text:?}, expected a number of seconds from 0 to 3600"))
}

/// A value by the name that it is stored under, such as `semi-hard`.
pub(crate) fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

/// `9,10` as folds 9 and 10; `1-8` and mixtures are understood.
pub(crate) fn list_of_folds(text: &str) -> Result<Folds, String> {
    let wrong = || format!("found {text:?}, expected fold numbers from 1, such as 9,10 or 1-8");
    let mut folds = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        if first == 0 || last < first || last > MAX_FOLD {
            return Err(wrong());
        }
        folds.extend(first..=last);
    }
    folds.sort_unstable();
    folds.dedup();
    Ok(Folds(folds))
}

/// Above any number of folds that a pairs file has; bounds what `1-N` may hold.
const MAX_FOLD: usize = 10_000;

/// A whole number of 1 or more.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("found {text:?}, expected a whole number of 1 or more"))
}

/// A rate: above 0, at most 1.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|&number| number > 0.0 && number <= 1.0)
        .ok_or_else(|| format!("found {text:?}, expected a number above 0 and at most 1"))
}

/// A squared L2 of unit embeddings.
pub(crate) fn sq_l2(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (0.0..=4.0).contains(number))
        .ok_or_else(|| format!("found {text:?}, expected a number from 0 to 4"))
}

/// The reference's numbers of distance metrics, or their names.
pub(crate) fn metric(text: &str) -> Result<Metric, String> {
    match text {
        "0" | "squared-l2" => Ok(Metric::SquaredL2),
        "1" | "cosine" => Ok(Metric::Cosine),
        _ => Err(format!(
            "found {text:?}, expected 0 (squared L2) or 1 (cosine angle)"
        )),
    }
}

/// Turns `--flag_name` into `--flag-name`, so that command lines of the reference paste.
///
/// Values are untouched, as is all after a bare `--`.
pub(crate) fn with_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut is_flags = true;
    arguments
        .into_iter()
        .map(|argument| {
            is_flags &= argument != "--";
            if is_flags {
                dashed(&argument).unwrap_or(argument)
            } else {
                argument
            }
        })
        .collect()
}

fn dashed(argument: &OsStr) -> Option<OsString> {
    let text = argument.to_str().filter(|text| text.starts_with("--"))?;
    let (flag, rest) = text.split_at(text.find('=').unwrap_or(text.len()));
    Some(OsString::from(flag.replace('_', "-") + rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_in_flags_become_dashes_and_values_stay() {
        let typed = ["facenet", "--lfw_dir", "my_dir", "--a_b=c_d", "--", "--e_f"];
        let expected = ["facenet", "--lfw-dir", "my_dir", "--a-b=c_d", "--", "--e_f"];
        assert_eq!(
            with_dashes(typed.map(OsString::from)),
            expected.map(OsString::from)
        );
    }

    #[test]
    fn a_tilde_is_the_home_folder() {
        let home = || Some(PathBuf::from("/h/x"));
        assert_eq!(expand("~/data", home()), PathBuf::from("/h/x/data"));
        assert_eq!(expand("~", home()), PathBuf::from("/h/x"));
        assert_eq!(expand("~user/data", home()), PathBuf::from("~user/data"));
        assert_eq!(expand("a/~", home()), PathBuf::from("a/~"));
        assert_eq!(expand("~/data", None), PathBuf::from("~/data"));
    }

    #[test]
    fn an_optimizer_is_refused_without_the_flag_that_clap_names() {
        assert_eq!(optimizer("adam"), Ok(OptimizerKind::Adam));
        let problem = optimizer("SGD").expect_err("not one of ours");
        assert!(problem.starts_with("found \"SGD\", expected one of ADAGRAD"));
    }

    #[test]
    fn how_to_compute_is_asked_for_in_words() {
        assert_eq!(precision("bf16"), Ok(Precision::Bf16));
        let problem = precision("fp8").expect_err("not one of ours");
        assert_eq!(problem, "found \"fp8\", expected f32 or bf16");
        let switches = ["on", "off", "true", "false"].map(|text| switch(text).ok());
        assert_eq!(switches, [Some(true), Some(false), Some(true), Some(false)]);
        assert!(switch("ON").is_err() && switch("").is_err());
        assert_eq!((threads("1"), threads("1024")), (Ok(1), Ok(1024)));
        for wrong in ["0", "1025", "-1", "x", ""] {
            assert!(threads(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!((seconds("0"), seconds("2.5")), (Ok(0.0), Ok(2.5)));
        assert!(seconds("-1").is_err() && seconds("NaN").is_err());
    }

    #[test]
    fn rates_and_distances_have_bounds() {
        assert_eq!((rate("1e-3"), rate("1")), (Ok(0.001), Ok(1.0)));
        assert_eq!((sq_l2("0"), sq_l2("4")), (Ok(0.0), Ok(4.0)));
        assert!(
            ["0", "-1", "1.1", "NaN", "x"]
                .iter()
                .all(|text| rate(text).is_err())
        );
        assert!(
            ["-1", "4.1", "NaN", "inf"]
                .iter()
                .all(|text| sq_l2(text).is_err())
        );
    }

    #[test]
    fn folds_are_lists_and_ranges() {
        let folds = |text| list_of_folds(text).map(|folds| folds.0);
        assert_eq!(folds("9,10"), Ok(vec![9, 10]));
        assert_eq!(folds("1-3,2, 8"), Ok(vec![1, 2, 3, 8]));
        for wrong in ["", "0", "3-1", "x", "1,", "1-99999999999"] {
            assert!(folds(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn metrics_have_the_references_numbers() {
        assert_eq!(metric("0"), Ok(Metric::SquaredL2));
        assert_eq!(metric("1"), Ok(Metric::Cosine));
        assert!(metric("2").is_err());
    }
}
