//! One partition, as this member knows it.

use super::beginning::{Beginning, Found};
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
    /// The end that this client saw last, when somebody wanted to know how much waits.
    latest: Option<i64>,
    /// All before it has come to the poll, marks of transactions too.
    passed: Option<i64>,
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
            latest: None,
            passed: None,
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

    /// It ends there now, for who sees no open transactions; and all before `passed` has come to the poll.
    pub fn ends_now(&mut self, end: i64, passed: Option<i64>) {
        (self.latest, self.passed) = (Some(end), passed);
    }

    /// Records that are not settled, up to the end that it had last; none while that is not known.
    pub fn depth(&self) -> Option<u64> {
        let (latest, next) = (self.latest?, self.next()?.max(self.passed.unwrap_or(0)));
        let left = if self.met >= Some(latest) { 0 } else { latest - next };
        Some(u64::try_from(left).unwrap_or(0) + self.uncommitted())
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

#[cfg(test)]
mod tests {
    use super::super::topic_id::CommitMark;
    use super::*;

    fn committed(offset: i64) -> Beginning {
        Beginning {
            offset: Offset::Offset(offset),
            found: Some(Found { offset, mark: CommitMark::Ours(None) }),
        }
    }

    fn read_to(next: i64) -> Partition {
        let mut partition = Partition::new("p", "orders".into(), 0, 0);
        partition.assign(committed(10));
        partition.judged = true;
        (10..next).for_each(|offset| partition.fetch(offset));
        partition
    }

    #[test]
    fn what_is_passed_over_is_committed_once_all_before_it_is_settled() {
        let mut partition = read_to(20);
        partition.jump(20, 50);
        assert_eq!((partition.next(), partition.position), (Some(50), None));
        partition.pass(15);
        assert_eq!(partition.position, Some(15));
        partition.pass(20);
        assert_eq!(partition.position, Some(50));

        let mut nothing_in_work = read_to(10);
        nothing_in_work.jump(10, 50);
        assert_eq!(nothing_in_work.position, Some(50));

        let mut all_settled = read_to(20);
        all_settled.pass(20);
        all_settled.jump(20, 50);
        assert_eq!(all_settled.position, Some(50));
    }

    #[test]
    fn where_the_library_begins_is_committed_with_the_first_record() {
        let mut partition = Partition::new("p", "orders".into(), 0, 0);
        partition.assign(Beginning { offset: Offset::Beginning, found: None });
        assert_eq!((partition.next(), partition.left()), (None, 1));
        partition.fetch(7);
        assert_eq!((partition.position, partition.next()), (Some(7), Some(8)));
    }

    #[test]
    fn what_is_not_settled_is_counted_from_where_reading_is() {
        let mut partition = read_to(10);
        partition.end = Some(50);
        assert_eq!(partition.left(), 40);
        partition.fetch(10);
        assert_eq!((partition.left(), partition.unsettled()), (39, 40), "what was fetched is not settled");
        partition.pass(11);
        assert_eq!(partition.unsettled(), 39);
        let mut partition = read_to(10);
        partition.end = Some(50);
        partition.begin = Some(50);
        assert_eq!(partition.left(), 0, "it was at its end when it came");
        partition.begin = Some(90);
        assert_eq!(partition.left(), 1, "the broker will refuse where it begins");
    }

    #[test]
    fn an_end_before_an_open_transaction_is_none() {
        let mut partition = read_to(20);
        partition.pass(20);
        partition.ends();
        partition.learn(30, 20);
        partition.ends();
        assert!(partition.open && partition.unsettled() == 10);
        // It was aborted: its records never come, and the library meets the end behind them.
        partition.learn(30, 31);
        assert_eq!(partition.unsettled(), 10, "they may be on their way");
        partition.since = Instant::now().checked_sub(2 * OLD).expect("the machine runs for longer");
        partition.meets(20);
        partition.drained();
        assert_eq!(partition.unsettled(), 10);
        partition.meets(31);
        partition.drained();
        assert_eq!(partition.unsettled(), 0);
    }

    #[test]
    fn an_end_counts_once_what_lies_before_it_was_taken_in() {
        let mut partition = read_to(20);
        partition.end = Some(50);
        partition.meets(50);
        partition.drained();
        assert!(!partition.at_end, "what is said may be of before its assignment");
        partition.since = Instant::now().checked_sub(2 * OLD).expect("the machine runs for longer");
        partition.meets(50);
        assert!(!partition.at_end, "records may be on their way to the poll");
        assert!(partition.may_end_in_marks());
        partition.reaches(49);
        assert!(!partition.at_end, "there may be a record at 49");
        partition.fetch(20);
        partition.drained();
        assert!(partition.at_end);
        partition.fetch(21);
        partition.pause(true);
        partition.drained();
        assert!(!partition.at_end, "what was read ahead is thrown away by a pause");
    }
}
