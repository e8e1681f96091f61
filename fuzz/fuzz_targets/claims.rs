//! `Claims::read` on anything: malformed tokens are opaque, never a panic, and what is read is usable.
#![no_main]

use freshsocket::Claims;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(token) = std::str::from_utf8(data) else {
        return;
    };
    // As it came, and as the payload of a well-formed JWT, so that the fuzzer need not learn base64.
    check(token);
    check(&freshsocket_fuzz::jwt(data));
});

fn check(token: &str) {
    let Some(claims) = Claims::read(token) else { return };
    for date in [claims.expires_at, claims.issued_at].into_iter().flatten() {
        assert!(date.is_finite() && date >= 0.0, "a date that is none: {date}");
    }
    // The application may print and compare what it gets.
    assert!(claims.all.to_string().starts_with('{'));
    assert_eq!(claims, claims.clone());
}
