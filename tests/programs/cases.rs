//! One table of cases for the workers of all languages.

use crate::{invoke, logs};
use serde_json::Value;

const WORKERS: [&str; 2] = ["chaos-go", "chaos-c"];

/// A deed, its outcome, the exit code, words of its reason, and of its log.
type Case = (&'static str, &'static str, i32, &'static str, &'static str);

const CASES: [Case; 13] = [
    ("nothing", "ok", 0, "", ""),
    ("retry", "retry", 75, "asked to retry at attempt 3", ""),
    ("reject", "reject", 65, "wrapped: asked to reject", ""),
    ("error", "retry", 75, "a plain error", ""),
    ("uncaught", "trap", 2, "", ""),
    ("exit", "trap", 2, "ended with exit code 3 before it answered", ""),
    ("loop", "timeout", 2, "it ran for longer than", ""),
    ("sleep", "timeout", 2, "it waited in a host call", ""),
    ("memory", "memory", 2, "was refused, the limit is 33554432 bytes", ""),
    ("deep", "trap", 2, "deep", ""),
    ("flood", "ok", 0, "", "bytes of output dropped"),
    ("print", "ok", 0, "", "printed"),
    ("files", "ok", 0, "", "denied: true"),
];

#[test]
fn every_language_does_the_same() {
    for worker in WORKERS {
        for (deed, outcome, code, reason, log) in CASES {
            let header = format!("do={deed}");
            let words = ["--header", &header, "--attempt", "3", "--timeout", "5s", "--memory", "32MiB"];
            let (ended, said) = invoke(worker, &words, b"body");
            let call = &said["calls"][0];
            assert_eq!((call["outcome"].as_str(), ended), (Some(outcome), code), "{worker} {deed}: {call}");
            let because = call["reason"].as_str().unwrap_or_default();
            assert!(because.contains(reason), "{worker} {deed}: {because}");
            assert!(
                log.is_empty() || logs(&said).iter().any(|line| line.contains(log)),
                "{worker} {deed}: {call}"
            );
            let after = if deed == "retry" { Some(250) } else { None };
            assert_eq!(call["after_ms"].as_u64(), after, "{worker} {deed}");
        }
    }
}

#[test]
fn an_uncaught_error_tells_its_stack() {
    for (worker, words) in [
        ("chaos-go", ["panic: runtime error: invalid memory address", "main.handle("]),
        ("chaos-c", ["unreachable", "pelton_handle"]),
    ] {
        let (_, said) = invoke(worker, &["--header", "do=uncaught"], b"");
        let reason = said["calls"][0]["reason"].as_str().expect("a reason");
        words.iter().for_each(|word| assert!(reason.contains(word), "{worker}: {reason}"));
    }
}

/// As zlib has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

#[test]
fn a_message_arrives_whole() {
    let binary: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1u32 << 20).map(|n| ((n * 7) >> 3) as u8).collect();
    let words = [
        "--header",
        "do=echo",
        "--header",
        "n\u{e4}me=\u{1f980}",
        "--header",
        "n\u{e4}me=",
        "--id",
        "m\u{fc}",
        "--attempt",
        "7",
    ];
    for worker in WORKERS {
        for body in [&b""[..], b"a\nb", &binary, &large] {
            for (key, shown) in [(None, "none"), (Some("--key="), "\"\""), (Some("--key=a b"), "\"a b\"")] {
                let words: Vec<&str> = words.iter().copied().chain(key).collect();
                let (_, said) = invoke(worker, &words, body);
                let lines = logs(&said);
                let wanted =
                    format!("id m\u{fc}, key {shown}, attempt 7, body {} {:08x}", body.len(), crc32(body));
                assert_eq!(lines.last(), Some(&wanted), "{worker}: {said}");
                assert_eq!(lines[1..3], ["header n\u{e4}me=\u{1f980}", "header n\u{e4}me="], "{worker}");
            }
        }
    }
}

#[test]
fn a_thousand_messages_on_one_instance_leave_nothing_behind() {
    let memory = |said: &Value| said["memory_bytes"].as_u64().expect("a number");
    for worker in WORKERS {
        let body = vec![b'x'; 10_000];
        let (_, few) = invoke(worker, &["--header", "do=nothing", "--times", "100"], &body);
        let (code, many) = invoke(worker, &["--header", "do=nothing", "--times", "5000"], &body);
        assert_eq!(code, 0, "{worker}");
        let calls = many["calls"].as_array().expect("a list");
        assert!(calls.len() == 5_000 && calls.iter().all(|call| call["outcome"] == "ok"), "{worker}");
        // Go's collector lets its heap grow to twice what lives, and to 4 MiB at least.
        assert!(memory(&many) <= memory(&few) + (6 << 20), "{worker}: {} {}", memory(&few), memory(&many));
    }
}

#[test]
fn printing_where_answers_belong_is_told() {
    let (code, said) = invoke("chaos-c", &["--header", "do=stdout"], b"");
    assert_eq!(code, 2);
    let reason = said["calls"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("wrote `printed` to standard output, which is no answer"), "{reason}");
}
