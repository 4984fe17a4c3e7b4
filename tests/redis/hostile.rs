//! What a stream or a list may carry that nobody expects: any bytes, in any number, under any name. No
//! worker falls over it, none of it is lost, and letters give back what was there.

use crate::{GROUP, LIST, STREAM, list, site, status, stream};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pelton_core::Header;
use pelton_tests::redis::Redis;
use pelton_tests::site::Pipeline;
use pelton_tests::wait::until;

type Field = (Vec<u8>, Vec<u8>);

fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Field {
    (name.as_ref().to_vec(), value.as_ref().to_vec())
}

/// No order: the handler refuses it.
fn bad() -> Field {
    field("body", "no order")
}

fn all_bytes() -> Vec<u8> {
    (0..=u8::MAX).collect()
}

/// Entries, each with what is odd about it.
fn corpus() -> Vec<(&'static str, Vec<Field>)> {
    let bytes = || (0..=u8::MAX).map(|b| vec![b]);
    let large = vec![0xfe_u8; 1 << 20];
    vec![
        ("names of each byte", bytes().map(|b| field(&b, &b)).chain([bad()]).collect()),
        (
            "names that are alike as text",
            vec![field(b"\xff", "1"), field(b"\xfe", "2"), field("\u{fffd}", "3"), bad()],
        ),
        (
            "escapes",
            vec![field("\\xff", "1"), field("%ff", "2"), field("\\", "3"), field("a\0b", "4"), bad()],
        ),
        ("a name of no bytes", vec![field("", "x"), bad()]),
        ("a long name", vec![field(vec![b'n'; 70_000], "x"), bad()]),
        ("values of all bytes", vec![field("all", all_bytes()), field("none", ""), bad()]),
        ("a large value", vec![field("large", &large), bad()]),
        ("5000 names", (0..5_000).map(|n| field(format!("n{n}"), "")).chain([bad()]).collect()),
        (
            "5000 times one name",
            (0..5_000u32).map(|n| field("n", n.to_be_bytes())).chain([bad()]).collect(),
        ),
        ("two bodies", vec![bad(), field("body", "another")]),
        ("two keys", vec![field("customer", "a"), field("customer", b"\xff"), bad()]),
        ("a key of all bytes", vec![field("customer", all_bytes()), bad()]),
        ("a key of no bytes", vec![field("customer", ""), bad()]),
        ("a large key", vec![field("customer", &large), bad()]),
        ("no body", vec![field(b"\xff\0", b"\xfe")]),
        ("an empty body", vec![field("body", "")]),
        ("a body of all bytes", vec![field("body", all_bytes())]),
        ("a large body", vec![field("body", &large)]),
    ]
}

/// Fields of ours with what we would never write.
fn forged() -> Vec<Vec<Field>> {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let ids: [&[u8]; 6] = [b"", &[b'i'; 600], b"a\x1b[31m", &[0xff], "\u{202e}x".as_bytes(), b"plain"];
    let times: [&[u8]; 7] =
        [b"", b"-1", b"18446744073709551615", b"18446744073709551616", b"1e9", b"now", &[0xff]];
    let headers: [&[u8]; 8] = [
        b"",
        b"{}",
        deep.as_bytes(),
        b"[[\"a\"]]",
        b"[[\"a\", \"b\", \"base64\"]]",
        b"[[1, 2]]",
        b"[[\"a\", \"b\", \"c\", \"d\"]]",
        &[0xff],
    ];
    let of = |name: &'static str, values: &[&[u8]]| -> Vec<Vec<Field>> {
        values.iter().map(|value| vec![field(name, value), bad()]).collect()
    };
    [of("pelton-message-id", &ids), of("pelton-published-at-ms", &times), of("pelton-headers", &headers)]
        .into_iter()
        .flatten()
        .chain([vec![field("pelton-replay", b"\xff\0"), bad()], vec![field(b"pelton-\xff", "x")]])
        .collect()
}

fn add(redis: &Redis, key: &str, id: &str, entry: &[Field]) {
    let mut words: Vec<&[u8]> = vec![key.as_bytes(), id.as_bytes()];
    words.extend(entry.iter().flat_map(|(name, value)| [&**name, &**value]));
    let _: String = redis.run_with("XADD", &words);
}

/// What a producer's entry has, wherever ours keeps it.
fn own(entry: Vec<Field>) -> Vec<Field> {
    let mut all = Vec::new();
    for (name, value) in entry {
        if name == b"pelton-headers" {
            let packed: Vec<Vec<String>> = serde_json::from_slice(&value).expect("ours are well made");
            for header in packed {
                let value = match header.len() {
                    3 => STANDARD.decode(&header[1]).expect("it is base64"),
                    _ => header[1].clone().into_bytes(),
                };
                all.push((Header::new(&*header[0], "").name_bytes().into_owned(), value));
            }
        } else if !name.starts_with(b"pelton-") {
            all.push((name, value));
        }
    }
    all.sort();
    all
}

fn entries(redis: &Redis, key: &str) -> Vec<(String, Vec<Field>)> {
    redis.run("XRANGE", &[key, "-", "+"])
}

fn gives_back(kept: impl Fn(Pipeline) -> Pipeline) {
    let redis = Redis::start();
    let corpus = corpus();
    corpus.iter().for_each(|(_, entry)| add(&redis, STREAM, "*", entry));
    let site = site(kept(stream(&redis.url(), "")));
    for _ in 0..2 {
        let (worker, _) = site.until_empty();
        assert!(!worker.log.lines().iter().any(|line| line.says("panic")), "{}", worker.log.tail());
        assert_eq!(redis.all_pending(STREAM, GROUP), 0);
        let _: u64 = redis.run("XTRIM", &[STREAM, "MAXLEN", "0"]);
        site.done(&["dlq", "replay", "orders", "--all"]);
        let mut left: Vec<Vec<Field>> =
            entries(&redis, STREAM).into_iter().map(|(_, entry)| own(entry)).collect();
        for (what, entry) in &corpus {
            let wanted = own(entry.clone());
            let at = left.iter().position(|entry| *entry == wanted);
            left.remove(at.unwrap_or_else(|| panic!("{what} did not come back")));
        }
        assert!(left.is_empty(), "{} more came back", left.len());
    }
}

#[test]
fn letters_in_a_stream_give_back_any_entry() {
    gives_back(|pipeline| pipeline.with("dead_letter", "stream = \"letters\""));
}

#[test]
fn letters_in_a_list_give_back_any_entry() {
    gives_back(|pipeline| pipeline.with("dead_letter", "list = \"letters\""));
}

#[test]
fn letters_in_the_data_directory_give_back_any_entry() {
    gives_back(|pipeline| pipeline);
}

#[test]
fn forged_fields_of_ours_and_odd_ids_are_handled_like_any_other() {
    let redis = Redis::start();
    let forged = forged();
    let ids = ["0-1", "0-18446744073709551615", "1-0", "9223372036854775807-7", "9223372036854775808-0"];
    let last = ["18446744073709551615-0", "18446744073709551615-18446744073709551615"];
    let count = ids.len() + forged.len() + last.len();
    let numbered = (2u64..).map(|ms| format!("{ms}-18446744073709551615"));
    for id in &ids[..3] {
        add(&redis, STREAM, id, &[bad()]);
    }
    numbered.zip(&forged).for_each(|(id, entry)| add(&redis, STREAM, &id, entry));
    for id in ids[3..].iter().chain(&last) {
        add(&redis, STREAM, id, &[bad()]);
    }
    // Other names in the group than ours are any bytes.
    let _: () = redis.run("XGROUP", &["CREATE", STREAM, GROUP, "0"]);
    for name in [&[0xff, 0xfe][..], b"", b"\x1b[2J"] {
        let _: u64 =
            redis.run_with("XGROUP", &[b"CREATECONSUMER", STREAM.as_bytes(), GROUP.as_bytes(), name]);
    }
    let words: [&[u8]; 8] =
        [b"GROUP", GROUP.as_bytes(), &[0xff, 0xfe], b"COUNT", b"5", b"STREAMS", STREAM.as_bytes(), b">"];
    let _: redis::Value = redis.run_with("XREADGROUP", &words);
    let site =
        site(stream(&redis.url(), ", claim_min_idle = \"1s\"").with("dead_letter", "list = \"letters\""));
    let stands = status(&site);
    assert_eq!(stands["broker"]["keys"][0]["pending"], 5, "{stands}");
    let (worker, _) = site.until_empty();
    assert!(!worker.log.lines().iter().any(|line| line.says("panic")), "{}", worker.log.tail());
    assert_eq!(redis.run::<u64>("LLEN", &["letters"]), u64::try_from(count).expect("it is small"));
    assert_eq!((site.letters("orders").len(), redis.all_pending_of_any(STREAM, GROUP)), (count, 0));
    let replayed = site.run(&["replay", "orders", "--from-beginning", "--redo"]);
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
}

#[test]
fn letters_of_a_list_give_back_any_body() {
    let redis = Redis::start();
    let mut bodies: Vec<Vec<u8>> = (0..=u8::MAX).map(|b| vec![b]).collect();
    bodies.extend([
        Vec::new(),
        all_bytes(),
        vec![0xfe; 1 << 20],
        b"1-2|looks taken".to_vec(),
        b"18446744073709551616-1|x".to_vec(),
        b"{\"pelton-message-id\": \"forged\", \"body\": \"x\"}".to_vec(),
        b"{\"pelton-message-id\": \"forged\", \"body\": {\"base64\": \"?\"}, \"headers\": 7}".to_vec(),
        format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes(),
        b"twice".to_vec(),
        b"twice".to_vec(),
    ]);
    redis.push(LIST, &bodies);
    bodies.sort();
    for kept in ["list = \"letters\"", "stream = \"letters\"", ""] {
        let pipeline = list(&redis.url(), "");
        let pipeline = if kept.is_empty() { pipeline } else { pipeline.with("dead_letter", kept) };
        let site = site(pipeline);
        let (worker, _) = site.until_empty();
        assert!(!worker.log.lines().iter().any(|line| line.says("panic")), "{}", worker.log.tail());
        assert_eq!(redis.run::<u64>("LLEN", &[LIST]), 0, "{kept}");
        site.done(&["dlq", "replay", "orders", "--all"]);
        let mut back: Vec<Vec<u8>> = redis.run("LRANGE", &[LIST, "0", "-1"]);
        back.sort();
        assert!(back == bodies, "{kept}: {} of {} came back", back.len(), bodies.len());
    }
}

/// An item is removed by its bytes, and they are made of its number again.
#[test]
fn items_whose_numbers_no_worker_would_write_are_messages_like_any_other() {
    let redis = Redis::start();
    let odd = [
        "+1-2|a",
        "007-08|b",
        "1-2 |c",
        "1--2|d",
        "18446744073709551616-1|e",
        "-|f",
        "|g",
        "no number",
        "",
    ];
    for item in odd {
        let _: u64 = redis.run("RPUSH", &["{orders}:pelton:processing:w", item]);
    }
    let last = "18446744073709551615-18446744073709551615|h";
    let _: u64 = redis.run("RPUSH", &["{orders}:pelton:processing:w", last]);
    let _: u64 = redis.run("SADD", &["{orders}:pelton:workers", "w"]);
    let site = site(list(&redis.url(), ", worker = \"w\""));
    let (worker, _) = site.until_empty();
    let mut bodies: Vec<String> =
        site.letters("orders").iter().map(|l| l["body"].as_str().unwrap_or_default().to_owned()).collect();
    bodies.sort();
    let mut wanted: Vec<&str> = odd.into_iter().chain(["h"]).collect();
    wanted.sort_unstable();
    assert_eq!(bodies, wanted, "{}", worker.log.tail());
    assert_eq!(redis.run::<Vec<String>>("KEYS", &["*:processing:*"]), Vec::<String>::new());
}

/// Nothing is lost to a script that fails half way, and what is wrong is said.
#[test]
fn keys_of_another_type_beside_a_list_lose_nothing() {
    for key in ["processing:w", "arriving:w", "alive:w", "workers"] {
        let redis = Redis::start();
        redis.push(LIST, &(1..=20).map(|n| crate::body(n, "c", 0)).collect::<Vec<_>>());
        let site = site(list(&redis.url(), ", worker = \"w\", takeover_after = \"2s\""));
        let key = format!("{{orders}}:pelton:{key}");
        let worker = site.worker().ready();
        worker.log.wait_for("all are taken", 20, |line| line.says(" taken"));
        until("nothing is in work", || (status(&site)["queued"] == 0).then_some(()));
        // While it runs: nothing of its own is there, so the key is free for others.
        let _: redis::Value = redis.run("DEL", &[&key]);
        let _: redis::Value = redis.run("HSET", &[&key, "a", "b"]);
        redis.push(LIST, &(21..=40).map(|n| crate::body(n, "c", 0)).collect::<Vec<_>>());
        worker.log.wait("it is said", |line| line.says("another type than it must have"));
        until("the status says so", || {
            status(&site)["trouble"]
                .as_str()
                .is_some_and(|words| words.contains("another type"))
                .then_some(())
        });
        let _: u64 = redis.run("DEL", &[&key]);
        until("all are handled", || (status(&site)["handled"] == 40).then_some(()));
        worker.stop();
        assert_eq!(redis.run::<u64>("LLEN", &[LIST]), 0, "{key}");
    }
}

/// What another tool has put under another worker's name is in nobody's way.
#[test]
fn keys_of_another_type_of_a_worker_that_is_gone_hold_up_no_list() {
    let redis = Redis::start();
    redis.push(LIST, &(1..=20).map(|n| crate::body(n, "c", 0)).collect::<Vec<_>>());
    for (name, key) in [("a", "processing"), ("b", "arriving")] {
        let _: u64 = redis.run("SADD", &["{orders}:pelton:workers", name]);
        let _: () = redis.run("SET", &[&format!("{{orders}}:pelton:{key}:{name}"), "x"]);
    }
    let site = site(list(&redis.url(), ""));
    let (worker, _) = site.until_empty();
    assert_eq!(crate::taken(&worker.log).len(), 20);
    let said = |line: &&pelton_tests::log::Line| {
        line.says("taking over what a worker has left failed") && line.says("{orders}:pelton:processing:a")
    };
    assert!(worker.log.lines().iter().any(|line| said(&line)), "{}", worker.log.tail());
}

/// A group may be set to anywhere, and a stream's last id back.
#[test]
fn a_group_that_is_ahead_of_its_stream_is_said_with_the_way() {
    for place in ["18446744073709551615-18446744073709551615", "9999999999999-7"] {
        let redis = Redis::start();
        crate::add(&redis, 1..=5);
        let site = site(stream(&redis.url(), ""));
        let worker = site.worker().ready();
        worker.log.wait_for("all are taken", 5, |line| line.says(" taken"));
        assert!(status(&site)["trouble"].is_null());
        let _: () = redis.run("XGROUP", &["SETID", STREAM, GROUP, place]);
        crate::add(&redis, 6..=10);
        worker.log.wait("it is said", |line| line.says("the server hands out nothing of what is added"));
        let trouble = status(&site)["trouble"].as_str().unwrap_or_default().to_owned();
        assert!(trouble.contains(place) && trouble.contains("XGROUP SETID"), "{trouble}");
        // People see a table though the group has no workers that hold anything.
        assert!(site.done(&["status"]).contains("hands out nothing"));
        let _: () = redis.run("XGROUP", &["SETID", STREAM, GROUP, "0"]);
        until("all are handled", || (status(&site)["handled"] == 10).then_some(()));
        until("all is well", || status(&site)["trouble"].is_null().then_some(()));
        worker.stop();
        let none = pelton_tests::redis::Redis::run::<u64>(&redis, "XGROUP", &["DESTROY", STREAM, GROUP]);
        assert_eq!((none, site.done(&["status"]).contains("no worker runs")), (1, true));
    }
}
