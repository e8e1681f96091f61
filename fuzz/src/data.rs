//! From the fuzzer's bytes to what a driver would tell the machine: anything that a server, a store or an application
//! could come up with, what is likely as well as what is not.

use freshsocket::io::HttpAnswer;
use freshsocket::store::{RefreshIntent, StoreSnapshot, StoreVersion, StoredSession};
use freshsocket::{Error, ErrorKind};
use libfuzzer_sys::arbitrary::Unstructured;

use crate::PLANTED;
use crate::jwt::jwt;

pub(crate) type Data<'a, 'b> = &'a mut Unstructured<'b>;

pub(crate) fn byte(data: Data<'_, '_>) -> u8 {
    data.arbitrary().unwrap_or_default()
}

/// A number of any size, the small ones as likely as the large ones.
pub(crate) fn number(data: Data<'_, '_>) -> u64 {
    let bits = u32::from(byte(data)) % 65;
    let number: u64 = data.arbitrary().unwrap_or_default();
    number.checked_shr(64 - bits).unwrap_or(0)
}

pub(crate) fn text(data: Data<'_, '_>) -> String {
    data.arbitrary::<&str>().unwrap_or_default().to_owned()
}

/// A JWT whose dates are anything, or an opaque token; planted in both cases.
pub(crate) fn token(data: Data<'_, '_>) -> String {
    match byte(data) & 3 {
        0 => PLANTED.to_owned(),
        1 => format!("{PLANTED}{}", text(data)),
        _ => {
            let (iat, exp) = (number(data), number(data));
            let payload = format!(r#"{{"iat":{iat},"exp":{exp},"jti":"{}"}}"#, byte(data));
            // What is planted stands in the signature, which nobody reads.
            format!("{}{PLANTED}", jwt(payload.as_bytes()))
        }
    }
}

pub(crate) fn or_error<T>(data: Data<'_, '_>, make: impl FnOnce(Data<'_, '_>) -> T) -> Result<T, Error> {
    if byte(data) % 5 == 0 {
        Err(Error::new(ErrorKind::StoreFailed, "made up"))
    } else {
        Ok(make(data))
    }
}

pub(crate) fn http_answer(data: Data<'_, '_>) -> Result<HttpAnswer, Error> {
    let kind = byte(data);
    if kind % 8 == 0 {
        return Err(Error::new(ErrorKind::Unreachable, "made up"));
    }
    // Statuses that mean something come more often than others.
    let status = match kind >> 4 {
        0..=5 => 200,
        6 => 201,
        7 => 204,
        8 => 400,
        9 => 401,
        10 => 403,
        11 => 429,
        12 => 503,
        _ => number(data) as u16,
    };
    let body = match byte(data) & 3 {
        0 => None,
        1 => Some(text(data)),
        _ => {
            let (access, refresh) = (token(data), token(data));
            let expires_in = number(data);
            Some(format!(
                r#"{{"access":"{access}","refresh":"{refresh}","token":"{access}","refreshToken":"{refresh}","ticket":"{access}","expires_in":{expires_in},"expiresIn":"{expires_in}"}}"#
            ))
        }
    };
    Ok(HttpAnswer {
        status,
        retry_after: (kind & 1 == 0).then(|| text(data)),
        date_unix_ms: (kind & 2 == 0).then(|| number(data)),
        set_cookies: if kind & 4 == 0 {
            vec![format!("t={PLANTED}; {}", text(data)).into()]
        } else {
            Vec::new()
        },
        body: body.map(Into::into),
    })
}

pub(crate) fn snapshot(data: Data<'_, '_>) -> StoreSnapshot {
    let version = StoreVersion(number(data));
    let session = (byte(data) & 1 == 0).then(|| {
        Box::new(StoredSession {
            access: token(data).into(),
            refresh: (byte(data) & 1 == 0).then(|| PLANTED.into()),
            cookies: None,
            received_unix_ms: number(data),
            lifetime_ms: (byte(data) & 1 == 0).then(|| number(data)),
            user: None,
            rotation: number(data),
            intent: (byte(data) & 3 == 0).then(|| RefreshIntent {
                key: "key".to_owned(),
                at_unix_ms: number(data),
                asked_unix_ms: number(data),
                lease: 7,
            }),
        })
    });
    StoreSnapshot { version, session }
}
