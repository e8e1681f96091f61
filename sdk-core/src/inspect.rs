//! The look that every received message gets on its way to the application: is it a welcome, a refusal, a heartbeat's
//! answer, the first sign of health?
//!
//! Pure, and outside the machine, because it runs once per message in the data path: with nothing configured and the
//! connection healthy it costs one branch. What it finds is told to the machine as a `Notice`.
//!
//! ```
//! use freshsocket::{Message, inspect::Inspector, io::Notice, options::SocketOptions};
//!
//! let mut inspector = Inspector::new(&SocketOptions::default());
//! assert_eq!(inspector.look(&Message::text("hi")).notice, Some(Notice::FirstMessage));
//! assert_eq!(inspector.look(&Message::text("ho")).notice, None);
//! ```

use crate::io::Notice;
use crate::json::Json;
use crate::message::Message;
use crate::options::{Matcher, Renewal, SocketOptions};

/// Messages longer than this are never control messages, so they are not parsed.
const LONGEST_CONTROL_MESSAGE: usize = 8 * 1024;

/// What to do with a message.
///
/// ```
/// use freshsocket::{Message, inspect::Inspector, options::{Matcher, SocketOptions}};
///
/// let mut options = SocketOptions::default();
/// options.heartbeat.reply = Some(Matcher::new([("/type", "pong".into())]));
/// let mut inspector = Inspector::new(&options);
/// let verdict = inspector.look(&Message::text(r#"{"type": "pong"}"#));
/// assert!(!verdict.deliver); // the heartbeat's own business
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Hand it to the application.
    pub deliver: bool,
    /// Tell the machine.
    pub notice: Option<Notice>,
}

/// Looks at one connection's messages.
///
/// ```
/// use freshsocket::{Message, inspect::Inspector, io::{ConnId, Input}, options::SocketOptions};
///
/// // What a driver does with each message that it received.
/// fn received(inspector: &mut Inspector, conn: ConnId, message: Message) -> (Option<Message>, Option<Input>) {
///     let verdict = inspector.look(&message);
///     let tell = verdict.notice.map(|notice| Input::Noticed { conn, notice });
///     (verdict.deliver.then_some(message), tell)
/// }
/// let mut inspector = Inspector::new(&SocketOptions::default());
/// let (delivered, told) = received(&mut inspector, ConnId(1), Message::text("hi"));
/// assert!(delivered.is_some() && told.is_some());
/// ```
#[derive(Debug)]
pub struct Inspector {
    ready: Option<Matcher>,
    /// Explicitly configured refusals, tried on every message.
    refusals: Vec<Matcher>,
    /// Whether the usual refusals count: on the last message before a close only, and made only then, because three
    /// kilobytes for each of ten thousand idle connections would be a third of all they take.
    knows_usual_refusals: bool,
    heartbeat_reply: Option<Matcher>,
    renewal_ack: Option<Matcher>,
    saw_message: bool,
    /// Whether any message has to be parsed at all.
    parses: bool,
}

impl Inspector {
    /// An inspector for a new connection of a socket with these options.
    ///
    /// ```
    /// use freshsocket::{inspect::Inspector, options::SocketOptions};
    ///
    /// let options = SocketOptions::default();
    /// let (old, new) = (Inspector::new(&options), Inspector::new(&options)); // one for each connection
    /// # drop((old, new));
    /// ```
    pub fn new(options: &SocketOptions) -> Self {
        let mut inspector = Self {
            ready: options.ready.clone(),
            refusals: options.auth_error.clone().unwrap_or_default(),
            knows_usual_refusals: options.auth_error.is_none(),
            heartbeat_reply: options.heartbeat.reply.clone(),
            renewal_ack: match &options.renewal {
                Renewal::InBand { ack, .. } => ack.clone(),
                _ => None,
            },
            saw_message: false,
            parses: false,
        };
        inspector.settle();
        inspector
    }

    /// Looks at one message. A welcome is delivered too: applications read what is in it.
    ///
    /// ```
    /// use freshsocket::{Message, inspect::Inspector, io::Notice, options::{Matcher, SocketOptions}};
    ///
    /// let ready = Some(Matcher::new([("/type", "connected".into())]));
    /// let mut inspector = Inspector::new(&SocketOptions { ready, ..SocketOptions::default() });
    /// let verdict = inspector.look(&Message::text(r#"{"type": "connected", "id": 7}"#));
    /// assert_eq!((verdict.notice, verdict.deliver), (Some(Notice::Ready), true));
    /// ```
    #[inline]
    pub fn look(&mut self, message: &Message) -> Verdict {
        if !self.parses {
            let notice = if self.saw_message {
                None
            } else {
                Some(Notice::FirstMessage)
            };
            self.saw_message = true;
            return Verdict {
                deliver: true,
                notice,
            };
        }
        self.look_closely(message)
    }

    /// Whether no later message can be of interest: [`look`](Self::look) would deliver it and tell nothing. A driver that
    /// would have to copy a message to have it looked at need not.
    ///
    /// ```
    /// use freshsocket::{Message, inspect::Inspector, options::SocketOptions};
    ///
    /// let mut inspector = Inspector::new(&SocketOptions::default());
    /// assert!(!inspector.is_indifferent()); // the first message proves the connection healthy
    /// inspector.look(&Message::text("hi"));
    /// assert!(inspector.is_indifferent());
    /// ```
    #[inline]
    pub fn is_indifferent(&self) -> bool {
        self.saw_message && !self.parses
    }

    /// Whether `last`, the last message before the connection ended, was an auth refusal.
    ///
    /// ```
    /// use freshsocket::{Message, inspect::Inspector, options::SocketOptions};
    ///
    /// let inspector = Inspector::new(&SocketOptions::default());
    /// let last = Message::text(r#"{"type": "error", "message": "Invalid or expired token"}"#);
    /// assert!(inspector.was_refusal(Some(&last)));
    /// assert!(!inspector.was_refusal(None)); // closed without a word
    /// ```
    pub fn was_refusal(&self, last: Option<&Message>) -> bool {
        let Some(json) = last.and_then(control_json) else {
            return false;
        };
        let usual =
            self.knows_usual_refusals && usual_refusals().iter().any(|refusal| refusal.matches(&json));
        usual || self.refusals.iter().any(|refusal| refusal.matches(&json))
    }

    fn look_closely(&mut self, message: &Message) -> Verdict {
        if let Some(json) = control_json(message) {
            if self.refusals.iter().any(|refusal| refusal.matches(&json)) {
                return Verdict {
                    deliver: true,
                    notice: Some(Notice::AuthError),
                };
            }
            if self.ready.as_ref().is_some_and(|ready| ready.matches(&json)) {
                self.ready = None;
                self.settle();
                return Verdict {
                    deliver: true,
                    notice: Some(Notice::Ready),
                };
            }
            if self
                .heartbeat_reply
                .as_ref()
                .is_some_and(|reply| reply.matches(&json))
            {
                return Verdict {
                    deliver: false,
                    notice: None,
                };
            }
            if self.renewal_ack.as_ref().is_some_and(|ack| ack.matches(&json)) {
                return Verdict {
                    deliver: false,
                    notice: Some(Notice::Renewed),
                };
            }
        }
        let notice = if self.saw_message {
            None
        } else {
            Some(Notice::FirstMessage)
        };
        self.saw_message = true;
        Verdict {
            deliver: true,
            notice,
        }
    }

    fn settle(&mut self) {
        self.parses = self.ready.is_some()
            || self.heartbeat_reply.is_some()
            || self.renewal_ack.is_some()
            || !self.refusals.is_empty();
    }
}

fn control_json(message: &Message) -> Option<Json> {
    let text = message
        .as_text()
        .filter(|text| text.len() <= LONGEST_CONTROL_MESSAGE)?;
    // Every condition of a matcher looks inside an object or array.
    if text.trim_start().starts_with(['{', '[']) {
        Json::parse(text)
    } else {
        None
    }
}

/// The refusals that real servers send (section 5 of the contract), in the two places where they put the words.
fn usual_refusals() -> Vec<Matcher> {
    let words = || {
        let known = [
            "Token required",
            "Invalid or expired token",
            "Invalid token type",
            "Invalid token",
            "Token expired",
            "Token is invalid or expired",
            "Unauthorized",
            "Authentication required",
            "Authentication failed",
            "Not authenticated",
        ];
        Json::Arr(known.into_iter().map(Json::from).collect())
    };
    vec![
        Matcher::new([("/type", "error".into()), ("/message", words())]),
        Matcher::new([("/type", "error".into()), ("/error", words())]),
        Matcher::new([("/error", words())]),
        Matcher::new([(
            "/type",
            Json::Arr(vec!["auth_error".into(), "unauthorized".into()]),
        )]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Message {
        Message::text(json)
    }

    #[test]
    fn w6_the_first_message_is_noticed_once() {
        let mut inspector = Inspector::new(&SocketOptions::default());
        assert_eq!(inspector.look(&text("hi")).notice, Some(Notice::FirstMessage));
        assert_eq!(
            inspector.look(&text("ho")),
            Verdict {
                deliver: true,
                notice: None
            }
        );
    }

    #[test]
    fn p3_a_welcome_proves_readiness_but_not_health() {
        let ready = Matcher::new([("/type", "connected".into())]);
        let mut inspector = Inspector::new(&SocketOptions {
            ready: Some(ready),
            ..SocketOptions::default()
        });
        assert_eq!(
            inspector.look(&text(r#"{"type":"connected"}"#)).notice,
            Some(Notice::Ready)
        );
        assert_eq!(
            inspector.look(&text(r#"{"type":"chat"}"#)).notice,
            Some(Notice::FirstMessage)
        );
    }

    #[test]
    fn p3_usual_refusals_count_before_a_close_only() {
        let mut inspector = Inspector::new(&SocketOptions::default());
        let refusal = text(r#"{"type":"error","message":"Token required"}"#);
        assert_ne!(inspector.look(&refusal).notice, Some(Notice::AuthError));
        assert!(inspector.was_refusal(Some(&refusal)));
        assert!(!inspector.was_refusal(Some(&text(r#"{"type":"error","message":"Room is full"}"#))));
        assert!(!inspector.was_refusal(None));
    }

    #[test]
    fn w9_an_application_heartbeats_reply_is_swallowed() {
        let mut options = SocketOptions::default();
        options.heartbeat.reply = Some(Matcher::new([("/type", "pong".into())]));
        let mut inspector = Inspector::new(&options);
        assert!(!inspector.look(&text(r#"{"type":"pong"}"#)).deliver);
    }
}
