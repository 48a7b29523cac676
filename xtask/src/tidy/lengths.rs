//! How long functions and files are, and how many files have tests.

use super::finding::Finding;
use super::rust::{Function, Source, Sources};

/// STYLE: "functions 10 lines at the median".
const MEDIAN_LINES: usize = 10;
/// STYLE: "90 % under 30".
const LONG_FUNCTION: usize = 30;
/// STYLE: "none above 80 outside tables".
const LONGEST_FUNCTION: usize = 80;
/// STYLE: "90 % of files under 500".
const LONG_FILE: usize = 500;
/// Per cent of functions and files that keep the two bounds above.
const SHORT_SHARE: usize = 90;
/// STYLE: "unit tests in 80 % of library files".
const TESTED_SHARE: usize = 80;
/// Offenders named in one finding.
const NAMED: usize = 4;

/// Lengths of the functions outside tests, of all files, and the share of tested files.
pub(crate) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = longest(sources);
    findings.extend(median(sources));
    findings.extend(share_of_short_functions(sources));
    findings.extend(share_of_short_files(sources));
    findings.extend(share_of_tested_files(sources));
    findings
}

fn library_functions(sources: &Sources) -> Vec<(&Source, &Function)> {
    let all = sources
        .0
        .iter()
        .flat_map(|source| source.functions.iter().map(move |f| (source, f)));
    let mut functions: Vec<_> = all.filter(|(_, function)| !function.is_test).collect();
    functions.sort_by_key(|(_, function)| std::cmp::Reverse(function.lines));
    functions
}

fn longest(sources: &Sources) -> Vec<Finding> {
    let all = sources
        .0
        .iter()
        .flat_map(|source| source.functions.iter().map(move |f| (source, f)));
    all.filter(|(_, function)| function.lines > LONGEST_FUNCTION && !function.is_table)
        .map(|(source, function)| {
            let what = format!("`{}` has {} lines", function.name, function.lines);
            let expected = format!("{LONGEST_FUNCTION} at most");
            Finding::new(
                &source.path,
                function.line,
                [what, expected, "split it".into()],
            )
        })
        .collect()
}

fn median(sources: &Sources) -> Option<Finding> {
    let functions = library_functions(sources);
    let (_, middle) = functions.get(functions.len() / 2)?;
    let what = format!("the median function has {} lines", middle.lines);
    let says = [
        what,
        format!("{MEDIAN_LINES} at most"),
        "split long functions".into(),
    ];
    (middle.lines > MEDIAN_LINES).then(|| Finding::new("Cargo.toml", 1, says))
}

fn share_of_short_functions(sources: &Sources) -> Option<Finding> {
    let functions = library_functions(sources);
    let long: Vec<_> = functions
        .iter()
        .take_while(|(_, function)| function.lines >= LONG_FUNCTION)
        .collect();
    let places = long
        .iter()
        .map(|(source, f)| format!("{}:{} `{}`", source.path, f.line, f.name));
    let what = format!(
        "of {} functions {LONG_FUNCTION} lines or longer:",
        functions.len()
    );
    too_many(&what, long.len(), functions.len(), SHORT_SHARE, places)
}

fn share_of_short_files(sources: &Sources) -> Option<Finding> {
    let long = sources.0.iter().filter(|source| source.lines >= LONG_FILE);
    let places: Vec<_> = long.map(|source| source.path.clone()).collect();
    let what = format!("of {} files {LONG_FILE} lines or longer:", sources.0.len());
    too_many(
        &what,
        places.len(),
        sources.0.len(),
        SHORT_SHARE,
        places.into_iter(),
    )
}

fn share_of_tested_files(sources: &Sources) -> Option<Finding> {
    let wanting = || sources.0.iter().filter(|source| source.wants_unit_tests());
    let bare = wanting().filter(|source| !source.has_unit_tests);
    let places: Vec<_> = bare.map(|source| source.path.clone()).collect();
    let what = format!("of {} library files without unit tests:", wanting().count());
    too_many(
        &what,
        places.len(),
        wanting().count(),
        TESTED_SHARE,
        places.into_iter(),
    )
}

/// A finding where fewer than `share` per cent of `all` are free of the fault.
fn too_many(
    what: &str,
    faulty: usize,
    all: usize,
    share: usize,
    places: impl Iterator<Item = String>,
) -> Option<Finding> {
    if (all - faulty) * 100 >= share * all {
        return None;
    }
    let places = places.take(NAMED).collect::<Vec<_>>().join(", ");
    let what = format!("{what} {faulty}");
    let expected = format!("{} at most", all * (100 - share) / 100);
    let remedy = format!("begin with {places}");
    Some(Finding::new("Cargo.toml", 1, [what, expected, remedy]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::Tree;

    /// One file with functions of these many lines.
    fn functions(lines: &[usize]) -> String {
        let function = |n: &usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(n - 2));
        lines.iter().map(function).collect()
    }

    #[track_caller]
    fn check_files(files: &[(&str, &str)], expected: &[&str]) {
        let (sources, _) = Sources::parse(&Tree::of(files));
        let found = check(&sources);
        let found: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(found, expected);
    }

    const TESTS: &str = "#[cfg(test)]\nmod tests {}\n";

    #[track_caller]
    fn check_lines(lines: &[usize], expected: &[&str]) {
        check_files(
            &[("crates/a/src/x.rs", &(functions(lines) + TESTS))],
            expected,
        );
    }

    #[test]
    fn the_longest_function_has_eighty_lines() {
        let many = [vec![2; 20], vec![80]].concat();
        check_lines(&many, &[]);
        let many = [vec![2; 20], vec![81]].concat();
        check_lines(&many, &["`f` has 81 lines"]);
    }

    #[test]
    fn the_median_is_ten() {
        check_lines(&[2, 10, 12], &[]);
        check_lines(&[2, 11, 12], &["the median function has 11 lines"]);
    }

    #[test]
    fn nine_of_ten_functions_are_under_thirty_lines() {
        check_lines(&[2, 2, 2, 2, 2, 2, 2, 2, 2, 30], &[]);
        let what = "of 9 functions 30 lines or longer: 1";
        check_lines(&[2, 2, 2, 2, 2, 2, 2, 2, 30], &[what]);
        check_lines(&[2, 2, 2, 2, 2, 2, 2, 2, 29], &[]);
    }

    #[test]
    fn nine_of_ten_files_are_under_five_hundred_lines() {
        let (short, long) = ("//\n".repeat(499), "//\n".repeat(500));
        check_files(&[("crates/a/src/x.rs", &short)], &[]);
        check_files(
            &[("crates/a/src/x.rs", &long)],
            &["of 1 files 500 lines or longer: 1"],
        );
    }

    #[test]
    fn four_of_five_library_files_have_unit_tests() {
        let tested = functions(&[2]) + TESTS;
        let bare = functions(&[2]);
        let bare = bare.as_str();
        let names = [
            "crates/a/src/a.rs",
            "crates/a/src/b.rs",
            "crates/a/src/c.rs",
        ];
        let mut files: Vec<_> = names.map(|name| (name, tested.as_str())).into();
        // Thin files, those without functions, and tests themselves do not count.
        files.extend([
            ("crates/a/src/main.rs", bare),
            ("crates/a/src/types.rs", "struct A;"),
        ]);
        files.extend([
            ("crates/a/tests/it/main.rs", bare),
            ("crates/a/src/d.rs", bare),
        ]);
        check_files(&files, &["of 4 library files without unit tests: 1"]);
        files.push(("crates/a/src/e.rs", &tested));
        check_files(&files, &[]);
    }
}
