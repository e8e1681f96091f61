//! The cookies of a session whose tokens live in `HttpOnly` cookies, where no browser keeps them for us (S1).
//!
//! Deliberately small: the cookies come from one origin (the session's) and go back to it and to its sockets, so only
//! name, value and "is it being deleted?" matter.

use crate::claims::Claims;
use crate::secret::Secret;

/// More cookies than this from one server are not a session.
const MOST_COOKIES: usize = 50;

/// `current` (a `Cookie` header) with the given `Set-Cookie` headers applied; `None` when nothing is left.
pub(crate) fn merged(current: Option<&Secret>, set: &[Secret], now_unix_ms: u64) -> Option<Secret> {
    let mut all: Vec<(String, String)> = Vec::new();
    for pair in current.map_or("", Secret::expose).split("; ") {
        if let Some((name, value)) = pair.split_once('=') {
            all.push((name.to_owned(), value.to_owned()));
        }
    }
    for header in set {
        let Some(cookie) = parse(header.expose(), now_unix_ms) else {
            continue;
        };
        all.retain(|(name, _)| *name != cookie.name);
        if !cookie.deleted && all.len() < MOST_COOKIES {
            all.push((cookie.name.to_owned(), cookie.value.to_owned()));
        }
    }
    let header: Vec<String> = all
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    (!header.is_empty()).then(|| Secret::new(header.join("; ")))
}

/// The lifetime that the cookies themselves tell: of those that are JWTs, the shortest (`exp − iat`).
pub(crate) fn lifetime_ms(set: &[Secret], now_unix_ms: u64) -> Option<u64> {
    set.iter()
        .filter_map(|header| Claims::read(parse(header.expose(), now_unix_ms)?.value))
        .filter_map(|claims| Some(claims.expires_at? - claims.issued_at?))
        .filter(|seconds| *seconds > 0.0)
        .map(|seconds| (seconds * 1000.0) as u64)
        .min()
}

struct Cookie<'a> {
    name: &'a str,
    value: &'a str,
    deleted: bool,
}

/// RFC 6265, section 5.2, as far as it concerns us.
fn parse(header: &str, now_unix_ms: u64) -> Option<Cookie<'_>> {
    let mut parts = header.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let printable = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if name.is_empty() || !printable(name) || !printable(value) {
        return None;
    }
    let mut max_age = None;
    let mut expired = false;
    for attribute in parts {
        let (key, given) = attribute.split_once('=').unwrap_or((attribute, ""));
        if key.trim().eq_ignore_ascii_case("max-age") {
            max_age = given.trim().parse::<i64>().ok();
        } else if key.trim().eq_ignore_ascii_case("expires") {
            let at = crate::http_date::parse_http_date(&given.replace('-', " "));
            expired = at.is_some_and(|at| at <= now_unix_ms);
        }
    }
    // Max-Age has precedence over Expires.
    Some(Cookie {
        name,
        value,
        deleted: max_age.map_or(expired, |seconds| seconds <= 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_cookies_are_kept_replaced_and_deleted() {
        let set = |headers: &[&str]| headers.iter().map(|h| Secret::from(*h)).collect::<Vec<_>>();
        let first = merged(
            None,
            &set(&["access=a1; HttpOnly; Path=/", "refresh=r1; Max-Age=900"]),
            0,
        )
        .unwrap();
        assert_eq!(first.expose(), "access=a1; refresh=r1");
        let second = merged(Some(&first), &set(&["access=a2", "refresh=; Max-Age=0"]), 0).unwrap();
        assert_eq!(second.expose(), "access=a2");
        let expired = set(&["access=x; Expires=Thu, 01-Jan-1970 00:00:00 GMT"]);
        assert_eq!(merged(Some(&second), &expired, 1), None);
        assert_eq!(merged(None, &set(&["=x", "novalue", "a=b\u{1}"]), 0), None);
    }
}
