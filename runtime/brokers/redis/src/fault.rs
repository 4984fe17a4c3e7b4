//! What the server's errors mean.

use super::advice::{EXHAUSTED, advice};
use pelton_core::ports::ErrorClass;
use pelton_core::shown::shown;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use std::borrow::Cow;

/// The oldest server that has all that is used here (XAUTOCLAIM, LMOVE).
pub const OLDEST: (u32, u32) = (6, 2);

/// An error, in words for whoever has to mend it. All are tried again: what is wrong with a server can be
/// put right while a worker waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happened and what to do.
    pub words: String,
    /// What is the same of two that differ in a name or a number alone.
    pub kind: Cow<'static, str>,
    /// The stream or its group is not there.
    pub no_group: bool,
    /// The server is at `maxmemory`, and refuses what could need more.
    pub is_full: bool,
    /// The server answers, and does not take this, now or later: somebody has to change what it has or what
    /// it allows. A replica is none of these: it may be a primary that comes back.
    pub refuses: bool,
    /// `host:port` of the node of a cluster that has the key.
    pub moved_to: Option<String>,
}

impl Fault {
    /// What the engine needs to know of it.
    pub const CLASS: ErrorClass = ErrorClass::Transient;

    pub fn of(error: &RedisError) -> Self {
        let (code, what) = told(error);
        let is_moved = error.kind() == ErrorKind::Server(ServerErrorKind::Moved);
        let moved_to = error.redirect_node().filter(|_| is_moved).map(|(node, _)| node.to_owned());
        let no_group = what.contains("NOGROUP") || what.contains("no such key");
        let is_full = code == "OOM" || what.contains("OOM command not allowed");
        let refuses = is_for_good(&code, &what);
        let next = advice(&code, &what);
        let words = format!("{what}. {next}");
        Self { words, kind: next, no_group, is_full, refuses, moved_to }
    }

    /// By what the server has answered to a command of a script: `OOM command not allowed ...`.
    pub fn answered(said: &str) -> Self {
        let code = said.split(' ').next().unwrap_or_default();
        let what = clean(said);
        let next = advice(code, &what);
        let (is_full, refuses) = (code == "OOM", is_for_good(code, &what));
        let no_group = what.contains("no such key");
        Self { words: format!("{what}. {next}"), kind: next, no_group, is_full, refuses, moved_to: None }
    }

    pub fn says(words: impl Into<String>) -> Self {
        let words = words.into();
        let kind = Cow::Owned(words.clone());
        Self { words, kind, no_group: false, is_full: false, refuses: false, moved_to: None }
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::of(&error)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

/// Of the words of a server, at most.
const MAX_WORDS: usize = 600;

/// The code of an error, and what it says. Of many in one answer the first, and how many there are.
fn told(error: &RedisError) -> (String, String) {
    let all = error.clone().into_server_errors();
    let Some((_, first)) = all.as_ref().and_then(|all| all.first()) else {
        return (error.code().unwrap_or_default().to_owned(), clean(&error.to_string()));
    };
    let code = first.code();
    let what = clean(&format!("{code}: {}", first.details().unwrap_or_default()));
    let what = match all.as_ref().map_or(0, |all| all.len() - 1) {
        0 => what,
        more => format!("{what} (and {more} more commands that were sent with it)"),
    };
    (code.to_owned(), what)
}

/// One line, without a full stop of its own.
fn clean(what: &str) -> String {
    // Where in a script it went wrong tells nobody anything.
    let what = what.split(" script: ").next().unwrap_or(what);
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    shown(what.trim_end_matches(['.', ':'])).at_most(MAX_WORDS).to_string()
}

/// Whether the same would be answered for as long as nobody changes anything by hand.
fn is_for_good(code: &str, what: &str) -> bool {
    let has = |part: &str| what.contains(part);
    ["WRONGTYPE", "NOPERM"].iter().any(|known| code == *known || has(known))
        || has(EXHAUSTED)
        || has("too large to be stored")
        || has("unknown command")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_to_change_is_told_from_what_passes() {
        let for_good = [
            ("WRONGTYPE", "Operation against a key holding the wrong kind of value"),
            ("NOPERM", "this user has no permissions to run the 'xadd' command"),
            ("ERR", "The stream has exhausted the last possible ID, unable to add more items"),
            ("ERR", "Elements are too large to be stored"),
            ("ERR", "unknown command 'XADD', with args beginning with: "),
        ];
        for (code, what) in for_good {
            assert!(is_for_good(code, what), "{code} {what}");
        }
        for code in
            ["READONLY", "LOADING", "MISCONF", "NOREPLICAS", "BUSY", "CLUSTERDOWN", "NOAUTH", "OOM", ""]
        {
            assert!(!is_for_good(code, "something"), "{code}");
        }
    }

    #[test]
    fn of_many_errors_in_one_answer_the_first_is_told_and_how_many_there_are() {
        assert_eq!(clean("OOM used memory. script: 0a1, on @user_script:3."), "OOM used memory");
        let one = redis::make_extension_error("NOREPLICAS".to_owned(), Some("Not enough.".to_owned()));
        assert_eq!(told(&one), ("NOREPLICAS".to_owned(), "NOREPLICAS: Not enough".to_owned()));
        let long = redis::make_extension_error("ERR".to_owned(), Some("x".repeat(10_000)));
        assert!(Fault::of(&long).words.len() < 1_000);
    }
}
