//! The parser: nothing makes it panic, and what it reads it writes back.

use std::path::Path;

use facenet_lfw::Pairs;
use proptest::prelude::*;

/// A column that no reader may trip over: names of folders, with blanks and odd letters inside.
fn arb_name() -> impl Strategy<Value = String> {
    "[A-Za-z_'é王-][A-Za-z0-9_. '王é-]{0,8}[A-Za-z0-9_]"
}

fn arb_image() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|n| n.to_string()),
        "[a-z0-9_][a-z0-9 _.]{0,5}\\.(jpg|pgm|PNG|mp4)"
    ]
}

fn arb_line() -> impl Strategy<Value = String> {
    let same =
        (arb_name(), arb_image(), arb_image()).prop_map(|(a, x, y)| format!("{a}\t{x}\t{y}\n"));
    let different = (arb_name(), arb_image(), arb_name(), arb_image())
        .prop_filter("two people", |(a, _, b, _)| a != b)
        .prop_map(|(a, x, b, y)| format!("{a}\t{x}\t{b}\t{y}\n"));
    prop_oneof![same, different]
}

/// A whole file: folds (none: a development file) times twice the pairs of each kind.
fn arb_file() -> impl Strategy<Value = (Option<u32>, usize, Vec<String>)> {
    (proptest::option::of(1u32..5), 1usize..5).prop_flat_map(|(folds, per_kind)| {
        let lines = folds.unwrap_or(1) as usize * per_kind * 2;
        (
            Just(folds),
            Just(per_kind),
            prop::collection::vec(arb_line(), lines),
        )
    })
}

fn text((folds, per_kind, lines): &(Option<u32>, usize, Vec<String>)) -> String {
    let head = folds.map_or(String::new(), |folds| format!("{folds}\t"));
    format!("{head}{per_kind}\n{}", lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_read_is_written_back(file in arb_file()) {
        let text = text(&file);
        let pairs = Pairs::parse(&text, Path::new("p")).expect("well-formed");
        prop_assert_eq!(pairs.to_string(), text);
        for (i, pair) in pairs.pairs().iter().enumerate() {
            prop_assert_eq!(pair.line, i + 2);
            prop_assert_eq!(pair.fold as usize, file.0.map_or(0, |_| i / (2 * file.1)) + 1);
        }
    }

    #[test]
    fn line_ends_and_a_mark_change_nothing_but_lines_lost_or_gained_do(file in arb_file()) {
        let plain = text(&file);
        let windows = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
        let parse = |text: &str| Pairs::parse(text, Path::new("p"));
        prop_assert_eq!(parse(&windows).expect("well-formed"), parse(&plain).expect("well-formed"));
        let shorter = (file.0, file.1, file.2[1..].to_vec());
        prop_assert!(parse(&text(&shorter)).is_err());
        let longer = format!("{plain}{}", file.2[0]);
        prop_assert!(parse(&longer).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Pairs::parse_bytes(&bytes, Path::new("p")).map_err(|e| e.to_string());
    }

    #[test]
    fn nearly_right_text_never_panics_nor_leaves_the_root(
        text in "[0-9]{1,3}[\t ]?[0-9]{0,20}\n(([A-Za-z0-9./\\\\é:-]{1,6}[\t ]{1,2}){2,4}[0-9.a-z/]{1,4}\r?\n){0,4}",
    ) {
        if let Ok(pairs) = Pairs::parse(&text, Path::new("p")) {
            for image in pairs.pairs().iter().flat_map(|pair| [&pair.a, &pair.b]) {
                let stem = image.stem();
                prop_assert_eq!(Path::new(&stem).components().count(), 2, "{}", stem);
                prop_assert!(!stem.split('/').any(|part| part == ".." || part.is_empty()));
            }
        }
    }

    #[test]
    fn a_damaged_file_is_pairs_or_an_error_with_a_place(
        file in arb_file(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = text(&file).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Err(error) = Pairs::parse_bytes(&bytes, Path::new("p.txt")) {
            let told = error.to_string();
            prop_assert!(told.starts_with("p.txt:") && !told.contains('\n'), "{}", told);
        }
    }
}
