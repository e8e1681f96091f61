//! Sessions whose tokens come from the application (S1): one question, three different answers.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;

use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind};
use crate::io::CallbackAnswer;

/// What the SDK asks the application for.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use freshsocket::{Session, TokenAnswer, TokenRequest};
///
/// async fn host_token(request: TokenRequest) -> Result<TokenAnswer, std::io::Error> {
///     let token = if request.force { "a new one" } else { "one from the cache, or a new one" };
///     Ok(TokenAnswer::Token { access: token.into(), expires_in_ms: Some(300_000) })
/// }
/// let session = Session::builder("").token_callback(host_token).build().await?;
/// assert_eq!(session.ensure_valid_token().await?.expose(), "one from the cache, or a new one");
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TokenRequest {
    /// A server refused the last token: a cached one will not do.
    pub force: bool,
}

pub(crate) trait Callback: Send + Sync {
    fn ask(&self, force: bool) -> Pin<Box<dyn Future<Output = CallbackAnswer> + Send>>;
}

impl<F, Fut, E> Callback for F
where
    F: Fn(TokenRequest) -> Fut + Send + Sync,
    Fut: Future<Output = Result<CallbackAnswer, E>> + Send + 'static,
    E: Display,
{
    fn ask(&self, force: bool) -> Pin<Box<dyn Future<Output = CallbackAnswer> + Send>> {
        let answer = self(TokenRequest { force });
        Box::pin(async move {
            answer.await.unwrap_or_else(|error| {
                let failed = Error::new(ErrorKind::CallbackFailed, "the token callback failed");
                CallbackAnswer::Unreachable(failed.with_cause(error.to_string()))
            })
        })
    }
}

/// A question whose task ends with whoever waits for the answer: a callback that hangs is not left behind.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    /// The answer; `None` if the task panicked.
    pub(crate) async fn answer(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
