//! That every public item of the SDK shows an example: read off the pages that rustdoc made, because they know what is
//! public, and by which path.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{Outcome, command};

/// How rustdoc shows an example that is compiled; one that is ignored looks otherwise.
const EXAMPLE: &str = r#"<div class="example-wrap"><pre class="rust rust-example-rendered">"#;

/// Where a page begins, after its sidebar.
const MAIN: &str = r#"<section id="main-content""#;

/// Where a page goes on with what is not written for this item: what it has from its traits, and who has the trait.
const ELSEWHERE: [&str; 5] = [
    r#"<h2 id="deref-methods"#,
    r#"<h2 id="trait-implementations""#,
    r#"<h2 id="implementors""#,
    r#"<h2 id="synthetic-implementations""#,
    r#"<h2 id="blanket-implementations""#,
];

/// Fails with the names of modules, types, traits, functions, constants and methods that show none. Fields and variants
/// are shown with their type. The pages must be new.
pub(crate) fn every_item_has_one() -> Outcome {
    let folder = command::target().join("doc/freshsocket");
    let list = read(&folder.join("all.html"))?;
    let mut missing = Vec::new();
    let mut methods = 0;
    for page in pages(&list) {
        for (name, has_example) in items(&page, &read(&folder.join(&page))?) {
            methods += usize::from(name.ends_with("()"));
            if !has_example {
                missing.push(name);
            }
        }
    }
    if methods == 0 {
        return Err(format!(
            "{} lists no method: does rustdoc write other pages now?",
            folder.display()
        ));
    }
    for name in &missing {
        println!("no example in the documentation of {name}");
    }
    match missing.len() {
        0 => Ok(()),
        count => Err(format!("public items without an example, listed above: {count}")),
    }
}

/// The pages that rustdoc's list of everything leads to, and those of the modules they are in.
fn pages(list: &str) -> BTreeSet<String> {
    let links = list.split(r#"<li><a href=""#).skip(1);
    let mut pages: BTreeSet<String> = links
        .filter_map(|rest| rest.split_once('"'))
        .map(|(page, _)| page.to_owned())
        .filter(|page| !page.starts_with('#'))
        .collect();
    let modules: Vec<String> = pages
        .iter()
        .map(|page| match page.rsplit_once('/') {
            Some((module, _)) => format!("{module}/index.html"),
            None => "index.html".to_owned(),
        })
        .collect();
    pages.extend(modules);
    pages
}

/// The item of a page and its methods, each with whether it has an example.
fn items(page: &str, text: &str) -> Vec<(String, bool)> {
    let (_, text) = text.split_once(MAIN).unwrap_or_default();
    let own = ELSEWHERE.iter().filter_map(|heading| text.find(heading)).min();
    let mut sections = text[..own.unwrap_or(text.len())].split(r#"<section id=""#);
    let item = path(page);
    // What follows the first heading is about parts: variants, the items of a module.
    let first = sections.next().unwrap_or_default();
    let about_item = first.split(r#"section-header">"#).next().unwrap_or_default();
    let mut items = vec![(item.clone(), about_item.contains(EXAMPLE))];
    for section in sections {
        let Some((kind, name)) = section.split_once('"').and_then(|(id, _)| id.split_once('.')) else {
            continue;
        };
        let name = match kind {
            "method" | "tymethod" => format!("{item}::{name}()"),
            "associatedconstant" => format!("{item}::{name}"),
            _ => continue,
        };
        items.push((name, section.contains(EXAMPLE)));
    }
    items
}

/// `options/struct.Matcher.html` is `freshsocket::options::Matcher`.
fn path(page: &str) -> String {
    let page = page.trim_end_matches(".html");
    let (modules, last) = page.rsplit_once('/').unwrap_or(("", page));
    let modules = modules.split('/').filter(|module| !module.is_empty());
    let name = last.split_once('.').map(|(_kind, name)| name);
    let steps: Vec<&str> = std::iter::once("freshsocket")
        .chain(modules)
        .chain(name)
        .collect();
    steps.join("::")
}

fn read(page: &Path) -> Result<String, String> {
    std::fs::read_to_string(page).map_err(|error| format!("{}: {error}", page.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_without_an_example_is_named() {
        let page = format!(
            r#"{MAIN} class="content"><details class="toggle top-doc"><p>A store.</p></details>
            <h2 id="variants" class="variants section-header">Variants</h2><section id="variant.One" class="variant">
            <h2 id="implementations" class="section-header"><section id="impl-Store" class="impl">{EXAMPLE}
            <section id="method.load" class="method">{EXAMPLE}
            <section id="method.swap" class="method"><div class="example-wrap ignore"><pre class="rust rust-example-rendered">
            <section id="associatedconstant.MAX" class="associatedconstant">
            <h2 id="trait-implementations" class="section-header"><section id="method.clone" class="method">"#
        );
        let expected = [
            ("freshsocket::store::Store", false),
            ("freshsocket::store::Store::load()", true),
            ("freshsocket::store::Store::swap()", false),
            ("freshsocket::store::Store::MAX", false),
        ];
        assert_eq!(
            items("store/enum.Store.html", &page),
            expected.map(|(name, has_example)| (name.to_owned(), has_example))
        );
    }

    #[test]
    fn pages_are_those_of_items_and_their_modules() {
        let list = r##"<li><a href="#enums">Enums</a></li><li><a href="struct.Error.html">Error</a></li><li><a href="io/enum.Input.html">io::Input</a></li>"##;
        let found: Vec<String> = pages(list).iter().map(|page| path(page)).collect();
        assert_eq!(
            found,
            [
                "freshsocket",
                "freshsocket::io::Input",
                "freshsocket::io",
                "freshsocket::Error"
            ]
        );
    }
}
