//! Lanes that are closed here while their head is at the broker: what follows it must not go ahead of it.

use crate::message::{Lane, Message};
use std::collections::BTreeMap;

/// The lanes that are closed. To look at one costs the same however many there are.
#[derive(Debug, Default)]
pub struct Fences {
    closed: BTreeMap<Lane, Fence>,
    /// Those that the receive under way may bring something of.
    of_receive: Vec<Lane>,
}

/// A lane closed here while its head is at the broker.
#[derive(Debug)]
struct Fence {
    /// The receive that was under way, which may bring what follows the head. 0 for none.
    receive: u64,
    head: Message,
    /// Closed until nothing of the lane is out: what is out follows the head and goes back too.
    until_quiet: bool,
}

/// What keeps a fence standing: the receive that is under way (0 for none), and whether some of its lane
/// are out.
#[derive(Debug, Clone, Copy)]
pub struct Around {
    pub receive: u64,
    pub is_out: bool,
}

impl Fence {
    fn stands(&self, around: Around) -> bool {
        (self.receive != 0 && self.receive == around.receive) || (self.until_quiet && around.is_out)
    }
}

impl Fences {
    /// Closes a lane whose head goes back to the broker.
    pub fn close(&mut self, lane: Lane, head: Message, until_quiet: bool, receive: u64) {
        let before = match self.closed.get_mut(&lane) {
            Some(fence) => std::mem::replace(&mut fence.receive, receive),
            None => {
                self.closed.insert(lane, Fence { receive, head, until_quiet });
                0
            }
        };
        if receive != 0 && before != receive {
            self.of_receive.push(lane);
        }
    }

    /// Whether a message must not be taken into its lane. The head itself comes through: the broker keeps
    /// the lane's order, so what follows it may follow it here, unless it was read before all that goes
    /// back was there.
    pub fn keeps_out(&mut self, lane: Lane, message: &Message, around: impl FnOnce() -> Around) -> bool {
        if self.closed.is_empty() {
            return false;
        }
        let Some(fence) = self.closed.get_mut(&lane) else { return false };
        let around = around();
        if around.is_out || message.id() != fence.head.id() {
            return true;
        }
        fence.until_quiet = false;
        if fence.receive != around.receive {
            self.closed.remove(&lane);
        }
        false
    }

    /// Opens a lane of which something has just gone, if nothing keeps it closed.
    pub fn lift(&mut self, lane: Lane, around: impl FnOnce() -> Around) {
        if !self.closed.is_empty() && self.closed.get(&lane).is_some_and(|fence| !fence.stands(around())) {
            self.closed.remove(&lane);
        }
    }

    /// The receive under way was answered, and can bring nothing any more.
    pub fn answered(&mut self, is_out: impl Fn(Lane) -> bool) {
        for lane in std::mem::take(&mut self.of_receive) {
            self.lift(lane, || Around { receive: 0, is_out: is_out(lane) });
        }
    }

    /// The lanes that are closed without a reason, while this receive is under way.
    pub fn needless(&self, receive: u64, is_out: impl Fn(Lane) -> bool) -> Option<Lane> {
        let needless =
            |(lane, fence): &(&Lane, &Fence)| !fence.stands(Around { receive, is_out: is_out(**lane) });
        self.closed.iter().find(needless).map(|(lane, _)| *lane)
    }
}
