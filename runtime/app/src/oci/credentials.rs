//! The login for a registry, as `docker login` leaves it: in the file itself, or with a helper program.

use crate::input;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pelton_host::file::FileError;
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a helper may take; it may ask a key ring, or a cloud.
const HELPER_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks whether it has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// What it may say.
const SAID: u64 = 64 << 10;

/// What a registry is told. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    Password {
        user: String,
        password: String,
    },
    /// For the registry's own token server, in place of a password.
    Identity(String),
}

/// The file that Docker's tools read.
pub fn file() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = of("DOCKER_CONFIG").or_else(|| of("HOME").map(|home| home.join(".docker")))?;
    Some(dir.join("config.json"))
}

/// The login for a registry, if there is one. `Err` says why it cannot be found out.
pub fn login(file: Option<&Path>, registry: &str) -> Result<Option<Login>, String> {
    let Some(file) = file else { return Ok(None) };
    let text = match input::written(file) {
        Err(FileError::Missing) => return Ok(None),
        read => read.map_err(|why| format!("{} {why}", file.display()))?,
    };
    let config: Value =
        serde_json::from_str(&text).map_err(|error| format!("{} is not JSON: {error}", file.display()))?;
    let helper = config["credHelpers"][registry].as_str().or(config["credsStore"].as_str());
    if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
        for name in names(registry) {
            if let Some(login) = ask(helper, &name)? {
                return Ok(Some(login));
            }
        }
    }
    let entry = names(registry).into_iter().find_map(|name| config["auths"].get(name));
    entry.map_or(Ok(None), |entry| {
        of_entry(entry).map_err(|why| format!("{}: the entry of {registry} {why}", file.display()))
    })
}

/// How a registry is called there; Docker Hub has a name of its own.
fn names(registry: &str) -> Vec<String> {
    if registry == "docker.io" {
        return vec!["https://index.docker.io/v1/".to_owned(), registry.to_owned()];
    }
    vec![
        registry.to_owned(),
        format!("https://{registry}"),
        format!("https://{registry}/"),
        format!("http://{registry}"),
    ]
}

fn of_entry(entry: &Value) -> Result<Option<Login>, String> {
    let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Login::Identity(token.to_owned())));
    }
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Ok(Some(Login::Password { user: user.to_owned(), password: password.to_owned() }));
    }
    let Some(auth) = text("auth") else { return Ok(None) };
    let decoded = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
    let (user, password) = pair.ok_or("has an `auth` that is none; log in again")?;
    // Older tools end it with NUL.
    let password = password.trim_end_matches('\0').to_owned();
    Ok(Some(Login::Password { user: user.to_owned(), password }))
}

/// Asks `docker-credential-HELPER`; none when it knows none.
fn ask(helper: &str, server: &str) -> Result<Option<Login>, String> {
    let program = format!("docker-credential-{helper}");
    if !helper.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err(format!("`{helper}` is no name of a credential helper"));
    }
    let failed = |what: String| {
        format!(
            "the credential helper `{program}` {what}; log in again, or take it out of Docker's configuration"
        )
    };
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    // One that has ended does not listen; its answer is looked at below.
    drop(child.stdin.take().map(|mut input| input.write_all(server.as_bytes())));
    let output = child.stdout.take().ok_or_else(|| failed("has no output".to_owned()))?;
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = output.take(SAID).read_to_end(&mut text);
        // Nobody waits any more.
        drop(said.send(read.map(|_| text)));
    });
    let since = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if since.elapsed() < HELPER_TIMEOUT => std::thread::park_timeout(POLL_INTERVAL),
            _ => {
                drop(child.kill());
                drop(child.wait());
                return Err(failed(format!("has no answer within {HELPER_TIMEOUT:?}")));
            }
        }
    };
    let text = heard.recv_timeout(HELPER_TIMEOUT).ok().and_then(Result::ok).unwrap_or_default();
    if !ended.success() {
        // The words that all helpers have for it.
        let none = String::from_utf8_lossy(&text).contains("credentials not found");
        return if none { Ok(None) } else { Err(failed(format!("failed ({ended})"))) };
    }
    let answer: Value =
        serde_json::from_slice(&text).map_err(|_| failed("has an answer that is not JSON".to_owned()))?;
    let (user, secret) = (answer["Username"].as_str(), answer["Secret"].as_str());
    let (Some(user), Some(secret)) = (user, secret) else {
        return Err(failed("names no login".to_owned()));
    };
    Ok(Some(match user {
        "<token>" => Login::Identity(secret.to_owned()),
        _ => Login::Password { user: user.to_owned(), password: secret.to_owned() },
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn found(config: &str, registry: &str) -> Result<Option<(String, String)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        std::fs::write(&file, config).unwrap();
        login(Some(&file), registry).map(|login| {
            login.map(|login| match login {
                Login::Password { user, password } => (user, password),
                Login::Identity(token) => ("<token>".to_owned(), token),
            })
        })
    }

    #[test]
    fn logins_are_found_as_docker_leaves_them() {
        let auth = STANDARD.encode("me:pa:ss");
        let config = format!(
            r#"{{"auths":{{"r.example":{{"auth":"{auth}"}},"https://q.example":{{"username":"u","password":"p"}},"https://index.docker.io/v1/":{{"identitytoken":"t"}},"x.example":{{}}}}}}"#
        );
        let pair = |a: &str, b: &str| Ok(Some((a.to_owned(), b.to_owned())));
        assert_eq!(found(&config, "r.example"), pair("me", "pa:ss"));
        assert_eq!(found(&config, "q.example"), pair("u", "p"));
        assert_eq!(found(&config, "docker.io"), pair("<token>", "t"));
        assert_eq!(found(&config, "x.example"), Ok(None));
        assert_eq!(found(&config, "other.example"), Ok(None));
        assert_eq!(login(Some(Path::new("/nowhere/config.json")), "r").err(), None);
        assert!(found("{", "r.example").unwrap_err().contains("not JSON"));
        assert!(found(r#"{"auths":{"r":{"auth":"?"}}}"#, "r").unwrap_err().contains("log in again"));
    }

    #[test]
    fn a_helper_that_is_not_there_is_named() {
        let why = found(r#"{"credsStore":"is-not-there"}"#, "r.example").unwrap_err();
        assert!(why.contains("docker-credential-is-not-there"), "{why}");
        assert!(found(r#"{"credHelpers":{"r.example":"../x"}}"#, "r.example").is_err());
    }
}
