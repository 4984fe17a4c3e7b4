//! Names from outside with everything in them that a terminal obeys, that is not seen, or that ends a line:
//! through every command that prints them, and the worker's log. None forges a line, and JSON gives back
//! what they were.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Home, encoded};
use serde_json::Value;
use std::process::Output;

/// Every control character that an argument can have, all marks of direction, separators, and what has no
/// width.
fn hostile() -> String {
    let controls = (1..0x20).chain(0x7f..0xa0).filter_map(char::from_u32);
    let marks = [
        0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180e, 0x2028, 0x2029, 0x3164, 0xfeff, 0xffa0,
        0xfff9, 0xfffa, 0xfffb, 0x1d173, 0xe0001, 0xe0041,
    ];
    let marks = marks.into_iter().chain(0x200b..=0x200f).chain(0x202a..=0x202e).chain(0x2060..=0x206f);
    controls.chain(marks.filter_map(char::from_u32)).collect()
}

/// A name that would be another line, in red, from right to left.
const FORGED: &str = "x\r\nerror: forged\u{2028}\u{85}\n1  forged  \u{1b}[31m\u{9b}2J\u{202e}\u{200b}y";

fn is_hidden(c: char) -> bool {
    !matches!(c, '\n' | '\t') && (c.is_control() || hostile().contains(c))
}

/// Nothing that is not seen is printed, and no line begins as the forged ones do.
fn is_clean(what: &str, output: &Output) {
    for bytes in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("{what}: {output:?}"));
        let found = text.chars().find(|c| is_hidden(*c));
        assert!(found.is_none(), "{what}: {found:?} in {text:?}");
        let forged =
            text.lines().find(|line| line.starts_with("error: forged") || line.starts_with("1  forged"));
        assert!(forged.is_none(), "{what}: {text}");
    }
}

fn clean(home: &Home, args: &[&str]) -> Output {
    let output = home.run(args);
    is_clean(&format!("{args:?}"), &output);
    assert!(!matches!(output.status.code(), None | Some(70 | 101)), "{args:?}: {output:?}");
    output
}

#[test]
fn ids_keys_headers_and_bodies_of_letters_are_shown_and_not_obeyed() {
    let home = Home::new("[pipelines.orders.dedup]\nkey = \"json:/id\"\n");
    let names = [hostile(), FORGED.to_owned()];
    for name in &names {
        let header = format!("{name}={name}");
        let send = ["send", "orders", "--id", name, "--key", name, "--header", &header, "--body", name];
        assert!(clean(&home, &send).status.success());
    }
    for format in ["text", "json"] {
        let ran = home
            .command(&["run", "--until-empty", "--log-format", format])
            .env("PELTON_LOG", "debug")
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        is_clean(format, &ran);
    }
    assert_eq!(home.count("dead_letters"), 2);
    let table = String::from_utf8(clean(&home, &["dlq", "list", "orders"]).stdout).unwrap();
    assert_eq!(table.lines().count(), 3, "a heading and a row each: {table}");
    clean(&home, &["dlq", "replay", "orders", "--all", "--dry-run"]);
    let listed = clean(&home, &["dlq", "list", "orders", "--json"]);
    for (line, name) in String::from_utf8(listed.stdout).unwrap().lines().zip(&names) {
        let letter: Value = serde_json::from_str(line).unwrap();
        let header = &letter["headers"][0];
        for value in
            [&letter["message_id"], &letter["key"], &letter["body"], &header["name"], &header["value"]]
        {
            assert_eq!(value.as_str(), Some(name.as_str()));
        }
        let id = letter["id"].to_string();
        clean(&home, &["dlq", "show", "orders", "--id", &id, "--json"]);
        let shown =
            String::from_utf8(clean(&home, &["dlq", "show", "orders", "--id", &id]).stdout).unwrap();
        assert!(shown.contains("\\x1b") && shown.contains("\\u{202e}"), "{shown}");
    }
    for name in &names {
        clean(&home, &["ledger", "show", "orders", name]);
        clean(&home, &["ledger", "forget", "orders", name]);
    }
}

#[test]
fn words_of_commands_paths_and_configurations_are_shown_and_not_obeyed() {
    let home = Home::new("");
    for name in [hostile().replace('/', ""), FORGED.to_owned()] {
        let name = name.as_str();
        let text = toml_text(name);
        let pipelines = format!("[pipelines.{text}.handler]\ncomponent = {text}\n{text} = 1\n");
        let values = format!(
            "data_dir = {text}\n[pipelines.orders.handler]\ncomponent = {text}\ntimeout = {text}\ndigest = \
             {text}\nisolation = {text}\n[pipelines.orders.dedup]\nkey = \
             {text}\n[pipelines.orders.source]\ntype = \"kafka\"\nbootstrap_servers = {text}\ngroup_id = \
             {text}\ntopics = [{text}]\nlibrdkafka = {{ {text} = {text} }}\n"
        );
        let missing = format!(
            "[pipelines.orders.handler]\ncomponent = {text}\n[pipelines.orders.source]\ntype = {text}\n"
        );
        let broken = format!("{name}\n= [");
        for configuration in [pipelines, values, missing, broken] {
            home.write("other.toml", configuration.as_bytes());
            for args in [&["check", "--config", "other.toml"][..], &["run", "--config", "other.toml"]] {
                assert_eq!(clean(&home, args).status.code(), Some(78));
            }
        }
        for args in [
            &[name][..],
            &["status", name],
            &["status", &format!("--{name}")],
            &["status", "--config", name],
            &["send", name, "--body", "x"],
            &["send", "orders", "--file", name],
            &["send", "orders", "--lines", name],
            &["send", "orders", "--delay", name],
            &["send", "orders", "--header", name],
            &["dlq", "list", name],
            &["dlq", "list", "orders", "--cause", name],
            &["dlq", "show", "orders", "--id", name],
            &["dlq", "replay", "orders", "--rate", name],
            &["ledger", "show", name, name],
            &["deploy", "orders", name],
            &["deploy", name, name],
            &["rollback", "orders", "--to", name],
            &["versions", name],
            &["inspect", name],
            &["inspect", &format!("oci://{name}/a:b")],
            &["invoke", name, "--body", "x"],
            &["invoke", "good.wasm", "--body-file", name],
            &["invoke", "good.wasm", "--body", "x", "--pipeline", name],
            &["sign", name, "--key", name],
            &["push", "good.wasm", name],
            &["push", name, "oci://localhost:1/a:b"],
            &["new", name, "--language", "rust"],
            &["new", "x", "--language", name],
            &["build", name],
            &["test", name],
            &["reload", name],
            &["replay", name, "--from-beginning"],
            &["completions", name],
            &["keygen", name],
        ] {
            clean(&home, args);
        }
    }
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A core module that imports and exports under this name.
fn module(name: &str) -> Vec<u8> {
    let name: String = name.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    wat::parse_str(format!(
        "(module (import \"{name}\" \"{name}\" (func)) (memory (export \"memory\") 1) (func (export \
         \"{name}\")) (func (export \"_start\")))"
    ))
    .unwrap()
}

#[test]
fn names_in_components_are_shown_and_not_obeyed() {
    let home = Home::new("");
    for name in [hostile(), FORGED.to_owned()] {
        home.write("module.wasm", &module(&name));
        clean(&home, &["inspect", "module.wasm"]);
        let json = clean(&home, &["inspect", "module.wasm", "--json"]);
        if let Ok(found) = serde_json::from_slice::<Value>(&json.stdout) {
            assert!(
                found["exports"].to_string().contains(&serde_json::to_string(&name).unwrap()[1..9]),
                "{found}"
            );
        }
        for args in [
            &["deploy", "orders", "module.wasm"][..],
            &["invoke", "module.wasm", "--body", "x"],
            &["invoke", "module.wasm", "--body", "x", "--protocol", "command"],
            &["push", "module.wasm", "oci://localhost:1/a:b"],
        ] {
            clean(&home, args);
        }
        home.write("good.wasm", &module(&name));
        for args in [&["check"][..], &["run"]] {
            assert_eq!(clean(&home, args).status.code(), Some(78));
        }
    }
}

/// A handler that traps in a function of this name.
fn traps(name: &str) -> Vec<u8> {
    let text = include_str!("golden/good.wat").replace(
        "(global.set $next (i32.const 4096))",
        "(call $traps) (global.set $next (i32.const 4096))",
    );
    let name: String = name.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let text = text.trim_end().strip_suffix(')').unwrap();
    encoded(wat::parse_str(format!("{text} (func $traps (@name \"{name}\") unreachable))")).unwrap())
}

#[test]
fn names_of_functions_in_traps_are_shown_and_not_obeyed() {
    let home = Home::new("");
    for (name, letters) in [(hostile(), 1), (FORGED.to_owned(), 2)] {
        home.write(
            "pelton.toml",
            b"[pipelines.orders]\nretry = \
            { max_attempts = 1 }\n[pipelines.orders.handler]\ncomponent = \"good.wasm\"\n",
        );
        home.write("good.wasm", &traps(&name));
        home.send(1);
        let ran = home.command(&["run", "--until-empty"]).env("PELTON_LOG", "debug").output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        is_clean("run", &ran);
        assert_eq!(home.count("dead_letters"), letters);
        clean(&home, &["dlq", "list", "orders"]);
        clean(&home, &["dlq", "list", "orders", "--json"]);
        clean(&home, &["dlq", "show", "orders", "--id", &letters.to_string()]);
        clean(&home, &["invoke", "good.wasm", "--body", "x"]);
        clean(&home, &["invoke", "good.wasm", "--body", "x", "--json"]);
    }
}
