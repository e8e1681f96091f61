//! Tokens from another program: `--token-command`.

use std::ffi::OsString;
use std::process::Stdio;

use freshsocket::{AccessToken, TokenAnswer};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::secrets;

/// No token is this long.
const LONGEST: u64 = 64 * 1024;

/// Runs the command once. The SDK limits the time; the program is killed when this is dropped.
///
/// The error's text says nothing of what the program printed, which may be a token that came with a failure.
pub(crate) async fn ask(command: OsString, force: bool) -> Result<TokenAnswer, String> {
    let mut child = shell(&command)
        .env("FRESHSOCKET_FORCE", if force { "1" } else { "0" })
        .env_remove(secrets::PASSWORD)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the token command could not be started: {error}"))?;
    let mut printed = String::new();
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(LONGEST).read_to_string(&mut printed).await;
        read.map_err(|error| {
            format!(
                "what the token command printed cannot be read: {:?}",
                error.kind()
            )
        })?;
    }
    let status = child
        .wait()
        .await
        .map_err(|error| format!("the token command was lost: {error}"))?;
    if !status.success() {
        return Err(format!("the token command failed: {status}"));
    }
    match printed.trim() {
        "" => Ok(TokenAnswer::SignedOut),
        token if token.contains(char::is_whitespace) => {
            Err("the token command printed more than one word, which is no token".to_owned())
        }
        token => Ok(TokenAnswer::Token {
            access: AccessToken::from(token),
            expires_in_ms: None,
        }),
    }
}

fn shell(command: &OsString) -> Command {
    let (program, flag) = if cfg!(windows) {
        ("cmd", "/C")
    } else {
        ("sh", "-c")
    };
    let mut shell = Command::new(program);
    shell.arg(flag).arg(command);
    shell
}
