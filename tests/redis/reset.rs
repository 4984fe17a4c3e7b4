//! Moving the group of a stream.

use crate::{GROUP, STREAM, add, list, site, status, stream};
use pelton_tests::redis::Redis;
use pelton_tests::site::Site;
use pelton_tests::wait::until;

#[test]
fn a_group_is_moved_and_what_the_ledger_hides_is_said() {
    let redis = Redis::start();
    let ids = add(&redis, 1..=20);
    let first = site(stream(&redis.url(), ""));
    let worker = first.worker().ready();
    let done = |handled: u64, duplicates: u64| {
        until("they are done", || {
            let now = status(&first);
            let is_done = now["handled"] == handled && now["duplicates"] == duplicates;
            (is_done && redis.all_pending(STREAM, GROUP) == 0).then_some(())
        });
    };
    done(20, 0);
    let said = first.done(&["reset", "orders", "--to-id", &ids[15], "--yes"]);
    assert!(
        said.contains("messages are read again") && said.contains("pelton replay orders --redo"),
        "{said}"
    );
    done(20, 5);
    let forget = first.run(&["reset", "orders", "--to-beginning", "--forget", "--yes"]);
    let words = String::from_utf8_lossy(&forget.stderr).into_owned();
    assert!(forget.status.code() == Some(1) && words.contains("cannot forget a range"), "{words}");
    first.done(&["ledger", "forget", "orders", &format!("{STREAM}/{}", ids[19])]);
    // Another worker of the group, paused or not, would be handed what is read again.
    let second = site(stream(&redis.url(), ""));
    second.done(&["pause", "orders"]);
    let other = second.worker().ready();
    until("it is in the group", || (redis.pending(STREAM, GROUP).len() == 2).then_some(()));
    let names: Vec<String> = redis.pending(STREAM, GROUP).into_keys().collect();
    let refused = |of: &Site| {
        let output = of.run(&["reset", "orders", "--to-beginning", "--yes"]);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && words.contains("has other consumers at work"),
            "{words}"
        );
        names.iter().filter(|name| words.contains(name.as_str())).count()
    };
    assert_eq!(refused(&first), 1, "its own worker is none of the others");
    done(20, 5);
    // Without a worker of its own, too.
    worker.stop();
    assert_eq!(refused(&first), 1);
    assert_eq!((&status(&first)["handled"], &status(&first)["duplicates"]), (&20.into(), &5.into()));
    // One that was killed does not give signs of life.
    assert_eq!(other.kill().signal, Some(9));
    first.done(&["reset", "orders", "--to-beginning", "--yes"]);
    first.until_empty();
    assert_eq!((&status(&first)["handled"], &status(&first)["duplicates"]), (&21.into(), &24.into()));
    let of_list = site(list(&redis.url(), ""));
    let refused = of_list.run(&["reset", "orders", "--to-beginning", "--yes"]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("reads a list, which has no place"),
        "{refused:?}"
    );
}
