//! The first Rust example of a README, made into a program the way rustdoc does it.

/// A code block: the line of its opening fence (from 1), and its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snippet {
    pub(crate) line: usize,
    pub(crate) code: String,
}

/// Fences that rustdoc runs: ` ```rust `, or a bare ` ``` `.
fn is_run_by_rustdoc(fence: &str) -> bool {
    matches!(fence.trim(), "```rust" | "```")
}

/// The first block that rustdoc would run as a test.
pub(crate) fn first_example(readme: &str) -> Option<Snippet> {
    let mut lines = readme.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if !line.trim_start().starts_with("```") {
            continue;
        }
        let block: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| line.trim() != "```")
            .map(unhidden)
            .collect();
        if is_run_by_rustdoc(line) {
            return Some(Snippet {
                line: index + 1,
                code: block.join("\n"),
            });
        }
    }
    None
}

/// `# use x;` and `#` are code that rustdoc hides; `#[x]` and `#![x]` are code as they stand.
fn unhidden(line: &str) -> &str {
    match line.trim_start() {
        "#" => "",
        hidden => hidden.strip_prefix("# ").unwrap_or(line),
    }
}

/// A whole program from an example: in `main`, or in a fallible function where it ends in `Ok`.
pub(crate) fn program(code: &str) -> String {
    if code.contains("fn main(") {
        return code.to_owned();
    }
    let fallible = code.trim_end().ends_with("(())");
    if fallible {
        format!(
            "fn main() {{\n    example().expect(\"the example succeeds\");\n}}\n\
             fn example() -> Result<(), impl std::fmt::Debug> {{\n{code}\n}}\n"
        )
    } else {
        format!("fn main() {{\n{code}\n}}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_block_that_rustdoc_runs() {
        let readme = "# A\n```text\nno\n```\n```rust\n# use a::B;\n#\nB::new();\n#[x]\n```\n";
        let code = "use a::B;\n\nB::new();\n#[x]".to_owned();
        assert_eq!(first_example(readme), Some(Snippet { line: 5, code }));
        assert_eq!(
            first_example("```rust,ignore\nno\n```\n```toml\n```\n"),
            None
        );
    }

    #[test]
    fn wraps_as_rustdoc_does() {
        assert_eq!(program("fn main() {}"), "fn main() {}");
        assert_eq!(program("f();"), "fn main() {\nf();\n}\n");
        assert!(program("f()?;\nOk::<(), E>(())").contains("fn example() -> Result<(), impl"));
    }
}
