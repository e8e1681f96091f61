//! Passwords and tokens: from the environment, standard input, or a prompt. Never from the command line, where every
//! user of the machine could read them.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use freshsocket::options::Preset;
use freshsocket::{AccessToken, Error, ErrorKind, RefreshToken, Secret, TokenGrant};

use crate::args::SignInArgs;
use crate::exit::{Code, Failure};

pub(crate) const PASSWORD: &str = "FRESHSOCKET_PASSWORD";
pub(crate) const TOKEN: &str = "FRESHSOCKET_TOKEN";
pub(crate) const REFRESH_TOKEN: &str = "FRESHSOCKET_REFRESH_TOKEN";

/// The longest first line of standard input.
const LONGEST: usize = 64 * 1024;

/// Who signs in and with what.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) source: Source,
    pub(crate) store: Option<std::path::PathBuf>,
    pub(crate) new_login: bool,
    pub(crate) logout: bool,
}

/// Where tokens come from.
#[derive(Debug)]
pub(crate) enum Source {
    Password(Login),
    Token(TokenGrant),
    Command(OsString),
    /// The store, and nothing else.
    Stored,
    Nobody,
}

/// What a login needs.
#[derive(Debug)]
pub(crate) struct Login {
    user_field: Option<String>,
    user: String,
    password_field: String,
    /// Absent: to be asked for, if it is needed at all.
    password: Option<Secret>,
    more: Vec<(String, String)>,
}

impl SignInArgs {
    /// Whether anybody is to be signed in.
    pub(crate) fn signs_in(&self) -> bool {
        let flags =
            self.user.is_some() || self.token_stdin || self.token_command.is_some() || self.store.is_some();
        flags || variable(TOKEN).is_some()
    }
}

impl Secrets {
    /// Takes what there is. Reads the first line of standard input if that is where it stands.
    pub(crate) fn gather(args: &SignInArgs) -> Result<Self, Failure> {
        let source = if let Some(command) = &args.token_command {
            Source::Command(command.clone())
        } else if args.token_stdin {
            Source::Token(grant(first_line("--token-stdin")?, None))
        } else if let Some(user) = &args.user {
            let password = if args.password_stdin {
                Some(Secret::from(first_line("--password-stdin")?))
            } else {
                variable(PASSWORD).map(Secret::from)
            };
            Source::Password(Login {
                user_field: args.user_field.clone(),
                user: user.clone(),
                password_field: args.password_field.clone(),
                password,
                more: args.login_field.clone(),
            })
        } else if let Some(token) = variable(TOKEN) {
            Source::Token(grant(token, variable(REFRESH_TOKEN)))
        } else if args.store.is_some() {
            Source::Stored
        } else {
            Source::Nobody
        };
        Ok(Self {
            source,
            store: args.store.clone(),
            new_login: args.new_login,
            logout: args.logout,
        })
    }
}

impl Login {
    /// Asks for the password if there is none yet. Blocks while the user types.
    pub(crate) fn complete(&mut self) -> Result<(), Failure> {
        if self.password.is_some() {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(format!(
                "no password: set {PASSWORD}, or use --password-stdin"
            )));
        }
        let typed = rpassword::prompt_password(format!("Password of {}: ", self.user)).map_err(|error| {
            if error.kind() == std::io::ErrorKind::Interrupted {
                let error = Error::new(ErrorKind::SignedOut, "interrupted at the password");
                return Failure::new(Code::Interrupted, "signIn", error);
            }
            Failure::unexpected("the password could not be read", &error)
        })?;
        self.password = Some(Secret::from(typed));
        Ok(())
    }

    /// Names and values as the login endpoint's body has them.
    pub(crate) fn fields(&self, preset: Preset) -> Vec<(String, Secret)> {
        let email = matches!(preset, Preset::NodeJwt | Preset::TokenOnly);
        let user_field = self
            .user_field
            .clone()
            .unwrap_or_else(|| if email { "email" } else { "username" }.to_owned());
        let mut fields = vec![(user_field, Secret::from(self.user.as_str()))];
        fields.extend(
            self.password
                .clone()
                .map(|password| (self.password_field.clone(), password)),
        );
        fields.extend(
            self.more
                .iter()
                .map(|(name, value)| (name.clone(), Secret::from(value.as_str()))),
        );
        fields
    }
}

fn grant(access: String, refresh: Option<String>) -> TokenGrant {
    let (access, refresh) = (AccessToken::from(access), refresh.map(RefreshToken::from));
    TokenGrant {
        access,
        refresh,
        expires_in_ms: None,
        user: None,
    }
}

/// An environment variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The first line of standard input; what follows it is for the socket.
fn first_line(flag: &str) -> Result<String, Failure> {
    let line = crate::input::read_line(&mut std::io::stdin().lock(), LONGEST);
    match line {
        Ok(Some(Ok(line))) if !line.is_empty() => String::from_utf8(line)
            .map_err(|_| Failure::usage(format!("{flag}: the first line is not UTF-8"))),
        Ok(Some(Err(_))) => Err(Failure::usage(format!("{flag}: the first line is too long"))),
        Ok(_) => Err(Failure::usage(format!(
            "{flag}: the first line of standard input is empty"
        ))),
        Err(error) => Err(Failure::usage(format!(
            "{flag}: standard input cannot be read: {error}"
        ))),
    }
}
