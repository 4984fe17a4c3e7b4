//! Moving the group of a stream.

use crate::{GROUP, STREAM, add, list, site, status, stream};
use pelton_tests::redis::Redis;
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
    worker.stop();
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
