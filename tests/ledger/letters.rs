//! Letters that are kept with the ledger, or end their messages there.

use crate::{Fleet, LONG_MS};
use pelton_core::broker::LetterQuery;
use pelton_core::database::{DatabaseConfig, DatabaseUse};
use pelton_core::header::Header;
use pelton_core::letter::LetterId;
use pelton_core::message::{HeaderList, Message, Parts};
use pelton_core::ports::{ClaimItem, ErrorClass, Verdict};
use pelton_core::{Identity, Letter};
use pelton_tests::member::{Member, configured, letter, placed, wants};

fn keeping(fleet: &Fleet, name: &str) -> Member {
    Member::open(&configured(&fleet.db), name, DatabaseUse { letters: true, ..wants(LONG_MS) })
}

fn keep(member: &Member, letters: Vec<Letter>) -> Vec<Result<(), ErrorClass>> {
    member.wait(member.pipeline.kept().expect("it keeps letters").publish(letters))
}

#[test]
fn a_letter_is_kept_whole_with_the_end_of_its_message() {
    let fleet = Fleet::new();
    let member = keeping(&fleet, "one");
    let headers: HeaderList = [Header::new("a", "1"), Header::of_bytes(b"\xff", None)].iter().collect();
    let parts = Parts {
        headers: headers.view(),
        published_at_ms: Some(5),
        tombstone: true,
        ..Parts::named("o/0/1")
    };
    let whole = ClaimItem { message: Message::new(parts), ..placed(1) };
    let (claim, _) = member.start(&whole);
    assert_eq!(keep(&member, vec![letter(&whole, Some(claim))]), [Ok(())]);
    assert_eq!(keep(&member, vec![letter(&whole, Some(claim))]), [Err(ErrorClass::LeaseLost)]);
    assert_eq!(member.claim_one(&whole), Verdict::AlreadyDeadLettered);
    let rejected = placed(2);
    assert_eq!(keep(&member, vec![letter(&rejected, None)]), [Ok(())]);

    let mut books = configured(&fleet.db).books().unwrap();
    assert_eq!(books.letter_count("orders").unwrap(), 2);
    assert_eq!(books.letter_count("others").unwrap(), 0);
    let mut reader = configured(&fleet.db).books().unwrap().letters("orders").unwrap();
    reader.begin(&LetterQuery::default()).unwrap();
    // What comes later is of the next walk.
    assert_eq!(keep(&member, vec![letter(&placed(3), None)]), [Ok(())]);
    let first = reader.next(1).unwrap().remove(0);
    assert_eq!((first.message_id.as_str(), first.cause.as_str()), ("o/0/1", "retries-exhausted"));
    assert_eq!((first.failure.as_str(), first.reason.as_str()), ("trap", "no\u{fffd} such order"));
    assert_eq!((first.attempts, first.published_at_ms, first.tombstone), (5, Some(5), true));
    assert_eq!(first.headers, headers.view().to_vec());
    let second = reader.next(9).unwrap();
    assert_eq!(
        (second.len(), second[0].body.as_slice(), second[0].key.as_deref()),
        (1, &b"body"[..], Some(&b"k"[..]))
    );
    assert_eq!(reader.next(9).unwrap(), []);
    assert_eq!((reader.remove(&second).unwrap(), reader.remove(&second).unwrap()), (1, 0));
    let LetterId::Number(number) = first.id else { panic!("{:?}", first.id) };
    reader.begin(&LetterQuery { id: Some(LetterId::Number(number)), cause: None }).unwrap();
    assert_eq!(reader.next(9).unwrap(), [first]);
    reader.begin(&LetterQuery { id: None, cause: Some("rejected".to_owned()) }).unwrap();
    assert_eq!(reader.next(9).unwrap(), []);
    drop(reader);
    assert_eq!(books.letter_count("orders").unwrap(), 2);
}

#[test]
fn a_letter_without_a_claim_is_written_once_and_not_while_another_works_on_it() {
    let fleet = Fleet::new();
    let (one, other) = (keeping(&fleet, "one"), keeping(&fleet, "other"));
    let known = letter(&placed(1), None);
    let invalid = Letter { identity: None, ..letter(&placed(2), None) };
    for member in [&one, &one, &other] {
        assert_eq!(keep(member, vec![known.clone(), invalid.clone()]), [Ok(()), Ok(())]);
    }
    assert_eq!(fleet.db.number("SELECT count(*) FROM pelton_letters"), 2);

    let working = placed(3);
    let (claim, _) = other.start(&working);
    assert_eq!(keep(&one, vec![letter(&working, None)]), [Err(ErrorClass::Transient)]);
    assert_eq!(other.complete(&working, claim), Ok(()));
    assert_eq!(keep(&one, vec![letter(&working, None)]), [Ok(())], "it needs none any more");
    assert_eq!(fleet.db.number("SELECT count(*) FROM pelton_letters"), 2);

    let died = placed(4);
    let third = keeping(&fleet, "third");
    let _claimed = third.start(&died);
    third.close();
    assert_eq!(keep(&one, vec![letter(&died, None)]), [Ok(())]);
    assert_eq!(fleet.db.number("SELECT count(*) FROM pelton_letters"), 3);
}

#[test]
fn one_letter_that_cannot_be_kept_holds_up_no_other() {
    let fleet = Fleet::new();
    let member = keeping(&fleet, "one");
    fleet.db.run("ALTER TABLE pelton_letters ADD CHECK (message_id <> 'orders/0/1')");
    let (good, bad) = (placed(2), placed(1));
    let claims = [member.start(&good).0, member.start(&bad).0];
    let kept = member.pipeline.kept().unwrap();
    let both = async {
        // They arrive at a time.
        tokio::join!(
            kept.publish(vec![letter(&bad, Some(claims[1]))]),
            kept.publish(vec![letter(&good, Some(claims[0]))])
        )
    };
    let (bad, good) = member.wait(both);
    assert_eq!((bad[0], good[0]), (Err(ErrorClass::Transient), Ok(())));
}

#[test]
fn letters_that_are_elsewhere_end_their_messages() {
    let fleet = Fleet::new();
    let member = fleet.member("one");
    assert!(member.pipeline.kept().is_none());
    let noted = member.pipeline.noted();
    let keyed = ClaimItem { identity: Identity::Key([7; 16]), ..placed(1) };
    let all = vec![letter(&placed(1), None), letter(&keyed, Some(member.start(&keyed).0))];
    assert_eq!(member.wait(noted.publish(all)), [Ok(()), Ok(())]);
    assert_eq!(member.claim_one(&placed(1)), Verdict::AlreadyDeadLettered);
    assert_eq!(member.claim_one(&keyed), Verdict::AlreadyDeadLettered);
    let another = ClaimItem { message: Message::new(Parts::named("orders/0/9")), ..keyed };
    assert_eq!(member.start(&another).1, 1, "its key is free");
    assert_eq!(fleet.db.number("SELECT count(*) FROM pelton_letters"), 0);
}
