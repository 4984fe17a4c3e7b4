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

fn value(inside: &str, env: Lookup<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid {
        return Err(format!(
            "refers to `${{{inside}}}`, which is no variable's name; write `${{NAME}}` or `${{NAME:default}}`"
        ));
    }
    let found = env(name).or_else(|| default.map(str::to_owned));
    found.ok_or_else(|| format!("refers to the environment variable `{name}`, which is not set; set it, or write `${{{name}:default}}`"))
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
    }
}
