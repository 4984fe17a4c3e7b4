//! Files that are no handlers, given to `check` and to `run`.

use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};
use std::os::unix::process::ExitStatusExt;

const HANDLER: &str = "pelton:handler/message-handler@0.1.0";

/// What `check` says of these bytes. It must come to an end by itself, with 0 or 78.
fn check(name: &str, bytes: &[u8]) -> (i32, String) {
    let site = Site::new(&[Pipeline::new("p", "handler.wasm".into())]);
    std::fs::write(site.path().join("handler.wasm"), bytes).expect("the file is written");
    let checked = site.run(&["check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    let code = checked.status.code();
    let code = code.unwrap_or_else(|| panic!("{name}: killed by {:?}: {said}", checked.status.signal()));
    assert!(code == 0 || code == 78, "{name}: {code}: {said}");
    assert!(!said.contains("panicked"), "{name}: {said}");
    (code, said)
}

/// It is refused, at its key, with words of the reason.
fn refused(name: &str, bytes: &[u8], words: &str) {
    let (code, said) = check(name, bytes);
    assert_eq!(code, 78, "{name}: {said}");
    assert!(said.contains("pipelines.p.handler.component") && said.contains(words), "{name}: {said}");
}

fn text(module: &str) -> Vec<u8> {
    wat::parse_str(module).expect("it is well formed")
}

#[test]
fn what_is_no_handler_is_refused_in_words() {
    refused("empty", b"", "not WebAssembly");
    refused("a script", b"#!/bin/sh\nexit 0\n", "not WebAssembly");
    refused("an ELF file", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "not WebAssembly");
    refused("a core module", &text("(module)"), "core WebAssembly module");
    refused("an empty component", &text("(component)"), "exports nothing");
    let other = "(component (component $i) (instance $n (instantiate $i)) (export \
        \"other:world/run@1.0.0\" (instance $n)))";
    refused(
        "another world",
        &text(other),
        "`other:world/run@1.0.0`, needs `pelton:handler/message-handler",
    );
    let import = format!(
        "(component (import \"wasi:http/outgoing-handler@0.2.0\" (instance)) (component $i) (instance $n \
         (instantiate $i)) \
         (export \"{HANDLER}\" (instance $n)))"
    );
    refused("what was not granted", &text(&import), "wasi:http/outgoing-handler@0.2.0");
    let shape = format!(
        "(component (component $i) (instance $n (instantiate $i)) (export \"{HANDLER}\" (instance $n)))"
    );
    refused("the name without the function", &text(&shape), HANDLER);
}

/// So many components, each in the one before. No text format goes so deep.
fn nested(levels: usize) -> Vec<u8> {
    const HEAD: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
    const COMPONENT: u8 = 4;
    (0..levels).fold(HEAD.to_vec(), |inner, _| {
        let (mut outer, mut length) = ([&HEAD[..], &[COMPONENT]].concat(), inner.len());
        while length >= 0x80 {
            outer.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(inner);
        outer
    })
}

#[test]
fn nests_and_crowds_are_refused_before_they_cost_anything() {
    refused("components in components", &nested(3_000), "handler.wasm");
    let types = format!("(component (core module {}))", "(type (func))".repeat(200_000));
    refused("a crowd of types", &text(&types), "handler.wasm");
    let body = "(local.set 0 (i32.add (local.get 0) (i32.const 1)))".repeat(300_000);
    let huge = format!("(component (core module (func (local i32) {body})))");
    refused("a huge function", &text(&huge), "handler.wasm");
}

#[test]
fn a_handler_that_was_cut_or_changed_is_refused_or_still_whole() {
    let whole = std::fs::read(plugin("chaos")).expect("the plugin is read");
    assert_eq!(check("whole", &whole).0, 0);
    for part in 1..24 {
        let cut = whole.len() * part / 24;
        assert_eq!(check(&format!("cut at {cut}"), &whole[..cut]).0, 78);
    }
    for n in 0..40u64 {
        let mut changed = whole.clone();
        let place = pelton_core::retry::scatter(n, 1) as usize % changed.len();
        changed[place] ^= 1 << (n % 8);
        // A changed name or constant may well be a handler still: `check` says nothing of its worth.
        check(&format!("bit {n} at {place}"), &changed);
    }
}
