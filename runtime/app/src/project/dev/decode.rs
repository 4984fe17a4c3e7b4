//! What the pipeline decodes, where it is tried out: the same, but nothing in S3 is deleted.

use super::paths::{given, path};
use toml::{Table, Value};

/// From a configuration in the project to one in a folder of it.
pub fn derived(mut decode: Table) -> Table {
    decode.remove("delete");
    if let Some(Value::Table(schema)) = decode.get_mut("schema") {
        schema.get_mut("file").into_iter().for_each(path);
        schema.get_mut("ca_file").into_iter().for_each(path);
        let auth = schema.get_mut("auth").and_then(Value::as_table_mut);
        auth.into_iter().flatten().for_each(|(_, value)| given(value));
    }
    decode
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_and_nothing_is_deleted() {
        let decode: Table = "envelope = \"s3-pointer\"\ndelete = true\nbuckets = [\"a\"]\n\
             schema = { type = \"avro\", file = \"a.avsc\", ca_file = \"/ca.pem\", \
             auth = { user = \"u\", password = { file = \"secret\" } } }"
            .parse()
            .expect("TOML");
        let wanted: Table = "envelope = \"s3-pointer\"\nbuckets = [\"a\"]\n\
             schema = { type = \"avro\", file = \"../a.avsc\", ca_file = \"/ca.pem\", \
             auth = { user = \"u\", password = { file = \"../secret\" } } }"
            .parse()
            .expect("TOML");
        assert_eq!(derived(decode), wanted);
    }
}
