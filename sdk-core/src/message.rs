//! Messages: text or binary, cheap to clone.

use bytes::Bytes;

/// Shared UTF-8 text: what a text message holds. Cloning shares it.
///
/// ```
/// use freshsocket::{Message, Text};
///
/// let Message::Text(text) = Message::text("hello") else { unreachable!() };
/// let kept: Text = text.clone(); // shares the memory
/// assert!(kept.starts_with("hell")); // all of `str`
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Inner);

// What the WebSocket stack of the platform hands out, so that nothing is checked or copied twice.
#[cfg(feature = "native")]
type Inner = tungstenite::Utf8Bytes;
#[cfg(not(feature = "native"))]
type Inner = std::sync::Arc<str>;

impl Text {
    /// The text.
    ///
    /// ```
    /// assert_eq!(freshsocket::Text::from(String::from("hello")).as_str(), "hello");
    /// ```
    #[cfg(feature = "native")]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The text.
    ///
    /// ```
    /// assert_eq!(freshsocket::Text::from(String::from("hello")).as_str(), "hello");
    /// ```
    #[cfg(not(feature = "native"))]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "native")]
impl Text {
    pub(crate) fn from_wire(text: tungstenite::Utf8Bytes) -> Self {
        Self(text)
    }
}

impl std::ops::Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// One WebSocket message (P1). Cloning shares the payload.
///
/// ```
/// use freshsocket::Message;
///
/// fn shown(message: &Message) -> String {
///     match message {
///         Message::Text(text) => text.to_string(),
///         Message::Binary(bytes) => format!("{} bytes", bytes.len()),
///     }
/// }
/// assert_eq!(shown(&Message::from("hello")), "hello");
/// assert_eq!(shown(&Message::from(vec![1, 2, 3])), "3 bytes");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text.
    Text(Text),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// A text message.
    ///
    /// ```
    /// let message = freshsocket::Message::text("hello");
    /// assert_eq!(message.as_text(), Some("hello"));
    /// ```
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Text::from(text.into()))
    }

    /// A binary message.
    ///
    /// ```
    /// let message = freshsocket::Message::binary(vec![1, 2, 3]);
    /// assert_eq!((message.len(), message.as_text()), (3, None));
    /// ```
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// A text message with this value as JSON.
    ///
    /// ```
    /// let message = freshsocket::Message::json(&[1, 2]).unwrap();
    /// assert_eq!(message.as_text(), Some("[1,2]"));
    /// ```
    ///
    /// # Errors
    /// If the value cannot be written as JSON (a map with keys that are not strings, for example).
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::text)
    }

    /// The payload's length in bytes.
    ///
    /// ```
    /// assert_eq!(freshsocket::Message::text("né").len(), 3); // bytes of UTF-8, as on the wire
    /// ```
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.as_str().len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the payload is empty.
    ///
    /// ```
    /// assert!(freshsocket::Message::text("").is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, if it is a text message.
    ///
    /// ```
    /// use freshsocket::{Json, Message};
    ///
    /// let message = Message::text(r#"{"type": "chat"}"#);
    /// let json = message.as_text().and_then(Json::parse).unwrap();
    /// assert_eq!(json.at("/type").and_then(Json::as_str), Some("chat"));
    /// ```
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Binary(_) => None,
        }
    }

    /// The payload's bytes, of either kind.
    ///
    /// ```
    /// assert_eq!(freshsocket::Message::text("hi").as_bytes(), b"hi");
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_str().as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

// A message is the application's, and what it holds is not for our logs.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if matches!(self, Self::Text(_)) {
            "Text"
        } else {
            "Binary"
        };
        write!(f, "{kind}({} bytes)", self.len())
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}
