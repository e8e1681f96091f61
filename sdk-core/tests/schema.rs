//! Keeps what is written about options and errors true: `docs/options.schema.json`, `docs/options.md`,
//! `docs/errors.md` and the table of errors in the README are made here, from the types and their doc comments.
//!
//! `cargo xtask schema` writes them; run without it, this test says which one is out of date.
#![cfg(feature = "schema")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

use std::fmt::Write as _;
use std::path::PathBuf;

use freshsocket::options::{CloseAction, SocketOptions};
use freshsocket::{ErrorKind, Options, close};
use serde_json::{Map, Value, json};

/// Set by `cargo xtask schema`.
const WRITE: &str = "FRESHSOCKET_WRITE_DOCS";

const EXAMPLE: &str = r#"{
  "session": {
    "baseUrl": "https://api.example.com",
    "preset": "nodeJwt",
    "refresh": { "marginMs": 60000 }
  },
  "socket": {
    "url": "wss://api.example.com/ws",
    "credential": { "placement": "query", "parameter": "token" },
    "ready": { "/type": "connected" },
    "closeCodes": { "4000": "stop" },
    "outbox": { "maxMessages": 100, "whenFull": "dropOldest" }
  }
}"#;

#[test]
fn the_schema_is_current() {
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    is_current("docs/options.schema.json", &text);
}

#[test]
fn the_options_page_is_current() {
    is_current("docs/options.md", &options_page(&schema()));
}

#[test]
fn the_errors_page_is_current() {
    let page = format!(
        "# Errors\n\n{GENERATED}\n\nEvery error has a kind, and the kinds have the same names on every platform. The \
         message says what happened, `cause` what the layer below said, `advice` what can be done. None of them \
         holds a token.\n\n{}",
        errors_table()
    );
    is_current("docs/errors.md", &page);
    let readme = read("README.md");
    let (before, rest) = readme
        .split_once("<!-- errors -->")
        .expect("the README has a place for the table of errors");
    let (_, after) = rest.split_once("<!-- /errors -->").expect("and an end of it");
    is_current(
        "README.md",
        &format!(
            "{before}<!-- errors -->\n{}<!-- /errors -->{after}",
            errors_table()
        ),
    );
}

#[test]
fn the_default_options_fit_the_schema_and_survive_a_round_trip() {
    let written = serde_json::to_value(Options::default()).unwrap();
    fits(&schema(), &written);
    assert_eq!(
        Options::from_json(&written.to_string()).unwrap(),
        Options::default()
    );
    assert_eq!(Options::from_json("{}").unwrap(), Options::default());
}

#[test]
fn every_example_in_the_docs_is_valid() {
    let schema = schema();
    let mut count = 0;
    for file in ["README.md", "docs/options.md"] {
        let text = read(file);
        for example in text
            .split("```json\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap_or(rest))
        {
            let options =
                Options::from_json(example).unwrap_or_else(|error| panic!("{file}: {error}\n{example}"));
            options
                .validate()
                .unwrap_or_else(|error| panic!("{file}: {error}\n{example}"));
            fits(&schema, &serde_json::from_str(example).unwrap());
            let written = serde_json::to_string(&options).unwrap();
            assert_eq!(
                Options::from_json(&written).unwrap(),
                options,
                "{file}: a round trip changed {example}"
            );
            fits(&schema, &serde_json::from_str(&written).unwrap());
            count += 1;
        }
    }
    assert!(count >= 1, "no example found");
}

#[test]
fn what_the_schema_refuses_the_sdk_refuses_too() {
    let schema = schema();
    for wrong in [
        r#"{"sessions":{}}"#,
        r#"{"session":{"base_url":"https://h"}}"#,
        r#"{"session":{"preset":"SimpleJwt"}}"#,
        r#"{"session":{"requestTimeoutMs":-1}}"#,
        r#"{"session":{"refresh":{"refusedStatuses":[70000]}}}"#,
        r#"{"socket":{"credential":{"placement":"query","name":"x"}}}"#,
        r#"{"socket":{"credential":{}}}"#,
        r#"{"socket":{"closeCodes":{"4000":"explode"}}}"#,
        r#"{"socket":{"outbox":{"maxMessages":"many"}}}"#,
    ] {
        assert!(
            misfit(&schema, &schema, &serde_json::from_str(wrong).unwrap(), "").is_some(),
            "schema takes {wrong}"
        );
        assert!(Options::from_json(wrong).is_err(), "the SDK takes {wrong}");
    }
}

#[test]
fn every_option_is_described_and_in_camel_case() {
    let schema = schema();
    let mut seen = 0;
    each_node(&schema, "", &mut |place, node| {
        if let Some(text) = node.get("description").and_then(Value::as_str) {
            assert!(!text.contains("```"), "{place} shows an example in Rust");
        }
        for (name, property) in node
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            seen += 1;
            let mut letters = name.chars();
            assert!(
                letters.next().is_some_and(|c| c.is_ascii_lowercase()),
                "{place}/{name}"
            );
            assert!(letters.all(|c| c.is_ascii_alphanumeric()), "{place}/{name}");
            // The tag of an enum is described by the enum.
            let described = property.get("description").is_some() || property.get("const").is_some();
            assert!(described, "{place}/{name} has no description");
        }
        if let Some(value) = node
            .get("const")
            .and_then(Value::as_str)
            .filter(|v| !v.chars().all(char::is_uppercase))
        {
            assert!(
                value.starts_with(|c: char| c.is_ascii_lowercase()) && !value.contains(['_', '-']),
                "{value}"
            );
        }
    });
    assert!(seen > 50, "only {seen} properties found");
}

// ---- the pages ----

const GENERATED: &str =
    "<!-- Made by `cargo xtask schema` from the doc comments. Change those, not this. -->";

fn options_page(schema: &Value) -> String {
    let mut page = format!(
        "# Options\n\n{GENERATED}\n\nOne structure for all platforms. In Rust it is `freshsocket::Options`, and the \
         builders change it; as JSON it is described by [`options.schema.json`](options.schema.json). Unknown names \
         are refused; a wrong value is refused when the client is built, naming the option. All of it is optional \
         except `session.baseUrl` (for every preset but `callback`) and a socket's `url`.\n\n```json\n{EXAMPLE}\n```\n"
    );
    for part in ["session", "socket"] {
        section(&mut page, schema, part, &schema["properties"][part]);
    }
    page.push_str("\n## Close codes\n\nWhat happens on a close code; `socket.closeCodes` changes and extends the second table.\n\n");
    page.push_str("| action | meaning |\n| --- | --- |\n");
    for action in schema["$defs"]["CloseAction"]["oneOf"].as_array().unwrap() {
        let (name, meaning) = (
            action["const"].as_str().unwrap(),
            action["description"].as_str().unwrap(),
        );
        let _ = writeln!(page, "| `{name}` | {} |", cell(meaning));
    }
    page.push_str("\n| code | action |\n| --- | --- |\n");
    for code in [
        1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4401, 4403,
    ] {
        let action = serde_json::to_value(close::default_action(code)).unwrap();
        let _ = writeln!(page, "| {code} | `{}` |", action.as_str().unwrap());
    }
    assert_eq!(close::action(&SocketOptions::default(), 4999), CloseAction::Retry);
    page.push_str("| any other | `retry` |\n");
    page
}

/// A heading, a table of the object's own options, and the sections of what is inside them.
fn section(page: &mut String, schema: &Value, path: &str, node: &Value) {
    let object = resolved(schema, node);
    let _ = write!(page, "\n## `{path}`\n\n{}\n\n", meaning(node, object));
    page.push_str("| option | type | default | meaning |\n| --- | --- | --- | --- |\n");
    let properties = object["properties"].as_object().unwrap();
    for (name, property) in properties {
        let inside = resolved(schema, property);
        // What is said of this place comes before what is said of the type, which may stand in several places.
        let here = node.get("default").and_then(|default| default.get(name));
        let default = here
            .or_else(|| property.get("default"))
            .map_or("absent".to_owned(), |default| default_cell(inside, default));
        let link = format!("#{}", format!("{path}.{name}").replace('.', "").to_lowercase());
        let kind = kind(schema, property, &link);
        let _ = writeln!(
            page,
            "| `{name}` | {kind} | {default} | {} |",
            meaning(property, inside)
        );
    }
    for (name, property) in properties {
        let inside = resolved(schema, property);
        let path = format!("{path}.{name}");
        if inside.get("properties").is_some() && name != "login" && inside["properties"].get("path").is_none()
        {
            section(page, schema, &path, property);
        } else if let Some(variants) = inside.get("oneOf").and_then(Value::as_array) {
            variants_section(page, schema, &path, property, variants);
        }
    }
    // The four endpoints have the same form: said once.
    if path == "session.endpoints" {
        let _ = write!(page, "\n## `session.endpoints.*`\n\n");
        let mut inner = String::new();
        section(&mut inner, schema, "", &json!({ "$ref": "#/$defs/Endpoint" }));
        page.push_str(inner.trim_start().trim_start_matches("## ``").trim_start());
    }
}

/// A default in a cell; that of an object stands in its own section.
fn default_cell(inside: &Value, default: &Value) -> String {
    match default.as_object() {
        None => format!("`{default}`"),
        Some(object) if inside.get("oneOf").is_some() => format!("`{}`", tag(object).unwrap_or_default()),
        Some(object) if object.is_empty() => "none".to_owned(),
        Some(_) => String::new(),
    }
}

fn variants_section(page: &mut String, schema: &Value, path: &str, node: &Value, variants: &[Value]) {
    // The verbs of HTTP need no table.
    if variants.iter().any(|variant| variant["const"] == "GET") {
        return;
    }
    let _ = write!(
        page,
        "\n## `{path}`\n\n{}\n\n",
        meaning(node, resolved(schema, node))
    );
    let tag_name = variants.iter().find_map(|v| tag_of(v).map(|(name, _)| name));
    match tag_name {
        None => page.push_str("| value | meaning |\n| --- | --- |\n"),
        Some(tag) => {
            let _ = write!(page, "| `{tag}` | meaning | with it |\n| --- | --- | --- |\n");
        }
    }
    for variant in variants {
        let meaning = cell(variant["description"].as_str().unwrap_or_default());
        let Some((tag, value)) = tag_of(variant) else {
            let _ = writeln!(page, "| `{}` | {meaning} |", variant["const"].as_str().unwrap());
            continue;
        };
        let mut fields = Vec::new();
        for (name, property) in variant["properties"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != tag)
        {
            let default = property
                .get("default")
                .map_or("absent".to_owned(), |d| format!("`{}`", cell(&d.to_string())));
            let what = cell(property["description"].as_str().unwrap_or_default());
            fields.push(format!("`{name}` ({default}): {what}"));
        }
        let _ = writeln!(page, "| `{value}` | {meaning} | {} |", fields.join("<br>"));
    }
}

fn errors_table() -> String {
    // The meaning stands in the doc comments, which the compiled code does not know.
    let source = include_str!("../src/error.rs");
    let (_, body) = source.split_once("pub enum ErrorKind {").unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let mut meanings = Vec::new();
    let mut doc = String::new();
    for line in body.lines().map(str::trim) {
        match line.strip_prefix("///") {
            Some(text) => {
                doc.push_str(text);
            }
            None if line.is_empty() || line.starts_with("//") => {}
            None => meanings.push((line.trim_end_matches(','), std::mem::take(&mut doc))),
        }
    }
    assert_eq!(
        meanings.len(),
        ErrorKind::ALL.len(),
        "a kind is missing in ErrorKind::ALL"
    );
    let mut table = "| kind | meaning | advice |\n| --- | --- | --- |\n".to_owned();
    for (kind, (name, meaning)) in ErrorKind::ALL.into_iter().zip(meanings) {
        assert_eq!(
            format!("{kind:?}"),
            name,
            "ErrorKind::ALL is in another order than ErrorKind"
        );
        let _ = writeln!(
            table,
            "| `{}` | {} | {} |",
            kind.as_str(),
            cell(&meaning),
            cell(kind.advice())
        );
    }
    table
}

/// A type in words; `link` leads to the section about what is inside.
fn kind(schema: &Value, node: &Value, link: &str) -> String {
    let inside = resolved(schema, node);
    if let Some(name) = reference(node) {
        match name {
            "Json" => return "any JSON".to_owned(),
            "Matcher" => return "matcher".to_owned(),
            "Endpoint" => return "[endpoint](#sessionendpoints-1)".to_owned(),
            "Method" => return "`GET`, `POST`, `PUT`, `DELETE`".to_owned(),
            _ => {}
        }
    }
    if inside.get("oneOf").is_some() {
        return format!("[one of]({link})");
    }
    if inside.get("properties").is_some() {
        return format!("[object]({link})");
    }
    if inside.get("patternProperties").is_some() {
        return "map from code to [action](#close-codes)".to_owned();
    }
    let named = match &inside["type"] {
        Value::String(name) => name.as_str(),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null")
            .unwrap_or("any"),
        _ => "any",
    };
    match named {
        "array" => format!("list of {}", kind(schema, &inside["items"], link)),
        "string" => "text".to_owned(),
        "boolean" => "yes or no".to_owned(),
        "integer" => "whole number".to_owned(),
        other => other.to_owned(),
    }
}

/// The property's own description, else that of its type.
fn meaning(node: &Value, inside: &Value) -> String {
    cell(
        node["description"]
            .as_str()
            .or(inside["description"].as_str())
            .unwrap_or_default(),
    )
}

/// Text for a table's cell: one line, no bars, no references to the contract's clauses.
fn cell(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.trim();
    while let Some(open) = rest.find(" (") {
        let inside = &rest[open + 2..];
        let is_clause =
            inside.starts_with(['S', 'W', 'P']) && inside[1..].starts_with(|c: char| c.is_ascii_digit());
        if let Some(close) = inside.find(')').filter(|_| is_clause) {
            out.push_str(&rest[..open]);
            rest = &inside[close + 1..];
        } else {
            out.push_str(&rest[..open + 2]);
            rest = inside;
        }
    }
    out.push_str(rest);
    out.replace('\n', " ").replace('|', "\\|")
}

// ---- the schema ----

fn schema() -> Value {
    let mut schema = serde_json::to_value(schemars::schema_for!(Options)).unwrap();
    schema["title"] = "freshsocket options".into();
    without_examples(&mut schema);
    schema
}

/// Takes the examples out of the descriptions: they are Rust, and this is for every platform.
fn without_examples(node: &mut Value) {
    match node {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("description") {
                // Outside and inside of the fences alternate.
                let outside: String = text.split("```").step_by(2).collect();
                outside.trim_end().clone_into(text);
            }
            members.values_mut().for_each(without_examples);
        }
        Value::Array(items) => items.iter_mut().for_each(without_examples),
        _ => {}
    }
}

fn reference(node: &Value) -> Option<&str> {
    let either = node
        .get("anyOf")
        .and_then(Value::as_array)
        .and_then(|any| any.iter().find_map(reference));
    node.get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.strip_prefix("#/$defs/"))
        .or(either)
}

fn resolved<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    reference(node).map_or(node, |name| &schema["$defs"][name])
}

fn tag(object: &Map<String, Value>) -> Option<&str> {
    ["placement", "mode", "by"]
        .iter()
        .find_map(|name| object.get(*name))
        .and_then(Value::as_str)
}

fn tag_of(variant: &Value) -> Option<(&str, &str)> {
    let properties = variant.get("properties")?.as_object()?;
    properties
        .iter()
        .find_map(|(name, p)| Some((name.as_str(), p.get("const")?.as_str()?)))
}

fn each_node(node: &Value, place: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(place, node);
    match node {
        Value::Object(members) => {
            // Values that stand in the schema are no schemas.
            for (name, member) in members.iter().filter(|(name, _)| *name != "default") {
                each_node(member, &format!("{place}/{name}"), visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_node(item, place, visit)),
        _ => {}
    }
}

fn fits(schema: &Value, value: &Value) {
    if let Some(why) = misfit(schema, schema, value, "") {
        panic!("{why}\nin {value:#}");
    }
}

/// Why `value` does not fit `node`. Knows the keywords that our schema uses, and fails on any other.
fn misfit(schema: &Value, node: &Value, value: &Value, at: &str) -> Option<String> {
    let rules = node
        .as_object()
        .unwrap_or_else(|| panic!("{at}: not a schema: {node}"));
    for (keyword, rule) in rules {
        let wrong = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => None,
            "$ref" => misfit(schema, resolved(schema, node), value, at),
            "type" => {
                let is = |name: &str| match name {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "string" => value.is_string(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("{at}: type {other}?"),
                };
                let fits = match rule {
                    Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
                    name => name.as_str().is_some_and(is),
                };
                (!fits).then(|| format!("{at}: {value} is not {rule}"))
            }
            "const" => (value != rule).then(|| format!("{at}: {value} is not {rule}")),
            "minimum" => {
                let low = value.as_f64().is_some_and(|v| v < rule.as_f64().unwrap());
                low.then(|| format!("{at}: {value} is below {rule}"))
            }
            "maximum" => {
                let high = value.as_f64().is_some_and(|v| v > rule.as_f64().unwrap());
                high.then(|| format!("{at}: {value} is above {rule}"))
            }
            "items" => value
                .as_array()
                .into_iter()
                .flatten()
                .find_map(|item| misfit(schema, rule, item, at)),
            "required" => {
                let names = rule.as_array().unwrap().iter().filter_map(Value::as_str);
                let missing = value
                    .as_object()
                    .and_then(|object| names.into_iter().find(|n| !object.contains_key(*n)));
                missing.map(|name| format!("{at}: {name} is missing"))
            }
            "properties" => value
                .as_object()
                .into_iter()
                .flatten()
                .find_map(|(name, inner)| misfit(schema, rule.get(name)?, inner, &format!("{at}/{name}"))),
            "patternProperties" => value.as_object().into_iter().flatten().find_map(|(name, inner)| {
                let (pattern, rule) = rule.as_object()?.iter().next()?;
                assert_eq!(pattern, "^\\d+$", "{at}: a pattern that this check does not know");
                if !name.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                misfit(schema, rule, inner, &format!("{at}/{name}"))
            }),
            "additionalProperties" => value.as_object().into_iter().flatten().find_map(|(name, inner)| {
                let is_known = node["properties"].get(name).is_some();
                let matches =
                    node.get("patternProperties").is_some() && name.bytes().all(|b| b.is_ascii_digit());
                match rule {
                    _ if is_known || matches => None,
                    Value::Bool(false) => Some(format!("{at}: {name} is unknown")),
                    rule => misfit(schema, rule, inner, &format!("{at}/{name}")),
                }
            }),
            "anyOf" | "oneOf" => {
                let whys: Option<Vec<_>> = rule
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|choice| misfit(schema, choice, value, at))
                    .collect();
                whys.map(|whys| format!("{at}: fits none of: {}", whys.join("; ")))
            }
            other => panic!("{at}: this check does not know the keyword {other}"),
        };
        if wrong.is_some() {
            return wrong;
        }
    }
    None
}

// ---- files ----

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn is_current(file: &str, text: &str) {
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(root().join(file), text).unwrap_or_else(|error| panic!("{file}: {error}"));
    } else if std::fs::read_to_string(root().join(file)).unwrap_or_default() != text {
        panic!("{file} is out of date: run `cargo xtask schema`");
    }
}
