//! Two header forms that carry time: `Date` and `Retry-After` (RFC 9110, sections 5.6.7 and 10.2.3).

/// A server's wish to be left alone is honoured up to this long: one hour.
const LONGEST_RETRY_AFTER_MS: u64 = 3_600_000;

/// An HTTP date as milliseconds since 1970; `None` for anything else.
pub(crate) fn parse_http_date(text: &str) -> Option<u64> {
    let at = httpdate::parse_http_date(text.trim()).ok()?;
    at.duration_since(std::time::UNIX_EPOCH)
        .ok()
        .map(|since| since.as_millis() as u64)
}

/// `Retry-After` in either form, as a delay; `server_unix_ms` is the answer's `Date`, or our own clock.
pub(crate) fn retry_after_ms(text: &str, server_unix_ms: u64) -> Option<u64> {
    let text = text.trim();
    let ms = match text.parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1_000),
        Err(_) => parse_http_date(text)?.saturating_sub(server_unix_ms),
    };
    Some(ms.min(LONGEST_RETRY_AFTER_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s8_retry_after_in_both_forms() {
        assert_eq!(
            parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777_000)
        );
        assert_eq!(
            parse_http_date("Thu, 29 Feb 2024 00:00:00 GMT"),
            Some(1_709_164_800_000)
        );
        assert_eq!(retry_after_ms("120", 0), Some(120_000));
        assert_eq!(
            retry_after_ms("Sun, 06 Nov 1994 08:49:47 GMT", 784_111_777_000),
            Some(10_000)
        );
        assert_eq!(retry_after_ms("99999999999999999999", 0), None);
        assert_eq!(retry_after_ms("99999999999", 0), Some(LONGEST_RETRY_AFTER_MS));
        for bad in [
            "",
            "soon",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "a b c d e f",
        ] {
            assert_eq!(parse_http_date(bad), None, "{bad}");
        }
    }
}
