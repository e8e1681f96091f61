//! Values of flags.

use std::time::Duration;

/// `PATH=VALUE` of `--set`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Set {
    pub(crate) path: String,
    pub(crate) value: serde_json::Value,
}

/// `POINTER=VALUE`: what stands at a JSON pointer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    pub(crate) pointer: String,
    pub(crate) value: serde_json::Value,
}

impl Condition {
    /// Whether a message is JSON with this value in this place.
    pub(crate) fn holds(&self, message: &serde_json::Value) -> bool {
        message.pointer(&self.pointer) == Some(&self.value)
    }
}

pub(crate) fn set(text: &str) -> Result<Set, String> {
    let (path, value) = pair(text)?;
    if path.split('.').any(str::is_empty) {
        return Err(format!(
            "{path:?} is not a path such as socket.heartbeat.intervalMs"
        ));
    }
    Ok(Set {
        path,
        value: json_or_text(&value)?,
    })
}

pub(crate) fn condition(text: &str) -> Result<Condition, String> {
    let (pointer, value) = pair(text)?;
    if !pointer.starts_with('/') {
        return Err(format!(
            "{pointer:?} is not a JSON pointer (it begins with a slash, RFC 6901)"
        ));
    }
    Ok(Condition {
        pointer,
        value: json_or_text(&value)?,
    })
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

pub(crate) fn close_code(text: &str) -> Result<(u16, String), String> {
    let (code, action) = pair(text)?;
    let code = code
        .parse()
        .map_err(|_| format!("{code:?} is not a close code"))?;
    // Both spellings: that of flags and that of the configuration.
    let mut camel = String::new();
    for (n, part) in action.split('-').enumerate() {
        let mut letters = part.chars();
        match letters.next() {
            Some(first) if n > 0 => camel.push(first.to_ascii_uppercase()),
            Some(first) => camel.push(first),
            None => {}
        }
        camel.push_str(letters.as_str());
    }
    match camel.as_str() {
        "retry" | "refreshThenRetry" | "stop" | "stopOnRepeat" => Ok((code, camel)),
        _ => Err(format!(
            "{action:?} is none of retry, refreshThenRetry, stop, stopOnRepeat"
        )),
    }
}

/// `500ms`, `30s`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let ms_each = match unit.trim() {
        "ms" => 1.0,
        "" | "s" => 1_000.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return Err(format!("{unit:?} is no unit of time: ms, s, m, h")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{text:?} is not a time such as 30s or 500ms"))?;
    Duration::try_from_secs_f64(number * ms_each / 1_000.0)
        .ok()
        .filter(|time| time.as_secs() < 366 * 86_400)
        .ok_or_else(|| format!("{text:?} is too long"))
}

/// JSON, or text that needs no quotes. What begins like JSON and is none is a mistake and no text.
fn json_or_text(text: &str) -> Result<serde_json::Value, String> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) if text.starts_with(['{', '[', '"']) => Err(format!("is not JSON: {error}")),
        Err(_) => Ok(serde_json::Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["", "s", "-1s", "1x", "1..2s", "99999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_json_or_else_text() {
        assert_eq!(set("a.b=1").unwrap().value, serde_json::json!(1));
        assert_eq!(
            set("a=http://h?x=y").unwrap().value,
            serde_json::json!("http://h?x=y")
        );
        assert!(set("a={x").is_err() && set("a..b=1").is_err() && set("=1").is_err() && set("a").is_err());
        assert_eq!(condition("/t=null").unwrap().value, serde_json::Value::Null);
        assert!(condition("t=1").is_err());
    }

    #[test]
    fn close_codes_in_either_spelling() {
        assert_eq!(
            close_code("4401=refresh-then-retry"),
            Ok((4401, "refreshThenRetry".into()))
        );
        assert_eq!(close_code("1000=stop"), Ok((1000, "stop".into())));
        assert!(close_code("x=stop").is_err() && close_code("1000=maybe").is_err());
    }
}
