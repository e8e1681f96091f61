//! Two connections of one socket, for a moment: what both bring reaches the application once (W5).
//!
//! Pure, and outside the machine, because it looks at messages in the data path; used only while a handover is under
//! way. The machine says when (`Output::Connect` with `replaces`, then `Output::Overlap`).
//!
//! ```
//! use freshsocket::{Message, options::Duplicates, overlap::{Overlap, Side}};
//!
//! let mut overlap = Overlap::new(Duplicates::Payload).unwrap();
//! let brought = [(Side::Old, "a"), (Side::New, "b"), (Side::New, "a"), (Side::Old, "b")];
//! let delivered = brought.iter().filter(|(side, text)| overlap.admits(*side, &Message::text(*text)));
//! assert_eq!(delivered.count(), 2);
//! ```

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hash};

use crate::json::Json;
use crate::message::Message;
use crate::options::Duplicates;

/// So many different messages are remembered; beyond them the oldest are forgotten, and a duplicate of one would pass.
const MOST_REMEMBERED: usize = 65_536;

/// Which of the two connections brought a message.
///
/// ```
/// use freshsocket::{io::ConnId, overlap::Side};
///
/// // Of a message that came on this connection, while `new` replaces `old`:
/// fn side(conn: ConnId, new: ConnId) -> Side {
///     if conn == new { Side::New } else { Side::Old }
/// }
/// assert_eq!(side(ConnId(7), ConnId(8)), Side::Old);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that is being replaced.
    Old,
    /// The one that replaces it.
    New,
}

/// Tells which messages of two overlapping connections the application gets: each as often as the connection that
/// brought it most often did.
///
/// ```
/// use freshsocket::Message;
/// use freshsocket::options::Duplicates;
/// use freshsocket::overlap::{Overlap, Side};
///
/// let mut overlap = Overlap::new(Duplicates::Payload).unwrap();
/// assert!(overlap.admits(Side::Old, &Message::text("tick")));
/// assert!(!overlap.admits(Side::New, &Message::text("tick")), "the same one, on the other connection");
/// assert!(overlap.admits(Side::New, &Message::text("tick")), "another one");
/// ```
#[derive(Debug)]
pub struct Overlap {
    by: Duplicates,
    seen: HashMap<Key, Seen>,
    order: VecDeque<Key>,
    /// Keys of its own, so that nobody can compose messages that are taken for others. (In WebAssembly the standard library
    /// has no randomness for them.)
    hashers: (RandomState, RandomState),
}

/// Of a message, or of what stands at the pointer in it: 128 bits of hash.
type Key = (u64, u64);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    old: u32,
    new: u32,
}

impl Overlap {
    /// For an overlap that begins; `None` where everything is to be delivered.
    ///
    /// ```
    /// use freshsocket::{options::Duplicates, overlap::Overlap};
    ///
    /// assert!(Overlap::new(Duplicates::None).is_none());
    /// ```
    pub fn new(by: Duplicates) -> Option<Self> {
        if by == Duplicates::None {
            return None;
        }
        Some(Self {
            by,
            seen: HashMap::new(),
            order: VecDeque::new(),
            hashers: (RandomState::new(), RandomState::new()),
        })
    }

    /// Whether a message that this connection brought is for the application.
    ///
    /// ```
    /// use freshsocket::{Message, options::Duplicates, overlap::{Overlap, Side}};
    ///
    /// let mut overlap = Overlap::new(Duplicates::Id { pointer: "/id".into() }).unwrap();
    /// assert!(overlap.admits(Side::Old, &Message::text(r#"{"id": 1, "to": "old"}"#)));
    /// assert!(!overlap.admits(Side::New, &Message::text(r#"{"id": 1, "to": "new"}"#)));
    /// ```
    pub fn admits(&mut self, side: Side, message: &Message) -> bool {
        let Some(key) = self.key(message) else {
            return true;
        };
        let order = &mut self.order;
        let seen = self.seen.entry(key).or_insert_with(|| {
            order.push_back(key);
            Seen::default()
        });
        let delivered = seen.old.max(seen.new);
        let mine = match side {
            Side::Old => &mut seen.old,
            Side::New => &mut seen.new,
        };
        *mine = mine.saturating_add(1);
        let admitted = *mine > delivered;
        if self.order.len() > MOST_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        admitted
    }

    fn key(&self, message: &Message) -> Option<Key> {
        match &self.by {
            Duplicates::None => None,
            Duplicates::Payload => Some(self.hash(&(message.as_text().is_some(), message.as_bytes()))),
            Duplicates::Id { pointer } => {
                let id = Json::parse(message.as_text()?)?.at(pointer)?.to_string();
                Some(self.hash(&id))
            }
        }
    }

    fn hash(&self, value: &impl Hash) -> Key {
        (self.hashers.0.hash_one(value), self.hashers.1.hash_one(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_payload() -> Overlap {
        Overlap::new(Duplicates::Payload).expect("a filter")
    }

    fn admitted(overlap: &mut Overlap, from: &[(Side, &str)]) -> Vec<String> {
        let admits = from
            .iter()
            .filter(|(side, text)| overlap.admits(*side, &Message::text(*text)));
        admits.map(|(_, text)| (*text).to_owned()).collect()
    }

    #[test]
    fn w5_whichever_connection_is_first_the_other_brings_the_duplicate() {
        use Side::{New, Old};
        let brought = [
            (Old, "a"),
            (New, "b"),
            (New, "a"),
            (Old, "b"),
            (New, "c"),
            (Old, "c"),
            (Old, "d"),
        ];
        assert_eq!(admitted(&mut by_payload(), &brought), ["a", "b", "c", "d"]);
    }

    #[test]
    fn w5_equal_messages_are_delivered_as_often_as_the_connection_that_saw_most_of_them() {
        use Side::{New, Old};
        let brought = [
            (Old, "tick"),
            (Old, "tick"),
            (New, "tick"),
            (New, "tick"),
            (New, "tick"),
        ];
        assert_eq!(admitted(&mut by_payload(), &brought).len(), 3);
    }

    #[test]
    fn w5_text_and_binary_are_never_the_same() {
        let mut overlap = by_payload();
        assert!(overlap.admits(Side::Old, &Message::text("a")));
        assert!(overlap.admits(Side::New, &Message::binary(&b"a"[..])));
    }

    #[test]
    fn w5_an_id_is_what_counts_where_the_options_name_one() {
        let pointer = "/id".to_owned();
        let mut overlap = Overlap::new(Duplicates::Id { pointer }).expect("a filter");
        let brought = [
            (Side::Old, r#"{"id":1,"at":"old"}"#),
            (Side::New, r#"{"id":1,"at":"new"}"#),
            (Side::New, r#"{"id":"1"}"#),
            (Side::New, r#"{"no":"id"}"#),
            (Side::Old, r#"{"no":"id"}"#),
            (Side::New, "not json"),
        ];
        let admitted = admitted(&mut overlap, &brought);
        assert_eq!(admitted.len(), 5, "{admitted:?}");
    }

    #[test]
    fn w5_what_is_remembered_is_bounded() {
        let mut overlap = by_payload();
        for number in 0..=MOST_REMEMBERED {
            assert!(overlap.admits(Side::Old, &Message::text(number.to_string())));
        }
        assert_eq!(overlap.seen.len(), MOST_REMEMBERED);
        assert!(
            overlap.admits(Side::New, &Message::text("0")),
            "the oldest is forgotten"
        );
    }
}
