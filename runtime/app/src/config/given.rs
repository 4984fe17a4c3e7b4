//! Values of grants: where they stand, and, when a worker or a check asks for them, what they are. A value
//! may be a secret, so neither errors nor debug texts have any.

use crate::settings::{Lookup, Section, Written, expand};
use pelton_host::file::{self, FileError, Links, Regular};
use std::cell::RefCell;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Bytes of a value, at most.
const VALUE_BYTES: usize = 64 << 10;
/// A shorter text stands in too many places by chance: it is not looked for in what a handler writes.
pub const SECRET_BYTES: usize = 8;

/// Where a value is.
#[derive(Clone, PartialEq, Eq)]
pub enum Given {
    /// Here, perhaps with references to the environment.
    Text(String),
    /// In a variable of the environment, behind a prefix.
    Env { prefix: String, name: String },
    /// In a file, behind a prefix.
    File { prefix: String, path: PathBuf },
}

/// Without a value that stands here.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("a text"),
            Self::Env { name, .. } => write!(f, "the variable {name:?}"),
            Self::File { path, .. } => write!(f, "the file {}", path.display()),
        }
    }
}

/// A value as it is now.
#[derive(Default)]
pub struct Value {
    pub text: String,
    /// The parts of it that came from elsewhere, and so are secrets.
    pub secrets: Vec<String>,
    /// What is to be said of where it was found.
    pub warning: Option<String>,
}

/// What to write where a value has none of the forms.
const FORMS: &str = "a text, { env = \"NAME\" } or { file = \"PATH\" }, perhaps with a `prefix`";

impl Given {
    /// As it is written at `key` of `section`; files are relative to `base`.
    pub fn read(section: &Section<'_>, key: &str, written: Written<'_>, base: &Path) -> Option<Self> {
        match written {
            Written::Text(text) => {
                // Whether the variables are set is asked when the value is.
                if let Err(why) = expand(&text, &|_| Some(String::new())) {
                    section.problem(key, why);
                }
                Some(Self::Text(text))
            }
            Written::Flag(truth) => Some(Self::Text(truth.to_string())),
            Written::Table(table) => Self::elsewhere(table, base),
            Written::Texts(_) => {
                section.problem(key, format!("is a list, must be {FORMS}"));
                None
            }
            Written::Other(kind) => {
                section.problem(key, format!("is {kind}, must be {FORMS}"));
                None
            }
        }
    }

    fn elsewhere(table: Section<'_>, base: &Path) -> Option<Self> {
        let (env, file) = (table.text("env"), table.text("file"));
        let prefix = table.text("prefix").unwrap_or_default();
        let found = match (env, file) {
            (Some(name), None) if is_variable(&name) => Some(Self::Env { prefix, name }),
            (Some(_), None) => {
                table.problem("env", "is no name of a variable: letters, digits and `_`");
                None
            }
            (None, Some(path)) if !path.is_empty() => Some(Self::File { prefix, path: base.join(path) }),
            (None, Some(_)) => {
                table.problem("file", "is empty; write a path");
                None
            }
            (Some(_), Some(_)) => {
                table.problem("file", "is given beside `env`; leave one of them out");
                None
            }
            // One of the wrong form has been noted already.
            (None, None) if table.has("env") || table.has("file") => None,
            (None, None) => {
                table.problems.note(&table.path, format!("is a table without a value; write {FORMS}"));
                None
            }
        };
        table.finish();
        found
    }

    /// What it is now. `Err` goes on where its name stops.
    pub fn value(&self, env: Lookup<'_>) -> Result<Value, String> {
        let (prefix, secret, warning) = match self {
            Self::Text(text) => return of_text(text, env),
            Self::Env { prefix, name } => {
                let secret = env(name).ok_or_else(|| {
                    format!("comes from the environment variable `{name}`, which is not set; set it")
                })?;
                (prefix, secret, None)
            }
            Self::File { prefix, path } => {
                let (secret, warning) =
                    of_file(path).map_err(|why| format!("comes from {}, which {why}", path.display()))?;
                (prefix, secret, warning)
            }
        };
        if secret.len() > VALUE_BYTES {
            return Err(format!("has {} bytes, at most {VALUE_BYTES} are taken", secret.len()));
        }
        Ok(Value { text: format!("{prefix}{secret}"), secrets: vec![secret], warning })
    }
}

/// What was referred to is a secret, and the whole that it is in.
fn of_text(text: &str, env: Lookup<'_>) -> Result<Value, String> {
    let found = RefCell::new(Vec::new());
    let noted = |name: &str| env(name).inspect(|value| found.borrow_mut().push(value.clone()));
    let text = expand(text, &noted)?;
    Ok(Value { text, secrets: found.into_inner(), warning: None })
}

/// What a file says, without the end of its last line.
fn of_file(path: &Path) -> Result<(String, Option<String>), FileError> {
    let mut open = Regular::open(path, Links::Followed)?;
    let others = open.found().permissions().mode() & 0o007;
    let text = String::from_utf8(open.read(VALUE_BYTES)?).map_err(|_| FileError::NotText)?;
    let text = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
    let warning = (others != 0).then(|| {
        format!("{} is open to every user of this machine; `chmod o= {0}` closes it", path.display())
    });
    Ok((text.to_owned(), warning))
}

/// The certificates of a file.
pub fn certificates(path: &Path) -> Result<String, String> {
    file::text(path, 4 << 20).map_err(|why| format!("is {}, which {why}", path.display()))
}

/// What shells let a variable be called.
pub fn is_variable(name: &str) -> bool {
    let all = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    all && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "KEY").then(|| "s3cr3t-k3y".to_owned())
    }

    fn value(given: &Given) -> Result<(String, Vec<String>), String> {
        given.value(&env).map(|value| (value.text, value.secrets))
    }

    #[test]
    fn a_value_is_where_it_is_said_to_be_and_its_parts_from_elsewhere_are_secrets() {
        let secret = vec!["s3cr3t-k3y".to_owned()];
        let text = Given::Text("Bearer ${KEY}".to_owned());
        assert_eq!(value(&text).unwrap(), ("Bearer s3cr3t-k3y".to_owned(), secret.clone()));
        let of_env = |name: &str| Given::Env { prefix: "k=".to_owned(), name: name.to_owned() };
        assert_eq!(value(&of_env("KEY")).unwrap(), ("k=s3cr3t-k3y".to_owned(), secret));
        assert!(value(&of_env("NONE")).unwrap_err().contains("`NONE`, which is not set"));
        assert_eq!(value(&Given::Text("eu".to_owned())).unwrap(), ("eu".to_owned(), Vec::new()));
        assert!(!format!("{text:?}{:?}", of_env("KEY")).contains("s3cr3t"));
    }

    #[test]
    fn the_end_of_a_files_last_line_is_cut_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pay");
        for (written, wanted) in
            [("abc", "abc"), ("abc\n", "abc"), ("abc\r\n", "abc"), (" a\n\n", " a\n"), ("", "")]
        {
            std::fs::write(&path, written).unwrap();
            let given = Given::File { prefix: String::new(), path: path.clone() };
            assert_eq!(value(&given).unwrap().0, wanted, "{written:?}");
        }
        std::fs::write(&path, "x".repeat(VALUE_BYTES + 1)).unwrap();
        let given = Given::File { prefix: String::new(), path: path.clone() };
        assert!(value(&given).unwrap_err().contains("more than 65536 bytes"));
        std::fs::write(&path, b"\xffsecret").unwrap();
        let said = value(&given).unwrap_err();
        assert!(said.contains("is not UTF-8 text") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn a_file_that_others_can_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pay");
        std::fs::write(&path, "abc").unwrap();
        let told = |mode: u32| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let given = Given::File { prefix: String::new(), path: path.clone() };
            given.value(&env).unwrap().warning.unwrap_or_default()
        };
        assert!(told(0o644).contains("chmod o= "));
        assert_eq!((told(0o640), told(0o600)), (String::new(), String::new()));
    }
}
