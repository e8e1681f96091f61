//! Predicates over messages (P3): "is this the welcome?", "is this an auth refusal?".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::Json;

/// A predicate over a JSON text message: for each JSON pointer, the value that must stand there, or an array of
/// values of which one must. `{"/type": "error", "/message": ["Token required", "Invalid or expired token"]}`.
///
/// A message that is not JSON matches nothing. An empty matcher matches nothing.
///
/// ```
/// use freshsocket::{Json, Options};
///
/// let json = r#"{"socket": {"authError": [{"/type": "error", "/code": ["TOKEN_EXPIRED", "TOKEN_INVALID"]}]}}"#;
/// let refusals = Options::from_json(json).unwrap().socket.auth_error.unwrap();
/// let message = Json::parse(r#"{"type": "error", "code": "TOKEN_EXPIRED", "at": 1700000000}"#).unwrap();
/// assert!(refusals[0].matches(&message));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Matcher(pub BTreeMap<String, Json>);

impl Matcher {
    /// A matcher from pairs of pointer and expected value.
    ///
    /// ```
    /// use freshsocket::options::{Matcher, SocketOptions};
    ///
    /// let mut options = SocketOptions::default();
    /// options.ready = Some(Matcher::new([("/type", "connected".into()), ("/version", "2".into())]));
    /// ```
    pub fn new<const N: usize>(conditions: [(&str, Json); N]) -> Self {
        Self(
            conditions
                .into_iter()
                .map(|(pointer, value)| (pointer.to_owned(), value))
                .collect(),
        )
    }

    /// Whether `message` satisfies every condition.
    ///
    /// ```
    /// use freshsocket::{Json, options::Matcher};
    ///
    /// let welcome = Matcher::new([("/type", Json::from("connected"))]);
    /// assert!(welcome.matches(&Json::parse(r#"{"type": "connected"}"#).unwrap()));
    /// ```
    pub fn matches(&self, message: &Json) -> bool {
        !self.0.is_empty()
            && self.0.iter().all(|(pointer, expected)| {
                message.at(pointer).is_some_and(|found| match expected {
                    Json::Arr(any) => any.contains(found),
                    one => one == found,
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_matches_all_conditions_and_any_of_an_array() {
        let refusal = Matcher::new([
            ("/type", "error".into()),
            (
                "/message",
                Json::Arr(vec!["Token required".into(), "Invalid token type".into()]),
            ),
        ]);
        let said = |text: &str| refusal.matches(&Json::parse(text).unwrap());
        assert!(said(r#"{"type":"error","message":"Token required","more":1}"#));
        assert!(!said(r#"{"type":"error","message":"Room is full"}"#));
        assert!(!said(r#"{"type":"chat","message":"Token required"}"#));
        assert!(!Matcher::default().matches(&Json::Null));
    }
}
