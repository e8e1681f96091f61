//! The options as they come from JavaScript, with what the web cannot do refused by name.

use freshsocket::options::{Credential, Preset, SocketOptions};
use freshsocket::{Error, ErrorKind, Options};

use crate::text;

/// Of the session; `has_callback`: the application gave a token callback.
pub(crate) fn session(json: &str, has_callback: bool) -> Result<Options, String> {
    let options = Options::from_json(json).map_err(|error| text::error(&error))?;
    let refused = match options.session.preset {
        Preset::Cookie => {
            Some("a script sees no cookies, so their lifetime cannot be followed on the web yet")
        }
        Preset::Callback if !has_callback => Some("the preset needs the option `token`, a callback"),
        _ => None,
    };
    match refused {
        Some(why) => Err(unsupported("session.preset", why)),
        None => Ok(options),
    }
}

/// Of a socket: a member `socket` of an otherwise empty structure, whose errors name their place that way.
pub(crate) fn socket(json: &str) -> Result<SocketOptions, String> {
    let mut options = Options::from_json(json)
        .map_err(|error| text::error(&error))?
        .socket;
    options.validate().map_err(|error| text::error(&error))?;
    let refused = match options.credential {
        Credential::Header { .. } => Some("a WebSocket on the web has no headers of the application's"),
        Credential::Cookie { .. } => Some("a WebSocket on the web has no cookies of the application's"),
        _ => None,
    };
    if let Some(why) = refused {
        return Err(unsupported("socket.credential", why));
    }
    if options.heartbeat.message.is_none() {
        // A WebSocket on the web cannot ping. A ping that is never sent would be a connection declared dead.
        options.heartbeat.interval_ms = 0;
    }
    Ok(options)
}

fn unsupported(field: &str, why: &'static str) -> String {
    text::field_error(field, &Error::new(ErrorKind::InvalidOptions, why))
}
