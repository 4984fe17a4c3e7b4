//! What a service manager hears: systemd's protocol, on a socket of its own.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, missing_docs)]

mod common;

use common::{DEADLINE, Home, end, signal};
use rustix::process::Signal;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};

/// The next datagram that has this line; those before it are passed by.
fn heard(manager: &UnixDatagram, line: &str) -> String {
    let mut bytes = [0; 4_096];
    loop {
        let length = manager.recv(&mut bytes).unwrap_or_else(|error| panic!("{line}: {error}"));
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        if text.lines().any(|said| said == line) {
            return text;
        }
    }
}

#[test]
fn a_service_manager_hears_that_it_is_ready_reloads_lives_and_stops() {
    let home = Home::new("");
    let name = format!("pelton-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let sockets = [
        (
            UnixDatagram::bind(home.path().join("notify")).unwrap(),
            home.path().join("notify").display().to_string(),
        ),
        (UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}")),
    ];
    for (manager, path) in sockets {
        manager.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut command = home.command(&["run"]);
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "200000").stderr(Stdio::null());
        let mut worker = command.spawn().unwrap();
        assert!(heard(&manager, "STATUS=handlers are compiled").contains("EXTEND_TIMEOUT_USEC=600000000"));
        heard(&manager, "READY=1");
        (0..3).for_each(|_| drop(heard(&manager, "WATCHDOG=1")));
        home.done(&["reload"]);
        heard(&manager, "RELOADING=1");
        heard(&manager, "READY=1");
        signal(&worker, Signal::STOP);
        manager.set_read_timeout(Some(std::time::Duration::from_millis(600))).unwrap();
        let mut bytes = [0; 4_096];
        while manager.recv(&mut bytes).is_ok() {}
        signal(&worker, Signal::CONT);
        manager.set_read_timeout(Some(DEADLINE)).unwrap();
        heard(&manager, "WATCHDOG=1");
        signal(&worker, Signal::TERM);
        assert!(heard(&manager, "STOPPING=1").contains("EXTEND_TIMEOUT_USEC=45000000"));
        assert!(end(&mut worker).success());
    }
}

/// The watchdog of another process is none of ours, and a socket that is not there stops nobody.
#[test]
fn what_is_not_for_it_is_left_alone() {
    let home = Home::new("");
    home.send(1);
    for (name, value) in
        [("NOTIFY_SOCKET", "/nowhere/notify"), ("NOTIFY_SOCKET", ""), ("WATCHDOG_PID", "1")]
    {
        let output = home.command(&["run", "--until-empty"]).env(name, value).output().unwrap();
        assert!(output.status.success(), "{name}={value}: {output:?}");
    }
}

/// The unit of the documentation, as systemd itself reads it.
#[test]
fn the_unit_of_the_documentation_is_one() {
    let page = std::fs::read_to_string("../../docs/operate/systemd.md").unwrap();
    let unit = page.split("```ini\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    for line in
        ["Type=notify", "WatchdogSec=", "ExecReload=", "KillMode=mixed", "RestartPreventExitStatus=64 78"]
    {
        assert!(unit.contains(line), "{line}");
    }
    let home = Home::new("");
    let file = home.path().join("pelton.service");
    // Its program is looked for.
    let unit = unit.replace("/usr/local/bin/pelton", env!("CARGO_BIN_EXE_pelton"));
    std::fs::write(&file, unit).unwrap();
    match Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output() {
        Err(_) => eprintln!("skipped: there is no systemd-analyze here"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let of_it = said.lines().filter(|line| line.contains("pelton")).collect::<Vec<_>>();
            assert!(output.status.success() && of_it.is_empty(), "{said}");
        }
    }
}
