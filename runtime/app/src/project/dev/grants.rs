//! What the pipeline grants, where it is tried out: the same, but what the handler sends stays here.

use super::paths::{given, path};
use toml::{Table, Value};

/// From a configuration in the project to one in a folder of it. Files are found from there, and each target
/// at a broker is a queue here, with the target's name.
pub fn derived(mut grants: Table) -> Table {
    if let Some(Value::Table(config)) = grants.get_mut("config") {
        config.iter_mut().for_each(|(_, value)| given(value));
    }
    for place in grants.get_mut("http").and_then(Value::as_array_mut).into_iter().flatten() {
        let headers = place.get_mut("headers").and_then(Value::as_table_mut);
        headers.into_iter().flatten().for_each(|(_, value)| given(value));
    }
    if let Some(Value::Table(limits)) = grants.get_mut("http_limits") {
        limits.get_mut("ca_file").into_iter().for_each(path);
        limits.get_mut("proxy").into_iter().for_each(given);
    }
    if let Some(Value::Table(outbox)) = grants.get_mut("outbox") {
        outbox.iter_mut().for_each(|(name, target)| here(name, target));
    }
    grants
}

fn here(name: &str, target: &mut Value) {
    if target.get("type").and_then(Value::as_str) != Some("embedded") {
        let table = [("type", "embedded"), ("queue", name)];
        let table = table.map(|(key, text)| (key.to_owned(), Value::String(text.to_owned())));
        *target = Value::Table(Table::from_iter(table));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_and_no_broker_is_sent_to() {
        let grants: Table =
            "config = { a = \"eu\", b = { file = \"secrets/b\" }, c = { file = \"/c\" } }\n\
             http = [{ to = \"https://a\", headers = { x = { file = \"x\", prefix = \"p\" } } }]\n\
             http_limits.ca_file = \"ca.pem\"\noutbox.mine = { type = \"embedded\", queue = \"q\" }\n\
             outbox.audit = { type = \"kafka\", topic = \"audit\" }"
                .parse()
                .expect("TOML");
        let wanted: Table =
            "config = { a = \"eu\", b = { file = \"../secrets/b\" }, c = { file = \"/c\" } }\n\
             http = [{ to = \"https://a\", headers = { x = { file = \"../x\", prefix = \"p\" } } }]\n\
             http_limits.ca_file = \"../ca.pem\"\noutbox.mine = { type = \"embedded\", queue = \"q\" }\n\
             outbox.audit = { type = \"embedded\", queue = \"audit\" }"
                .parse()
                .expect("TOML");
        assert_eq!(derived(grants), wanted);
    }
}
