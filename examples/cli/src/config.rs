//! The SDK's options from a file, flags and `--set`, in this order; the last one wins.
//!
//! All of it happens in the options' JSON form, so that every option can be reached and a mistake names its path.

use std::path::Path;

use freshsocket::options::{Endpoint, Preset};
use freshsocket::{Error, ErrorKind, Options};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};

use crate::args::{
    Args, CredentialArgs, OutboxName, PlacementName, PresetName, RenewalName, SignInArgs, SocketArgs,
    WhenFullName,
};
use crate::exit::{Code, Failure};
use crate::parse::Condition;

/// What the SDK is built with.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) options: Options,
    /// Further CA certificates, in DER.
    pub(crate) roots: Vec<Vec<u8>>,
}

impl Config {
    pub(crate) fn from_args(args: &Args) -> Result<Self, Failure> {
        let mut tree = Tree(match &args.config {
            Some(file) => read_file(file)?,
            None => json!({}),
        });
        put_session(&mut tree, &args.sign_in)?;
        put_credential(&mut tree, &args.credential)?;
        put_socket(&mut tree, &args.socket)?;
        tree.put_some("socket.url", args.ws_url.as_deref())?;
        for set in &args.set {
            tree.put(&set.path, set.value.clone())?;
        }
        put_defaults(&mut tree, &args.sign_in)?;
        let mut options = tree.options()?;
        set_paths(&mut options, &args.sign_in);
        // The run connects it, once it listens to what happens.
        options.socket.auto_connect = false;
        if options.session.preset == Preset::Callback && args.sign_in.token_command.is_none() {
            return Err(Failure::usage("session.preset: callback needs --token-command"));
        }
        options.validate().map_err(Failure::options)?;
        let mut roots = Vec::new();
        for file in &args.sign_in.ca {
            roots.extend(read_roots(file)?);
        }
        Ok(Self { options, roots })
    }
}

fn put_session(tree: &mut Tree, args: &SignInArgs) -> Result<(), Failure> {
    tree.put_some("session.baseUrl", args.auth_url.as_deref())?;
    tree.put_some("session.preset", args.preset.map(PresetName::json))?;
    if args.token_command.is_some() {
        tree.put("session.preset", json!("callback"))?;
    }
    tree.put_some("session.refresh.marginMs", args.refresh_margin.map(ms))?;
    tree.put_some("session.requestTimeoutMs", args.request_timeout.map(ms))?;
    if args.allow_insecure {
        tree.put("session.allowInsecure", json!(true))?;
        tree.put("socket.allowInsecure", json!(true))?;
    }
    Ok(())
}

fn put_credential(tree: &mut Tree, args: &CredentialArgs) -> Result<(), Failure> {
    use PlacementName::{Cookie, FirstMessage, Header, Query, Subprotocol, Ticket};
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let method = args.ticket_method.as_ref().map(|name| json!(name.to_uppercase()));
    let param = args.param.as_ref().map(|name| json!(name));
    let with_ticket = args.placement == Some(Ticket) || args.ticket_url.is_some();
    // The flag, the placement it belongs to, the member it sets, its value.
    let details = [
        ("--marker", Subprotocol, "name", text(&args.marker)),
        (
            "--param",
            if with_ticket { Ticket } else { Query },
            "parameter",
            param,
        ),
        ("--header-name", Header, "name", text(&args.header_name)),
        ("--header-prefix", Header, "prefix", text(&args.header_prefix)),
        ("--cookie-name", Cookie, "name", text(&args.cookie_name)),
        (
            "--first-message",
            FirstMessage,
            "template",
            args.first_message.as_deref().map(template),
        ),
        ("--ticket-url", Ticket, "url", text(&args.ticket_url)),
        ("--ticket-method", Ticket, "method", method),
        ("--ticket-pointer", Ticket, "pointer", text(&args.ticket_pointer)),
    ];
    let mut placement = args.placement;
    for (flag, belongs_to, member, value) in details {
        let Some(value) = value else { continue };
        let in_file =
            tree.at("socket.credential.placement").and_then(Value::as_str) == Some(belongs_to.json());
        match placement {
            Some(given) if given != belongs_to => {
                let name = belongs_to.json();
                return Err(Failure::usage(format!(
                    "{flag} belongs to the placement {name}, not {}",
                    given.json()
                )));
            }
            // What the file says more about this placement stays.
            _ if in_file => {}
            _ => tree.put("socket.credential", json!({ "placement": belongs_to.json() }))?,
        }
        placement = Some(belongs_to);
        tree.put(&format!("socket.credential.{member}"), value)?;
    }
    if let Some(placement) = placement.map(PlacementName::json)
        && tree.at("socket.credential.placement").and_then(Value::as_str) != Some(placement)
    {
        tree.put("socket.credential", json!({ "placement": placement }))?;
    }
    if let Some(renewal) = args.renewal {
        tree.put("socket.renewal", json!({ "mode": renewal.json() }))?;
    }
    if let Some(message) = &args.renewal_message {
        let in_band = RenewalName::InBand.json();
        tree.put(
            "socket.renewal",
            json!({ "mode": in_band, "template": template(message) }),
        )?;
    }
    Ok(())
}

fn put_socket(tree: &mut Tree, args: &SocketArgs) -> Result<(), Failure> {
    if !args.subprotocol.is_empty() {
        tree.put("socket.subprotocols", json!(args.subprotocol))?;
    }
    tree.put_some("socket.reconnect.maxAttempts", args.max_attempts)?;
    tree.put_some("socket.reconnect.delay.baseMs", args.retry_base.map(ms))?;
    tree.put_some("socket.reconnect.delay.capMs", args.retry_cap.map(ms))?;
    tree.put_some("session.refresh.retry.baseMs", args.retry_base.map(ms))?;
    tree.put_some("session.refresh.retry.capMs", args.retry_cap.map(ms))?;
    tree.put_some("socket.connectTimeoutMs", args.connect_timeout.map(ms))?;
    tree.put_some("socket.heartbeat.intervalMs", args.ping_interval.map(ms))?;
    tree.put_some("socket.heartbeat.timeoutMs", args.ping_timeout.map(ms))?;
    if !args.ready.is_empty() {
        tree.put("socket.ready", matcher(&args.ready))?;
    }
    if !args.auth_error.is_empty() {
        let any: Vec<Value> = args
            .auth_error
            .iter()
            .map(|one| matcher(std::slice::from_ref(one)))
            .collect();
        tree.put("socket.authError", json!(any))?;
    }
    for (code, action) in &args.close_code {
        tree.put(&format!("socket.closeCodes.{code}"), json!(action))?;
    }
    tree.put_some("socket.outbox.mode", args.outbox.map(OutboxName::json))?;
    tree.put_some("socket.outbox.maxMessages", args.outbox_messages)?;
    tree.put_some("socket.outbox.maxBytes", args.outbox_bytes)?;
    tree.put_some("socket.outbox.maxAgeMs", args.outbox_age.map(ms))?;
    tree.put_some("socket.outbox.whenFull", args.outbox_full.map(WhenFullName::json))?;
    tree.put_some("socket.limits.maxMessageBytes", args.max_message)
}

/// What follows from the rest where nothing is said.
fn put_defaults(tree: &mut Tree, args: &SignInArgs) -> Result<(), Failure> {
    let Some(url) = tree.at("socket.url").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Failure::usage("socket.url: where to connect to? Give the WS_URL"));
    };
    let derived = tree.at("session.baseUrl").is_none();
    if derived {
        tree.put("session.baseUrl", json!(origin_of(&url)))?;
    }
    let signs_in = args.signs_in();
    let is_cookie = tree.at("session.preset").and_then(Value::as_str) == Some("cookie");
    match tree.at("socket.credential.placement").and_then(Value::as_str) {
        None if !signs_in => tree.put("socket.credential", json!({ "placement": "none" }))?,
        None if is_cookie => tree.put("socket.credential", json!({ "placement": "cookie" }))?,
        Some(placement) if placement != "none" && !signs_in => {
            let how = "--user, FRESHSOCKET_TOKEN, --token-stdin, --token-command or --store";
            return Err(Failure::usage(format!(
                "socket.credential: who signs in? Give {how}"
            )));
        }
        _ => {}
    }
    if derived && !signs_in {
        // Nothing is ever sent there.
        tree.put("session.allowInsecure", json!(true))?;
    }
    Ok(())
}

/// Endpoints with another path than the preset's; where the preset has none, they are like simple-JWT's.
fn set_paths(options: &mut Options, args: &SignInArgs) {
    let preset = options.session.preset.endpoints();
    let model = Preset::SimpleJwt.endpoints();
    let endpoints = &mut options.session.endpoints;
    let set = |endpoint: &mut Option<Endpoint>,
               path: &Option<String>,
               preset: Option<Endpoint>,
               model: Option<Endpoint>| {
        if let Some(path) = path {
            let found = endpoint.take().or(preset).or(model).unwrap_or_default();
            *endpoint = Some(Endpoint {
                path: path.clone(),
                ..found
            });
        }
    };
    set(&mut endpoints.login, &args.login_path, preset.login, model.login);
    set(
        &mut endpoints.refresh,
        &args.refresh_path,
        preset.refresh,
        model.refresh,
    );
    set(
        &mut endpoints.verify,
        &args.verify_path,
        preset.verify,
        model.verify,
    );
    set(
        &mut endpoints.logout,
        &args.logout_path,
        preset.logout,
        model.logout,
    );
}

/// The options' JSON form while it is put together.
struct Tree(Value);

impl Tree {
    fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.0, |value, step| value.get(step))
    }

    /// Puts a value in place of what is there; makes the objects on the way.
    fn put(&mut self, path: &str, value: Value) -> Result<(), Failure> {
        let mut place = &mut self.0;
        for step in path.split('.') {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            let Value::Object(members) = place else {
                return Err(Failure::usage(format!(
                    "{path}: there is no {step:?} here, because it is inside a value"
                )));
            };
            place = members.entry(step).or_insert(Value::Null);
        }
        *place = value;
        Ok(())
    }

    fn put_some<V: Into<Value>>(&mut self, path: &str, value: Option<V>) -> Result<(), Failure>
    where
        Value: From<V>,
    {
        value.map_or(Ok(()), |value| self.put(path, Value::from(value)))
    }

    fn options(self) -> Result<Options, Failure> {
        serde_path_to_error::deserialize(self.0).map_err(|error| {
            let path = error.path().to_string();
            Failure::usage(format!("{path}: {}", error.into_inner()))
        })
    }
}

fn read_file(file: &Path) -> Result<Value, Failure> {
    let failed = |cause: String| {
        let error = Error::new(
            ErrorKind::InvalidOptions,
            format!("{} cannot be used", file.display()),
        );
        Failure::new(Code::Usage, "options", error.with_cause(cause))
    };
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(failed("it is not a JSON object".into()))
    }
}

/// The certificates in a file: PEM, or else one in DER.
fn read_roots(file: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let failed = |cause: String| Failure::usage(format!("--ca {}: {cause}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| failed(error.to_string()))?;
    match found.is_empty() {
        true if bytes.starts_with(b"0") => Ok(vec![bytes]),
        true => Err(failed("there is no certificate in it".into())),
        false => Ok(found.into_iter().map(|der| der.to_vec()).collect()),
    }
}

/// `https://host:port` of `wss://host:port/path`.
fn origin_of(ws_url: &str) -> String {
    let (scheme, rest) = match ws_url.split_once("://") {
        Some(("ws", rest)) => ("http", rest),
        Some((_, rest)) => ("https", rest),
        None => return String::new(),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    format!("{scheme}://{}", &rest[..end])
}

fn matcher(conditions: &[Condition]) -> Value {
    let pairs = conditions
        .iter()
        .map(|one| (one.pointer.clone(), one.value.clone()));
    Value::Object(pairs.collect())
}

fn template(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
