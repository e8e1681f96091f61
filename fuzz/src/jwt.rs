//! A maker of JWTs, so that the fuzzer need not learn base64.

/// A JWT with this payload and no signature.
pub fn jwt(payload: &[u8]) -> String {
    format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(payload))
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            out.push(char::from(DIGITS[(group >> (18 - 6 * place) & 63) as usize]));
        }
    }
    out
}
