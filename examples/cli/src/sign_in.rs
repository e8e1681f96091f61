//! From options and secrets to a session with somebody signed in.

use std::time::Duration;

use freshsocket::options::RetryOptions;
use freshsocket::{Error, ErrorKind, FileStore, Options, Session, SessionState, backoff};
use tokio::time::Instant;

use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::output::{Line, Output};
use crate::secrets::{Secrets, Source};
use crate::token_command;

/// Builds the session and reads its store.
pub(crate) async fn build(config: &Config, secrets: &Secrets) -> Result<Session, Failure> {
    let mut builder = Session::with_options(config.options.clone());
    for root in &config.roots {
        builder = builder.root_certificate(root.clone());
    }
    if let Some(store) = &secrets.store {
        builder = builder.store(FileStore::new(store));
    }
    if let Source::Command(command) = &secrets.source {
        let command = command.clone();
        builder = builder.token_callback(move |request| token_command::ask(command.clone(), request.force));
    }
    builder.build().await.map_err(Failure::options)
}

/// Signs in, if anybody is to be signed in and the store does not say who it is. Goes on trying while the server cannot
/// be reached, up to `limit` and the number of attempts allowed; gives when the clock started, which is after the user
/// typed the password.
pub(crate) async fn sign_in(
    session: &Session,
    options: &Options,
    secrets: &mut Secrets,
    limit: Option<Duration>,
    output: &Output,
) -> Result<Instant, Failure> {
    let wanted = matches!(
        secrets.source,
        Source::Password(_) | Source::Token(_) | Source::Stored
    );
    let restored = wanted && !secrets.new_login && is_signed_in(session).await;
    if !restored {
        if matches!(secrets.source, Source::Stored) {
            let error = Error::new(ErrorKind::SignedOut, "the store holds no session that can go on");
            return Err(Failure::new(Code::SignInRefused, "signIn", error));
        }
        ask_for_password(secrets).await?;
    }
    let start = Instant::now();
    if !restored {
        let attempts = attempts(session, options, &secrets.source, output);
        match limit {
            Some(limit) => tokio::time::timeout(limit, attempts).await.unwrap_or_else(|_| {
                let error = Error::new(ErrorKind::Unreachable, "not signed in within the time");
                Err(Failure::new(Code::Unreachable, "signIn", error))
            })?,
            None => attempts.await?,
        }
    }
    Ok(start)
}

/// Whether the session from the store is good, or may be: a server that cannot be reached does not end it.
async fn is_signed_in(session: &Session) -> bool {
    if !session.state().is_signed_in() {
        return false;
    }
    match session.ensure_valid_token().await {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::SignedOut,
    }
}

async fn ask_for_password(secrets: &mut Secrets) -> Result<(), Failure> {
    let source = std::mem::replace(&mut secrets.source, Source::Nobody);
    secrets.source = match source {
        Source::Password(mut login) => {
            // The user may take a long time, and other tasks have to go on.
            let typed = tokio::task::spawn_blocking(move || login.complete().map(|()| login)).await;
            Source::Password(typed.map_err(|error| Failure::unexpected("the prompt failed", &error))??)
        }
        other => other,
    };
    Ok(())
}

async fn attempts(
    session: &Session,
    options: &Options,
    source: &Source,
    output: &Output,
) -> Result<(), Failure> {
    let mut failures = 0;
    loop {
        let error = match attempt(session, options, source).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        failures += 1;
        let code = match error.kind() {
            ErrorKind::Unreachable | ErrorKind::CallbackFailed => Code::Unreachable,
            ErrorKind::LoginRefused | ErrorKind::SignedOut => Code::SignInRefused,
            ErrorKind::InvalidOptions | ErrorKind::InsecureUrl | ErrorKind::Unsupported => Code::Usage,
            _ => Code::Unexpected,
        };
        let exhausted = options
            .socket
            .reconnect
            .max_attempts
            .is_some_and(|most| failures >= most);
        if code != Code::Unreachable || exhausted {
            return Err(Failure::new(code, "signIn", error));
        }
        output.line(&Line::Error {
            during: "signIn",
            error: &error,
        });
        wait_for_next(session, source, &options.session.refresh.retry, failures - 1).await;
    }
}

async fn attempt(session: &Session, options: &Options, source: &Source) -> Result<(), Error> {
    match source {
        Source::Password(login) => session
            .login(login.fields(options.session.preset))
            .await
            .map(|_| ()),
        Source::Token(grant) => session.adopt(grant.clone()).await,
        Source::Command(_) => session.ensure_valid_token().await.map(|_| ()),
        Source::Stored | Source::Nobody => Ok(()),
    }
}

/// A login is repeated by us; a token command is asked again by the SDK.
async fn wait_for_next(session: &Session, source: &Source, retry: &RetryOptions, failures: u32) {
    if let Source::Command(_) = source {
        let mut states = session.states();
        // The first is the state now.
        states.next().await;
        while let Some(state) = states.next().await {
            if matches!(
                state,
                SessionState::Active { .. } | SessionState::SignedOut { .. }
            ) {
                return;
            }
        }
    }
    tokio::time::sleep(Duration::from_millis(backoff::ceiling_ms(retry, failures).max(1))).await;
}
