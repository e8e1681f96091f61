//! A store with compare-and-swap that can be slow, fail, or move under one's feet.

use std::collections::BTreeSet;

use freshsocket::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
use freshsocket::{Error, ErrorKind};

/// What goes wrong with an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// Nothing is done, and the answer says so.
    Fails,
    /// Nothing is done, and there is no answer.
    Hangs,
    /// It is done, and the answer says that it is not.
    DoneButFails,
}

#[derive(Default)]
pub struct Store {
    pub held: StoreSnapshot,
    pub delay: u64,
    /// Goes wrong on the next so many writes.
    pub write_fault: Option<(StoreFault, u32)>,
    pub read_fault: Option<(StoreFault, u32)>,
    /// A killed process takes the writes that were on their way with it.
    pub loses_writes_on_kill: bool,
    /// Every access token that was ever durable.
    pub ever: BTreeSet<String>,
    pub writes: usize,
}

fn failed() -> Error {
    Error::new(ErrorKind::StoreFailed, "the disk is full")
}

fn strike(fault: &mut Option<(StoreFault, u32)>) -> Option<StoreFault> {
    let (kind, left) = fault.as_mut().filter(|(_, left)| *left > 0)?;
    *left -= 1;
    Some(*kind)
}

impl Store {
    /// The answer to a read; `None`: there is none.
    pub fn load(&mut self) -> Option<Result<StoreSnapshot, Error>> {
        match strike(&mut self.read_fault) {
            None => Some(Ok(self.held.clone())),
            Some(StoreFault::Hangs) => None,
            Some(_) => Some(Err(failed())),
        }
    }

    /// The answer to a compare-and-swap; `None`: there is none.
    pub fn swap(
        &mut self,
        expected: StoreVersion,
        next: Option<Box<StoredSession>>,
    ) -> Option<Result<Swapped, Error>> {
        match strike(&mut self.write_fault) {
            None => Some(Ok(self.do_swap(expected, next))),
            Some(StoreFault::Hangs) => None,
            Some(StoreFault::Fails) => Some(Err(failed())),
            Some(StoreFault::DoneButFails) => {
                self.do_swap(expected, next);
                Some(Err(failed()))
            }
        }
    }

    fn do_swap(&mut self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> Swapped {
        if expected != self.held.version {
            return Swapped::Conflict(self.held.clone());
        }
        self.write(next);
        Swapped::Done(self.held.version)
    }

    /// Another holder writes.
    pub fn write(&mut self, next: Option<Box<StoredSession>>) {
        self.writes += 1;
        self.ever
            .extend(next.iter().map(|stored| stored.access.expose().to_owned()));
        self.held = StoreSnapshot {
            version: StoreVersion(self.held.version.0 + 1),
            session: next,
        };
    }

    pub fn session(&self) -> Option<&StoredSession> {
        self.held.session.as_deref()
    }
}
