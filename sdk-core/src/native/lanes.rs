//! The connections of one socket that may hold messages for the application: which is read first, and which of the
//! messages that two of them bring are delivered (W5).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use super::hub::lock;
use super::pipe::{Pipe, Recv};
use crate::io::{ConnId, OverlapStage};
use crate::message::Message;
use crate::options::Duplicates;
use crate::overlap::{Overlap, Side};

/// Connections whose messages wait for the application at the same time.
const MOST_LANES: usize = 8;

/// What the driver says, and the reader reads.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    inner: Mutex<Inner>,
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    /// Oldest first.
    lanes: Vec<Lane>,
    meeting: Option<Meeting>,
}

#[derive(Clone, Debug)]
struct Lane {
    conn: ConnId,
    pipe: Arc<Pipe>,
}

/// A connection and the one that is to replace it.
#[derive(Clone, Copy, Debug)]
struct Meeting {
    old: ConnId,
    new: ConnId,
    /// Those of the new one wait no longer for the end of the old one.
    mixed: bool,
    /// It is over; so many messages of the new one that came before wait to be read.
    left: Option<usize>,
}

impl Lanes {
    /// Adds a connection, which may be there to replace another. To be called before it is dialled: what the old one
    /// brings from then on may come on this one too. Gives the number of messages that are dropped, because an
    /// application that never reads leaves every old connection here.
    pub(crate) fn add(&self, conn: ConnId, pipe: &Arc<Pipe>, replaces: Option<ConnId>) -> usize {
        let dropped = {
            let mut inner = lock(&self.inner);
            inner.lanes.retain(|lane| !lane.pipe.is_finished());
            inner.lanes.push(Lane {
                conn,
                pipe: pipe.clone(),
            });
            if let Some(old) = replaces {
                inner.meeting = Some(Meeting {
                    old,
                    new: conn,
                    mixed: false,
                    left: None,
                });
            }
            (inner.lanes.len() > MOST_LANES).then(|| inner.lanes.remove(0))
        };
        self.version.fetch_add(1, Ordering::AcqRel);
        dropped.map_or(0, |lane| lane.pipe.unread())
    }

    /// How the present overlap goes on.
    pub(crate) fn overlap(&self, stage: OverlapStage) {
        {
            let inner = &mut *lock(&self.inner);
            let Some(meeting) = &mut inner.meeting else {
                return;
            };
            meeting.mixed = true;
            if stage == OverlapStage::Over {
                let new = inner.lanes.iter().find(|lane| lane.conn == meeting.new);
                meeting.left = Some(new.map_or(0, |lane| lane.pipe.unread()));
            }
        }
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Nobody reads any more.
    pub(crate) fn clear(&self) {
        let unlocked = std::mem::take(&mut *lock(&self.inner));
        self.version.fetch_add(1, Ordering::AcqRel);
        drop(unlocked);
    }

    fn forget(&self, finished: &[ConnId]) {
        lock(&self.inner)
            .lanes
            .retain(|lane| !finished.contains(&lane.conn));
    }
}

/// The application's side: takes messages from the connections in their order.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    local: VecDeque<Message>,
    lanes: Vec<Lane>,
    version: u64,
    meeting: Option<Meeting>,
    /// While two overlap.
    overlap: Option<Overlap>,
}

impl Reader {
    /// A message that was read already.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Message> {
        self.local.pop_front()
    }

    /// The next message, or `None` when there is none now; whoever waits is woken by the connections, and by whoever
    /// changes `lanes`.
    pub(crate) fn read(
        &mut self,
        lanes: &Lanes,
        duplicates: &Duplicates,
        cx: &mut Context<'_>,
    ) -> Option<Message> {
        loop {
            self.look(lanes, duplicates);
            let mut brought = None;
            let mut finished = Vec::new();
            // The oldest first: what it still holds was said before what its successor says.
            for lane in &self.lanes {
                match lane.pipe.poll_recv(cx, &mut self.local) {
                    Poll::Ready(Recv::Got) => {
                        brought = Some(lane.conn);
                        break;
                    }
                    Poll::Ready(Recv::Over) => finished.push(lane.conn),
                    Poll::Pending if self.holds_back_behind(lane.conn) => break,
                    Poll::Pending => {}
                }
            }
            if !finished.is_empty() {
                self.lanes.retain(|lane| !finished.contains(&lane.conn));
                lanes.forget(&finished);
            }
            let conn = brought?;
            // A handover may have begun before these arrived, and after the last look.
            self.look(lanes, duplicates);
            self.drop_duplicates(conn);
            if let Some(message) = self.local.pop_front() {
                return Some(message);
            }
        }
    }

    /// Takes notice of what the driver said.
    fn look(&mut self, lanes: &Lanes, duplicates: &Duplicates) {
        let version = lanes.version.load(Ordering::Acquire);
        if version == self.version {
            return;
        }
        self.version = version;
        let meeting = {
            let inner = lock(&lanes.inner);
            self.lanes.clone_from(&inner.lanes);
            inner.meeting
        };
        let known = self.meeting.map(|meeting| meeting.new);
        match meeting {
            Some(next) if Some(next.new) == known => {
                // The messages that are left have been counted since.
                let left = self.meeting.and_then(|meeting| meeting.left).or(next.left);
                self.meeting = Some(Meeting { left, ..next });
                self.end_if_over();
            }
            Some(next) if next.left.is_none() => {
                self.meeting = Some(next);
                self.overlap = Overlap::new(duplicates.clone());
            }
            _ => {}
        }
    }

    fn holds_back_behind(&self, conn: ConnId) -> bool {
        self.meeting
            .is_some_and(|meeting| meeting.old == conn && !meeting.mixed)
    }

    fn drop_duplicates(&mut self, conn: ConnId) {
        let (Some(meeting), Some(overlap)) = (&mut self.meeting, &mut self.overlap) else {
            return;
        };
        let side = if conn == meeting.new { Side::New } else { Side::Old };
        if let (Side::New, Some(left)) = (side, &mut meeting.left) {
            let checked = (*left).min(self.local.len());
            *left -= checked;
            let mut number = 0;
            self.local.retain(|message| {
                number += 1;
                number > checked || overlap.admits(side, message)
            });
        } else {
            self.local.retain(|message| overlap.admits(side, message));
        }
        self.end_if_over();
    }

    fn end_if_over(&mut self) {
        if self.meeting.is_some_and(|meeting| meeting.left == Some(0)) {
            // Which one it was stays known, so that it does not begin again.
            self.overlap = None;
        }
    }
}
