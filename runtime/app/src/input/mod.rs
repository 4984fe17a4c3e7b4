//! Files and standard input that are read whole: never more of them than a bound, whatever they are.
//!
//! What is named on the command line may be a pipe, and is waited for. What lies somewhere and is read
//! because it is there is read as `pelton_host::file` does.

pub mod lines;

use pelton_core::shown::{path as shown_path, shown};
use pelton_host::file::{self, FileError};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, Read};
use std::path::Path;

/// What people write by hand: a configuration, cases, a manifest.
const WRITTEN: usize = 16 << 20;

/// Why something was not read. Shows itself as what goes on after the name of the thing.
#[derive(Debug)]
pub enum Unread {
    /// The system's word.
    Failed(std::io::Error),
    /// There is more of it.
    TooLarge { max: usize },
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "cannot be read: {error}"),
            Self::TooLarge { max } => write!(f, "cannot be read: it has more than {max} bytes"),
        }
    }
}

/// All of an input, at most `max` bytes.
pub fn all(input: impl Read, max: usize) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    input.take(limit).read_to_end(&mut bytes).map_err(Unread::Failed)?;
    if bytes.len() > max { Err(Unread::TooLarge { max }) } else { Ok(bytes) }
}

/// All of a file. A pipe is waited for; a device without an end is read to the bound.
pub fn file(path: &Path, max: usize) -> Result<Vec<u8>, Unread> {
    all(File::open(path).map_err(Unread::Failed)?, max)
}

/// All of what somebody wrote: a regular file, and text.
pub fn written(path: &Path) -> Result<String, FileError> {
    file::text(path, WRITTEN)
}

/// All of standard input.
pub fn standard(max: usize) -> Result<Vec<u8>, Unread> {
    all(std::io::stdin().lock(), max)
}

/// Whether who was asked something says yes: on a line of its own, `y` or `yes`. All else is no.
pub fn is_yes() -> bool {
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// What is wrong with a text that somebody wrote as TOML: with the line that it is in, unless that is a long
/// one.
pub fn not_toml(text: &str, error: &toml::de::Error) -> String {
    const SHOWN: usize = 2 << 10;
    let words = error.to_string();
    if words.len() <= SHOWN {
        return words;
    }
    let at = error.span().map(|span| place(text, span.start)).unwrap_or_default();
    format!("{at}{}", shown(error.message()).at_most(SHOWN))
}

/// A place in a text, as a beginning of what is said of it.
pub fn place(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    format!("line {line}, column {column}: ")
}

/// With the name of the file.
pub fn of(path: &Path, why: &impl fmt::Display) -> String {
    format!("{} {why}", shown_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_named_and_not_shown() {
        let said = |text: &str| not_toml(text, &text.parse::<toml::Table>().expect_err("it is none"));
        assert!(said("a = 1\nb").contains("2 | b"));
        let said = said(&format!("a = 1\n{}", "b".repeat(1 << 20)));
        assert!(said.starts_with("line 2, column 1048577: ") && said.len() < 200, "{said}");
    }

    #[test]
    fn a_bound_holds_for_devices_too() {
        let zero = Path::new("/dev/zero");
        assert!(matches!(file(zero, 1000), Err(Unread::TooLarge { max: 1000 })));
        assert_eq!(file(Path::new("/dev/null"), 0).expect("it is empty"), b"");
        assert_eq!(all(&b"abc"[..], 3).expect("it fits"), b"abc");
        assert_eq!(
            of(Path::new("a\nb"), &all(&b"abc"[..], 2).expect_err("larger")),
            "a\\x0ab cannot be read: it has more than 2 bytes"
        );
        assert!(matches!(written(Path::new("/nowhere")), Err(FileError::Missing)));
        assert!(matches!(written(zero), Err(FileError::NotAFile("a device"))));
        assert!(file(Path::new("/"), 1).expect_err("a folder").to_string().contains("directory"));
    }
}
