//! What the server's errors mean.

use pelton_core::ports::ErrorClass;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// The oldest server that has all that is used here (XAUTOCLAIM, LMOVE).
pub const OLDEST: (u32, u32) = (6, 2);

/// An error, in words for whoever has to mend it. All are tried again: what is wrong with a server can be
/// put right while a worker waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happened and what to do.
    pub words: String,
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
        let code = error.code().unwrap_or_default().to_owned();
        let what = error.to_string();
        let is_moved = error.kind() == ErrorKind::Server(ServerErrorKind::Moved);
        let moved_to = error.redirect_node().filter(|_| is_moved).map(|(node, _)| node.to_owned());
        let no_group = what.contains("NOGROUP") || what.contains("no such key");
        let is_full = code == "OOM" || what.contains("OOM command not allowed");
        let refuses = is_for_good(&code, &what);
        let words = format!("{}. {}", clean(&what), advice(&code, &what));
        Self { words, no_group, is_full, refuses, moved_to }
    }

    pub fn says(words: impl Into<String>) -> Self {
        Self { words: words.into(), no_group: false, is_full: false, refuses: false, moved_to: None }
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

/// One line, without a full stop of its own.
fn clean(what: &str) -> String {
    // Where in a script it went wrong tells nobody anything.
    let what = what.split(" script: ").next().unwrap_or(what);
    what.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

/// Whether the same would be answered for as long as nobody changes anything by hand.
fn is_for_good(code: &str, what: &str) -> bool {
    let has = |part: &str| what.contains(part);
    ["WRONGTYPE", "NOPERM"].iter().any(|known| code == *known || has(known))
        || has(EXHAUSTED)
        || has("too large to be stored")
        || has("unknown command")
}

/// A stream that has given its last id.
const EXHAUSTED: &str = "exhausted the last possible ID";

fn advice(code: &str, what: &str) -> String {
    let has = |part: &str| code.contains(part) || what.contains(part);
    if has("NOAUTH") || has("WRONGPASS") || has("AuthenticationFailed") || has("authentication failed") {
        "Write the user and the password into `url`: redis://USER:PASSWORD@HOST:PORT".to_owned()
    } else if has("NOPERM") {
        "Allow this user the keys of this source and the commands on them (ACL SETUSER NAME ~KEY* +@stream \
         +@list \
         +@scripting +@read +@write +@connection +time)"
            .to_owned()
    } else if has("WRONGTYPE") {
        "A key has another type than it must have: correct `stream` or `list`, or delete what is there. \
         With a list \
         that may be one of our own keys beside it, `{LIST}:pelton:...`"
            .to_owned()
    } else if has(EXHAUSTED) {
        "An entry of the stream has the largest id there is, so nothing can be added: delete the stream, \
         or set its \
         last id back (XDEL, then XSETID)"
            .to_owned()
    } else if has("unknown command") {
        format!(
            "The server is too old for this, or hides the command: Redis {}.{} or newer is needed",
            OLDEST.0, OLDEST.1
        )
    } else if has("READONLY") {
        "It is a replica: write the address of the primary into `url`, or that of the sentinels".to_owned()
    } else if has("OOM") {
        "The server is at `maxmemory`: give it more, or delete what nobody needs there (`maxlen` trims a \
         stream)"
            .to_owned()
    } else if has("UNBLOCKED") {
        "It was deleted, renamed or evicted; it is looked for again".to_owned()
    } else if has("CROSSSLOT") {
        "In a cluster all keys of a pipeline have to be in one slot: put the same {tag} into their names"
            .to_owned()
    } else if has("certificate") || has("UnknownIssuer") || has("InvalidContentType") {
        "Check that the port speaks TLS, and that the authority of its certificate is known here \
         (SSL_CERT_FILE names a file of more)"
            .to_owned()
    } else if has("LOADING") || has("CLUSTERDOWN") || has("MASTERDOWN") || has("TRYAGAIN") {
        "It is tried again".to_owned()
    } else if has("NOGROUP") {
        "It is looked for again".to_owned()
    } else {
        "Check `url`, the server and the network".to_owned()
    }
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
    fn words_say_what_to_do() {
        let said = |code: &str, what: &str| advice(code, what);
        assert!(said("NOAUTH", "Authentication required.").contains("redis://USER:PASSWORD@HOST:PORT"));
        assert!(said("ERR", "unknown command 'XAUTOCLAIM'").contains("Redis 6.2 or newer is needed"));
        assert!(said("", "Connection refused (os error 111)").contains("Check `url`"));
        assert!(said("UNBLOCKED", "the stream key no longer exists").contains("looked for again"));
        assert_eq!(clean("OOM used memory. script: 0a1, on @user_script:3."), "OOM used memory");
    }
}
