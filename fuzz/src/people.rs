//! Lists of people: names, or LFW's folds.

use std::io::Write as _;

use facenet_dataset::people_list;
use tempfile::NamedTempFile;

/// Reads a list whole, and by folds; no name is empty or has a line break.
pub(crate) fn run(bytes: &[u8]) {
    let mut file = NamedTempFile::new().expect("a scratch file");
    file.write_all(bytes).expect("writable");
    let path = file.path().display().to_string();
    for spec in [path.clone(), format!("{path}:1-2")] {
        let Ok(names) = people_list(&spec) else {
            continue;
        };
        assert!(!names.is_empty());
        assert!(
            names
                .iter()
                .all(|name| !name.is_empty() && !name.contains('\n'))
        );
    }
}

/// Names, two folds of people who do not exist, and one that a fuzzer has found.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let names = "# nobody\nsynth_00000\nsynth_00001\n";
    let folds = "2\n2\nsynth_00000\t3\nsynth_00001\t1\n1\nsynth_00002\t4\n";
    let nameless = "1\n\t2020";
    [names, folds, nameless]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
