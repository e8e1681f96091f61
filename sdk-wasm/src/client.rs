//! What the package's TypeScript holds: one object for a session and its sockets. Nothing in it but the crossing.

use freshsocket::io::{
    CallId, CallbackAnswer, ConnId, ConnectFailure, EffectId, HttpAnswer, Input, SendId, SessionView,
    SocketId, TokenGrant,
};
use freshsocket::machine::Machine;
use freshsocket::{Error, ErrorKind, Message, Secret, SessionState, SignOutCause};
use js_sys::Array;
use wasm_bindgen::prelude::*;

use crate::driver::{self, Asked, Driver};
use crate::host::Host;
use crate::{options, text};

/// A session and its sockets.
#[wasm_bindgen]
pub struct Client {
    driver: Driver,
}

#[wasm_bindgen]
impl Client {
    /// `options`: JSON; `seed`: two random numbers. What is wrong with the options is thrown as an error's JSON.
    #[wasm_bindgen(constructor)]
    pub fn new(
        options: &str,
        has_callback: bool,
        seed_high: u32,
        seed_low: u32,
        host: Host,
    ) -> Result<Client, String> {
        let options = options::session(options, has_callback)?;
        let seed = u64::from(seed_high) << 32 | u64::from(seed_low);
        let machine = Machine::new(options.session, false, seed, driver::now());
        let machine = machine.map_err(|error| text::error(&error))?;
        // The machine's first output says the same.
        let view = SessionView {
            state: SessionState::SignedOut {
                cause: SignOutCause::NotSignedIn,
            },
            token: None,
            user: None,
            attempts_ended: 0,
            identity: None,
            cookies: None,
        };
        let driver = Driver::new(machine, view, host);
        Ok(Self { driver })
    }

    // --- calls of the application; each is answered by `reply` or `replyError` ---

    /// Signs in; `credentials`: names and values in turn.
    pub fn login(&self, call: f64, credentials: Vec<String>) {
        let mut credentials = credentials.into_iter();
        let mut pairs = Vec::new();
        while let (Some(name), Some(value)) = (credentials.next(), credentials.next()) {
            pairs.push((name, Secret::new(value)));
        }
        self.driver.tell(Input::Login {
            call: CallId(call as u64),
            credentials: pairs,
        });
    }

    /// Takes tokens from elsewhere; `expires_in_ms` below zero: they say themselves.
    pub fn adopt(&self, call: f64, access: String, refresh: Option<String>, expires_in_ms: f64) {
        let tokens = TokenGrant {
            access: access.into(),
            refresh: refresh.map(Into::into),
            expires_in_ms: lifetime(expires_in_ms),
            user: None,
        };
        let call = CallId(call as u64);
        self.driver.tell(Input::Adopt { call, tokens });
    }

    /// Signs out.
    pub fn logout(&self, call: f64) {
        let call = CallId(call as u64);
        self.driver.tell(Input::Logout { call });
    }

    /// Asks the server whether it takes the token.
    pub fn verify(&self, call: f64) {
        let call = CallId(call as u64);
        self.driver.tell(Input::Verify { call });
    }

    /// A token that is valid for the margin.
    pub fn token(&self, call: f64) {
        self.driver.take(Asked::Token(CallId(call as u64)));
    }

    /// Whether the token has at most so much to live.
    #[wasm_bindgen(js_name = expiresWithin)]
    pub fn expires_within(&self, ms: f64) -> bool {
        self.driver.expires_within(ms as u64)
    }

    // --- sockets ---

    /// Makes a socket. What is wrong with the options is thrown as an error's JSON.
    #[wasm_bindgen(js_name = openSocket)]
    pub fn open_socket(&self, socket: f64, options: &str) -> Result<(), String> {
        let options = options::socket(options)?;
        self.driver.open_socket(SocketId(socket as u64), options);
        Ok(())
    }

    /// Wants it connected.
    pub fn connect(&self, socket: f64) {
        let socket = SocketId(socket as u64);
        self.driver.tell(Input::Connect { socket });
    }

    /// Wants it closed.
    pub fn disconnect(&self, socket: f64, code: u16, reason: String) {
        let socket = SocketId(socket as u64);
        self.driver.tell(Input::Disconnect { socket, code, reason });
    }

    /// Lets go of it.
    #[wasm_bindgen(js_name = dropSocket)]
    pub fn drop_socket(&self, socket: f64) {
        self.driver.drop_socket(SocketId(socket as u64));
    }

    /// Sends a message that cannot be written directly.
    pub fn send(&self, socket: f64, send: f64, data: JsValue) {
        let Some(message) = text::message(&data) else {
            return;
        };
        self.driver.tell(Input::Send {
            socket: SocketId(socket as u64),
            send: SendId(send as u64),
            // Nothing happens between the application's call and this one.
            identity: None,
            message,
        });
    }

    // --- what the host saw ---

    /// The time that it was asked to wait is over.
    pub fn tick(&self) {
        self.driver.tick();
    }

    /// The device has, or has no, network.
    pub fn network(&self, online: bool) {
        self.driver.tell(Input::Network { online });
    }

    /// The device or the page may have been away.
    pub fn woke(&self) {
        self.driver.tell(Input::Woke);
    }

    /// A request was answered; `date_unix_ms` below zero: there was no date.
    #[wasm_bindgen(js_name = httpAnswered)]
    pub fn http_answered(
        &self,
        effect: f64,
        status: u16,
        body: Option<String>,
        retry_after: Option<String>,
        date_unix_ms: f64,
    ) {
        let answer = Ok(HttpAnswer {
            status,
            retry_after,
            date_unix_ms: lifetime(date_unix_ms),
            // A script sees no cookies.
            set_cookies: Vec::new(),
            body: body.map(Into::into),
        });
        let effect = EffectId(effect as u64);
        self.driver.tell(Input::HttpAnswered { effect, answer });
    }

    /// A request has no answer, or one that is `too_large`. `detail` holds no URL and no token.
    #[wasm_bindgen(js_name = httpFailed)]
    pub fn http_failed(&self, effect: f64, too_large: bool, detail: String) {
        let error = if too_large {
            Error::new(
                ErrorKind::AnswerTooLarge,
                "the answer is larger than session.maxAnswerBytes",
            )
        } else {
            driver::unreachable(detail)
        };
        let effect = EffectId(effect as u64);
        let answer = Err(error);
        self.driver.tell(Input::HttpAnswered { effect, answer });
    }

    /// The token callback gave a token; none: nobody is signed in.
    #[wasm_bindgen(js_name = callbackAnswered)]
    pub fn callback_answered(&self, effect: f64, access: Option<String>, expires_in_ms: f64) {
        let answer = access.map_or(CallbackAnswer::SignedOut, |access| CallbackAnswer::Token {
            access: access.into(),
            expires_in_ms: lifetime(expires_in_ms),
        });
        let effect = EffectId(effect as u64);
        self.driver.tell(Input::CallbackAnswered { effect, answer });
    }

    /// The token callback threw, or took too long.
    #[wasm_bindgen(js_name = callbackFailed)]
    pub fn callback_failed(&self, effect: f64, why: String) {
        let error = Error::new(ErrorKind::CallbackFailed, "the token callback failed").with_cause(why);
        let effect = EffectId(effect as u64);
        let answer = CallbackAnswer::Unreachable(error);
        self.driver.tell(Input::CallbackAnswered { effect, answer });
    }

    /// A connection is open; `selected`: the subprotocol, or an empty text.
    pub fn opened(&self, conn: f64, selected: String) {
        self.driver.opened(ConnId(conn as u64), selected);
    }

    /// An attempt failed. The web does not say why.
    #[wasm_bindgen(js_name = connectFailed)]
    pub fn connect_failed(&self, conn: f64, detail: String) {
        let conn = ConnId(conn as u64);
        let failure = ConnectFailure::Unreachable { detail };
        self.driver
            .ended(conn, |_| Input::ConnectFailed { conn, failure });
    }

    /// A message came: a string or a `Uint8Array`.
    pub fn received(&self, conn: f64, data: JsValue) {
        self.driver.received(ConnId(conn as u64), data);
    }

    /// A connection that is being closed has written everything.
    pub fn flushed(&self, conn: f64) {
        let conn = ConnId(conn as u64);
        self.driver.tell(Input::Flushed { conn });
    }

    /// A connection is over. `unsent`: what was given to `transmit` and not written, number and data in turn.
    pub fn ended(&self, conn: f64, code: u16, reason: String, detail: String, unsent: Array) {
        let conn = ConnId(conn as u64);
        let unsent = pairs(&unsent);
        self.driver.ended(conn, |known| Input::Ended {
            conn,
            end: known.end(code, reason, &detail),
            unsent,
        });
    }

    /// The same, because the host closed it upon a message that was too large.
    #[wasm_bindgen(js_name = endedTooLarge)]
    pub fn ended_too_large(&self, conn: f64, unsent: Array) {
        let conn = ConnId(conn as u64);
        let unsent = pairs(&unsent);
        let end = driver::too_large();
        self.driver.ended(conn, |_| Input::Ended { conn, end, unsent });
    }
}

/// Numbers below zero stand for nothing.
fn lifetime(ms: f64) -> Option<u64> {
    (ms >= 0.0).then_some(ms as u64)
}

fn pairs(unsent: &Array) -> Vec<(SendId, Message)> {
    let mut pairs = Vec::new();
    let mut values = unsent.iter();
    while let (Some(send), Some(data)) = (values.next(), values.next()) {
        if let (Some(send), Some(message)) = (send.as_f64().filter(|send| *send > 0.0), text::message(&data))
        {
            pairs.push((SendId(send as u64), message));
        }
    }
    pairs
}
