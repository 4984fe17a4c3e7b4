//! References to the environment in values: `${NAME}`, `${NAME:default}`, and `$$` for a dollar.

/// Looks a variable up; a function, so that the check stays pure.
pub type Lookup<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Puts in what is referred to. `Err` says what is missing or malformed.
pub fn expand(text: &str, env: Lookup<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let (inside, after) =
                after.split_once('}').ok_or("has a `${` without its `}`; write `$$` for a dollar sign")?;
            out.push_str(&value(inside, env)?);
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// What shells know between a variable's name and a word, and Pelton does not.
const OF_SHELLS: [&str; 4] = ["-", "=", "?", "+"];

fn value(inside: &str, env: Lookup<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err(misnamed(inside));
    }
    if let Some(default) = default {
        refuse_what_shells_mean(name, default)?;
    }
    let found = env(name).or_else(|| default.map(str::to_owned));
    found.ok_or_else(|| {
        format!(
            "refers to the environment variable `{name}`, which is not set; set it, or \
        write `${{{name}:default}}`"
        )
    })
}

fn is_name(name: &str) -> bool {
    let all = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    all && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// `${X-d}`, `${#X}`, `${X%.txt}` and the like: with the form that is meant, where one can be told. What
/// stands there is not repeated: it may be a part of a password that has a dollar sign.
fn misnamed(inside: &str) -> String {
    let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
    let (name, rest) = inside.split_at(end);
    let operator = OF_SHELLS.iter().find(|operator| rest.starts_with(**operator));
    match operator {
        Some(operator) if is_name(name) => not_a_shell(name, operator, operator),
        Some(_) | None => {
            "has a `${...}` with something else in it than a variable's name; write `${NAME}` or \
             `${NAME:default}`, and `$$` for a dollar sign"
                .to_owned()
        }
    }
}

/// `${X:-d}`, `${X:?e}` and `${X:${Y}}` would be taken by the letter: as `-d`, as `?e` and as `${Y` with a
/// brace behind it.
fn refuse_what_shells_mean(name: &str, default: &str) -> Result<(), String> {
    if default.contains("${") {
        return Err(format!(
            "has a reference within the default of `${{{name}:...}}`; a default is a plain text, without \
             another `${{`"
        ));
    }
    let operator = OF_SHELLS.iter().find(|operator| default.starts_with(**operator));
    operator.map_or(Ok(()), |operator| Err(not_a_shell(name, operator, &format!(":{operator}"))))
}

/// The default may be a secret, and is not repeated.
fn not_a_shell(name: &str, operator: &str, written: &str) -> String {
    let meant = match operator {
        "-" | "=" => format!("for a default write `${{{name}:default}}`"),
        "?" => format!("write `${{{name}}}`: a variable without a default has to be set"),
        _ => format!("write `${{{name}}}`, or `${{{name}:default}}`"),
    };
    format!(
        "refers to `${{{name}{written}...}}`, which is a form of shells; {meant}. A default cannot begin \
         with `-`, `=`, `?` or `+`"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn references_defaults_and_dollars() {
        let env = |name: &str| (name == "HOST").then(|| "h1".to_owned());
        assert_eq!(expand("a-${HOST}-${PORT:80}-$$5-$x", &env).unwrap(), "a-h1-80-$5-$x");
        assert!(expand("${NOPE}", &env).unwrap_err().contains("`NOPE`, which is not set"));
        assert!(expand("${HOST", &env).is_err() && expand("${}", &env).is_err());
        assert_eq!(expand("${EMPTY:}", &env).unwrap(), "");
        assert_eq!(expand("${PLACE:localhost:9092}", &env).unwrap(), "localhost:9092");
    }

    #[test]
    fn forms_of_shells_are_refused_with_the_right_one_whether_the_variable_is_set_or_not() {
        let set = |_: &str| Some("v".to_owned());
        let unset = |_: &str| None;
        for (text, right) in [
            ("${X:-s3cr3t}", "`${X:default}`"),
            ("${X-s3cr3t}", "`${X:default}`"),
            ("${X:=s3cr3t}", "`${X:default}`"),
            ("${X=s3cr3t}", "`${X:default}`"),
            ("a${X:?must be set}b", "`${X}`"),
            ("${X?must be set}", "`${X}`"),
            ("${X:+s3cr3t}", "`${X}`"),
            ("${X+d}", "`${X}`"),
            ("${X:${Y}}", "without another"),
            ("${X:a${Y:b}}", "without another"),
            ("${#X}", "`${NAME}`"),
            ("${!X}", "`${NAME}`"),
            ("${X%.txt}", "`${NAME}`"),
            ("${X##*/}", "`${NAME}`"),
            ("${X/a/b}", "`${NAME}`"),
            ("${X^^}", "`${NAME}`"),
            ("${X[0]}", "`${NAME}`"),
            ("${X@Q}", "`${NAME}`"),
            ("${1}", "`${NAME}`"),
            ("${@}", "`${NAME}`"),
            ("${ X }", "`${NAME}`"),
            ("a${s3cr3t!}b", "`$$`"),
        ] {
            for env in [&set as Lookup<'_>, &unset] {
                let refused = expand(text, env).unwrap_err();
                assert!(refused.contains(right), "{text}: {refused}");
                assert!(!refused.contains("s3cr3t"), "{text}: {refused}");
            }
        }
    }
}
