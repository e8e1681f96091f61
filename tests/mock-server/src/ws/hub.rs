//! The open WebSocket connections: who they belong to, and how to reach them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;

use crate::locked;
use crate::settings::{Placement, Settings};
use crate::stream::{Mode, Switch};

/// Which connections a command is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Who {
    /// All of them.
    #[default]
    All,
    /// All but one.
    Except(u64),
    /// One, by its id.
    Connection(u64),
    /// All of one user.
    User(String),
}

/// An open WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionInfo {
    /// Its id; ids grow in the order of the handshakes.
    pub id: u64,
    /// Its user; none while it has yet to authenticate, and for anonymous ones.
    pub user: Option<String>,
    /// The path it came by.
    pub path: String,
    /// The id of the token it last authenticated with.
    pub token_id: Option<String>,
    /// The running number of that token.
    pub token_seq: Option<u64>,
    /// Where that token was.
    pub placement: Option<Placement>,
    /// Whether it is authenticated, or anonymous by permission.
    pub ready: bool,
}

/// What a connection's task is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    Send(Message),
    Close {
        code: Option<u16>,
        reason: String,
    },
    /// The server's view of tokens changed; look whether yours still holds.
    Recheck,
}

/// The registry.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    last_id: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<u64, Entry>,
    by_user: HashMap<String, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Entry {
    info: ConnectionInfo,
    inbox: UnboundedSender<Command>,
    switch: Arc<Switch>,
}

impl Hub {
    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Enters a connection; what is sent to it waits in the inbox until its task runs.
    pub(crate) fn enter(&self, info: ConnectionInfo, switch: Arc<Switch>) -> UnboundedReceiver<Command> {
        let (inbox, commands) = unbounded_channel();
        locked(&self.inner)
            .entries
            .insert(info.id, Entry { info, inbox, switch });
        commands
    }

    /// Marks a connection as authenticated. Where only one per user is allowed, closes the others.
    pub(crate) fn ready(&self, info: &ConnectionInfo, settings: &Settings) {
        let mut inner = locked(&self.inner);
        let Inner { entries, by_user } = &mut *inner;
        let Some(entry) = entries.get_mut(&info.id) else {
            return;
        };
        entry.info = ConnectionInfo {
            ready: true,
            ..info.clone()
        };
        let Some(user) = &info.user else { return };
        let ids = by_user.entry(user.clone()).or_default();
        if settings.one_connection_per_user {
            for other in ids
                .iter()
                .filter(|id| **id != info.id)
                .filter_map(|id| entries.get(id))
            {
                let reason = settings.replaced_close_reason.clone();
                other.tell(Command::Close {
                    code: Some(settings.replaced_close_code),
                    reason,
                });
            }
        }
        ids.insert(info.id);
    }

    pub(crate) fn leave(&self, id: u64) {
        let mut inner = locked(&self.inner);
        let Some(user) = inner.entries.remove(&id).and_then(|entry| entry.info.user) else {
            return;
        };
        if let Some(ids) = inner.by_user.get_mut(&user) {
            ids.remove(&id);
            if ids.is_empty() {
                inner.by_user.remove(&user);
            }
        }
    }

    /// Sends to connections that are ready; says to how many.
    pub(crate) fn send(&self, who: &Who, message: &Message) -> usize {
        self.each(who, |entry| {
            entry.info.ready && entry.tell(Command::Send(message.clone()))
        })
    }

    pub(crate) fn close(&self, who: &Who, code: Option<u16>, reason: &str) -> usize {
        self.each(who, |entry| {
            entry.tell(Command::Close {
                code,
                reason: reason.to_owned(),
            })
        })
    }

    pub(crate) fn switch(&self, who: &Who, mode: Mode) -> usize {
        self.each(who, |entry| {
            entry.switch.set(mode);
            true
        })
    }

    pub(crate) fn recheck(&self) {
        self.each(&Who::All, |entry| entry.tell(Command::Recheck));
    }

    pub(crate) fn list(&self) -> Vec<ConnectionInfo> {
        locked(&self.inner)
            .entries
            .values()
            .map(|entry| entry.info.clone())
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        locked(&self.inner).entries.len()
    }

    fn each(&self, who: &Who, act: impl Fn(&Entry) -> bool) -> usize {
        let inner = locked(&self.inner);
        let entries = &inner.entries;
        match who {
            Who::All => entries.values().filter(|entry| act(entry)).count(),
            Who::Except(id) => entries
                .values()
                .filter(|entry| entry.info.id != *id && act(entry))
                .count(),
            Who::Connection(id) => entries.get(id).into_iter().filter(|entry| act(entry)).count(),
            Who::User(user) => {
                let ids = inner.by_user.get(user).into_iter().flatten();
                ids.filter_map(|id| entries.get(id))
                    .filter(|entry| act(entry))
                    .count()
            }
        }
    }
}

impl Entry {
    fn tell(&self, command: Command) -> bool {
        self.inbox.send(command).is_ok()
    }
}
