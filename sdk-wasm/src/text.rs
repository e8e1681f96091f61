//! What crosses to JavaScript as JSON.

use freshsocket::{Error, Message};
use js_sys::{JsString, Uint8Array};
use serde::Serialize;
use wasm_bindgen::{JsCast as _, JsValue};

/// The JSON of a state or an event, as the documentation has it.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    // States and events have no maps with odd keys and no failing parts.
    serde_json::to_string(value).unwrap_or_default()
}

/// An error: its sentence for people, and its JSON.
pub(crate) fn error(error: &Error) -> String {
    json(&(error.to_string(), error))
}

/// The same for an option that the web cannot honour; `field` is named like the machine's own.
pub(crate) fn field_error(field: &str, error: &Error) -> String {
    json(&(
        format!("{field}: {error}"),
        Named {
            kind: error.kind().as_str(),
            message: error.message(),
            field,
        },
    ))
}

#[derive(Serialize)]
struct Named<'a> {
    kind: &'static str,
    message: &'a str,
    field: &'a str,
}

/// A message as the machine knows it: copied out of JavaScript's memory.
pub(crate) fn message(data: &JsValue) -> Option<Message> {
    match data.dyn_ref::<Uint8Array>() {
        Some(bytes) => Some(Message::binary(bytes.to_vec())),
        None => data.as_string().map(Message::text),
    }
}

/// The same the other way.
pub(crate) fn value(message: &Message) -> JsValue {
    match message.as_text() {
        Some(text) => JsValue::from_str(text),
        None => Uint8Array::from(message.as_bytes()).into(),
    }
}

/// The length of a text message in units of JavaScript's, without copying it; `None`: it is binary.
pub(crate) fn text_length(data: &JsValue) -> Option<u32> {
    data.dyn_ref::<JsString>().map(JsString::length)
}

/// About how much a message takes.
pub(crate) fn size(data: &JsValue) -> usize {
    let bytes = || data.dyn_ref::<Uint8Array>().map_or(0, Uint8Array::length);
    text_length(data).unwrap_or_else(bytes) as usize
}
