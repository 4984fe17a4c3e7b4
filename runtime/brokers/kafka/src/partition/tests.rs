use super::*;
use crate::topic_id::CommitMark;

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
fn marks_are_passed_once_all_before_them_is_settled_and_reading_goes_on() {
    let mut partition = read_to(20);
    let passed = |partition: &mut Partition, offset| {
        partition.pass_marks(offset);
        partition.position
    };
    assert_eq!(passed(&mut partition, 25), None, "all is in work");
    partition.pass(19);
    assert_eq!(passed(&mut partition, 25), Some(19), "one is in work");
    partition.pass(20);
    assert_eq!(passed(&mut partition, 20), Some(20));
    assert_eq!(passed(&mut partition, 25), Some(25));
    assert_eq!(passed(&mut partition, 30), Some(30), "others have come");
    partition.fetch(30);
    assert_eq!((partition.uncommitted(), passed(&mut partition, 31)), (1, Some(30)));
    partition.pass(31);
    partition.jump(31, 31);
    assert_eq!(passed(&mut partition, 40), Some(31), "it is read again from there");
    let mut nothing_read = read_to(10);
    assert_eq!(passed(&mut nothing_read, 12), Some(12));
    nothing_read.leaving = true;
    assert_eq!(passed(&mut nothing_read, 14), Some(12));
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
