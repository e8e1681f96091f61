//! What the package's TypeScript does for the driver: one method for each verb, none of them with a decision in it.
//!
//! A method may call the client back while it runs; that is queued and handled afterwards. None may throw.

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The host.
    #[derive(Clone)]
    pub type Host;

    /// Makes a request; answer with `httpAnswered` or `httpFailed`. `headers`: names and values in turn.
    #[wasm_bindgen(method)]
    pub(crate) fn http(
        this: &Host,
        effect: f64,
        method: &str,
        url: &str,
        headers: Vec<String>,
        body: Option<&str>,
        max_answer_bytes: f64,
        timeout_ms: f64,
    );
    /// The answer to this effect is no longer wanted.
    #[wasm_bindgen(method)]
    pub(crate) fn cancel(this: &Host, effect: f64);
    /// Asks the application for a token; answer with `callbackAnswered`.
    #[wasm_bindgen(method)]
    pub(crate) fn ask(this: &Host, effect: f64, force: bool);

    /// Opens a connection; answer with `opened` or `connectFailed`, later `received`, and once `ended`.
    #[wasm_bindgen(method)]
    pub(crate) fn connect(
        this: &Host,
        conn: f64,
        url: &str,
        protocols: Vec<String>,
        first_message: Option<&str>,
        max_message_bytes: f64,
    );
    /// Writes a message; what was not written comes back with `ended`. `send` 0: nobody waits for it, it carries a token.
    #[wasm_bindgen(method)]
    pub(crate) fn transmit(this: &Host, conn: f64, socket: f64, send: f64, data: JsValue);
    /// From here on the socket's messages may be written to this connection; 0: they come to the client.
    #[wasm_bindgen(method)]
    pub(crate) fn direct(this: &Host, socket: f64, conn: f64);
    /// Flushes, then begins the closing handshake; answer with `flushed`, and with `ended` within a few seconds.
    /// `linger`: reads for a moment longer, because the web drops what arrives once a close has begun.
    #[wasm_bindgen(method)]
    pub(crate) fn close(this: &Host, conn: f64, code: u16, reason: &str, linger: bool);
    /// A connection that lingers, if this one does, is closed now.
    #[wasm_bindgen(method)]
    pub(crate) fn hurry(this: &Host, conn: f64);
    /// Drops the connection at once; answer with `ended`.
    #[wasm_bindgen(method)]
    pub(crate) fn abort(this: &Host, conn: f64);
    /// Calls `tick` after this long, in place of what was asked before. Never more than a few seconds.
    #[wasm_bindgen(method)]
    pub(crate) fn wake(this: &Host, ms: f64);

    // What the application hears, in this order, once the client is at rest.

    /// The session as it is now. The token may be handed out unasked until either clock says so.
    #[wasm_bindgen(method, js_name = sessionState)]
    pub(crate) fn session_state(
        this: &Host,
        state: &str,
        token: Option<&str>,
        fresh_until: f64,
        fresh_until_unix: f64,
    );
    #[wasm_bindgen(method, js_name = sessionEvent)]
    pub(crate) fn session_event(this: &Host, event: &str);
    #[wasm_bindgen(method)]
    pub(crate) fn refreshed(this: &Host, token: &str);
    /// The answer to a call.
    #[wasm_bindgen(method)]
    pub(crate) fn reply(this: &Host, call: f64, answer: Option<&str>);
    /// The same, when it failed.
    #[wasm_bindgen(method, js_name = replyError)]
    pub(crate) fn reply_error(this: &Host, call: f64, error: &str);
    #[wasm_bindgen(method, js_name = socketState)]
    pub(crate) fn socket_state(this: &Host, socket: f64, state: &str);
    #[wasm_bindgen(method, js_name = socketEvent)]
    pub(crate) fn socket_event(this: &Host, socket: f64, event: &str);
    #[wasm_bindgen(method)]
    pub(crate) fn deliver(this: &Host, socket: f64, data: JsValue);
    #[wasm_bindgen(method, js_name = sendFailed)]
    pub(crate) fn send_failed(this: &Host, socket: f64, send: f64, error: &str);

    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    pub(crate) fn performance_now() -> f64;
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    pub(crate) fn date_now() -> f64;
}
