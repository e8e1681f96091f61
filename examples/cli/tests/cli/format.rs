//! The documented JSON format, as the README's examples show it. Used by the unit tests as well.

use std::collections::BTreeSet;

use serde_json::Value;

const README: &str = include_str!("../../README.md");

/// The README's example lines.
pub(crate) fn examples() -> Vec<Value> {
    let blocks = README
        .split("```jsonl\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    blocks
        .flat_map(str::lines)
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// What tells kinds of lines apart, and their fields: `session/active: expiresAt state ts type`.
pub(crate) fn shape(line: &Value) -> String {
    let fields = line.as_object().expect("an object");
    let kind = fields["type"].as_str().expect("a type");
    let names = ["state", "phase", "format", "status"];
    let variant = names
        .iter()
        .find_map(|name| fields.get(*name)?.as_str())
        .unwrap_or("-");
    let fields: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
    format!(
        "{kind}/{variant}: {}",
        fields.into_iter().collect::<Vec<_>>().join(" ")
    )
}

/// Fails unless the line is like one of the README's.
pub(crate) fn check(line: &Value) {
    let documented: BTreeSet<String> = examples().iter().map(shape).collect();
    assert!(
        documented.contains(&shape(line)),
        "not as documented: {line}\nits shape: {}",
        shape(line)
    );
    assert!(
        line["ts"].as_u64().is_some_and(|ts| ts > 1_600_000_000_000),
        "{line}"
    );
    check_values(line);
}

/// Errors and ends, wherever they stand.
fn check_values(value: &Value) {
    let Some(fields) = value.as_object() else { return };
    if let Some(how) = fields.get("how") {
        assert!(
            README.contains(&format!("{{\"how\":{how}")),
            "undocumented: {value}"
        );
    }
    if fields.contains_key("kind") {
        let known = ["kind", "message", "field", "status", "cause", "nextAttempt"];
        assert!(
            fields.keys().all(|name| known.contains(&name.as_str())),
            "undocumented: {value}"
        );
        assert!(fields["message"].is_string(), "{value}");
    }
    fields.values().for_each(check_values);
}
