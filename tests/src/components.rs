//! Handlers: the example plugins, compiled from source by the project's script, and small ones in
//! text format.

use crate::binary::root;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The component of an example plugin (`orders`, `chaos`, ...), built if it is not there yet.
///
/// # Panics
/// When the script cannot build it.
#[must_use]
pub fn plugin(name: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let path = folder().join(format!("{name}.wasm"));
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    if !path.exists() {
        let built = Command::new(root().join("script/build-plugins")).status();
        assert!(built.expect("the script can be started").success(), "script/build-plugins failed");
    }
    assert!(path.exists(), "script/build-plugins makes no {}", path.display());
    path
}

/// As in `script/env`.
fn folder() -> PathBuf {
    let of = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = || {
        let home = || of("HOME").expect("there is a home folder").join(".cache");
        of("PELTON_CACHE").unwrap_or_else(|| of("XDG_CACHE_HOME").unwrap_or_else(home).join("pelton"))
    };
    of("PELTON_PLUGINS_DIR").unwrap_or_else(|| cache().join("plugins"))
}

/// A core module in text as a component of a world of `wit/` (`handler` or `batch`).
///
/// # Panics
/// When the text is no such module.
#[must_use]
pub fn from_text(world: &str, text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).expect("the module is well formed");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).expect("wit/ is well formed");
    let world = resolve.select_world(&[package], Some(world)).expect("wit/ has the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("it is a module");
    let mut encoder =
        ComponentEncoder::default().validate(true).module(&module).expect("it fits the world");
    encoder.encode().expect("it can be made a component")
}

/// A component that accepts the first call of each instance and rejects the later ones: what
/// messages share an instance shows in their letters.
#[must_use]
pub fn only_the_first(into: &Path) -> PathBuf {
    const TEXT: &str = r#"(module
      (memory (export "memory") 40)
      (global $calls (mut i32) (i32.const 0))
      (global $next (mut i32) (i32.const 4096))
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))
      (data (i32.const 1024) "not the first")
      (func (export "pelton:handler/message-handler@0.1.0#handle") (param i32) (result i32)
        (global.set $next (i32.const 4096))
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store8 (i32.const 512) (i32.gt_u (global.get $calls) (i32.const 1)))
        (i32.store8 (i32.const 520) (i32.const 1))
        (i32.store (i32.const 528) (i32.const 1024))
        (i32.store (i32.const 532) (i32.const 13))
        (i32.const 512)))"#;
    let path = into.join("only-the-first.wasm");
    std::fs::write(&path, from_text("handler", TEXT)).expect("the component is written");
    path
}

/// The example plugin `orders`, as another version: the same code, which says `order 7 of c v0042` in place
/// of `order 7 of c taken`.
///
/// # Panics
/// When the plugin's words are not the known ones.
#[must_use]
pub fn orders_version(number: u32) -> Vec<u8> {
    const WORD: &[u8] = b" taken";
    let mut bytes = std::fs::read(plugin("orders")).expect("the plugin is there");
    let at =
        bytes.windows(WORD.len()).position(|w| w == WORD).expect("the plugin says that it took an order");
    bytes[at..at + WORD.len()].copy_from_slice(format!(" v{number:04}").as_bytes());
    bytes
}

/// A component in text format that does `handle` with each message (an address of memory is on the stack
/// afterwards) and `start` when it is made; it may import `read` of a made-up interface.
#[must_use]
pub fn made_up(start: &str, handle: &str, greedy: bool) -> Vec<u8> {
    let import = r#"(import "test:extra/secrets" "read" (func $read (result i32)))"#;
    let text = format!(
        r#"(module {}
          (memory (export "memory") 40)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
          (func (export "_initialize") {start})
          (func (export "pelton:handler/message-handler@0.1.0#handle") (param i32) (result i32)
            {handle} (i32.const 512)))"#,
        if greedy { import } else { "" }
    );
    if greedy { from_greedy_text(&text) } else { from_text("handler", &text) }
}

/// A component that accepts every message, whatever it is.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn accepting(into: &Path) -> PathBuf {
    let path = into.join("accepting.wasm");
    std::fs::write(&path, made_up("", "", false)).expect("the component is written");
    path
}

/// A component that asks for another try after so many milliseconds, each time.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn waiting(into: &Path, after_ms: u64) -> PathBuf {
    // An error, of the case `retry`, with an empty reason and a wait.
    let answer = format!(
        "(i32.store8 (i32.const 512) (i32.const 1)) (i32.store8 (i32.const 520) (i32.const 0))
         (i32.store (i32.const 528) (i32.const 1024)) (i32.store (i32.const 532) (i32.const 0))
         (i32.store8 (i32.const 536) (i32.const 1)) (i64.store (i32.const 544) (i64.const {}))",
        after_ms.cast_signed()
    );
    let path = into.join("waiting.wasm");
    std::fs::write(&path, made_up("", &answer, false)).expect("the component is written");
    path
}

/// As `from_text`, in a world that imports more than is granted.
fn from_greedy_text(text: &str) -> Vec<u8> {
    const GREEDY: &str = "package test:extra;
        interface secrets { read: func() -> u32; }
        world greedy { import secrets; export pelton:handler/message-handler@0.1.0; }";
    let mut module = wat::parse_str(text).expect("the module is well formed");
    let mut resolve = Resolve::default();
    resolve.push_dir(root().join("wit")).expect("wit/ is well formed");
    let package = resolve.push_str("extra.wit", GREEDY).expect("the package is well formed");
    let world = resolve.select_world(&[package], Some("greedy")).expect("it has the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("it is a module");
    let mut encoder =
        ComponentEncoder::default().validate(true).module(&module).expect("it fits the world");
    encoder.encode().expect("it can be made a component")
}

/// A component that is small, valid and good for nothing: compiling it takes seconds, and minutes without
/// optimisation.
#[must_use]
pub fn bomb() -> Vec<u8> {
    let sum = "local.get 0 i64.const 3 i64.add local.get 0 i64.mul i64.xor ".repeat(40_000);
    let functions = format!("(func (param i64) (result i64) local.get 0 {sum})").repeat(20);
    made_up(&format!(") {functions} (func"), "", false)
}

/// What a component of [`with_import`] imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithImport {
    /// `wasi:config`: it takes a message if the value `key` begins with a `b`, and else rejects it.
    Config,
    /// `pelton:effects/outbox`: it sends each message's five bytes `hello` to the target `audit`, and rejects
    /// the message where it cannot.
    Outbox,
}

/// A component that imports what takes a grant.
///
/// # Panics
/// Never, but for a slip in its text.
#[must_use]
pub fn with_import(kind: WithImport) -> Vec<u8> {
    const WIT: &str = "package test:imports;
        world config { import wasi:config/store@0.2.0-rc.1; export pelton:handler/message-handler@0.1.0; }
        world outbox { import pelton:effects/outbox@0.1.0; export pelton:handler/message-handler@0.1.0; }";
    const CONFIG: (&str, &str) = (
        r#"(import "wasi:config/store@0.2.0-rc.1" "get" (func $get (param i32 i32 i32)))"#,
        "(call $get (i32.const 16) (i32.const 3) (i32.const 64))
         (i32.store8 (i32.const 512) (i32.ne (i32.load8_u (i32.load (i32.const 72))) (i32.const 98)))",
    );
    const OUTBOX: (&str, &str) = (
        r#"(import "pelton:effects/outbox@0.1.0" "send" (func $send
           (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32)))"#,
        "(call $send (i32.const 20) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
           (i32.const 0) (i32.const 25) (i32.const 5) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0)
           (i32.const 0) (i32.const 64))
         (i32.store8 (i32.const 512) (i32.load8_u (i32.const 64)))",
    );
    let (world, (import, call)) = match kind {
        WithImport::Config => ("config", CONFIG),
        WithImport::Outbox => ("outbox", OUTBOX),
    };
    let text = format!(
        r#"(module {import}
      (memory (export "memory") 40)
      (global $next (mut i32) (i32.const 4096))
      (data (i32.const 16) "key-audithello")
      (data (i32.const 1024) "it is not so")
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))
      (func (export "pelton:handler/message-handler@0.1.0#handle") (param i32) (result i32)
        (global.set $next (i32.const 4096))
        {call}
        (i32.store8 (i32.const 520) (i32.const 1))
        (i32.store (i32.const 528) (i32.const 1024))
        (i32.store (i32.const 532) (i32.const 12))
        (i32.const 512)))"#
    );
    let mut module = wat::parse_str(text).expect("the module is well formed");
    let mut resolve = Resolve::default();
    resolve.push_dir(root().join("wit")).expect("wit/ is well formed");
    let package = resolve.push_str("imports.wit", WIT).expect("it is well formed");
    let world = resolve.select_world(&[package], Some(world)).expect("it is there");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("it is a module");
    let encoder = ComponentEncoder::default().validate(true).module(&module);
    encoder.expect("it fits the world").encode().expect("it can be made a component")
}
