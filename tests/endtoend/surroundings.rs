//! Where a worker is started: nice, with few of everything, without a home, in a folder whose name is no
//! text. `check` and `run` go the same way there.

use pelton_tests::binary::pelton;
use pelton_tests::components::orders_version;
use pelton_tests::site::{Pipeline, Site};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// Somebody who is not root, may raise no limit, and runs nothing else: processes are counted by user.
fn somebody() -> u32 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    50_000 + std::process::id() % 1_000 * 10 + GIVEN.fetch_add(1, Ordering::Relaxed)
}

/// A folder with a name of another time in it, of somebody who is not root, with the program.
struct Place {
    site: Site,
    dir: PathBuf,
    user: u32,
}

impl Place {
    fn new() -> Self {
        let site = Site::new(&[Pipeline::new("orders", "orders.wasm".into())]);
        let dir = site.path().join(OsStr::from_bytes(b"donn\xe9es"));
        std::fs::create_dir(&dir).expect("a folder can be made");
        std::fs::copy(site.path().join("pelton.toml"), dir.join("pelton.toml")).expect("it is copied");
        std::fs::write(dir.join("orders.wasm"), orders_version(0)).expect("it is written");
        let own = dir.join("pelton");
        std::fs::hard_link(pelton(), &own)
            .or_else(|_| std::fs::copy(pelton(), &own).map(drop))
            .expect("it is there");
        let place = Self { site, dir, user: somebody() };
        place.give_away(place.site.path());
        place
    }

    fn give_away(&self, folder: &Path) {
        if !is_root() {
            return;
        }
        chown(folder, Some(self.user), Some(self.user)).expect("root may");
        for entry in std::fs::read_dir(folder).expect("it is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.give_away(&path);
            } else if !path.ends_with("pelton") {
                chown(&path, Some(self.user), Some(self.user)).expect("root may");
            }
        }
    }

    /// Runs the program with these words, after this line of shell.
    fn run(&self, limits: &str, words: &[&str]) -> Output {
        let who = format!("setpriv --reuid={0} --regid={0} --clear-groups", self.user);
        let who = if is_root() { who.as_str() } else { "" };
        let line = format!("{limits}\nexec {who} $NICE ./pelton \"$@\"");
        let mut command = Command::new("bash");
        command.args(["-c", &line, "bash"]).args(words).current_dir(&self.dir);
        command.env_remove("PELTON_CONFIG").env_remove("PELTON_LOG").env_remove("PELTON_CACHE");
        command.output().expect("bash can be started")
    }

    fn forget(&self) {
        for folder in ["data", ".cache"] {
            let path = self.dir.join(folder);
            if path.exists() {
                std::fs::remove_dir_all(path).expect("it can be removed");
            }
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const COMMANDS: [&[&str]; 3] = [
    &["check"],
    &["run", "--until-empty"],
    &["invoke", "orders.wasm", "--body", "{\"id\": 1, \"customer\": \"c\", \"amount_cents\": 5}"],
];

#[test]
fn what_is_inherited_stays_and_everything_works() {
    let place = Place::new();
    for limits in [
        "NICE='nice -n 15'",
        "NICE='nice -n 19'; ulimit -t 100",
        "unset HOME; unset TMPDIR",
        "export HOME=/nonexistent/home; export TMPDIR=/nonexistent/tmp",
        "export XDG_CACHE_HOME=/proc/1/nothing",
    ] {
        place.forget();
        for words in COMMANDS {
            let output = place.run(limits, words);
            assert_eq!(output.status.code(), Some(0), "{limits}: {words:?}: {}", said(&output));
            assert!(!said(&output).contains("panicked"), "{limits}: {words:?}: {}", said(&output));
        }
    }
}

#[test]
fn what_is_too_little_is_said_alike() {
    let place = Place::new();
    for (limits, words) in [
        ("ulimit -u 8", "ulimit -u"),
        ("ulimit -u 3", "ulimit -u"),
        ("ulimit -v 300000", "ulimit -v"),
        ("mkdir -p data; chmod 0500 data", "data"),
    ] {
        if !is_root() && limits.starts_with("ulimit -u") {
            continue;
        }
        place.forget();
        let ends = [&["check"][..], &["run", "--until-empty"]].map(|command| {
            let output = place.run(limits, command);
            let said = said(&output);
            assert!(said.contains(words) && !said.contains("panicked"), "{limits}: {command:?}: {said}");
            output.status.code()
        });
        assert_eq!(ends, [Some(78), Some(78)], "{limits}");
    }
}

#[test]
fn a_file_is_named_by_its_bytes() {
    let place = Place::new();
    let name = OsStr::from_bytes(b"v\xe9rsion.wasm");
    std::fs::copy(place.dir.join("orders.wasm"), place.dir.join(name)).expect("it is copied");
    for words in [&["inspect"][..], &["deploy", "orders"], &["invoke", "--body", "{}"]] {
        let mut command = Command::new(place.dir.join("pelton"));
        command.args(words).arg(name).current_dir(&place.dir).env_remove("PELTON_CONFIG");
        let output = command.output().expect("it can be started");
        let said = said(&output);
        assert!(matches!(output.status.code(), Some(0 | 65)), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{words:?}: {said}");
    }
}
