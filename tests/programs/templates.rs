//! The templates in Go and C, and the one for any language, do what their cases say.

use crate::{invoke, program};
use pelton_tests::binary::pelton;
use std::process::Command;

#[test]
fn templates_take_orders() {
    for template in ["template-go", "template-c", "template-any"] {
        for (body, attempt, outcome, reason) in [
            ("{\"id\": 7, \"amount_cents\": 1250}", "1", "ok", ""),
            ("{\"id\": 7, \"amount_cents\": -1}", "1", "reject", "order 7: the amount is negative"),
            (
                "{\"id\": 8, \"amount_cents\": 1, \"gateway_down\": true}",
                "1",
                "retry",
                "order 8: the payment gateway is down",
            ),
            ("{\"id\": 8, \"amount_cents\": 1, \"gateway_down\": true}", "3", "ok", ""),
            ("not JSON", "1", "reject", "not JSON"),
        ] {
            let (_, said) = invoke(template, &["--attempt", attempt], body.as_bytes());
            let call = &said["calls"][0];
            assert_eq!(call["outcome"], outcome, "{template} {body}: {said}");
            let because = call["reason"].as_str().unwrap_or_default();
            assert!(because.contains(reason), "{template} {body}: {because}");
        }
    }
}

#[test]
fn templates_say_what_they_are() {
    for (template, kind) in [
        ("template-go", "is       a worker\n"),
        ("template-go-batch", "is       a worker of batches"),
        ("template-c", "is       a worker\n"),
        ("template-c-batch", "is       a worker of batches"),
        ("template-any", "is       a command"),
    ] {
        let output = Command::new(pelton()).arg("inspect").arg(program(template)).output();
        let said = String::from_utf8(output.expect("pelton can be started").stdout).expect("text");
        assert!(
            said.contains(kind) && said.contains("imports  wasi_snapshot_preview1"),
            "{template}: {said}"
        );
    }
}

#[test]
fn a_batch_is_handled_together() {
    for template in ["template-go-batch", "template-c-batch"] {
        let (code, said) = invoke(template, &["--times", "21"], b"{\"id\": 7, \"amount_cents\": 1}");
        assert_eq!(code, 0, "{template}");
        let lines = crate::logs(&said);
        assert_eq!(lines, ["stored 1 orders", "stored 20 orders"], "{template}");
    }
}
