//! Secrets: values that cannot be printed, and that are wiped when the last holder lets go (section 6).

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

macro_rules! secret_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(Arc<Zeroizing<String>>);

        impl $name {
            /// Takes `text` as a secret. The text's own memory is kept and wiped when the last clone is dropped.
            ///
            /// ```
            #[doc = concat!("let secret = freshsocket::", stringify!($name), "::new(\"hunter2\");")]
            /// assert!(!format!("{secret:?}").contains("hunter2"));
            /// ```
            pub fn new(text: impl Into<String>) -> Self {
                Self(Arc::new(Zeroizing::new(text.into())))
            }

            /// The secret itself. Whoever calls this answers for where it goes.
            ///
            /// ```
            #[doc = concat!("let secret = freshsocket::", stringify!($name), "::new(\"hunter2\");")]
            /// assert_eq!(secret.expose(), "hunter2");
            /// ```
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// Whether there is nothing in it: a session whose token lives in an `HttpOnly` cookie hands out an
            /// empty token, which says "signed in and valid" and nothing more.
            ///
            /// ```
            #[doc = concat!("assert!(freshsocket::", stringify!($name), "::new(\"\").is_empty());")]
            /// ```
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }
    };
}

secret_type! {
    /// An access token: what a request or a connection carries. Never printed, wiped on drop.
    ///
    /// ```
    /// let token = freshsocket::AccessToken::new("eyJ…");
    /// assert_eq!(format!("{token:?}"), "AccessToken(…)");
    /// assert_eq!(token.expose(), "eyJ…");
    /// ```
    AccessToken
}

secret_type! {
    /// A refresh token: what buys a new access token. Never printed, wiped on drop.
    ///
    /// ```
    /// use freshsocket::{RefreshToken, TokenGrant};
    ///
    /// let refresh = RefreshToken::from("from-a-deep-link");
    /// let grant = TokenGrant { access: "eyJ…".into(), refresh: Some(refresh), expires_in_ms: None, user: None };
    /// assert!(!format!("{grant:?}").contains("from-a-deep-link"));
    /// ```
    RefreshToken
}

secret_type! {
    /// Any other text that must not be printed: a request body with a password, a header, a URL with a ticket.
    ///
    /// ```
    /// use freshsocket::{AccessToken, Secret};
    ///
    /// let header = Secret::from(format!("Bearer {}", AccessToken::new("eyJ…").expose()));
    /// assert_eq!(format!("{header:?}"), "Secret(…)");
    /// ```
    Secret
}

impl AccessToken {
    /// A copy that shares no memory with this one, so that threads which hand out the same token in a tight
    /// loop do not fight over one reference count.
    #[cfg(feature = "native")]
    pub(crate) fn unshared(&self) -> Self {
        Self::new(self.expose())
    }
}

impl From<AccessToken> for Secret {
    fn from(token: AccessToken) -> Self {
        Self(token.0)
    }
}

/// A URL safe to print: scheme, host, port and path. The query, the fragment and any user name or password in it
/// are replaced, because each is a place where servers expect tokens.
///
/// ```
/// assert_eq!(freshsocket::redact_url("wss://u:p@example.com/ws?token=abc#x"), "wss://example.com/ws?…");
/// ```
pub fn redact_url(url: &str) -> String {
    let (before, cut) = match url.find(['?', '#']) {
        Some(at) => (&url[..at], true),
        None => (url, false),
    };
    let mut shown = String::with_capacity(before.len() + 4);
    match before.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            shown.push_str(scheme);
            shown.push_str("://");
            shown.push_str(host);
            shown.push_str(path);
        }
        None => shown.push_str(before),
    }
    if cut {
        shown.push_str("?…");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_prints() {
        for shown in [
            format!("{:?}", AccessToken::new("hunter2")),
            format!("{:#?}", RefreshToken::new("hunter2")),
            format!("{:?}", Secret::new("hunter2")),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn urls_lose_what_may_be_secret() {
        assert_eq!(redact_url("ws://h:1/p?ticket=x"), "ws://h:1/p?…");
        assert_eq!(redact_url("https://user:pw@h"), "https://h");
        assert_eq!(redact_url("https://h/p@q"), "https://h/p@q");
        assert_eq!(redact_url("not a url"), "not a url");
        assert_eq!(redact_url("ws://h/#tok"), "ws://h/?…");
    }
}
