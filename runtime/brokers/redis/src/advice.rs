//! What to do about an error of the server or of the connection.

use super::fault::OLDEST;
use std::borrow::Cow;

/// A stream that has given its last id.
pub const EXHAUSTED: &str = "exhausted the last possible ID";

/// What an error has in its code or in its words, and the next step. The first that fits counts.
const STEPS: &[(&[&str], &str)] = &[
    (
        &["NOAUTH", "WRONGPASS", "AuthenticationFailed", "authentication failed"],
        "Write the user and the password into `url`: redis://USER:PASSWORD@HOST:PORT, with `/`, `?`, `#`, \
         `@` and `%` in them as %2F, %3F, %23, %40 and %25",
    ),
    (
        &["NOPERM"],
        "Allow this user the keys of this source and the commands on them (ACL SETUSER NAME ~KEY* +@stream \
         +@list +@scripting +@read +@write +@connection +@transaction +time)",
    ),
    (
        &["WRONGTYPE"],
        "A key has another type than it must have: correct `stream` or `list`, or delete what is there. With \
         a list that may be one of our own keys beside it, `{LIST}:pelton:...`",
    ),
    (
        &[EXHAUSTED],
        "An entry of the stream has the largest id there is, so nothing can be added: delete the stream, or \
         set its last id back (XDEL, then XSETID)",
    ),
    (
        &["READONLY"],
        "It is a replica: write the address of the primary into `url`, or that of the sentinels",
    ),
    (
        &["NOREPLICAS"],
        "The server takes no writes while fewer replicas follow it than its `min-replicas-to-write`: start \
         the replicas, or lower it (CONFIG SET min-replicas-to-write 0)",
    ),
    (
        &["MISCONF"],
        "The server cannot save its data, and takes no writes until it can: make room on its disk or correct \
         its `dir` (its log says which), then BGSAVE; `stop-writes-on-bgsave-error no` has it write without \
         saving",
    ),
    (
        &["OOM"],
        "The server is at `maxmemory`: give it more, or delete what nobody needs there (`maxlen` trims a \
         stream)",
    ),
    (
        &["BUSY:", "BUSY Redis"],
        "A script of somebody runs without an end, and the server does nothing else: SCRIPT KILL ends it \
         (FUNCTION KILL a function)",
    ),
    (
        &["max number of clients"],
        "The server has as many connections as its `maxclients`: raise it (CONFIG SET maxclients), or close \
         others (CLIENT LIST names them). A pipeline has up to four",
    ),
    (
        &["DENIED", "protected mode"],
        "The server is in protected mode, and takes connections of its own machine alone: give it a \
         password or a user, and write them into `url`",
    ),
    (&["UNBLOCKED"], "It was deleted, renamed or evicted; it is looked for again"),
    (
        &["CROSSSLOT"],
        "In a cluster all keys of a pipeline have to be in one slot: put the same {tag} into their names",
    ),
    (
        &["InvalidContentType"],
        "The port answers without TLS: write redis:// into `url`, or a port that has TLS",
    ),
    (
        &["certificate", "UnknownIssuer"],
        "Check that the port speaks TLS, and that the authority of its certificate is known here \
         (SSL_CERT_FILE names a file of more)",
    ),
    (
        &["DB index is out of range", "invalid DB index", "SELECT is not allowed"],
        "The server has no such database: correct the number at the end of `url`, or leave it out (a cluster \
         has 0 alone)",
    ),
    (
        &["LOADING", "BusyLoading"],
        "The server reads its data in, and answers when it has. It is tried again",
    ),
    (
        &["CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN"],
        "The cluster, or the primary of this replica, is not whole now (CLUSTER INFO, INFO replication). It \
         is tried again",
    ),
    (&["NOGROUP"], "It is looked for again"),
    (
        &["failed to lookup address", "Name or service not known", "nodename nor servname"],
        "Correct the host in `url`, or the names that this machine knows",
    ),
    (
        &["timed out", "timeout"],
        "The server has not answered in time: check `url`, the network, and whether the server is busy \
         (SLOWLOG GET). It is tried again",
    ),
];

/// The next step, as a sentence without its full stop.
pub fn advice(code: &str, what: &str) -> Cow<'static, str> {
    let has = |part: &&str| code.contains(*part) || what.contains(*part);
    if has(&"unknown command") {
        return Cow::Owned(format!(
            "The server is too old for this, or hides the command: Redis {}.{} or newer is needed",
            OLDEST.0, OLDEST.1
        ));
    }
    let known = STEPS.iter().find(|(parts, _)| parts.iter().any(has)).map(|(_, step)| *step);
    Cow::Borrowed(known.unwrap_or(if code.is_empty() {
        "Check `url`, the server and the network"
    } else {
        "The server answers, and refuses this: its version and its log say more. It is tried again"
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_to_do() {
        for (code, what, wanted) in [
            ("NOAUTH", "NOAUTH: Authentication required", "redis://USER:PASSWORD@HOST:PORT"),
            ("ERR", "ERR: unknown command 'XAUTOCLAIM'", "Redis 6.2 or newer is needed"),
            ("", "Connection refused (os error 111)", "Check `url`"),
            ("UNBLOCKED", "UNBLOCKED: the stream key no longer exists", "looked for again"),
            ("NOREPLICAS", "NOREPLICAS: Not enough good replicas to write", "min-replicas-to-write"),
            ("MISCONF", "MISCONF: Redis is configured to save RDB snapshots", "room on its disk"),
            ("ERR", "ERR: Error running script: -MISCONF Redis is configured", "room on its disk"),
            ("BUSY", "BUSY: Redis is busy running a script", "SCRIPT KILL"),
            ("ERR", "ERR: max number of clients reached", "`maxclients`"),
            ("LOADING", "LOADING: Redis is loading the dataset in memory", "reads its data in"),
            ("ERR", "ERR: DB index is out of range", "database"),
            ("ERR", "ERR: something new", "The server answers"),
        ] {
            let said = advice(code, what);
            assert!(said.contains(wanted), "{code} {what}: {said}");
        }
    }
}
