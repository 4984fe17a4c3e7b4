//! Configuration, environment and secrets.
#![allow(clippy::unwrap_used)]

mod common;

use common::deeds::Deed::*;
use common::deeds::{World, component_of};
use common::*;
use pelton_host::{Grants, HandlerSpec, Protocol};
use std::sync::Arc;

fn config() -> Grants {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Grants { config: Some(vec![pair("region", "eu"), pair("empty", "")]), ..Grants::default() }
}

#[test]
fn configuration_has_three_names() {
    for world in [World::ConfigRc, World::ConfigSpin, World::ConfigRuntime] {
        let bytes =
            component_of(world, &[('a', &[Config("region"), Config("none"), Config("empty"), ConfigAll])]);
        let (host, lines) = listening();
        let error = host.load_bytes("orders", &bytes, &spec()).map(drop).unwrap_err().to_string();
        assert!(error.contains("\nconfig = {"), "{error}");
        let handler = load(&host, &bytes, &HandlerSpec { grants: Arc::new(config()), ..spec() });
        assert!(one(&handler, "a").is_ok());
        assert_eq!(lines.take()[0].text, "eu -  region eu empty ", "{world:?}");
    }
}

/// A program that shows its environment, each variable up to its zero byte.
const ENVIRONMENT: &str = r#"(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "ok\0a")
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $environ (i32.const 1024) (i32.const 4096)))
    (i32.store (i32.const 8) (i32.const 4096))
    (i32.store (i32.const 12) (i32.load (i32.const 4)))
    (loop $again
      (i32.store (i32.const 16) (i32.const 32768))
      (i32.store (i32.const 20) (i32.const 30000))
      (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
      (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 28)))
      (i32.store (i32.const 16) (i32.const 32))
      (i32.store (i32.const 20) (i32.const 3))
      (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 28)))
      (br_if $again (i32.const REPEATS)))))"#;

#[test]
fn programs_have_configuration_and_granted_variables_in_their_environment() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let environment = vec![pair("TZ", "UTC"), pair("PELTON_PIPELINE", "forged")];
    let grants = Arc::new(Grants { environment, ..config() });
    for (protocol, repeats) in [(Protocol::Command, "0"), (Protocol::Worker, "1")] {
        let (host, lines) = listening();
        let program = wat::parse_str(ENVIRONMENT.replace("REPEATS", repeats)).unwrap();
        let spec = HandlerSpec { grants: grants.clone(), protocol: Some(protocol), ..spec() };
        assert!(one(&load(&host, &program, &spec), "a").is_ok(), "{protocol:?}");
        let said: String = lines.take().iter().map(|line| line.text.clone()).collect();
        let word = protocol.word();
        for variable in [
            "PELTON_CONFIG_REGION=eu",
            "PELTON_CONFIG_EMPTY=",
            "TZ=UTC",
            "PELTON_PIPELINE=orders",
            &format!("PELTON_PROTOCOL={word}"),
        ] {
            assert!(said.contains(&format!("{variable}\\x00")), "{protocol:?}: {variable}: {said}");
        }
        assert!(!said.contains("forged"), "{said}");
    }
}

#[test]
fn components_have_granted_variables_in_their_environment() {
    let bytes = component_of(World::Environment, &[('a', &[Environment])]);
    let environment = vec![("TZ".to_owned(), "UTC".to_owned())];
    let grants = Grants { environment, ..config() };
    let (host, lines) = listening();
    let handler = load(&host, &bytes, &HandlerSpec { grants: Arc::new(grants), ..spec() });
    assert!(one(&handler, "a").is_ok());
    assert_eq!(lines.take()[0].text, "TZ UTC", "configuration is asked for by name");
}

#[test]
fn a_secret_is_hidden_however_it_is_written() {
    let config = vec![("key".to_owned(), "hunter22-hunter22".to_owned())];
    let secrets = vec!["hunter22-hunter22".to_owned()];
    let grants = Grants { config: Some(config), secrets, ..Grants::default() };
    let letters: [(char, &[deeds::Deed]); 2] =
        [('a', &[Config("key")]), ('r', &[Reject("refused: hunter22-hunter22")])];
    let (host, lines) = listening();
    let bytes = component_of(World::ConfigRc, &letters);
    let handler = load(&host, &bytes, &HandlerSpec { grants: Arc::new(grants), ..spec() });
    assert!(one(&handler, "a").is_ok());
    assert_eq!(lines.take()[0].text, "[secret]");
    let reason = "refused: [secret]".to_owned();
    assert_eq!(one(&handler, "r"), pelton_core::outcome::Outcome::Reject { reason });
}
