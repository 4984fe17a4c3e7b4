//! A PostgreSQL of its own: found on this machine, started, and stopped with the program that started it.

use crate::exit::Fail;
use anyhow::Context;
use pelton_core::shown::{path as shown_path, shown};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Folders of programs, where systems put them that have several versions. `*` is a version.
const FOLDERS: [&str; 5] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
];
/// Its only user.
const USER: &str = "pelton";
/// The database that is always there.
const DATABASE: &str = "postgres";
/// How long it may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Bytes of what it says, where it does not start.
const SAID: usize = 2 << 10;

/// Runs the server until our end of the pipe is closed, however that comes about, and removes its folder if
/// it is to be removed. Ctrl-C is not for it: it is told when nobody needs it.
const KEEPER: &str = "trap '' INT TERM HUP
exec 3<&0
(trap - INT TERM HUP; exec \"$@\") </dev/null &
server=$!
{ cat <&3 >/dev/null; kill -INT $server 2>/dev/null; } &
wait $server
[ -z \"$PELTON_REMOVE\" ] || rm -rf \"$PELTON_REMOVE\"";

/// A server on a port of this machine. It ends when this is dropped, or this process ends.
pub struct LocalServer {
    keeper: Child,
    programs: PathBuf,
    port: u16,
    password: String,
    folder: PathBuf,
}

/// Who the server runs as: it refuses to be root.
#[derive(Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl LocalServer {
    /// Starts one, whose data is in `kept`, or goes with it. Blocks until it answers.
    ///
    /// # Errors
    /// There is no PostgreSQL on this machine, or it does not start: what it says.
    pub fn start(kept: Option<&Path>) -> Result<Self, Fail> {
        let programs = find()?;
        let owner = owner()?;
        let (folder, goes) = folder(kept, owner).map_err(Fail::refused_by)?;
        let is_new = !folder.join("data/PG_VERSION").is_file();
        let password = password(&folder, is_new, owner).map_err(Fail::refused_by)?;
        if is_new {
            initialize(&programs, &folder, owner)?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let keeper = keeper(&programs, &folder, owner, port, goes)?;
        let mut server = Self { keeper, programs, port, password, folder };
        server.ready()?;
        Ok(server)
    }

    /// Its address, with the login.
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{DATABASE}", self.password, self.port)
    }

    /// Where its programs are.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Where its data is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a file of statements, all of them or none.
    ///
    /// # Errors
    /// What the server says to one of them.
    pub fn run_file(&self, file: &Path) -> Result<(), Fail> {
        let own = self.programs.join("psql");
        let psql = if own.is_file() { own } else { "psql".into() };
        let done = Command::new(&psql)
            .args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f"])
            .arg(file)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", USER)
            .env("PGDATABASE", DATABASE)
            .env("PGPASSWORD", &self.password)
            .env_remove("PGOPTIONS")
            .env_remove("PGSERVICE")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{} cannot be started: it is part of PostgreSQL", psql.display()))
            .map_err(Fail::refused_by)?;
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        Err(Fail::in_lines(&format!("{} cannot be run\n{}", shown_path(file), said.trim_end())))
    }

    fn ready(&mut self) -> Result<(), Fail> {
        let began = Instant::now();
        // As pg_ctl finds it out: the fourth line of this file is the port, the eighth how it stands.
        let pid = self.folder.join("data/postmaster.pid");
        let port = self.port.to_string();
        loop {
            let text = std::fs::read_to_string(&pid).unwrap_or_default();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            if lines.get(3) == Some(&&*port) && lines.get(7) == Some(&"ready") {
                return Ok(());
            }
            if self.keeper.try_wait()?.is_some() || began.elapsed() > START_TIMEOUT {
                let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
                let said = shown(&log[log.len().saturating_sub(SAID)..]).to_string();
                return Err(Fail::refused(format!("PostgreSQL does not start: {said}")));
            }
            std::thread::park_timeout(POLL_INTERVAL);
        }
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _has_ended = self.keeper.wait().is_ok();
    }
}

/// The folder of `initdb` and `postgres`: the one in the path, else the newest where systems put them.
fn find() -> Result<PathBuf, Fail> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let others = FOLDERS.iter().flat_map(|pattern| versions(pattern));
    let is_it = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let found = in_path.into_iter().chain(others).find(is_it);
    // Behind a link, where the others of its version are.
    let real =
        found.and_then(|folder| Some(folder.join("initdb").canonicalize().ok()?.parent()?.to_owned()));
    real.filter(is_it).ok_or_else(|| {
        let lines = [
            format!(
                "no `initdb` and `postgres` beside each other in the path, nor in {}",
                FOLDERS.join(", ")
            ),
            "install it (Debian: apt-get install postgresql), or name a database by --database".to_owned(),
        ];
        Fail::refused("there is no PostgreSQL on this machine").with(lines)
    })
}

/// The folders that fit, the newest version first.
fn versions(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![pattern.into()] };
    let (parent, begins) = before.rsplit_once('/').unwrap_or(("", before));
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let version = name.to_str().and_then(|name| name.strip_prefix(begins)?.parse().ok());
        found.extend(version.map(|version| (version, entry.path().join(after.trim_start_matches('/')))));
    }
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Nobody else where we are not root: then the user that the system's own package has made.
fn owner() -> Result<Option<Owner>, Fail> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |wanted: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let (name, uid, gid) = (fields.first()?, fields.get(2)?, fields.get(3)?);
            (*name == wanted).then_some(Owner { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        })
    };
    let found = of("postgres").or_else(|| of("nobody"));
    found.map(Some).ok_or_else(|| {
        Fail::refused(
            "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as",
        )
    })
}

/// Where its data is, and whether that goes with it. What is root's own another user cannot reach: it goes
/// then.
fn folder(kept: Option<&Path>, owner: Option<Owner>) -> anyhow::Result<(PathBuf, bool)> {
    if let (Some(kept), None) = (kept, owner) {
        std::fs::create_dir_all(kept).with_context(|| format!("{} cannot be made", kept.display()))?;
        std::fs::set_permissions(kept, std::fs::Permissions::from_mode(0o700))?;
        return Ok((kept.to_owned(), false));
    }
    let folder = TempDir::with_prefix("pelton-postgres-")?.keep();
    owned(&folder, owner)?;
    Ok((folder, true))
}

fn owned(path: &Path, owner: Option<Owner>) -> anyhow::Result<()> {
    if let Some(Owner { uid, gid }) = owner {
        chown(path, Some(uid), Some(gid))
            .with_context(|| format!("{} cannot be given to another user", path.display()))?;
    }
    Ok(())
}

/// Nobody else on this machine may log in: its password is in a file that only its owner reads.
fn password(folder: &Path, is_new: bool, owner: Option<Owner>) -> anyhow::Result<String> {
    let file = folder.join("password");
    if !is_new {
        let text = std::fs::read_to_string(&file).with_context(|| format!("{} is gone", file.display()))?;
        return Ok(text.trim().to_owned());
    }
    let mut random = [0; 16];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut random))?;
    let mut password = String::new();
    for byte in random {
        write!(password, "{byte:02x}")?;
    }
    let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file)?;
    written.write_all(password.as_bytes())?;
    owned(&file, owner)?;
    Ok(password)
}

/// A program of the server's.
fn program(folder: &Path, owner: Option<Owner>, path: &Path) -> Command {
    let mut command = Command::new(path);
    // Where it was started it may not be able to look.
    command.current_dir(folder).env("LC_ALL", "C");
    if let Some(Owner { uid, gid }) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

fn initialize(programs: &Path, folder: &Path, owner: Option<Owner>) -> Result<(), Fail> {
    let initdb = programs.join("initdb");
    // What an attempt that was cut off has left is in the way.
    if folder.join("data").exists() {
        std::fs::remove_dir_all(folder.join("data"))?;
    }
    let done = program(folder, owner, &initdb)
        .args(["-D", "data", "-U", USER, "--auth=scram-sha-256", "--pwfile=password", "--encoding=UTF8"])
        .args(["--locale=C", "--no-sync"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} cannot be started", initdb.display()))
        .map_err(Fail::refused_by)?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(Fail::in_lines(&format!("{} failed\n{}", shown_path(&initdb), said.trim_end())))
}

fn keeper(
    programs: &Path,
    folder: &Path,
    owner: Option<Owner>,
    port: u16,
    goes: bool,
) -> Result<Child, Fail> {
    let log = File::create(folder.join("log"))?;
    owned(&folder.join("log"), owner)?;
    // What is lost with the machine is made again.
    let sync = if goes { "fsync=off" } else { "synchronous_commit=off" };
    let mut command = program(folder, owner, Path::new("/bin/sh"));
    command
        .args(["-c", KEEPER, "sh"])
        .arg(programs.join("postgres"))
        .args(["-D", "data", "-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
        .args(["-c", "unix_socket_directories=", "-c", sync, "-c", "shared_buffers=32MB"])
        .env("PELTON_REMOVE", if goes { folder.as_os_str() } else { "".as_ref() })
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log);
    command.spawn().context("/bin/sh cannot be started").map_err(Fail::refused_by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        for version in ["9", "15", "16", "common"] {
            std::fs::create_dir_all(dir.path().join(version).join("bin")).expect("writable");
        }
        let found = versions(&format!("{}/*/bin", dir.path().display()));
        let names: Vec<_> =
            found.iter().map(|path| path.parent().expect("it has one").file_name()).collect();
        assert_eq!(names, [Some("16".as_ref()), Some("15".as_ref()), Some("9".as_ref())]);
    }
}
