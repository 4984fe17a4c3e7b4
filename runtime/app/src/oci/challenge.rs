//! `WWW-Authenticate`, taken apart, and the fields of an answer to it.

/// What a registry asks for before it answers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// In small letters.
    pub scheme: String,
    pub realm: Option<String>,
    pub service: Option<String>,
    pub scope: Option<String>,
}

/// Takes one header apart; of several challenges in it the first.
pub fn parse(text: &str) -> Option<Challenge> {
    let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let mut found = Challenge { scheme: scheme.to_ascii_lowercase(), ..Challenge::default() };
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = value(after)?;
        match name.trim().trim_start_matches(',').trim().to_ascii_lowercase().as_str() {
            "realm" => found.realm = Some(value),
            "service" => found.service = Some(value),
            "scope" => found.scope = Some(value),
            _ => {}
        }
        rest = after;
    }
    (!found.scheme.is_empty()).then_some(found)
}

/// A value, in quotes or up to the next comma, and what follows.
fn value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        return Some(
            text.split_once(',')
                .map_or((text.trim().to_owned(), ""), |(v, rest)| (v.trim().to_owned(), rest)),
        );
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// Fields as a query or a form has them.
pub fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            if plain {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_taken_apart() {
        let found = parse(
            r#"Bearer realm="https://a.example/token?x=1",service="r",scope="repository:a/b:pull,push""#,
        );
        let text = |text: &str| Some(text.to_owned());
        let wanted = Challenge {
            scheme: "bearer".to_owned(),
            realm: text("https://a.example/token?x=1"),
            service: text("r"),
            scope: text("repository:a/b:pull,push"),
        };
        assert_eq!(found, Some(wanted));
        assert_eq!(
            parse("Basic realm=x, other=y").map(|c| (c.scheme, c.realm)),
            Some(("basic".to_owned(), text("x")))
        );
        assert_eq!(parse("Negotiate").map(|c| c.scheme), text("negotiate"));
        assert_eq!(parse(r#"Bearer realm="open"#), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_form_hides_what_is_no_letter() {
        assert_eq!(
            form(&[("a", "b c&d"), ("scope", "repository:a/b:pull")]),
            "a=b%20c%26d&scope=repository%3Aa%2Fb%3Apull"
        );
    }
}
