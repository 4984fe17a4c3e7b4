//! The tables of this version. Each statement may be run again: what is there stays.

/// The version of the tables.
pub const VERSION: i32 = 1;

/// A table, and what a worker does with it.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What makes it, with its indexes.
    pub create: &'static [&'static str],
    /// The rights that a worker needs.
    pub rights: &'static [&'static str],
}

const ALL: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE"];

/// All tables, in the order they are made.
pub const TABLES: &[Table] = &[
    Table {
        name: "pelton_schema",
        create: &["CREATE TABLE IF NOT EXISTS pelton_schema (
    version integer PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT now()
)"],
        rights: &["SELECT"],
    },
    Table {
        name: "pelton_pipelines",
        create: &["CREATE TABLE IF NOT EXISTS pelton_pipelines (
    number smallint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL UNIQUE,
    source text NOT NULL,
    kept interval NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now()
)"],
        rights: ALL,
    },
    Table {
        name: "pelton_workers",
        create: &["CREATE TABLE IF NOT EXISTS pelton_workers (
    number integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    data_dir text NOT NULL,
    name text NOT NULL,
    heartbeat timestamptz NOT NULL DEFAULT now(),
    ended text,
    claimed jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50)"],
        rights: ALL,
    },
    // A row is written twice, and in a page that is half empty the second writing touches no index.
    Table {
        name: "pelton_processed",
        create: &["CREATE TABLE IF NOT EXISTS pelton_processed (
    at timestamptz NOT NULL,
    claim bigint NOT NULL,
    worker integer NOT NULL,
    attempts integer NOT NULL,
    pipeline smallint NOT NULL,
    state \"char\" NOT NULL,
    key uuid NOT NULL,
    letter uuid,
    PRIMARY KEY (pipeline, key)
) WITH (fillfactor = 50)"],
        rights: ALL,
    },
    Table {
        name: "pelton_letters",
        create: &[
            "CREATE TABLE IF NOT EXISTS pelton_letters (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    pipeline smallint NOT NULL,
    attempts integer NOT NULL,
    published_at_ms bigint,
    failed_at timestamptz NOT NULL DEFAULT now(),
    tombstone boolean NOT NULL,
    message_id text NOT NULL,
    cause text NOT NULL,
    failure text NOT NULL,
    reason text NOT NULL,
    handler text NOT NULL,
    origin text NOT NULL,
    key bytea,
    headers bytea NOT NULL,
    body bytea NOT NULL
)",
            "CREATE INDEX IF NOT EXISTS pelton_letters_pipeline ON pelton_letters (pipeline, id)",
        ],
        rights: ALL,
    },
    Table {
        name: "pelton_stores",
        create: &["CREATE TABLE IF NOT EXISTS pelton_stores (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    ledger text NOT NULL,
    name text NOT NULL,
    UNIQUE (ledger, name)
)"],
        rights: ALL,
    },
    Table {
        name: "pelton_state",
        create: &["CREATE TABLE IF NOT EXISTS pelton_state (
    bucket bigint NOT NULL,
    stamp bigint NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (bucket, key)
) WITH (fillfactor = 80)"],
        rights: ALL,
    },
    Table {
        name: "pelton_targets",
        create: &["CREATE TABLE IF NOT EXISTS pelton_targets (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    ledger text NOT NULL,
    name text NOT NULL,
    relay text,
    relay_until timestamptz,
    UNIQUE (ledger, name)
) WITH (fillfactor = 50)"],
        rights: ALL,
    },
    Table {
        name: "pelton_outbox",
        create: &["CREATE TABLE IF NOT EXISTS pelton_outbox (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    target bigint NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delay_ms bigint,
    message_id text NOT NULL,
    topic text,
    key bytea,
    headers bytea,
    body bytea NOT NULL,
    PRIMARY KEY (target, id)
)"],
        rights: ALL,
    },
    Table {
        name: "pelton_outbox_letters",
        create: &[
            "CREATE TABLE IF NOT EXISTS pelton_outbox_letters (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    target bigint NOT NULL,
    committed_at timestamptz NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    message_id text NOT NULL,
    reason text NOT NULL,
    topic text,
    key bytea,
    headers bytea,
    body bytea NOT NULL
)",
            "CREATE INDEX IF NOT EXISTS pelton_outbox_letters_target ON pelton_outbox_letters (target, id)",
        ],
        rights: ALL,
    },
    Table {
        name: "pelton_steering",
        create: &["CREATE TABLE IF NOT EXISTS pelton_steering (
    ledger text PRIMARY KEY,
    words text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
)"],
        rights: ALL,
    },
];

/// A name as SQL has it in quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What notes the version.
pub fn note_version() -> String {
    format!("INSERT INTO pelton_schema (version) VALUES ({VERSION}) ON CONFLICT DO NOTHING")
}

/// The statements that make everything, and let a user use it.
pub fn printed(user: &str) -> String {
    let tables = TABLES.iter().flat_map(|table| table.create.iter().map(|sql| format!("{sql};")));
    let grants =
        TABLES.iter().map(|t| format!("GRANT {} ON {} TO {};", t.rights.join(", "), t.name, quoted(user)));
    let all: Vec<String> = std::iter::once("BEGIN;".to_owned())
        .chain(tables)
        .chain(std::iter::once(format!("{};", note_version())))
        .chain(grants)
        .chain(std::iter::once("COMMIT;".to_owned()))
        .collect();
    all.join("\n") + "\n"
}
