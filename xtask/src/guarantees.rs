//! `docs/guarantees.md` names tests; each of them exists.

use std::fs;
use std::path::Path;

/// Where tests are.
const SOURCES: [&str; 3] = ["sdk-core", "tests", "examples"];

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is in the workspace");
    let page = fs::read_to_string(root.join("docs/guarantees.md")).expect("the page is there");
    let named: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| is_test(code))
        .collect();
    assert!(named.len() > 40, "the page names its tests: {named:?}");
    let mut sources = String::new();
    for folder in SOURCES {
        read(&root.join(folder), &mut sources);
    }
    let missing: Vec<&&str> = named
        .iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

/// Whether this is the name of a test: it begins with the number of a clause.
fn is_test(code: &str) -> bool {
    let mut parts = code.splitn(2, '_');
    let clause = parts.next().unwrap_or_default();
    parts.next().is_some()
        && clause.starts_with(['s', 'w', 'p'])
        && clause.len() > 1
        && clause[1..].chars().all(|c| c.is_ascii_digit())
}

fn read(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            read(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap_or_default());
        }
    }
}
