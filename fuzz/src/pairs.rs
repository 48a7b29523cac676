//! Pairs files.

use std::path::Path;

use facenet_lfw::Pairs;

/// Reads a pairs file; what was read is written and read again as the same.
pub(crate) fn run(bytes: &[u8]) {
    let path = Path::new("fuzz");
    let Ok(pairs) = Pairs::parse_bytes(bytes, path) else {
        return;
    };
    // A pair is a line.
    assert!(pairs.pairs().len() < bytes.len());
    let again = Pairs::parse(&pairs.to_string(), path).expect("what was written");
    let of =
        |pairs: &Pairs| -> Vec<String> { pairs.pairs().iter().map(ToString::to_string).collect() };
    assert_eq!(of(&again), of(&pairs));
}

/// LFW's two forms, and file names.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let folds = "2\t1\nann\t1\t2\nann\t1\tbob\t3\nbob\t1\t2\nbob\t3\tcy\t1\n";
    let alone = "1\nann\t1\t2\nann\t1\tbob\t3\n";
    let files = "1\ns1\t1.pgm\t7.pgm\ns1\t1.pgm\ts2\t4.png\n";
    [folds, alone, files]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
