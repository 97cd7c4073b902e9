//! Every test that the threat model of the documentation names exists.

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../src/docs/threats.md");

#[test]
fn every_test_that_the_threat_model_names_exists() {
    // Every second part between backticks is code.
    let names = PAGE.split('`').skip(1).step_by(2);
    let named: Vec<_> = names.filter_map(|name| name.split_once("::")).collect();
    assert!(named.len() > 50, "only {}", named.len());
    for (file, name) in named {
        assert!(is_a_test(file, name), "{file}::{name}");
    }
}

#[test]
fn every_rule_names_a_test() {
    let rules = PAGE.lines().filter(|line| line.starts_with('|'));
    for rule in rules.filter(|line| !line.starts_with("|---")) {
        let is_head = rule.ends_with("| tests |");
        assert!(is_head || rule.contains("::"), "{rule}");
    }
}

/// Returns whether the file, or a file of that folder, has a test with this name: a function, a
/// property, or a row of the contract's table.
fn is_a_test(file: &str, name: &str) -> bool {
    let folder = if file.contains('/') { "" } else { "tests/" };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let forms = [format!("fn {name}("), format!("        {name}:")];
    let modules = fs::read_dir(root.join(file)).into_iter().flatten();
    modules
        .map(|module| module.unwrap().path())
        .chain([root.join(format!("{file}.rs"))])
        .filter_map(|path| fs::read_to_string(path).ok())
        .any(|source| forms.iter().any(|form| source.contains(form)))
}
