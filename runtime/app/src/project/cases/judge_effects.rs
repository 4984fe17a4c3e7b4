//! Whether what a case has done to state and has sent is what was wanted of it.

use super::body;
use super::effects::{CaseEffects, SentWanted, StateWanted, Stores};
use crate::harness::Sent;
use crate::project::grants::{OWN_STORE, ProjectGrants};
use pelton_core::shown::shown;

/// What a case gives or wants that its pipeline does not grant: the handler would not have it there.
pub fn not_granted(case: &CaseEffects, grants: &ProjectGrants) -> Vec<String> {
    let config = case.config.keys().filter(|name| !grants.has_config(name)).map(|name| ("config", &**name));
    let stores = case.stores().filter(|name| !grants.world.has_store(name)).map(|name| ("state", name));
    let targets = case.sent.iter().map(|sent| &*sent.target).filter(|name| !grants.world.has_target(name));
    let problem = |(what, name): (&str, &str)| {
        format!(
            "wanted  {what} \"{}\"\ngot     a pipeline in pelton.toml that does not grant it",
            shown(name)
        )
    };
    config.chain(stores).chain(targets.map(|name| ("outbox", name))).map(problem).collect()
}

/// What is wrong with state after a case. `written` are the keys that the case has written: each of them has
/// to be wanted, where anything is.
pub fn state_problems(case: &CaseEffects, got: &Stores, written: &[(String, Vec<u8>)]) -> Vec<String> {
    let Some(after) = &case.after else { return Vec::new() };
    let value = |store: &str, key: &Vec<u8>| got.get(store).and_then(|keys| keys.get(key));
    let named =
        after.iter().flat_map(|(store, keys)| keys.iter().map(move |(key, want)| (store, key, want)));
    let differs =
        named.filter(|(store, key, want)| !want.is(value(store, key))).map(|(store, key, want)| {
            let got = value(store, key).cloned().map_or(StateWanted::Absent, StateWanted::Bytes);
            format!("wanted  {} to have {}\ngot     {}", place(store, key), want.words(), got.words())
        });
    let is_named = |store: &String, key| after.get(store).is_some_and(|keys| keys.contains_key(key));
    let more = written.iter().filter(|(store, key)| !is_named(store, key)).map(|(store, key)| {
        let got = value(store, key).cloned().map_or(StateWanted::Absent, StateWanted::Bytes);
        format!(
            "wanted  no change of {}: state_after does not name it\ngot     {}",
            place(store, key),
            got.words()
        )
    });
    differs.chain(more).collect()
}

fn place(store: &str, key: &[u8]) -> String {
    match store {
        OWN_STORE => format!("the key \"{}\"", shown(key)),
        store => format!("the key \"{}\" of the store {}", shown(key), shown(store)),
    }
}

/// What is wrong with the messages that a case has sent: what nobody wanted, then what is missing.
pub fn sent_problems(case: &CaseEffects, sent: &[Sent]) -> Vec<String> {
    let mut left: Vec<&SentWanted> = case.sent.iter().collect();
    let mut problems = Vec::new();
    for one in sent {
        match left.iter().position(|wanted| wanted.missing_in(one).is_none()) {
            Some(place) => drop(left.remove(place)),
            None => problems.push(unexpected(one, &left)),
        }
    }
    let absent = |wanted: &SentWanted| {
        format!("wanted  a message to {}\ngot     none that fits", shown(&wanted.target))
    };
    problems.into_iter().chain(left.into_iter().map(absent)).collect()
}

fn unexpected(sent: &Sent, left: &[&SentWanted]) -> String {
    let Sent { target, message } = sent;
    let nearest = left.iter().find(|wanted| wanted.target == *target);
    let wanted = match nearest.and_then(|wanted| wanted.missing_in(sent)) {
        Some(missing) => format!("wanted  this message with {missing}"),
        None => "wanted  no such message".to_owned(),
    };
    let key = message.key.as_ref().map(|key| format!(", key \"{}\"", shown(key))).unwrap_or_default();
    let mut lines = vec![wanted, format!("got     a message to {}{key}", shown(target))];
    lines.extend(body::lines(&message.body).into_iter().map(|line| format!("        {line}")));
    lines.push("to expect it, write:".to_owned());
    let key = message.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
    let expecting = ["[[case.sent]]".to_owned(), format!("target = {}", body::quoted(target))]
        .into_iter()
        .chain(key.map(|key| format!("key = {}", body::quoted(key))))
        .chain(body::toml_line(&message.body));
    lines.extend(expecting.map(|line| format!("        {line}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::cases::effects::RawEffects;
    use pelton_core::effects::{StagedMessage, Target};
    use std::path::Path;

    fn read(text: &str) -> Result<CaseEffects, String> {
        toml::from_str::<RawEffects>(text).map_err(|error| error.to_string())?.read(Path::new("/p/tests"))
    }

    fn receipt(key: &str, body: &str) -> Sent {
        let message = StagedMessage {
            target: Target(1),
            id: "id".into(),
            topic: None,
            key: Some(key.into()),
            headers: Vec::new(),
            body: body.into(),
            delay_ms: Some(500),
        };
        Sent { target: "receipts".to_owned(), message }
    }

    fn stores(keys: &[(&str, &str)]) -> Stores {
        let keys = keys.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Stores::from([(OWN_STORE.to_owned(), keys)])
    }

    #[test]
    fn state_is_held_against_what_is_wanted_of_it() {
        let case = read("state_after = { n = 7, j = { b = 1 }, gone = false }").expect("good");
        let good = stores(&[("n", "7"), ("j", "{\"b\":1,\"c\":2}"), ("untouched", "1")]);
        assert_eq!(state_problems(&case, &good, &[(OWN_STORE.to_owned(), b"n".to_vec())]), [""; 0]);
        let bad = stores(&[("n", "8"), ("j", "no JSON"), ("gone", "1"), ("more", "m")]);
        let problems = state_problems(&case, &bad, &[(OWN_STORE.to_owned(), b"more".to_vec())]);
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems.contains(&"wanted  the key \"n\" to have \"7\"\ngot     \"8\"".to_owned()));
        assert!(problems[3].contains("no change of the key \"more\""), "{problems:?}");
        assert_eq!(state_problems(&read("").expect("good"), &bad, &[]), [""; 0]);
    }

    #[test]
    fn each_message_that_is_sent_has_to_be_wanted() {
        let case = read(
            "[[sent]]\ntarget = \"receipts\"\nkey = \"c1\"\njson = { id = 1 }\n[[sent]]\ntarget = \
             \"receipts\"\ndelay = \"500ms\"",
        )
        .expect("good");
        let (one, other) = (receipt("c1", "{\"id\":1}"), receipt("c2", "{\"id\":2}"));
        assert_eq!(sent_problems(&case, &[other.clone(), one.clone()]), [""; 0]);
        let problems = sent_problems(&case, &[other.clone(), one.clone(), other]);
        let shown = "wanted  no such message\ngot     a message to receipts, key \"c2\"\n        {\"id\":2}\n\
                     to expect it, write:\n        [[case.sent]]\n        target = \"receipts\"\n        \
                     key = \"c2\"\n        json = { id = 2 }";
        assert_eq!(problems, [shown]);
        let missing = sent_problems(&case, &[one]);
        assert_eq!(missing, ["wanted  a message to receipts\ngot     none that fits"]);
    }
}
