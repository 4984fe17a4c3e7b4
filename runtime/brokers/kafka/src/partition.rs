//! One partition, as this member knows it.

#[cfg(test)]
mod tests;

use super::beginning::{Beginning, Found};
use super::depth::PartitionBounds;
use super::topic_id::TopicId;
use pelton_core::Channel;
use pelton_core::ports::PartitionStatus;
use rdkafka::Offset;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the client library says of a partition may be so old.
const OLD: Duration = Duration::from_secs(5);

/// What a member knows of a partition that is its own, or was.
#[derive(Debug)]
pub struct Partition {
    pub topic: Arc<str>,
    /// What its messages come through.
    pub channel: Arc<Channel>,
    pub number: i32,
    /// As the ledger knows it.
    pub id: u32,
    /// Counts its assignments to this member.
    pub assignment: u32,
    pub ours: bool,
    /// When it was assigned, or resumed.
    since: Instant,
    /// Revoked, and not let go yet.
    pub leaving: bool,
    /// The topic that its offsets are of; none until the library has told its id.
    pub topic_id: Option<TopicId>,
    /// That was compared with what was known before: its records may be taken in.
    pub judged: bool,
    /// Its topic is no more: nothing of it is committed, and nothing more is received with this assignment.
    pub gone: bool,
    /// What the group had committed when it was assigned.
    pub found: Option<Found>,
    /// Where it was told to begin to the library.
    pub start: Offset,
    /// The offset to commit: all before it is settled. None until something is.
    pub position: Option<i64>,
    /// The one that the broker has confirmed last.
    pub committed: Option<i64>,
    /// Where this assignment began to read; none when the client library is to find out.
    pub begin: Option<i64>,
    /// One past the last record fetched.
    pub fetched: Option<i64>,
    /// The end at the time of the assignment, open transactions included; none until it is known.
    pub end: Option<i64>,
    /// What the broker has of it, when somebody wanted to know how much waits.
    pub bounds: Option<PartitionBounds>,
    /// A transaction is open before that end.
    pub open: bool,
    /// One was, so that an end that the poll comes to may be one before it.
    was_open: bool,
    /// Whether the poll has come to an end of the partition since.
    pub at_end: bool,
    /// The library has met this end of it; what lies before may still be on its way to the poll.
    met: Option<i64>,
    pub paused: bool,
    /// Too much of it waits in the pipeline: nothing more is wanted for now.
    pub unwanted: bool,
    /// The broker may have refused the offset to read next: it is to be looked at.
    pub doubtful: bool,
    /// Reading was begun again at this offset, and nothing has come since.
    again: Option<i64>,
    /// What is to be said of the record to read next, which cannot be read.
    pub unread: Option<String>,
    /// Reading went on elsewhere: where it stopped, and where it went on. What lies between is passed
    /// over once all before it is settled.
    jumped: Option<(i64, i64)>,
}

impl Partition {
    /// One that is not ours yet.
    pub fn new(pipeline: &str, topic: Arc<str>, number: i32, id: u32) -> Self {
        Self {
            channel: Arc::new(Channel::of_partition(pipeline, &topic, number)),
            topic,
            number,
            id,
            assignment: 0,
            ours: false,
            since: Instant::now(),
            leaving: false,
            topic_id: None,
            judged: false,
            gone: false,
            found: None,
            start: Offset::Invalid,
            position: None,
            committed: None,
            begin: None,
            fetched: None,
            end: None,
            bounds: None,
            open: false,
            was_open: false,
            at_end: false,
            met: None,
            paused: false,
            unwanted: false,
            doubtful: false,
            again: None,
            unread: None,
            jumped: None,
        }
    }

    /// It is ours from now on, and read from where it begins. What is new to the group is known to the
    /// broker from there on.
    pub fn assign(&mut self, beginning: Beginning) {
        let assignment = self.assignment + 1;
        let new = Self::new(self.channel.pipeline(), self.topic.clone(), self.number, self.id);
        let Beginning { offset: start, found } = beginning;
        let begin = start.to_raw().filter(|offset| *offset >= 0);
        let position = if found.is_none() { begin } else { None };
        *self = Self { assignment, ours: true, begin, start, found, position, ..new };
    }

    /// Its topic is another by now: what is in work of it may end, and nothing more.
    pub fn go(&mut self) {
        (self.gone, self.leaving) = (true, true);
    }

    /// Whether the library has read of it, or come to its end.
    pub fn was_read(&self) -> bool {
        self.fetched.is_some() || self.at_end || self.met.is_some()
    }

    /// Whether its records are taken in.
    pub fn takes(&self) -> bool {
        self.ours && !self.leaving && !self.gone
    }

    /// A record was fetched.
    pub fn fetch(&mut self, offset: i64) {
        if self.next().is_none() {
            // The library has found out where the group begins: known to the broker from now on.
            (self.begin, self.position) = (Some(offset), Some(offset));
        }
        self.fetched = Some(offset + 1);
        (self.at_end, self.doubtful, self.again, self.unread) = (false, false, None, None);
    }

    /// Whether reading stands still where it was begun again.
    pub fn stands(&self) -> bool {
        !self.paused && !self.unwanted && self.again.is_some() && self.again == self.next()
    }

    /// Whether records of this assignment may be in work.
    pub fn received(&self) -> bool {
        self.fetched.is_some() || self.jumped.is_some()
    }

    /// How many offsets lie between the record that was fetched last and this one. What lies between two
    /// records that come one after the other is no record.
    pub fn skipped(&self, offset: i64) -> u64 {
        self.fetched.and_then(|next| u64::try_from(offset - next).ok()).unwrap_or(0)
    }

    /// The offset to read next, if it is known.
    pub fn next(&self) -> Option<i64> {
        self.fetched.or(self.begin)
    }

    /// Where it ends, and where it does for who may not see open transactions.
    pub fn learn(&mut self, end: i64, stable: i64) {
        self.end = Some(end);
        self.open = stable < end;
        self.was_open |= self.open;
        // It may have been the end before the transaction.
        self.at_end &= !self.was_open;
    }

    /// The poll has come to an end.
    pub fn ends(&mut self) {
        self.at_end |= !self.was_open;
    }

    /// The library has met this end of the partition. What it says may be of before an assignment or a pause.
    pub fn meets(&mut self, end: i64) {
        if self.ours && !self.paused && self.since.elapsed() > OLD {
            self.met = Some(end);
        }
    }

    /// The poll has found nothing: what the library had read of it was taken in.
    pub fn drained(&mut self) {
        self.at_end |= self.met.zip(self.end).is_some_and(|(met, end)| met >= end);
    }

    /// All before this offset has come to the poll, marks of transactions too.
    pub fn reaches(&mut self, offset: i64) {
        self.at_end |= self.ours && self.end.is_some_and(|end| offset >= end);
    }

    /// All before this offset has come to the poll. Where all that was read is settled, what lies between are
    /// marks of transactions and what was aborted: committed, nobody takes them for records that are left.
    pub fn pass_marks(&mut self, offset: i64) {
        let goes_on = self.doubtful || self.again.is_some() || self.jumped.is_some() || !self.judged;
        let settled = self.position.or(self.begin);
        let is_settled = self.next().is_some() && settled >= self.next();
        if self.takes() && !goes_on && is_settled && settled < Some(offset) {
            self.position = Some(offset);
        }
    }

    /// Whether nothing but marks of transactions may be left before its end.
    pub fn may_end_in_marks(&self) -> bool {
        self.takes() && !self.at_end && !self.open && self.end > self.next()
    }

    /// Nothing is to be read for a while, and what was read ahead is thrown away; or it goes on.
    pub fn pause(&mut self, paused: bool) {
        (self.paused, self.met, self.since) = (paused, None, Instant::now());
    }

    /// Everything before `next` is settled.
    pub fn pass(&mut self, next: i64) {
        self.position = Some(self.position.map_or(next, |p| p.max(next)));
        self.jump_over();
    }

    /// Reading goes on at `to`: what lies before it is gone.
    pub fn jump(&mut self, from: i64, to: i64) {
        let in_work = self.received();
        self.pause(false);
        (self.begin, self.fetched, self.doubtful) = (Some(to), None, false);
        self.again = (to == from).then_some(to);
        if to != from {
            self.unread = None;
        }
        self.start = Offset::Offset(to);
        if in_work {
            self.jumped = Some((from, to));
            self.jump_over();
        } else {
            self.position = Some(to);
        }
    }

    fn jump_over(&mut self) {
        if let Some((_, to)) = self.jumped.take_if(|(from, _)| self.position >= Some(*from)) {
            self.position = self.position.max(Some(to));
        }
    }

    /// Records that are not settled, of those before the end that it had when it was assigned; at most. One
    /// more when that end is not known yet, or its beginning is behind it.
    pub fn unsettled(&self) -> u64 {
        self.left() + self.uncommitted() + u64::from(self.jumped.is_some())
    }

    /// Those that are not fetched.
    fn left(&self) -> u64 {
        let begins_behind = self.fetched.is_none() && self.end.is_some_and(|end| self.begin > Some(end));
        match (self.end, self.next()) {
            _ if self.doubtful || self.gone || !self.judged || begins_behind => 1,
            _ if self.at_end && self.end.is_some() && !self.open => 0,
            (Some(end), Some(next)) => u64::try_from(end - next).unwrap_or(0),
            _ => 1,
        }
    }

    /// For people. `limit` is how far it may be behind.
    pub fn partition_status(&self, limit: u64) -> PartitionStatus {
        let unsigned = |offset: Option<i64>| offset.and_then(|o| u64::try_from(o).ok());
        let behind = self.uncommitted();
        PartitionStatus {
            name: format!("{}/{}", self.topic, self.number),
            partition: self.id,
            position: unsigned(self.position),
            received: unsigned(self.fetched),
            behind,
            crowded: self.unwanted,
            held_back: self.unwanted || (self.paused && behind >= limit - limit / 4),
        }
    }

    /// Records fetched beyond what may be committed, counted by offsets.
    pub fn uncommitted(&self) -> u64 {
        let from = self.position.or(self.begin);
        let beyond = self.fetched.zip(from).map_or(0, |(fetched, from)| fetched - from);
        u64::try_from(beyond).unwrap_or(0)
    }
}
