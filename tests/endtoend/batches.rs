//! The batch world, through the plugin that adds up payments.

use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site, Status};

#[test]
fn a_batch_handler_takes_many_at_once_and_fails_for_single_messages() {
    let totals = Pipeline::new("totals", plugin("totals"))
        .with("retry", "max_attempts = 2\ninitial_interval = \"10ms\"");
    let site = Site::new(&[totals]);
    let payment = |n: u64| format!("{{\"account\": \"{}\", \"cents\": {n}}}", n % 3);
    let lines: Vec<String> =
        (1..=600).map(|n| if n % 100 == 0 { "no payment".to_owned() } else { payment(n) }).collect();
    site.send_lines("totals", &[], &lines);
    let (worker, ended) = site.until_empty();
    let status = Status::of(&ended.out, "totals");
    assert_eq!((status.handled, status.dead_letters, status.left()), (594, 6, 0), "{status:?}");
    // Each line sums up a batch; together they hold every payment once.
    let (mut payments, mut cents, mut lines) = (0, 0, 0);
    for line in worker.log.lines().iter().filter(|l| l.field("message").starts_with("account ")) {
        let numbers: Vec<u64> =
            line.field("message").split([' ', ':']).filter_map(|word| word.parse().ok()).collect();
        payments += numbers[numbers.len() - 2];
        cents += numbers[numbers.len() - 1];
        lines += 1;
    }
    let expected: u64 = (1..=600).filter(|n| n % 100 != 0).sum();
    assert_eq!((payments, cents), (594, expected));
    assert!(lines < 400, "{lines} lines for 594 payments: batches of one");
}
