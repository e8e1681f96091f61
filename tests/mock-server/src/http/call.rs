//! A request as handlers see it, and the record they fill in.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::book::Seen;
use crate::record::{Counters, Kind, Record};
use crate::settings::Settings;

/// One request, read whole.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body as JSON; null where it is none.
    pub(crate) json: Value,
    pub(crate) settings: Arc<Settings>,
    pub(crate) now_ms: i64,
}

impl Call {
    /// A text field of the JSON body; empty where there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.json.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn speaks_node(&self) -> bool {
        ["email", "refreshToken"]
            .iter()
            .any(|name| self.json.get(name).is_some())
    }

    pub(crate) fn bearer(&self) -> &str {
        bearer(&self.headers)
    }

    pub(crate) fn cookie(&self, name: &str) -> &str {
        cookie(&self.headers, name)
    }

    pub(crate) fn idempotency_key(&self) -> Option<&str> {
        self.headers
            .get("idempotency-key")
            .and_then(|value| value.to_str().ok())
    }
}

/// The record of a request in the making, and which counter its outcome belongs to.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) record: Record,
    pub(crate) tally: fn(&mut Counters),
}

impl Draft {
    pub(crate) fn new(kind: Kind, method: &Method, path: &str) -> Self {
        let (method, path) = (method.to_string(), path.to_owned());
        Self {
            record: Record {
                kind: Some(kind),
                method,
                path,
                ..Record::default()
            },
            tally: |_| {},
        }
    }

    /// Notes the token that came with the request.
    pub(crate) fn saw(&mut self, seen: &Seen) {
        self.record.user.clone_from(&seen.user);
        self.record.token_id = Some(seen.id.clone());
        self.record.token_seq = seen.seq;
        self.record.token_expired = seen.is_expired();
    }
}

/// The bearer token of a request; empty where there is none.
pub(crate) fn bearer(headers: &HeaderMap) -> &str {
    let value = text(headers, header::AUTHORIZATION);
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    }
}

/// A cookie of a request; empty where there is none.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    let all = headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
        .unwrap_or_default()
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
