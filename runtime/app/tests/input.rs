//! What comes in: lines of any system, inputs that are empty or have no end, and secrets in wrong places.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Home;
use std::io::Write;
use std::process::{Output, Stdio};

fn with_input(home: &Home, args: &[&str], input: &[u8]) -> Output {
    let mut command = home.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// The bodies of all messages, which are letters for want of an id.
fn bodies(home: &Home) -> Vec<String> {
    home.done(&["run", "--until-empty"]);
    let listed = home.done(&["dlq", "list", "orders", "--json"]);
    let body = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["body"].as_str().unwrap().to_owned()
    };
    listed.lines().map(body).collect()
}

#[test]
fn lines_of_any_system_are_messages_and_empty_ones_are_none() {
    let home = Home::new("[pipelines.orders.dedup]\nkey = \"header:order\"\n");
    home.write("lines", b"\xef\xbb\xbfa\r\n\r\n\n b \r\nc\rd\r\n\xef\xbb\xbf\n\r");
    for args in [&["send", "orders", "--lines", "lines"][..], &["send", "orders", "--lines", "-"]] {
        let sent = with_input(&home, args, b"\xef\xbb\xbf\r\ne\r\n");
        assert!(sent.status.success(), "{sent:?}");
    }
    assert_eq!(bodies(&home), ["a", " b ", "c\rd", "\u{feff}", "e"]);
    let sent = with_input(&home, &["send", "orders", "--lines", "-"], b"\xff\xfea\0\r\0\n\0");
    let said = String::from_utf8(sent.stderr).unwrap();
    assert_eq!(sent.status.code(), Some(1));
    assert!(said.contains("UTF-16") && said.contains("convert it to UTF-8"), "{said}");
    assert_eq!(
        home.run(&["send", "orders", "--lines", "/"]).status.code(),
        Some(1),
        "a folder has no lines"
    );
}

#[test]
fn an_empty_input_is_no_message_unless_it_is_said_to_be_one() {
    let home = Home::new("[pipelines.orders.dedup]\nkey = \"header:order\"\n");
    for args in [&["send", "orders"][..], &["invoke", "good.wasm"]] {
        let refused = with_input(&home, args, b"");
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(64), "{said}");
        assert!(said.contains("standard input is empty") && said.contains("--body ''"), "{said}");
    }
    home.write("empty", b"");
    home.done(&["send", "orders", "--body", ""]);
    home.done(&["send", "orders", "--file", "empty"]);
    home.done(&["invoke", "good.wasm", "--body", ""]);
    assert_eq!(bodies(&home), ["", ""]);
}

/// With memory for a bound, and not for a device.
#[test]
fn an_input_without_an_end_is_read_to_its_bound() {
    let home = Home::new("");
    let zero = "/dev/zero";
    for (args, code, words) in [
        (&["send", "orders", "--file", zero][..], 1, "`max_message_bytes`, which is 1048576"),
        (&["send", "orders"], 1, "`max_message_bytes`, which is 1048576"),
        (&["invoke", "good.wasm", "--body-file", zero], 1, "more than 268435456 bytes"),
        (&["invoke", "good.wasm"], 1, "more than 268435456 bytes"),
        (&["status", "--config", zero], 78, "a device"),
        (&["inspect", zero], 1, "a device"),
        (&["sign", "good.wasm", "--key", zero], 1, ""),
    ] {
        let input = std::fs::File::open(zero).unwrap();
        let refused = home.command(args).stdin(input).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn the_value_of_a_raw_setting_is_never_printed() {
    let home = Home::new("");
    for name in [
        "sasl.pasword",
        "sasl.password ",
        "ssl.key.pasword",
        "SASL.PASSWORD",
        "security.protocol",
        "debug",
        "ssl.key.pem",
        "session.timeout.ms",
        "sasl.oauthbearer.config",
        "plugin.library.paths",
    ] {
        for value in
            ["s3cr3t", "a,s3cr3t,b", "s3cr3t=s3cr3t", "-----BEGIN s3cr3t", "${PW:-s3cr3t}", "a${s3cr3t!}b"]
        {
            let text = format!(
                "[pipelines.orders.handler]\ncomponent = \"good.wasm\"\n[pipelines.orders.source]\ntype = \
                 \"kafka\"\nbootstrap_servers = \"localhost:1\"\ngroup_id = \"g\"\ntopics = \
                 [\"t\"]\nlibrdkafka = {{ \"{name}\" = \"{value}\" }}\n"
            );
            home.write("pelton.toml", text.as_bytes());
            let refused = home.command(&["check"]).env("PELTON_LOG", "trace").output().unwrap();
            let said = String::from_utf8([refused.stdout, refused.stderr].concat()).unwrap();
            assert!(!said.contains("s3cr3t"), "{name} = {value}: {said}");
            if name.contains("asword") {
                assert!(said.contains(name), "{said}");
            }
        }
    }
}

/// What both say of a configuration that cannot be used.
fn refused_by_both(home: &Home, text: &str) -> [String; 2] {
    home.write("pelton.toml", text.as_bytes());
    [&["check"][..], &["run", "--until-empty"]].map(|args| {
        let refused = home.run(args);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(78), "{args:?}: {said}");
        said
    })
}

#[test]
fn what_is_no_data_directory_is_refused_by_check_as_by_run() {
    let home = Home::new("");
    std::os::unix::fs::symlink("nothing", home.path().join("dangling")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", home.path().join("device")).unwrap();
    let handler = "[pipelines.orders.handler]\ncomponent = \"good.wasm\"\n";
    let long = "n".repeat(300);
    for (name, words) in [
        ("good.wasm", "good.wasm is no folder"),
        ("good.wasm/below", "good.wasm is no folder"),
        ("dangling", "dangling is a link to nothing"),
        ("device", "device is no folder"),
        (&long, "File name too long"),
        ("a\\u0000b", "NUL byte"),
    ] {
        for said in refused_by_both(&home, &format!("data_dir = \"{name}\"\n{handler}")) {
            let times = said.matches(words).count();
            assert_eq!(times, 1, "{name}: said once: {said}");
        }
    }
}

/// Each of them is compared with those that are known.
#[test]
fn keys_without_number_are_named_by_a_few_and_counted() {
    let home = Home::new("");
    let keys: String = (0..100_000).map(|number| format!("k{number} = 1\n")).collect();
    let long = "k".repeat(1 << 20);
    let text = format!("{long} = 1\n{keys}[pipelines.orders.handler]\ncomponent = \"good.wasm\"\n");
    for said in refused_by_both(&home, &text) {
        assert!(said.contains("has 99981 more keys that are not known here"), "{}", &said[..2000]);
        assert_eq!(said.matches("is not known here").count(), 20);
    }
}

#[test]
fn no_file_of_certificates_is_waited_for() {
    let home = Home::new("");
    let pipe = home.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    for (file, words) in [
        ("pipe", "SSL_CERT_FILE: pipe is a pipe, not a file"),
        ("/dev/zero", "is a device, not a file"),
        ("nothing", "SSL_CERT_FILE: nothing does not exist"),
    ] {
        let inspect = |place: &str| {
            let mut command = home.command(&["inspect", place]);
            let refused = command.env("SSL_CERT_FILE", file).output().unwrap();
            assert_eq!(refused.status.code(), Some(1), "{file}: {refused:?}");
            String::from_utf8(refused.stderr).unwrap()
        };
        let said = inspect("oci://registry.invalid/team/orders:1");
        assert!(said.contains(words), "{file}: {said}");
        // One that is spoken to without TLS needs none.
        let said = inspect("oci://127.0.0.1:1/team/orders:1");
        assert!(said.contains("cannot be reached"), "{file}: {said}");
    }
}
