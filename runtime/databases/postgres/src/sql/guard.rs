//! Which statements of a handler are sent at all. The transaction is the host's, and connections are used
//! again by other messages: what begins or ends a transaction, or changes a connection for good, is refused.
//!
//! Only the first word is looked at. The server itself refuses the rest: several commands in one statement,
//! and a `COMMIT` inside of a function or `DO`. Whatever came through all the same would be seen by the tag
//! of the answer, and by what the server says after each exchange of how the transaction stands.

/// Why a statement is refused, in words; none for one that may be sent.
pub(crate) fn refuses(statement: &str) -> Option<String> {
    if statement.contains('\0') {
        return Some("a statement is text without the character 0".to_owned());
    }
    let rest = skip_to_word(statement);
    if rest.is_empty() {
        return Some("an empty statement: there is nothing in it but comments and white space".to_owned());
    }
    let (word, rest) = take_word(rest);
    let word = word.to_ascii_uppercase();
    let why = match &*word {
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => {
            TRANSACTION
        }
        "SET" => return refuses_setting(rest),
        "RESET" | "DISCARD" => SETTING,
        "PREPARE" | "EXECUTE" | "DEALLOCATE" => {
            "statements are prepared by the host: the same text is prepared once"
        }
        "LISTEN" | "UNLISTEN" => "connections are shared by messages, so nobody would hear it",
        "COPY" => {
            "it has a way of its own to carry data: use INSERT ... SELECT unnest($1::text[]) for many rows"
        }
        _ => return None,
    };
    Some(format!("{word} is not for handlers: {why}"))
}

const TRANSACTION: &str = "the transaction is the host's, begins with the first statement and commits when \
    the handler answers ok";
const SETTING: &str = "connections are shared by messages: SET LOCAL holds for this transaction";

/// Whether a statement may change who the rest of the transaction is done by.
pub(crate) fn sets_role(statement: &str) -> bool {
    let (word, rest) = take_word(skip_to_word(statement));
    word.eq_ignore_ascii_case("SET") && {
        let rest = rest.to_ascii_lowercase();
        rest.contains("role") || rest.contains("authorization")
    }
}

/// `SET` holds for a session, but for what holds only in this transaction by its meaning.
fn refuses_setting(rest: &str) -> Option<String> {
    let (word, _) = take_word(skip_to_word(rest));
    let local =
        ["LOCAL", "TRANSACTION", "CONSTRAINTS"].iter().any(|known| word.eq_ignore_ascii_case(known));
    (!local).then(|| format!("SET is not for handlers: {SETTING}"))
}

/// What comes first, when white space, comments and empty statements are left out.
fn skip_to_word(text: &str) -> &str {
    let mut rest = text;
    loop {
        // The parser of the server drops empty statements, so `; COMMIT` is one statement.
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c', ';']);
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.find(['\n', '\r']).map_or("", |end| &comment[end..]);
        } else if rest.starts_with("/*") {
            rest = behind_comment(rest);
        } else {
            return rest;
        }
    }
}

/// What follows a comment, which may hold others; nothing when it does not end.
fn behind_comment(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return &text[at..];
        }
    }
    ""
}

/// The word that a text begins with, and the rest; no word where it begins with anything else.
fn take_word(text: &str) -> (&str, &str) {
    let ends = |c: char| !(c.is_alphanumeric() || c == '_' || c == '$');
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_begin_or_end_a_transaction_is_refused() {
        for word in ["BEGIN", "START TRANSACTION", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT a"] {
            for text in [word.to_owned(), word.to_lowercase(), format!("\t\r\n\u{c}\u{b} {word};")] {
                assert!(refuses(&text).is_some(), "{text:?}");
            }
        }
        for text in
            ["RELEASE a", "ROLLBACK TO a", "commit and chain", "PREPARE TRANSACTION 'x'", "END WORK"]
        {
            assert!(refuses(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn nothing_hides_a_word() {
        for text in [
            "/* x */ commit",
            "/* a /* b */ c */ COMMIT",
            "/**/commit",
            "/*/**/*/COMMIT",
            "-- select\ncommit",
            "-- select\rcommit",
            "--\n--\n/**/ -- x\n ;;\n/* '*/COMMIT",
            "; COMMIT",
            ";;/* x */;commit",
            "COMMIT/**/",
            "COMMIT--x",
            "CoMmIt;",
        ] {
            assert!(refuses(text).is_some_and(|why| why.starts_with("COMMIT ")), "{text:?}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_sent() {
        for text in [
            "SELECT 'COMMIT'",
            "SELECT $$; COMMIT$$",
            "-- COMMIT\nSELECT 1",
            "/* COMMIT */ SELECT 1",
            "COMMITTED",
            "commit_all",
            "(SELECT 1)",
            "\"commit\"",
            "DO $$ BEGIN COMMIT; END $$",
            "NOTIFY orders, 'x'",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "/* never ends, so neither does the rest */ SELECT 1 /*",
        ] {
            assert_eq!(refuses(text), None, "{text:?}");
        }
    }

    #[test]
    fn settings_hold_for_a_transaction_or_are_refused() {
        for text in [
            "SET search_path = x",
            "set session authorization x",
            "SET ROLE x",
            "SET/**/TIME ZONE 'UTC'",
            "SET",
            "SET localx = 1",
            "RESET ALL",
            "DISCARD ALL",
        ] {
            assert!(refuses(text).is_some(), "{text:?}");
        }
        for text in [
            "SET LOCAL search_path = x",
            "set /* */ local x.y = '1'",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET CONSTRAINTS ALL DEFERRED",
        ] {
            assert_eq!(refuses(text), None, "{text:?}");
        }
    }

    #[test]
    fn who_becomes_another_is_seen() {
        for text in ["SET LOCAL ROLE x", "/* */set local \"role\" = x", "SET LOCAL SESSION AUTHORIZATION x"]
        {
            assert!(sets_role(text), "{text}");
        }
        assert!(!sets_role("SET LOCAL timezone = 'UTC'") && !sets_role("SELECT 'SET LOCAL ROLE x'"));
    }

    #[test]
    fn what_is_no_statement_is_refused() {
        for text in ["", " \n", ";", "-- x", "/* x", "/* a /* b */", "SELECT \0"] {
            assert!(refuses(text).is_some(), "{text:?}");
        }
    }
}
