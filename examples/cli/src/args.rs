//! The command line. What it means for the SDK's options is in `config`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser, ValueEnum};

use crate::parse::{Condition, Set, close_code, condition, duration, pair, set};

const EXAMPLES: &str = "\
Examples:
  Sign in (asks for the password), connect, chat by hand:
    freshsocket wss://api.example.com/ws --user ada
  A Node backend, token in the query:
    freshsocket wss://api.example.com/ws --preset node-jwt --user ada@example.com --placement query
  A check in a script: exits 0 when the echo is there, 6 when it is not within 10 s:
    FRESHSOCKET_PASSWORD=… freshsocket ws://127.0.0.1:8000/ws --user ada --no-stdin \\
        --send hello --expect hello --duration 10s
  A token from another program, every event as JSON:
    freshsocket wss://api.example.com/ws --token-command 'gcloud auth print-access-token' --json

Passwords and tokens never stand on the command line: FRESHSOCKET_PASSWORD or --password-stdin, FRESHSOCKET_TOKEN (and
FRESHSOCKET_REFRESH_TOKEN) or --token-stdin, --token-command, a prompt, or what --store kept from an earlier run.

Exit codes:
  0 as asked   1 unexpected   2 usage or options   3 sign-in refused   4 signed out, or ended by the server
  5 unreachable within the time   6 expectation not met   7 messages not sent   130, 143 interrupted";

/// A wscat that signs in and stays connected.
///
/// Lines from standard input are sent, messages are printed on standard output, and what happens to session and
/// connection is told on standard error. At the end of input it exits once everything is sent.
#[derive(Debug, Parser)]
#[command(name = "freshsocket", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Args {
    /// The WebSocket's address, ws:// or wss:// (or socket.url in the configuration).
    pub(crate) ws_url: Option<String>,
    /// Read options from this JSON file: {"session": {…}, "socket": {…}}, see --print-schema. Flags win over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set any option by its path, e.g. socket.heartbeat.intervalMs=10000. The value is JSON, or else a string.
    #[arg(long, value_name = "PATH=VALUE", value_parser = set)]
    pub(crate) set: Vec<Set>,
    /// Print the options in force as JSON, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Print the JSON Schema of the options, and exit.
    #[arg(long)]
    pub(crate) print_schema: bool,
    #[command(flatten)]
    pub(crate) sign_in: SignInArgs,
    #[command(flatten)]
    pub(crate) credential: CredentialArgs,
    #[command(flatten)]
    pub(crate) socket: SocketArgs,
    #[command(flatten)]
    pub(crate) script: ScriptArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Who signs in, and where.
#[derive(Debug, Group)]
#[command(next_help_heading = "Sign-in")]
pub(crate) struct SignInArgs {
    /// Origin of the auth server; default: that of the WebSocket.
    #[arg(long, visible_alias = "base-url", value_name = "URL")]
    pub(crate) auth_url: Option<String>,
    /// Which kind of auth server this is; default: simple-jwt.
    #[arg(long, value_enum)]
    pub(crate) preset: Option<PresetName>,
    /// Sign in as this user.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The login's field for the user; default: email for node-jwt and token-only, else username.
    #[arg(long, value_name = "FIELD")]
    pub(crate) user_field: Option<String>,
    /// The login's field for the password.
    #[arg(long, value_name = "FIELD", default_value = "password")]
    pub(crate) password_field: String,
    /// A further field of the login, not secret (a tenant, a device name).
    #[arg(long, value_name = "FIELD=VALUE", value_parser = pair)]
    pub(crate) login_field: Vec<(String, String)>,
    /// The first line of standard input is the password.
    #[arg(long, requires = "user", conflicts_with_all = ["token_stdin", "token_command"])]
    pub(crate) password_stdin: bool,
    /// The first line of standard input is an access token.
    #[arg(long, conflicts_with = "token_command")]
    pub(crate) token_stdin: bool,
    /// Run this shell command whenever a token is needed; it prints the token. Nothing printed means signed out, a
    /// failure that there is none right now. `FRESHSOCKET_FORCE=1` in its environment: a cached token will not do.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["user", "preset", "store"])]
    pub(crate) token_command: Option<OsString>,
    /// Keep the session in this file (mode 0600); a later run is signed in without a password.
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// Sign in anew, even if the store holds a session.
    #[arg(long, requires = "store")]
    pub(crate) new_login: bool,
    /// Sign out at the end (revokes the tokens, clears the store).
    #[arg(long)]
    pub(crate) logout: bool,
    /// Path of the login endpoint; the rest is as the preset has it.
    #[arg(long, value_name = "PATH")]
    pub(crate) login_path: Option<String>,
    /// Path of the refresh endpoint.
    #[arg(long, value_name = "PATH")]
    pub(crate) refresh_path: Option<String>,
    /// Path of the verify endpoint.
    #[arg(long, value_name = "PATH")]
    pub(crate) verify_path: Option<String>,
    /// Path of the logout endpoint.
    #[arg(long, value_name = "PATH")]
    pub(crate) logout_path: Option<String>,
    /// Refresh this long before expiry at most.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) refresh_margin: Option<Duration>,
    /// How long one request, or the token command, may take.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) request_timeout: Option<Duration>,
    /// Trust the CA certificates in this file (PEM or DER) as well.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
    /// Allow http:// and ws:// to other hosts than this one: tokens then travel in clear text.
    #[arg(long)]
    pub(crate) allow_insecure: bool,
}

/// Where the credential travels.
#[derive(Debug, Group)]
#[command(next_help_heading = "Credential")]
pub(crate) struct CredentialArgs {
    /// Where the credential travels; default: subprotocol (cookie for that preset; none if nobody signs in).
    #[arg(long, value_enum)]
    pub(crate) placement: Option<PlacementName>,
    /// query, ticket: the parameter; default: token, ticket.
    #[arg(long, value_name = "NAME")]
    pub(crate) param: Option<String>,
    /// header: its name; default: Authorization.
    #[arg(long, value_name = "NAME")]
    pub(crate) header_name: Option<String>,
    /// header: what stands before the token; default: "Bearer ".
    #[arg(long, value_name = "TEXT")]
    pub(crate) header_prefix: Option<String>,
    /// cookie: its name; default: the session's own cookies.
    #[arg(long, value_name = "NAME")]
    pub(crate) cookie_name: Option<String>,
    /// subprotocol: the marker before the token; default: `access_token`.
    #[arg(long, value_name = "NAME")]
    pub(crate) marker: Option<String>,
    /// first-message: the message, with {token} in it; default: {"type":"auth","token":"{token}"}.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) first_message: Option<String>,
    /// ticket: path or URL of the endpoint.
    #[arg(long, value_name = "PATH")]
    pub(crate) ticket_url: Option<String>,
    /// ticket: HTTP method; default: POST.
    #[arg(long, value_name = "METHOD")]
    pub(crate) ticket_method: Option<String>,
    /// ticket: JSON pointer to it in the answer; default: /ticket.
    #[arg(long, value_name = "POINTER")]
    pub(crate) ticket_pointer: Option<String>,
    /// What to do with the connection when the token is refreshed; default: handover.
    #[arg(long, value_enum)]
    pub(crate) renewal: Option<RenewalName>,
    /// in-band renewal: the message, with {token} in it.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) renewal_message: Option<String>,
}

/// How to connect and stay connected.
#[derive(Debug, Group)]
#[command(next_help_heading = "Socket")]
pub(crate) struct SocketArgs {
    /// Offer this subprotocol.
    #[arg(long, short = 's', value_name = "NAME")]
    pub(crate) subprotocol: Vec<String>,
    /// Give up after this many failed attempts in a row, to sign in or to connect; default: never.
    #[arg(long, value_name = "N")]
    pub(crate) max_attempts: Option<u32>,
    /// The first retry comes within this time; default: 6s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) retry_base: Option<Duration>,
    /// Every retry comes within this time; default: 30s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) retry_cap: Option<Duration>,
    /// Time limit of one attempt; default: 15s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) connect_timeout: Option<Duration>,
    /// Ping after this long without traffic, 0 never; default: 25s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ping_interval: Option<Duration>,
    /// The connection is dead this long after an unanswered ping; default: 10s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ping_timeout: Option<Duration>,
    /// The message that proves the connection ready (a welcome). Repeated: all conditions.
    #[arg(long, value_name = "POINTER=VALUE", value_parser = condition)]
    pub(crate) ready: Vec<Condition>,
    /// A message by which the server refuses the credential. Repeated: any of them.
    #[arg(long, value_name = "POINTER=VALUE", value_parser = condition)]
    pub(crate) auth_error: Vec<Condition>,
    /// What a close code means: retry, refreshThenRetry, stop or stopOnRepeat.
    #[arg(long, value_name = "CODE=ACTION", value_parser = close_code)]
    pub(crate) close_code: Vec<(u16, String)>,
    /// Whether messages wait for a connection; default: queue.
    #[arg(long, value_enum)]
    pub(crate) outbox: Option<OutboxName>,
    /// At most this many messages wait.
    #[arg(long, value_name = "N")]
    pub(crate) outbox_messages: Option<usize>,
    /// At most this many bytes wait.
    #[arg(long, value_name = "BYTES")]
    pub(crate) outbox_bytes: Option<usize>,
    /// A message that waited this long fails; 0 never; default: 60s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) outbox_age: Option<Duration>,
    /// Which message loses when the outbox is full; default: reject-new (which here means: reading waits).
    #[arg(long, value_enum)]
    pub(crate) outbox_full: Option<WhenFullName>,
    /// The largest message sent or accepted.
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_message: Option<usize>,
}

/// What to do, and when to end.
#[derive(Debug, Group)]
#[command(next_help_heading = "Scripts")]
pub(crate) struct ScriptArgs {
    /// Send this once connected, before anything from standard input.
    #[arg(long, value_name = "TEXT")]
    pub(crate) send: Vec<String>,
    /// Exit 0 when a message contains this text. All expectations have to be met, in any order.
    #[arg(long, value_name = "TEXT")]
    pub(crate) expect: Vec<String>,
    /// Exit 0 when a message matches this regular expression.
    #[arg(long, value_name = "REGEX")]
    pub(crate) expect_regex: Vec<String>,
    /// Exit 0 when a JSON message has this value at this place, e.g. /type=welcome.
    #[arg(long, value_name = "POINTER=VALUE", value_parser = condition)]
    pub(crate) expect_json: Vec<Condition>,
    /// Exit 0 after this many messages.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End after this time, from the start; default with an expectation or --count: 30s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// The first connection has to be open within this time, 0: no limit.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub(crate) open_within: Duration,
    /// Do not read standard input.
    #[arg(long, conflicts_with_all = ["password_stdin", "token_stdin"])]
    pub(crate) no_stdin: bool,
    /// Stay connected at the end of standard input.
    #[arg(long)]
    pub(crate) keep_open: bool,
    /// What is to be sent is base64 of binary messages.
    #[arg(long, conflicts_with = "json_lines")]
    pub(crate) binary_base64: bool,
    /// What is to be sent is JSON; anything else is refused here.
    #[arg(long)]
    pub(crate) json_lines: bool,
}

/// What is printed.
#[derive(Debug, Group)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// One JSON object a line on standard output, for everything that happens.
    #[arg(long)]
    pub(crate) json: bool,
    /// Messages and errors only.
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Log to standard error: -v info, -vv debug, -vvv trace. Never with passwords or tokens.
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $json:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub(crate) enum $type { $($(#[$variant_doc])* $variant),+ }

        impl $type {
            /// The name in the options' JSON form.
            pub(crate) fn json(self) -> &'static str {
                match self { $(Self::$variant => $json),+ }
            }
        }
    };
}

names!(
    /// Kinds of auth server.
    PresetName {
        SimpleJwt = "simpleJwt", NodeJwt = "nodeJwt", TokenOnly = "tokenOnly", Cookie = "cookie", Custom = "custom",
    }
);
names!(
    /// Placements of the credential.
    PlacementName {
        Subprotocol = "subprotocol", Query = "query", Header = "header", Cookie = "cookie",
        FirstMessage = "firstMessage", Ticket = "ticket", None = "none",
    }
);
names!(
    /// Ways to renew.
    RenewalName { Handover = "handover", InBand = "inBand", Reconnect = "reconnect", Keep = "keep" }
);
names!(
    /// Modes of the outbox.
    OutboxName { Queue = "queue", Reject = "reject" }
);
names!(
    /// Which message loses.
    WhenFullName { RejectNew = "rejectNew", DropOldest = "dropOldest" }
);
