//! The few things the core needs to know of a URL, without the `url` crate's tables (174 KB on wasm).
//!
//! The driver's own HTTP and WebSocket stack parses the URL in full; this reads scheme, host and origin, refuses
//! what cannot be one, and puts parameters into the query.

/// A URL taken apart, borrowing from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    pub(crate) scheme: &'a str,
    /// Host and port, without user information.
    pub(crate) authority: &'a str,
    /// Path and query, beginning with `/` or empty.
    pub(crate) path: &'a str,
}

impl<'a> Url<'a> {
    /// `None` for anything that is not `scheme://host[:port][/…]` in printable ASCII without spaces.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if !text.bytes().all(|b| b.is_ascii_graphic())
            || text.contains(['\\', '"', '<', '>', '^', '`', '{', '}', '|'])
        {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host = host_of(authority);
        let port = &authority[host.len()..];
        let port_is_good =
            port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok());
        // User information in a URL is a credential in the wrong place: refused, not redacted.
        let good = !scheme.is_empty() && !host.is_empty() && !authority.contains('@') && port_is_good;
        good.then_some(Self {
            scheme,
            authority,
            path,
        })
    }

    pub(crate) fn host(&self) -> &'a str {
        host_of(self.authority)
    }

    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        host.eq_ignore_ascii_case("localhost")
            || host == "[::1]"
            || host
                .parse::<std::net::Ipv4Addr>()
                .is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether `other` has the same scheme, host and port.
    pub(crate) fn same_origin(&self, other: &Url<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme) && self.authority.eq_ignore_ascii_case(other.authority)
    }
}

fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.find(']').map_or("", |close| &authority[..close + 2]),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// `path` below `base`, or `path` itself where it is a whole URL.
pub(crate) fn join(base: &str, path: &str) -> String {
    if path.contains("://") {
        return path.to_owned();
    }
    let base = base.trim_end_matches('/');
    let slash = if path.is_empty() || path.starts_with('/') {
        ""
    } else {
        "/"
    };
    format!("{base}{slash}{path}")
}

/// `url` with `name=value` added to its query, percent-encoded; a fragment is dropped.
pub(crate) fn with_parameter(url: &str, name: &str, value: &str) -> String {
    let url = url.split('#').next().unwrap_or(url);
    let mut out = String::with_capacity(url.len() + name.len() + value.len() + 2);
    out.push_str(url);
    out.push(if url.contains('?') { '&' } else { '?' });
    percent_encode(name, &mut out);
    out.push('=');
    percent_encode(value, &mut out);
    out
}

fn percent_encode(text: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_urls_apart_and_refuses_the_rest() {
        let url = Url::parse("wss://[::1]:9000/a/b?c=d").unwrap();
        assert_eq!(
            (url.host(), url.path, url.is_loopback()),
            ("[::1]", "/a/b?c=d", true)
        );
        assert!(Url::parse("ws://127.0.0.1:80").unwrap().is_loopback());
        assert!(!Url::parse("ws://127.0.0.1.evil.example").unwrap().is_loopback());
        assert!(!Url::parse("ws://localhost.evil.example").unwrap().is_loopback());
        for bad in [
            "",
            "ws:/x",
            "ws://",
            "://h",
            "ws://h:99999",
            "ws://u:p@h",
            "ws://[::1",
            "ws://h/a b",
            "ws://h\n",
            "ws://hä",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn parameters_are_encoded() {
        assert_eq!(
            with_parameter("ws://h/p?a=1#f", "tok en", "a+b/c="),
            "ws://h/p?a=1&tok%20en=a%2Bb%2Fc%3D"
        );
        assert_eq!(join("https://h/api/", "/x/"), "https://h/api/x/");
        assert_eq!(join("https://h", "x"), "https://h/x");
    }
}
