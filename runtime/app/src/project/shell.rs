//! Commands of a project: by the shell, in its folder, with the tools it has installed for itself.

use super::{Project, rust};
use std::ffi::OsString;
use std::process::Command;

/// Where a project's package manager puts programs.
const PROGRAMS: [&str; 2] = [".venv/bin", "node_modules/.bin"];

/// A command that is ready to be started.
pub fn command(project: &Project, line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir(&project.dir);
    let mut first: Vec<OsString> = PROGRAMS.iter().map(|folder| project.dir.join(folder).into()).collect();
    if project.manifest.language == "rust" {
        for (name, value) in rust::environment() {
            command.env(name, value);
        }
        first.extend(rust::programs().map(OsString::from));
    }
    command.env("PATH", path(first));
    // As an activated environment: its packages are found too.
    let venv = project.dir.join(".venv");
    if venv.is_dir() {
        command.env("VIRTUAL_ENV", venv);
    }
    command
}

fn path(first: Vec<OsString>) -> OsString {
    let mut path = first.join(&OsString::from(":"));
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}
