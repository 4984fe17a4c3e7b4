//! One worker, and nothing that breaks: what handlers do that are wrong, unlucky or hostile.

use crate::shared;
use pelton_tests::bank::{Bank, MIX, send, transfer_that};

/// Attempts that a pipeline has counted beyond the first.
fn retries(site: &pelton_tests::site::Site) -> u64 {
    site.status("transfers").retries
}

#[test]
fn transfers_of_every_kind_are_in_the_books_once() {
    let server = shared();
    let bank = Bank::open(&server);
    let site = bank.site(&Bank::pipeline("max_in_flight = 64"));
    send(&site, 1..=200);
    drop(site.until_empty());
    bank.balance(1..=200);
    // Sent once more, with the same keys.
    send(&site, 51..=150);
    drop(site.until_empty());
    bank.balance(1..=200);
    assert_eq!(site.status("transfers").duplicates, 100);
    assert_eq!(site.letters("transfers"), Vec::<serde_json::Value>::new());
}

#[test]
fn what_handlers_do_wrong_is_a_retry_and_what_is_not_theirs_is_no_attempt() {
    let server = shared();
    let bank = Bank::open(&server);
    let site = bank.site(&Bank::pipeline(""));
    let mut number = 0;
    for (_, how) in MIX {
        let before = retries(&site);
        let lines: Vec<String> = (number + 1..=number + 5).map(|n| transfer_that(n, how)).collect();
        number += 5;
        site.send_lines("transfers", &[], &lines);
        let (worker, _) = site.until_empty();
        let is_wrong = matches!(how, "retry" | "swallow" | "swallow_staged" | "hidden" | "trap");
        let counted = retries(&site) - before;
        assert_eq!(counted, if is_wrong { 5 } else { 0 }, "{how}:{}", worker.log.tail());
        bank.balance(1..=number);
    }
}

#[test]
fn what_is_rejected_is_not_in_the_books_and_has_a_letter() {
    let server = shared();
    let bank = Bank::open(&server);
    let site = bank.site(&Bank::pipeline(""));
    let lines: Vec<String> = (1..=10).map(|n| transfer_that(n, "reject")).collect();
    site.send_lines("transfers", &[], &lines);
    send(&site, 20..=30);
    drop(site.until_empty());
    bank.balance(20..=30);
    let letters = site.letters("transfers");
    assert_eq!(letters.len(), 10);
    assert!(letters.iter().all(|letter| letter["cause"] == "rejected"), "{letters:?}");
}

#[test]
fn messages_of_a_chunk_share_a_transaction_and_none_is_lost() {
    let server = shared();
    let bank = Bank::open(&server);
    let pipeline = Bank::pipeline("max_in_flight = 200").with("ledger", "transaction = \"chunk\"");
    let site = bank.site(&pipeline);
    send(&site, 1..=200);
    drop(site.until_empty());
    bank.balance(1..=200);
}
