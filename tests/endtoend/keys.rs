//! What a message is known by: any bytes of a header, values of JSON by kind and digits, contents.

use pelton_core::Header;
use pelton_core::broker::Outgoing;
use pelton_store::{Options, Store};
use pelton_tests::components::accepting;
use pelton_tests::site::{Pipeline, Site, Status};
use tempfile::TempDir;

/// A pipeline that accepts everything, and knows it by this key.
fn known_by(key: &str) -> (TempDir, Site) {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let pipeline = Pipeline::new("orders", accepting(dir.path()));
    let site = Site::new(&[pipeline.with("dedup", &format!("key = \"{key}\""))]);
    (dir, site)
}

/// Handled, duplicates and dead letters after a run to the end.
fn run(site: &Site) -> (u64, u64, u64) {
    let status = Status::of(&site.until_empty().1.out, "orders");
    (status.handled, status.duplicates, status.dead_letters)
}

/// Into the queue, past the command line, which takes text only.
fn put(site: &Site, messages: &[Outgoing<'_>]) {
    let store = Store::open_beside(&site.data(), Options::default()).expect("the store opens");
    let sent = store.send("orders", messages).expect("they are sent");
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
}

fn with_header(value: &[u8]) -> Outgoing<'static> {
    let headers = vec![Header::new("event-id", value)].into();
    Outgoing { headers, ..Outgoing::default() }
}

#[test]
fn a_header_is_known_by_its_bytes_whatever_they_are() {
    let (_dir, site) = known_by("header:event-id");
    let mut ids: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    ids.extend((0..300_u64).map(|n| (n << 40 | 0x00fe_ff80_c0f5).to_be_bytes().to_vec()));
    ids.extend([vec![0xff; 60_000], [vec![0xff; 59_999], vec![0xfe]].concat()]);
    let messages: Vec<Outgoing<'_>> = ids.iter().map(|id| with_header(id)).collect();
    let count = u64::try_from(ids.len()).expect("a number");
    put(&site, &messages);
    assert_eq!(run(&site), (count, 0, 0), "each of them is one of its own");
    put(&site, &messages);
    assert_eq!(run(&site), (count, count, 0), "and comes again");
}

#[test]
fn ids_and_ordering_keys_of_any_characters_are_handled_once() {
    let (_dir, site) = known_by("message-id");
    let controls = (0..0x20).chain([0x7f, 0x85, 0x200b, 0x202e, 0x2028, 0xfeff, 0xfffd, 0x1_f680]);
    let mut ids: Vec<String> =
        controls.filter_map(char::from_u32).flat_map(|c| [format!("{c}"), format!("a{c}b")]).collect();
    ids.extend(
        ["orders/", "orders/x", "orders/-1", "hex:00", "text:a", "number:1", "-", "--", " ", "'\"\\"]
            .map(str::to_owned),
    );
    ids.extend(["x".repeat(512), "\u{1f680}".repeat(128)]);
    let keys = [None, Some(Vec::new()), Some(vec![0]), Some(vec![0xff; 4_096]), Some((0..=255).collect())];
    let message = |(number, id): (usize, &String)| Outgoing {
        id: Some(id.clone().into()),
        key: keys[number % keys.len()].clone().map(Into::into),
        ..Outgoing::default()
    };
    let messages: Vec<Outgoing<'_>> = ids.iter().enumerate().map(message).collect();
    let count = u64::try_from(ids.len()).expect("a number");
    for round in 0..2 {
        put(&site, &messages);
        assert_eq!(run(&site), (count, round * count, 0));
    }
    for id in &ids {
        let hex: String = id.bytes().map(|byte| format!("{byte:02x}")).collect();
        let known = site.done(&["ledger", "show", "orders", "--", &format!("hex:{hex}")]);
        assert!(known.contains("completed"), "{id:?}");
        let typed = if id.starts_with("hex:") || id.starts_with("text:") {
            format!("text:{id}")
        } else {
            id.clone()
        };
        if !id.contains('\0') {
            assert!(site.done(&["ledger", "show", "orders", "--", &typed]).contains("completed"), "{id:?}");
        }
    }
    let store = Store::open_beside(&site.data(), Options::default()).expect("the store opens");
    let refused = [
        Outgoing { id: Some("".into()), ..Outgoing::default() },
        Outgoing { id: Some("x".repeat(513).into()), ..Outgoing::default() },
        Outgoing { id: Some("orders/18446744073709551616".into()), ..Outgoing::default() },
        Outgoing { key: Some(vec![0; 4_097].into()), ..Outgoing::default() },
        with_header(&vec![0; 65_536]),
    ];
    let sent = store.send("orders", &refused).expect("the others would be sent");
    assert!(sent.iter().all(Result::is_err), "{sent:?}");
}

#[test]
fn keys_of_bytes_are_shown_and_forgotten() {
    let (_dir, site) = known_by("header:event-id");
    let id = [0x00, 0xff, 0x1b, 0x80];
    put(&site, &[with_header(&id), with_header(b"hex:00ff1b80"), with_header(b"order-7")]);
    assert_eq!(run(&site), (3, 0, 0));
    for (key, known) in [
        ("hex:00ff1b80", true),
        ("hex:00FF1B80", true),
        ("hex:00ff1b81", false),
        ("text:hex:00ff1b80", true),
        ("order-7", true),
        ("text:order-7", true),
    ] {
        let shown = site.run(&["ledger", "show", "orders", key]);
        assert_eq!(shown.status.code(), Some(if known { 0 } else { 1 }), "{key}: {shown:?}");
    }
    site.done(&["ledger", "forget", "orders", "hex:00ff1b80"]);
    put(&site, &[with_header(&id), with_header(b"hex:00ff1b80")]);
    assert_eq!(run(&site), (4, 1, 0), "the one that was forgotten is handled again, and no other");
}

#[test]
fn two_thousand_spellings_of_numbers_are_two_thousand_keys() {
    let (_dir, site) = known_by("json:/id");
    let mut ids = Vec::new();
    for whole in ["0", "1", "18446744073709551615", "18446744073709551616", "18446744073709551617"] {
        for zeros in 0..40 {
            for power in ["", "e0", "E0", "e1", "e+1"] {
                let part = if zeros == 0 { String::new() } else { format!(".{}", "0".repeat(zeros)) };
                ids.extend([format!("{whole}{part}{power}"), format!("-{whole}{part}{power}")]);
            }
        }
    }
    ids.extend(["123456789012345678901234567890", "123456789012345678901234567891"].map(str::to_owned));
    ids.extend(["true", "false", "\"true\"", "\"1\"", "\"1.0\"", "\"-0\"", "\"null\""].map(str::to_owned));
    assert!(ids.len() > 2_000);
    let count = u64::try_from(ids.len()).expect("a number");
    let lines: Vec<String> = ids.iter().map(|id| format!("{{\"id\": {id}}}")).collect();
    site.send_lines("orders", &[], &lines);
    assert_eq!(run(&site), (count, 0, 0), "each of them is one of its own");
    site.send_lines("orders", &[], &lines);
    assert_eq!(run(&site), (count, count, 0), "and comes again");

    let said = site.run(&["ledger", "show", "orders", "1"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("`text:1` and `number:1`"), "{said}");
    for key in ["number:1", "text:1", "18446744073709551617", "boolean:true", "text:true", "false"] {
        assert!(site.done(&["ledger", "show", "orders", key]).contains("completed"), "{key}");
    }
    site.done(&["ledger", "forget", "orders", "number:1"]);
    site.send_lines("orders", &[], &["{\"id\":1}", "{\"id\":\"1\"}", "{\"id\":1.0}"].map(str::to_owned));
    assert_eq!(run(&site), (count + 1, count + 2, 0));
}

#[test]
fn an_empty_key_is_invalid_as_a_missing_one_is() {
    for (key, messages) in [
        ("header:event-id", vec![with_header(b""), with_header(b"")]),
        ("json:/id", vec![Outgoing::of(&br#"{"id":""}"#[..]); 2]),
    ] {
        let (_dir, site) = known_by(key);
        put(&site, &messages);
        assert_eq!(run(&site), (0, 0, 2), "{key}");
        for letter in site.letters("orders") {
            assert_eq!(
                (&letter["cause"], &letter["dedup_key"]),
                (&"invalid".into(), &serde_json::Value::Null)
            );
            let reason = letter["reason"].as_str().unwrap_or_default();
            assert!(
                reason.contains(&format!("`{key}`")) && reason.contains("there, and empty"),
                "{reason}"
            );
        }
    }
}

#[test]
fn a_content_is_the_body_and_the_key() {
    let (_dir, site) = known_by("body");
    let message = |key: Option<&str>, body: &str| Outgoing {
        key: key.map(|key| key.as_bytes().to_vec().into()),
        ..Outgoing::of(body.as_bytes().to_vec())
    };
    let all =
        [(None, ""), (Some(""), ""), (Some("a"), ""), (None, "x"), (Some("a"), "x"), (Some("b"), "x")];
    let all: Vec<Outgoing<'_>> = all.into_iter().map(|(key, body)| message(key, body)).collect();
    put(&site, &all);
    assert_eq!(run(&site), (6, 0, 0));
    put(&site, &all);
    assert_eq!(run(&site), (6, 6, 0));
}

/// Completed by the version before this one, and kept in its database.
#[test]
fn keys_that_an_older_version_completed_still_hold() {
    for (policy, old_key, message) in [
        ("header:event-id", "order-7".to_owned(), with_header(b"order-7")),
        ("json:/id", "17".to_owned(), Outgoing::of(&br#"{"id":"17"}"#[..])),
        ("body", older_digest(b"x"), Outgoing::of(&b"x"[..])),
    ] {
        let (_dir, site) = known_by(policy);
        assert_eq!(run(&site), (0, 0, 0));
        let db = rusqlite::Connection::open(site.data().join("pelton.db")).expect("the ledger is there");
        let sql = "INSERT INTO recent(id, completed_at, keys) SELECT (id << 40) | 1, ?1, ?2 FROM pipelines";
        let now = 1_800_000_000_000_i64;
        db.execute(sql, rusqlite::params![now, pelton_store::ledger_key(old_key.as_bytes())])
            .expect("it is written");
        drop(db);
        put(&site, &[message]);
        assert_eq!(run(&site), (0, 1, 0), "{policy}");
    }
}

fn older_digest(bytes: &[u8]) -> String {
    let hex: String = pelton_store::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256-{hex}")
}
