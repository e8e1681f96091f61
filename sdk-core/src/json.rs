//! The one place that reads and writes JSON. Everything else asks for a value at a pointer.
//!
//! On native this is `serde_json`. The web build swaps the parser (the browser has one) behind the same face.
//!
//! ```
//! use freshsocket::json::Json;
//!
//! let user = Json::parse(r#"{"id": 7, "roles": ["admin"]}"#).unwrap();
//! assert_eq!(user.at("/roles/0"), Some(&Json::from("admin")));
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value: a body template, a user record, an expected value. Small on purpose: the machine compares and
/// copies such values and computes nothing with them.
///
/// ```
/// use freshsocket::Json;
///
/// let body = Json::object([("username", Json::from("{username}")), ("remember", Json::Bool(true))]);
/// assert_eq!(body.to_string(), r#"{"remember":true,"username":"{username}"}"#);
/// match body.at("/remember") {
///     Some(Json::Bool(remember)) => assert!(remember),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Str(String),
    /// An array.
    Arr(Vec<Json>),
    /// An object, its members in order of name.
    Obj(BTreeMap<String, Json>),
}

impl Json {
    /// Reads a JSON text; `None` if it is not one. Nesting is bounded (128 levels) by the parser.
    ///
    /// ```
    /// use freshsocket::Json;
    ///
    /// assert_eq!(Json::parse("[1, null]"), Some(Json::Arr(vec![Json::Int(1), Json::Null])));
    /// assert_eq!(Json::parse("<html>"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The value at a JSON pointer (RFC 6901), e.g. `/data/token`; the empty pointer is the whole value.
    ///
    /// ```
    /// let json = freshsocket::Json::parse(r#"{"data": {"token": "t"}}"#).unwrap();
    /// assert_eq!(json.at("/data/token").and_then(|token| token.as_str()), Some("t"));
    /// ```
    pub fn at(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer
            .strip_prefix('/')?
            .split('/')
            .try_fold(self, |value, step| {
                let key = step.replace("~1", "/").replace("~0", "~");
                match value {
                    Self::Obj(members) => members.get(&key),
                    Self::Arr(items) => items.get(key.parse::<usize>().ok()?),
                    _ => None,
                }
            })
    }

    /// The text, if this is a string.
    ///
    /// ```
    /// use freshsocket::Json;
    ///
    /// assert_eq!(Json::from("ada").as_str(), Some("ada"));
    /// assert_eq!(Json::Int(7).as_str(), None);
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if this is one (also one written as a string, as some servers do).
    ///
    /// ```
    /// use freshsocket::Json;
    ///
    /// assert_eq!(Json::Int(300).as_f64(), Some(300.0));
    /// assert_eq!(Json::from("300").as_f64(), Some(300.0));
    /// assert_eq!(Json::from("soon").as_f64(), None);
    /// ```
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Float(x) => Some(*x),
            Self::Str(text) => text.parse().ok(),
            _ => None,
        }
        .filter(|x: &f64| x.is_finite())
    }

    /// This value with every `{name}` in its strings replaced by `fill(name)`; a name that `fill` does not know
    /// stays as it is.
    ///
    /// ```
    /// use freshsocket::Json;
    ///
    /// let template = Json::parse(r#"{"type": "auth", "header": "Bearer {token}"}"#).unwrap();
    /// let message = template.filled(&|name| (name == "token").then(|| Json::from("abc")));
    /// assert_eq!(message.at("/header"), Some(&Json::from("Bearer abc")));
    /// ```
    pub fn filled(&self, fill: &dyn Fn(&str) -> Option<Json>) -> Self {
        match self {
            Self::Str(text) => fill_text(text, fill),
            Self::Arr(items) => Self::Arr(items.iter().map(|item| item.filled(fill)).collect()),
            Self::Obj(members) => Self::Obj(
                members
                    .iter()
                    .map(|(name, value)| (name.clone(), value.filled(fill)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    /// An object from pairs.
    ///
    /// ```
    /// use freshsocket::Json;
    ///
    /// let ping = Json::object([("type", Json::from("ping"))]);
    /// assert_eq!(ping.to_string(), r#"{"type":"ping"}"#);
    /// ```
    pub fn object<N: Into<String>>(members: impl IntoIterator<Item = (N, Json)>) -> Self {
        Self::Obj(
            members
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }
}

/// The value as JSON text.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

// By hand, because a derived untagged enum copies every nested value once per level.
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_none<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Json, D::Error> {
                Json::deserialize(inner)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Int(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Json, E> {
                Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Int))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
                if value.is_finite() {
                    Ok(Json::Float(value))
                } else {
                    Err(E::custom("not a finite number"))
                }
            }

            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Str(value.to_owned()))
            }

            fn visit_string<E>(self, value: String) -> Result<Json, E> {
                Ok(Json::Str(value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(Json::Arr(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, value)) = members.next_entry()? {
                    all.insert(name, value);
                }
                Ok(Json::Obj(all))
            }
        }

        deserializer.deserialize_any(AnyValue)
    }
}

/// A string that is exactly one placeholder takes the placeholder's value with its type; otherwise the values are
/// put into the text.
fn fill_text(text: &str, fill: &dyn Fn(&str) -> Option<Json>) -> Json {
    if let Some(value) = text
        .strip_prefix('{')
        .and_then(|t| t.strip_suffix('}'))
        .and_then(fill)
    {
        return value;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let filled = rest
            .find('}')
            .and_then(|close| Some((fill(&rest[1..close])?, close)));
        match filled {
            Some((Json::Str(value), close)) => {
                out.push_str(&value);
                rest = &rest[close + 1..];
            }
            Some((value, close)) => {
                out.push_str(&value.to_string());
                rest = &rest[close + 1..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Json::Str(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_follow_rfc_6901() {
        let value = Json::parse(r#"{"a":{"b/c":[1,{"d":"x"}]},"n":"7.5"}"#).unwrap();
        assert_eq!(value.at("/a/b~1c/1/d").and_then(Json::as_str), Some("x"));
        assert_eq!(value.at("/n").and_then(Json::as_f64), Some(7.5));
        assert_eq!(value.at("a"), None);
        assert_eq!(value.at("/a/zz"), None);
    }

    #[test]
    fn templates_fill_names_and_leave_the_rest() {
        let template =
            Json::parse(r#"{"t":"{token}","h":"Bearer {token}","k":"{unknown} {","n":[1,"{n}"]}"#).unwrap();
        let filled = template.filled(&|name| match name {
            "token" => Some("abc\"".into()),
            "n" => Some(Json::Int(3)),
            _ => None,
        });
        assert_eq!(
            filled.to_string(),
            r#"{"h":"Bearer abc\"","k":"{unknown} {","n":[1,3],"t":"abc\""}"#
        );
    }

    #[test]
    fn deep_nesting_is_refused_and_not_a_stack_overflow() {
        assert_eq!(Json::parse(&"[".repeat(100_000)), None);
    }
}
