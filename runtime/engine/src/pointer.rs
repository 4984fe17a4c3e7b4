//! One value out of a JSON body, without building the rest of it.
//!
//! A body is a megabyte of anything: a parsed tree of it could take a hundred. The body is looked through
//! once to see that it is JSON, and then walked along the pointer (RFC 6901), so it takes no memory but the
//! value's own. Numbers are read as they are written: no type of ours holds thirty digits.

use serde::de::IgnoredAny;

/// A JSON pointer, split and unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// What is at a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar<'b> {
    /// A string, unescaped.
    Text(String),
    /// A number, as it is written.
    Number(&'b str),
    /// A boolean.
    Truth(bool),
}

impl Pointer {
    /// Parses `/a/b/0`. The empty pointer names the whole body, which is no key: `None`. So is one with a
    /// `~` that stands for nothing: no name would ever be that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        if !rest.split('~').skip(1).all(|after| after.starts_with(['0', '1'])) {
            return None;
        }
        let unescape = |s: &str| s.replace("~1", "/").replace("~0", "~");
        Some(Self(rest.split('/').map(unescape).collect()))
    }

    /// The scalar at the pointer. `Err` says in the reader's words what is there instead.
    pub fn find<'b>(&self, body: &'b [u8]) -> Result<Scalar<'b>, String> {
        serde_json::from_slice::<IgnoredAny>(body).map_err(|e| format!("the body is not JSON: {e}"))?;
        let mut value = Walk { text: body, at: 0 }.value();
        for name in &self.0 {
            value = below(value, name).ok_or("nothing is there")?;
        }
        scalar(value)
    }
}

/// Whether a text is a number of JSON.
#[must_use]
pub fn is_number(text: &[u8]) -> bool {
    let is_one = |byte: &u8| *byte == b'-' || byte.is_ascii_digit();
    text.first().is_some_and(is_one)
        && text.last().is_some_and(u8::is_ascii_digit)
        && serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

fn scalar(value: &[u8]) -> Result<Scalar<'_>, String> {
    let unreadable = |why: &dyn std::fmt::Display| format!("its text cannot be read: {why}");
    match value.first() {
        Some(b'"') => serde_json::from_slice(value).map(Scalar::Text).map_err(|why| unreadable(&why)),
        Some(b't') => Ok(Scalar::Truth(true)),
        Some(b'f') => Ok(Scalar::Truth(false)),
        Some(b'n') => Err("null is no key".to_owned()),
        Some(b'{') => Err("an object is no key".to_owned()),
        Some(b'[') => Err("an array is no key".to_owned()),
        _ => std::str::from_utf8(value).map(Scalar::Number).map_err(|why| unreadable(&why)),
    }
}

/// What an object or an array has under a name, if it is one and has it.
fn below<'b>(value: &'b [u8], name: &str) -> Option<&'b [u8]> {
    let mut walk = Walk { text: value, at: 1 };
    match value.first()? {
        b'{' => member(&mut walk, name),
        b'[' => element(&mut walk, index(name)?),
        _ => None,
    }
}

/// An index as RFC 6901 writes it: digits, and no zero before others.
fn index(name: &str) -> Option<usize> {
    let is_plain =
        name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    if is_plain { name.parse().ok() } else { None }
}

/// Of a name that comes again the last counts, as with the parsers that handlers use.
fn member<'b>(walk: &mut Walk<'b>, name: &str) -> Option<&'b [u8]> {
    let mut found = None;
    while walk.next_of(b'}') {
        let (key, value) = (walk.value(), walk.pass(b':').value());
        if is_name(key, name) {
            found = Some(value);
        }
    }
    found
}

fn element<'b>(walk: &mut Walk<'b>, index: usize) -> Option<&'b [u8]> {
    let mut passed = 0;
    while walk.next_of(b']') {
        let value = walk.value();
        if passed == index {
            return Some(value);
        }
        passed += 1;
    }
    None
}

fn is_name(quoted: &[u8], name: &str) -> bool {
    let plain = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if plain.contains(&b'\\') {
        return serde_json::from_slice::<String>(quoted).is_ok_and(|key| key == name);
    }
    plain == name.as_bytes()
}

/// A way through a text that is known to be JSON.
struct Walk<'b> {
    text: &'b [u8],
    at: usize,
}

impl<'b> Walk<'b> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_while(&mut self, skipped: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&skipped) {
            self.at += 1;
        }
    }

    fn skip_space(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// Goes past this byte, if it comes next.
    fn pass(&mut self, wanted: u8) -> &mut Self {
        self.skip_space();
        self.at += usize::from(self.peek() == Some(wanted));
        self
    }

    /// Whether something comes before this end; goes past a comma.
    fn next_of(&mut self, end: u8) -> bool {
        self.pass(b',').skip_space();
        self.peek().is_some_and(|byte| byte != end)
    }

    /// Goes past a value and gives it.
    fn value(&mut self) -> &'b [u8] {
        self.skip_space();
        let from = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.skip_text(),
                b'{' | b'[' => (self.at, depth) = (self.at + 1, depth + 1),
                b'}' | b']' => (self.at, depth) = (self.at + 1, depth.saturating_sub(1)),
                _ if depth > 0 => self.skip_while(|byte| !matches!(byte, b'"' | b'{' | b'[' | b'}' | b']')),
                _ => self.skip_while(|byte| !b" \t\n\r,:}]".contains(&byte)),
            }
            if depth == 0 {
                break;
            }
        }
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn skip_text(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            // A backslash takes the byte behind it along.
            self.at = (self.at + if byte == b'\\' { 2 } else { 1 }).min(self.text.len());
            if byte == b'"' {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashSet;

    fn find<'b>(pointer: &str, body: &'b str) -> Result<Scalar<'b>, String> {
        Pointer::parse(pointer).unwrap().find(body.as_bytes())
    }

    #[test]
    fn finds_scalars_by_name_and_index() {
        let body = " {\"a\":{\"b/c\":[1,{\"d\":\"x\"},true , \"\\\"]}\" ,7]},\"n\":-5 \
            ,\"z\":null,\"\":8,\"\\u0071\":9}\n";
        assert_eq!(find("/a/b~1c/1/d", body).unwrap(), Scalar::Text("x".to_owned()));
        assert_eq!(find("/a/b~1c/0", body).unwrap(), Scalar::Number("1"));
        assert_eq!(find("/a/b~1c/2", body).unwrap(), Scalar::Truth(true));
        assert_eq!(find("/a/b~1c/3", body).unwrap(), Scalar::Text("\"]}".to_owned()));
        assert_eq!(find("/a/b~1c/4", body).unwrap(), Scalar::Number("7"));
        assert_eq!(find("/n", body).unwrap(), Scalar::Number("-5"));
        assert_eq!(find("/", body).unwrap(), Scalar::Number("8"));
        assert_eq!(find("/q", body).unwrap(), Scalar::Number("9"));
        assert_eq!(find("/a", r#"{"a":1,"b":[],"a":2}"#).unwrap(), Scalar::Number("2"));
    }

    #[test]
    fn a_tilde_stands_for_itself_or_a_slash_only_where_that_is_said() {
        let body = r#"{"~1": 1, "/": 2, "~": {"~/": 3}, "~0": 4}"#;
        for (pointer, number) in [("/~01", "1"), ("/~1", "2"), ("/~0/~0~1", "3"), ("/~00", "4")] {
            assert_eq!(find(pointer, body).unwrap(), Scalar::Number(number), "{pointer}");
        }
        for odd in ["/~", "/a~", "/~2", "/a/~~", "/~/b", "/~a"] {
            assert_eq!(Pointer::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn says_what_is_there_instead() {
        for (pointer, body) in [
            ("/b", r#"{"a":1}"#),
            ("/a/b", r#"{"a":1}"#),
            ("/a", "{}"),
            ("/a", "7"),
            ("/0", "[]"),
            ("/1", "[1]"),
            ("/x", "[1]"),
            ("/", "[1]"),
            ("/00", "[1]"),
            ("/+0", "[1]"),
            ("/-", "[1]"),
            ("/18446744073709551616", "[1]"),
            ("/a/b", r#"{"a":{"b":1},"a":5}"#),
        ] {
            assert_eq!(find(pointer, body).unwrap_err(), "nothing is there", "{pointer} in {body}");
        }
        assert!(find("/a", r#"{"a":{}}"#).unwrap_err().contains("an object is no key"));
        assert!(find("/a", r#"{"a":[1]}"#).unwrap_err().contains("an array is no key"));
        assert!(find("/a", r#"{"a":null}"#).unwrap_err().contains("null is no key"));
        assert!(find("/a", r#"{"a":"\ud800"}"#).unwrap_err().contains("cannot be read"));
        assert!(find("/a", "{").unwrap_err().contains("EOF"));
        for body in [r#"{"a":1} x"#, r#"{"a":01}"#, r#"{"a":1,}"#, "{\"a\":\"\n\"}", "", "\u{feff}{}"] {
            assert!(find("/a", body).unwrap_err().contains("not JSON"), "{body}");
        }
        assert!(find("/a", &"[".repeat(100_000)).is_err());
    }

    #[test]
    fn what_lies_beside_may_be_as_deep_and_as_odd_as_it_likes() {
        let deep = format!(
            r#"{{"x":{}{},"y\"}}":"\\","id":17,"z":{{"id":18}}}}"#,
            "[".repeat(50_000),
            "]".repeat(50_000)
        );
        assert_eq!(find("/id", &deep).unwrap(), Scalar::Number("17"));
        let names = "/a".repeat(500);
        let body = format!("{}1{}", r#"{"a":"#.repeat(500), "}".repeat(500));
        assert_eq!(find(&names, &body).unwrap(), Scalar::Number("1"));
    }

    /// Two thousand spellings of numbers, each of them its own.
    #[test]
    fn a_number_is_its_digits_as_they_are_written() {
        let mut spellings: Vec<String> = Vec::new();
        let long = "9".repeat(400);
        let wholes = ["0", "1", "7", "9007199254740993", "18446744073709551615", "18446744073709551616"];
        let more = [
            "18446744073709551617",
            "123456789012345678901234567890",
            &long,
            "340282366920938463463374607431768211456",
        ];
        for whole in wholes.into_iter().chain(more) {
            for sign in ["", "-"] {
                for part in
                    ["", ".0", ".00", ".5", ".50", ".1000000000000000055511151231257827", ".000", ".9"]
                {
                    for power in [
                        "", "e0", "E0", "e+0", "e-0", "e1", "E1", "e+1", "e-1", "e01", "e400", "e-400",
                        "E+99999",
                    ] {
                        spellings.push(format!("{sign}{whole}{part}{power}"));
                    }
                }
            }
        }
        assert!(spellings.len() > 2_000);
        assert_eq!(spellings.iter().collect::<HashSet<_>>().len(), spellings.len());
        for text in &spellings {
            for body in [
                format!("{{\"id\":{text}}}"),
                format!("{{ \"id\" :\t{text}\n, \"b\":1}}"),
                format!("{{\"id\":[{text},2]}}"),
            ] {
                let pointer = if body.contains('[') { "/id/0" } else { "/id" };
                assert_eq!(find(pointer, &body).unwrap(), Scalar::Number(text), "{body}");
            }
            assert!(is_number(text.as_bytes()), "{text}");
        }
        for text in [
            "", "-", "+1", "01", "1.", ".5", "1e", "0x10", "1_000", "NaN", "Infinity", "--1", "1 ", " 1",
            "1,2", "\u{661}",
        ] {
            assert!(find("/id", &format!("{{\"id\":{text}}}")).is_err() || text.trim() != text, "{text}");
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }
}
