//! Files that are no handler: each is refused with what is wrong and what to do.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::ports::Handler;
use pelton_host::{HandlerKind, HandlerSpec, LoadError, inspect};
use std::time::{Duration, Instant};

const MAX: usize = 32 << 20;

fn refused(bytes: &[u8]) -> LoadError {
    match host().load_bytes("orders", bytes, &spec()) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error,
    }
}

#[test]
fn a_handler_is_described() {
    let info = inspect(chaos(), MAX, None).unwrap();
    assert_eq!(info.kind, HandlerKind::Message);
    assert_eq!(info.size, chaos().len());
    assert!(info.digest.starts_with("sha256:") && info.digest.len() == 71);
    assert!(info.imports.contains(&"wasi:cli/exit@0.2.0".to_owned()), "{:?}", info.imports);
    let handler = load(&host(), chaos(), &spec());
    assert_eq!(*handler.digest(), *info.digest);
}

#[test]
fn what_is_no_handler_is_told_apart() {
    let module = wat::parse_str("(module)").unwrap();
    let cases: [(&[u8], &str); 6] = [
        (b"", "the file is empty"),
        (b"fn main() {}", "it is a text file"),
        (b" (component)", "WebAssembly text"),
        (b"\x7fELF\x02\x01\xff\xfe", "some other kind of file"),
        (b"\0asm\x0d\0", "cut short"),
        (&module, "it is a core WebAssembly module without `_start`"),
    ];
    for (bytes, expected) in cases {
        let error = refused(bytes).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_damaged_component_is_invalid() {
    let mut bytes = chaos().to_vec();
    bytes.truncate(bytes.len() / 2);
    assert!(matches!(refused(&bytes), LoadError::Invalid(_)));
    for at in (8..chaos().len()).step_by(97) {
        let mut bytes = chaos().to_vec();
        bytes[at] ^= 0x55;
        // Whatever it says, it says it and does not panic.
        drop(inspect(&bytes, MAX, None));
    }
}

#[test]
fn a_program_has_to_say_how_it_is_given_messages() {
    let command = component(
        "command",
        r#"(module (func (export "wasi:cli/run@0.2.0#run") (result i32) (i32.const 0)))"#,
    );
    let error = refused(&command);
    assert!(matches!(error, LoadError::Unsaid), "{error}");
}

#[test]
fn an_import_beyond_the_grant_is_named() {
    let module = quiet_module(1, "").replacen(
        "(memory",
        r#"(import "wasi:keyvalue/store@0.2.0" "open" (func (param i32 i32) (result i32))) (memory"#,
        1,
    );
    match refused(&component("greedy", &module)) {
        LoadError::NotGranted { imports } => assert_eq!(imports, ["wasi:keyvalue/store@0.2.0"]),
        other => panic!("{other}"),
    }
}

#[test]
fn the_right_name_with_another_shape_is_a_wrong_type() {
    let bytes = wat::parse_str(
        r#"(component
            (core module $m (func (export "handle") (param i32)))
            (core instance $i (instantiate $m))
            (func $handle (param "n" u32) (canon lift (core func $i "handle")))
            (instance $x (export "handle" (func $handle)))
            (export "pelton:handler/message-handler@0.1.0" (instance $x)))"#,
    )
    .unwrap();
    let error = refused(&bytes);
    assert!(matches!(error, LoadError::WrongType { .. }), "{error}");
}

#[test]
fn a_later_patch_version_of_the_contract_is_accepted() {
    let text = wasm_with_version("0.1.0", "0.1.7");
    let handler = load(&host(), &text, &spec());
    assert_eq!(one(&handler, "a"), pelton_core::outcome::Outcome::Ok(None));
    let error = refused(&wasm_with_version("0.1.0", "0.2.0")).to_string();
    assert!(error.contains("another version of the contract"), "{error}");
}

/// The quiet handler with another version in all names; they have the same length.
fn wasm_with_version(from: &str, to: &str) -> Vec<u8> {
    let mut bytes = quiet(1, "");
    for name in ["message-handler@", "types@"] {
        let from = format!("{name}{from}").into_bytes();
        let to = format!("{name}{to}").into_bytes();
        while let Some(at) = bytes.windows(from.len()).position(|part| part == from) {
            bytes[at..at + to.len()].copy_from_slice(&to);
        }
    }
    bytes
}

#[test]
fn a_pin_is_compared() {
    let digest = inspect(chaos(), MAX, None).unwrap().digest;
    let pinned = |pin: &str| {
        let spec = HandlerSpec { digest: Some(pin.to_owned()), ..spec() };
        host().load_bytes("orders", chaos(), &spec).map(drop)
    };
    pinned(&digest).unwrap();
    let other = format!("sha256:{}", "0".repeat(64));
    assert!(matches!(pinned(&other), Err(LoadError::Pin { .. })));
    assert!(matches!(pinned("sha256:12"), Err(LoadError::BadPin(_))));
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str| host().load("orders", &folder.path().join(name), &spec()).map(drop);
    assert!(matches!(load("none.wasm"), Err(LoadError::Missing)));
    assert!(matches!(load("."), Err(LoadError::NotAFile("a folder"))));
    let device = host().load("orders", std::path::Path::new("/dev/zero"), &spec()).map(drop);
    assert!(matches!(device, Err(LoadError::NotAFile("a device"))));
    std::fs::write(folder.path().join("big.wasm"), vec![0; MAX + 1]).unwrap();
    assert!(matches!(load("big.wasm"), Err(LoadError::TooLarge { .. })));
    std::fs::write(folder.path().join("good.wasm"), quiet(1, "")).unwrap();
    load("good.wasm").unwrap();
}

#[test]
fn a_component_that_cannot_start_is_refused() {
    let error = refused(&quiet(1, "unreachable")).to_string();
    assert!(error.contains("cannot be started") && error.contains("unreachable"), "{error}");
    let error = refused(&quiet(1000, "")).to_string();
    assert!(error.contains("the limit is 16777216 bytes"), "{error}");
}

#[test]
fn a_component_that_spins_at_its_start_is_refused_in_time() {
    let start = Instant::now();
    let error = refused(&quiet(1, "(loop $l (br $l))")).to_string();
    assert!(error.contains("timed out"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_memory_limit_above_the_process_is_refused() {
    let spec = HandlerSpec { memory: 2 << 30, ..spec() };
    let error = host().load_bytes("orders", chaos(), &spec).map(drop);
    assert!(matches!(error, Err(LoadError::Limits { .. })));
}

#[test]
fn bombs_are_refused_before_they_are_compiled() {
    let nops = "nop\n".repeat(3 << 20);
    let functions = "(func)".repeat(200_001);
    let nested = (0..25).fold(String::new(), |inner, _| format!("(component {inner})"));
    for (what, text) in [
        ("one function", format!("(component (core module (func {nops})))")),
        ("functions", format!("(component (core module {functions}))")),
        ("nested", format!("(component {nested})")),
    ] {
        let bytes = wat::parse_str(&text).unwrap();
        let error = inspect(&bytes, MAX, None).unwrap_err();
        assert!(matches!(error, LoadError::TooComplex { .. }), "{what}: {error}");
    }
}
