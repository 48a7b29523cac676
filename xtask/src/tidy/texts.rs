//! Texts that no file may hold.

use super::finding::Finding;
use super::tree::Tree;

/// A forbidden text, why, and the files that may hold it. Written in two pieces, so that this
/// file passes its own check.
struct Forbidden {
    text: &'static str,
    what: &'static str,
    instead: &'static str,
    except: &'static [&'static str],
}

const MACHINE_PATH: (&str, &str) = ("a path of one machine", "a relative or temporary path");
const REGISTRY: (&str, &str) = (
    "a package registry's host",
    "the registry's ordinary client",
);

const FORBIDDEN: &[Forbidden] = &[
    forbid(concat!("/wor", "k/"), MACHINE_PATH),
    forbid(concat!("/tm", "p/"), MACHINE_PATH),
    forbid(concat!("/ro", "ot/"), MACHINE_PATH),
    forbid(concat!("/ho", "me/"), MACHINE_PATH),
    forbid(concat!("/Us", "ers/"), MACHINE_PATH),
    forbid(concat!("C:", "\\"), MACHINE_PATH),
    forbid(concat!("index.crates", ".io"), REGISTRY),
    forbid(concat!("static.crates", ".io"), REGISTRY),
    forbid(concat!("crates.io", "/api"), REGISTRY),
    forbid(concat!("pypi", ".org"), REGISTRY),
    forbid(concat!("files.pythonhosted", ".org"), REGISTRY),
    forbid(concat!("registry.npmjs", ".org"), REGISTRY),
    Forbidden {
        text: concat!("shared", "/data"),
        what: "the folder of real photographs",
        instead: "the variable FACENET_TEST_DATA",
        except: &[".ci/run"],
    },
];

const fn forbid(text: &'static str, (what, instead): (&'static str, &'static str)) -> Forbidden {
    Forbidden {
        text,
        what,
        instead,
        except: &[],
    }
}

/// Every line of a text file with a forbidden text.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts() {
        for (index, line) in text.lines().enumerate() {
            let found = FORBIDDEN
                .iter()
                .filter(|forbidden| forbidden.is_in(file, line));
            findings.extend(found.map(|forbidden| forbidden.finding(file, index + 1)));
        }
    }
    findings
}

impl Forbidden {
    /// Machine paths count only where they begin: not inside a longer path or address.
    fn is_in(&self, file: &str, line: &str) -> bool {
        let begins = |at: usize| {
            let before = line[..at].chars().next_back();
            !self.text.starts_with('/')
                || before.is_none_or(|c| !c.is_alphanumeric() && !"./_-}~*>".contains(c))
        };
        !self.except.contains(&file) && line.match_indices(self.text).any(|(at, _)| begins(at))
    }

    fn finding(&self, file: &str, line: usize) -> Finding {
        let what = format!("{} (`{}`)", self.what, self.text);
        Finding::new(file, line, [what.as_str(), self.instead, "replace it"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(file: &str, text: &str, expected: &[usize]) {
        let found = check(&Tree::of(&[(file, text)]));
        let lines: Vec<_> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, expected, "{found:?}");
    }

    #[test]
    fn machine_paths_are_found_where_they_begin() {
        check_text("a.md", concat!("x\nsee `/wor", "k/main`\n"), &[2]);
        check_text("a.rs", concat!("\"/tm", "p/x\""), &[1]);
        check_text("a.md", concat!("target/tm", "p/x and ../ro", "ot/y"), &[]);
    }

    #[test]
    fn registry_hosts_are_found_anywhere() {
        check_text(
            "a.toml",
            concat!("url = \"https://index.crates", ".io/\""),
            &[1],
        );
    }

    #[test]
    fn only_the_script_names_the_folder_of_photographs() {
        let text = concat!("../shared", "/data");
        check_text(".ci/run", text, &[]);
        check_text("crates/a/tests/it/main.rs", text, &[1]);
    }
}
