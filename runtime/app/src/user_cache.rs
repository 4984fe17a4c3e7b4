//! Where the compiled code of a user is kept, for all projects and data directories: what `pelton test` has
//! compiled is not compiled again by `dev`, `check`, `run` or `invoke`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A folder, or that there is none.
pub const VARIABLE: &str = "PELTON_CACHE";
const OFF: &str = "off";

/// A folder that is shared by what a user runs.
#[derive(Debug, PartialEq, Eq)]
pub struct UserCache {
    pub folder: PathBuf,
    /// Somebody has named it: what is wrong with it is an error then.
    pub asked: bool,
}

/// The folder; none where it is switched off, or there is no home.
pub fn of_user() -> Option<UserCache> {
    chosen(|name| std::env::var_os(name))
}

fn chosen(variable: impl Fn(&str) -> Option<OsString>) -> Option<UserCache> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let asked = set(VARIABLE);
    if asked.as_deref() == Some(Path::new(OFF)) {
        return None;
    }
    let is_asked = asked.is_some();
    // As its specification wants it, one that is not absolute counts for nothing.
    let of_system = || set("XDG_CACHE_HOME").filter(|cache| cache.is_absolute());
    let of_home = || set("HOME").map(|home| home.join(".cache"));
    let folder = asked.or_else(|| of_system().or_else(of_home).map(|cache| cache.join("pelton")))?;
    let folder = std::path::absolute(folder.join("compiled")).ok()?;
    Some(UserCache { folder, asked: is_asked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_one_that_is_named_or_the_usual_one() {
        let of = |all: &[(&str, &str)]| {
            let found = chosen(|name| all.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()));
            found.map(|found| (found.folder.display().to_string(), found.asked))
        };
        let home = ("HOME", "/home/a");
        assert_eq!(of(&[home]), Some(("/home/a/.cache/pelton/compiled".to_owned(), false)));
        let system = ("XDG_CACHE_HOME", "/var/cache/a");
        assert_eq!(of(&[home, system]), Some(("/var/cache/a/pelton/compiled".to_owned(), false)));
        assert_eq!(of(&[home, ("XDG_CACHE_HOME", "here")]), of(&[home]));
        assert_eq!(of(&[home, system, (VARIABLE, "/mine")]), Some(("/mine/compiled".to_owned(), true)));
        assert_eq!(
            (of(&[home, (VARIABLE, "off")]), of(&[]), of(&[home, (VARIABLE, "")])),
            (None, None, of(&[home]))
        );
    }
}
