//! The project's Rust files, parsed once for every check.

use proc_macro2::TokenStream;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::finding::Finding;
use super::tree::{Tree, base_name, has_extension};

/// One function's place and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From the signature to the closing brace, both counted.
    pub(crate) lines: usize,
    /// Lies in a test module, or in an integration test or benchmark.
    pub(crate) is_test: bool,
    /// Nothing but one literal table.
    pub(crate) is_table: bool,
}

/// One parsed file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) lines: usize,
    pub(crate) tokens: TokenStream,
    pub(crate) syntax: syn::File,
    pub(crate) functions: Vec<Function>,
    pub(crate) has_unit_tests: bool,
}

/// Every Rust file of the project.
#[derive(Debug)]
pub(crate) struct Sources(pub(crate) Vec<Source>);

impl Sources {
    /// Parses every `.rs` file; one that does not parse is a finding.
    pub(crate) fn parse(tree: &Tree) -> (Self, Vec<Finding>) {
        let (mut sources, mut findings) = (Vec::new(), Vec::new());
        for (path, text) in tree.texts().filter(|(path, _)| has_extension(path, "rs")) {
            match Source::parse(path, text) {
                Ok(source) => sources.push(source),
                Err(error) => {
                    let says = [error.to_string(), "Rust".into(), "mend the syntax".into()];
                    findings.push(Finding::new(path, error.span().start().line, says));
                }
            }
        }
        (Self(sources), findings)
    }
}

impl Source {
    fn parse(path: &str, text: &str) -> syn::Result<Self> {
        let tokens: TokenStream = text.parse()?;
        let syntax = syn::parse_file(text)?;
        let mut finder = Finder {
            is_test: !is_library(path),
            ..Finder::default()
        };
        finder.visit_file(&syntax);
        let Finder {
            functions,
            has_unit_tests,
            ..
        } = finder;
        let lines = text.lines().count();
        Ok(Self {
            path: path.to_owned(),
            lines,
            tokens,
            syntax,
            functions,
            has_unit_tests,
        })
    }

    /// Is compiled into a library or program, and not only into tests or benchmarks.
    pub(crate) fn is_library(&self) -> bool {
        is_library(&self.path)
    }

    /// Should have unit tests: library code with a function in it, but for fuzz targets, which are
    /// tests themselves.
    pub(crate) fn wants_unit_tests(&self) -> bool {
        let thin = ["lib.rs", "main.rs"].contains(&base_name(&self.path))
            || self.path.starts_with("fuzz/");
        self.is_library() && !thin && self.functions.iter().any(|function| !function.is_test)
    }
}

fn is_library(path: &str) -> bool {
    path.contains("/src/")
}

#[derive(Default)]
struct Finder {
    functions: Vec<Function>,
    is_test: bool,
    has_unit_tests: bool,
}

impl Finder {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let start = signature.span().start().line;
        let end = block.brace_token.span.close().end().line;
        self.functions.push(Function {
            name: signature.ident.to_string(),
            line: start,
            lines: end + 1 - start,
            is_test: self.is_test,
            is_table: is_table(block),
        });
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let outer = self.is_test;
        if is_cfg_test(&module.attrs) {
            self.has_unit_tests = true;
            self.is_test = true;
        }
        visit::visit_item_mod(self, module);
        self.is_test = outer;
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

fn is_cfg_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        list.is_ok_and(|list| list.path.is_ident("cfg") && list.tokens.to_string() == "test")
    })
}

/// A block whose only statement is an array, a `vec!`/`json!`-like macro, or a `match` of
/// literals.
fn is_table(block: &syn::Block) -> bool {
    let [syn::Stmt::Expr(expression, None)] = block.stmts.as_slice() else {
        return matches!(block.stmts.as_slice(), [syn::Stmt::Macro(_)]);
    };
    let expression = match expression {
        syn::Expr::Reference(reference) => &reference.expr,
        other => other,
    };
    match expression {
        syn::Expr::Array(_) | syn::Expr::Macro(_) => true,
        syn::Expr::Match(table) => table
            .arms
            .iter()
            .all(|arm| !matches!(*arm.body, syn::Expr::Block(_))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Source {
        Source::parse("crates/a/src/x.rs", text).expect("sound Rust")
    }

    #[test]
    fn a_function_counts_from_its_signature_to_its_brace() {
        let source =
            parse("/// Doc\n#[inline]\nfn f(\n    x: u8,\n) -> u8 {\n    x\n}\nfn g() {}\n");
        let found: Vec<_> = source
            .functions
            .iter()
            .map(|f| (f.name.as_str(), f.line, f.lines))
            .collect();
        assert_eq!(found, [("f", 3, 5), ("g", 8, 1)]);
    }

    #[test]
    fn methods_defaults_and_nested_functions_count_too() {
        let text = "impl A { fn a() { fn b() {} } }\ntrait T { fn c() {} fn d(); }";
        let source = parse(text);
        let names: Vec<_> = source.functions.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn test_modules_are_told_apart() {
        let source = parse("fn f() {}\n#[cfg(test)]\nmod tests { fn g() {} }\nfn h() {}\n");
        let is_test: Vec<_> = source.functions.iter().map(|f| f.is_test).collect();
        assert_eq!(
            (is_test, source.has_unit_tests),
            (vec![false, true, false], true)
        );
        assert!(!parse("#[cfg(unix)]\nmod m {}").has_unit_tests);
    }

    #[test]
    fn a_table_is_one_literal() {
        let table = |text: &str| parse(text).functions[0].is_table;
        assert!(table("fn f() { [1, 2] }") && table("fn f() { match x { 1 => 2, _ => 3 } }"));
        assert!(!table("fn f() { g(); [1] }") && !table("fn f() { match x { _ => { g() } } }"));
    }
}
