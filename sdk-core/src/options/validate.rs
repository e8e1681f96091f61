//! Bad configuration fails when a client is built, naming the field.

use super::{
    Credential, Duplicates, Endpoint, Matcher, Preset, Renewal, RetryOptions, SessionOptions, SocketOptions,
    Url, WhenFull,
};
use crate::error::{Error, ErrorKind};
use crate::json::Json;

impl SessionOptions {
    /// Checks the session's options.
    ///
    /// ```
    /// use freshsocket::{ErrorKind, options::SessionOptions};
    ///
    /// let options = SessionOptions { base_url: "http://api.example.com".into(), ..SessionOptions::default() };
    /// let error = options.validate().unwrap_err();
    /// assert_eq!((error.kind(), error.field()), (ErrorKind::InsecureUrl, Some("session.baseUrl")));
    /// ```
    pub fn validate(&self) -> Result<(), Error> {
        let refresh = &self.refresh;
        at_least("session.requestTimeoutMs", self.request_timeout_ms, 1)?;
        at_least("session.maxAnswerBytes", self.max_answer_bytes, 256)?;
        retry("session.refresh.retry", &refresh.retry)?;
        if !(refresh.margin_fraction > 0.0 && refresh.margin_fraction <= 0.9) {
            return bad(
                "session.refresh.marginFraction",
                "must be above 0 and at most 0.9",
            );
        }
        if let Some(name) = &refresh.idempotency_header {
            header_name("session.refresh.idempotencyHeader", name)?;
        }
        if let Some(status) = refresh
            .refused_statuses
            .iter()
            .find(|s| !(400..500).contains(*s) || **s == 429)
        {
            let why = "must be 4xx and not 429: 5xx and 429 mean that the server could not be reached";
            return bad(format!("session.refresh.refusedStatuses ({status})"), why);
        }
        if self.preset == Preset::Callback {
            return Ok(());
        }
        let base = web_url(
            "session.baseUrl",
            &self.base_url,
            ["http", "https"],
            self.allow_insecure,
        )?;
        let endpoints = self.resolved_endpoints();
        let named = [
            ("login", &endpoints.login),
            ("refresh", &endpoints.refresh),
            ("verify", &endpoints.verify),
            ("logout", &endpoints.logout),
        ];
        for (name, endpoint) in named {
            if let Some(endpoint) = endpoint {
                self.validate_endpoint(name, endpoint, &base)?;
            }
        }
        Ok(())
    }

    fn validate_endpoint(&self, name: &str, endpoint: &Endpoint, base: &Url<'_>) -> Result<(), Error> {
        let field = |member: &str| format!("session.endpoints.{name}.{member}");
        let url = super::url::join(&self.base_url, &endpoint.path);
        match Url::parse(&url) {
            None => return bad(field("path"), "is not a path or URL"),
            Some(url) if !url.same_origin(base) => {
                return bad(field("path"), "must stay on the origin of baseUrl");
            }
            Some(_) => {}
        }
        for (member, text) in [
            ("access", &endpoint.access),
            ("refresh", &endpoint.refresh),
            ("expiresIn", &endpoint.expires_in),
            ("user", &endpoint.user),
        ] {
            pointer(field(member), text)?;
        }
        Ok(())
    }
}

impl SocketOptions {
    /// Checks the socket's options.
    ///
    /// ```
    /// use freshsocket::options::SocketOptions;
    ///
    /// let mut options = SocketOptions { url: "wss://api.example.com/ws".into(), ..SocketOptions::default() };
    /// assert!(options.validate().is_ok());
    /// options.connect_timeout_ms = 0;
    /// assert_eq!(options.validate().unwrap_err().field(), Some("socket.connectTimeoutMs"));
    /// ```
    pub fn validate(&self) -> Result<(), Error> {
        let insecure = self.allow_insecure || self.credential == Credential::None;
        let url = web_url("socket.url", &self.url, ["ws", "wss"], insecure)?;
        if url.path.contains('#') {
            return bad("socket.url", "must have no fragment (RFC 6455, section 3)");
        }
        for name in &self.subprotocols {
            token("socket.subprotocols", name)?;
        }
        match &self.credential {
            Credential::Subprotocol { name } | Credential::Cookie { name: Some(name) } => {
                token("socket.credential.name", name)?;
            }
            Credential::Query { parameter } => not_empty("socket.credential.parameter", parameter)?,
            Credential::Header { name, .. } => header_name("socket.credential.name", name)?,
            Credential::FirstMessage { template } => {
                template_has_token("socket.credential.template", template)?;
            }
            Credential::Ticket(ticket) => {
                not_empty("socket.credential.url", &ticket.url)?;
                not_empty("socket.credential.parameter", &ticket.parameter)?;
                pointer("socket.credential.pointer", &ticket.pointer)?;
            }
            Credential::Cookie { name: None } | Credential::None => {}
        }
        if let Renewal::InBand { template, ack } = &self.renewal {
            template_has_token("socket.renewal.template", template)?;
            ack.as_ref()
                .map_or(Ok(()), |ack| matcher("socket.renewal.ack", ack))?;
        }
        if let Duplicates::Id { pointer: text } = &self.duplicates {
            not_empty("socket.duplicates.pointer", text)?;
            pointer("socket.duplicates.pointer", text)?;
        }
        retry("socket.reconnect.delay", &self.reconnect.delay)?;
        if self.reconnect.max_attempts == Some(0) {
            return bad(
                "socket.reconnect.maxAttempts",
                "must be at least 1; leave it out for no limit",
            );
        }
        if let Some(code) = self.close_codes.keys().find(|code| !(1000..5000).contains(*code)) {
            return bad(format!("socket.closeCodes ({code})"), "must be from 1000 to 4999");
        }
        if self.heartbeat.interval_ms > 0 {
            at_least("socket.heartbeat.timeoutMs", self.heartbeat.timeout_ms, 1)?;
            at_least(
                "socket.heartbeat.probeTimeoutMs",
                self.heartbeat.probe_timeout_ms,
                1,
            )?;
        }
        at_least("socket.connectTimeoutMs", self.connect_timeout_ms, 1)?;
        at_least(
            "socket.limits.maxMessageBytes",
            self.limits.max_message_bytes as u64,
            1,
        )?;
        at_least(
            "socket.limits.receiveMessages",
            self.limits.receive_messages as u64,
            1,
        )?;
        at_least("socket.limits.receiveBytes", self.limits.receive_bytes as u64, 1)?;
        at_least("socket.outbox.maxMessages", self.outbox.max_messages as u64, 1)?;
        if self.outbox.when_full == WhenFull::DropOldest && self.outbox.max_bytes == 0 {
            return bad("socket.outbox.maxBytes", "must be at least 1");
        }
        if let Some(ready) = &self.ready {
            matcher("socket.ready", ready)?;
        }
        for refusal in self.auth_error.iter().flatten() {
            matcher("socket.authError", refusal)?;
        }
        self.heartbeat
            .reply
            .as_ref()
            .map_or(Ok(()), |reply| matcher("socket.heartbeat.reply", reply))
    }
}

fn bad<T>(field: impl Into<String>, why: &'static str) -> Result<T, Error> {
    Err(Error::new(ErrorKind::InvalidOptions, why).with_field(field))
}

fn at_least(field: &'static str, value: u64, least: u64) -> Result<(), Error> {
    if value >= least {
        Ok(())
    } else {
        bad(field, "is too small")
    }
}

fn not_empty(field: &'static str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        bad(field, "must not be empty")
    } else {
        Ok(())
    }
}

fn web_url<'a>(
    field: &'static str,
    text: &'a str,
    schemes: [&str; 2],
    allow_insecure: bool,
) -> Result<Url<'a>, Error> {
    let Some(url) = Url::parse(text) else {
        return bad(
            field,
            "is not a URL (scheme://host[:port]/path, no user name, no spaces)",
        );
    };
    let [plain, secure] = schemes;
    if url.scheme != plain && url.scheme != secure {
        return bad(
            field,
            "has the wrong scheme (http or https for the session, ws or wss for a socket)",
        );
    }
    if url.scheme == plain && !url.is_loopback() && !allow_insecure {
        return Err(Error::new(
            ErrorKind::InsecureUrl,
            "would send credentials in clear text; use TLS, or set allowInsecure",
        )
        .with_field(field));
    }
    Ok(url)
}

fn retry(field: &str, options: &RetryOptions) -> Result<(), Error> {
    if options.cap_ms == 0 || options.base_ms == 0 {
        return bad(field.to_owned(), "baseMs and capMs must be at least 1");
    }
    if !(options.factor >= 1.0 && options.factor.is_finite()) {
        return bad(format!("{field}.factor"), "must be at least 1");
    }
    Ok(())
}

/// RFC 7230 `token`: what a header name, a cookie name and a subprotocol may consist of.
fn token(field: &'static str, text: &str) -> Result<(), Error> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !text.is_empty() && text.bytes().all(good) {
        Ok(())
    } else {
        bad(
            field,
            "must be letters, digits and !#$%&'*+-.^_`|~ (RFC 7230 token)",
        )
    }
}

fn header_name(field: &'static str, name: &str) -> Result<(), Error> {
    token(field, name)?;
    let reserved = [
        "host",
        "connection",
        "upgrade",
        "content-length",
        "transfer-encoding",
        "sec-websocket-key",
    ];
    if reserved.iter().any(|r| name.eq_ignore_ascii_case(r)) {
        return bad(field, "is a header that the protocol itself needs");
    }
    Ok(())
}

fn pointer(field: impl Into<String>, text: &str) -> Result<(), Error> {
    if text.is_empty() || text.starts_with('/') {
        Ok(())
    } else {
        bad(field, "is not a JSON pointer (it begins with a slash, RFC 6901)")
    }
}

fn matcher(field: &'static str, matcher: &Matcher) -> Result<(), Error> {
    if matcher.0.is_empty() {
        return bad(field, "has no condition and would match nothing");
    }
    matcher.0.keys().try_for_each(|text| pointer(field, text))
}

fn template_has_token(field: &'static str, template: &Json) -> Result<(), Error> {
    if template.to_string().contains("{token}") {
        Ok(())
    } else {
        bad(field, "must contain {token}")
    }
}
