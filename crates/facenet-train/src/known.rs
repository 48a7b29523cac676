//! People whom a run trains on among those that it is scored on, by the names of their folders.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::PathBuf;

use facenet_dataset::{Pictures, people_list};

use crate::config::TrainConfig;
use crate::observer::{Event, Observer};
use crate::scoring::ScoringSet;

/// Warns where pairs on disk show people of the training folder.
pub(crate) fn warn_of_known(
    config: &TrainConfig,
    scoring: Option<&ScoringSet>,
    pictures: &dyn Pictures,
    observer: &mut dyn Observer,
) {
    let Some(scoring) = scoring.filter(|_| config.data_dir.is_some()) else {
        return;
    };
    let trained = 0..pictures.sizes().len() as u32;
    let trained = trained.map(|identity| pictures.identity_name(identity));
    let [known, people] = count(scoring.paths(), trained);
    if known > 0 {
        observer.event(&Event::Warning(&format!(
            "--lfw-dir: of the {people} people on the pairs {known} have the name of one to train \
             on, and a model scores better on people it knows; keep them out by --exclude-people, or \
             score folds without them by --lfw-folds"
        )));
    }
}

/// What a report says of people on the pairs whom its run trained on, by its folder and lists as they
/// are now; `None` where there is nobody to speak of.
///
/// - `paths`: of the images on the pairs
pub(crate) fn note_of_known(config: &TrainConfig, paths: &[PathBuf]) -> Option<String> {
    config.data_dir.as_ref()?;
    let Some(trained) = names_now(config) else {
        return Some(
            "The folder or a list of people that the run trained on is not where it was, so \
             whether it knew people of these pairs was not looked at."
                .to_owned(),
        );
    };
    let [known, people] = count(paths, trained.into_iter());
    (known > 0).then(|| {
        format!(
            "Of the {people} people on the pairs {known} have the name of one whom the run trained \
             on, by its folder as it is now, and a model scores better on people it knows."
        )
    })
}

/// Names of a run's training people, by its folder and lists as they are now, no image opened;
/// `None` where these cannot be read.
fn names_now(config: &TrainConfig) -> Option<BTreeSet<String>> {
    let entries = fs::read_dir(config.data_dir.as_ref()?).ok()?;
    let folders = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir());
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: BTreeSet<_> = names.collect();
    if let Some(spec) = &config.train_people {
        let kept = people_list(spec).ok()?;
        names.retain(|name| kept.contains(name));
    }
    if let Some(spec) = &config.exclude_people {
        let dropped = people_list(spec).ok()?;
        names.retain(|name| !dropped.contains(name));
    }
    Some(names)
}

/// Of the people of images, those who are trained on, and all.
fn count(paths: &[PathBuf], trained: impl Iterator<Item = String>) -> [usize; 2] {
    let folders = paths.iter().filter_map(|path| path.parent()?.file_name());
    let people: HashSet<_> = folders.collect();
    let known: HashSet<_> = trained
        .filter(|name| people.contains(name.as_ref() as &std::ffi::OsStr))
        .collect();
    [known.len(), people.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(paths: &[&str], trained: &[&str], expected: [usize; 2]) {
        let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
        let trained = trained.iter().map(|&name| name.to_owned());
        assert_eq!(count(&paths, trained), expected);
    }

    #[test]
    fn people_are_counted_once_by_the_names_of_their_folders() {
        let paths = ["lfw/Ann/1.jpg", "lfw/Ann/2.jpg", "lfw/Bob/1.jpg"];
        check(&paths, &["Ann", "Eve", "Ann"], [1, 2]);
        check(&paths, &["Bob", "Ann"], [2, 2]);
        check(&paths, &["lfw", "1.jpg"], [0, 2]);
        check(&[], &["Ann"], [0, 0]);
    }

    #[test]
    fn a_report_goes_by_the_folder_and_the_lists() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = |name: &str| root.path().join(name);
        for name in ["Ann", "Bob"] {
            fs::create_dir_all(path("faces").join(name)).expect("writable");
        }
        fs::write(path("list"), "Ann\n").expect("writable");
        let list = Some(path("list").display().to_string());
        let paths = [path("lfw/Ann/1.jpg"), path("lfw/Eve/1.jpg")];
        let mut config = TrainConfig {
            data_dir: Some(path("faces")),
            ..TrainConfig::demo()
        };
        let start = |config: &TrainConfig| {
            let note = note_of_known(config, &paths).unwrap_or_default();
            note.split(" have").next().unwrap_or_default().to_owned()
        };
        assert_eq!(start(&config), "Of the 2 people on the pairs 1");
        config.train_people = list.clone();
        assert_eq!(start(&config), "Of the 2 people on the pairs 1");
        config.exclude_people = list;
        assert_eq!(start(&config), "");
        fs::remove_file(path("list")).expect("there");
        assert!(start(&config).contains("was not looked at"));
        config.data_dir = None;
        assert_eq!(start(&config), "");
    }
}
