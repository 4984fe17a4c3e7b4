//! Handlers that run SQL, one in each language, on a real PostgreSQL: in cases, whose transactions are rolled
//! back, and in a worker, whose transactions hold the record that a message was processed.

use crate::project::{Project, Said};
use pelton_tests::postgres::{Db, Postgres};
use serde_json::Value;
use std::sync::OnceLock;

/// Orders, of which the third wants more than there is then, and the first comes twice.
const ORDERS: &str = "{\"id\":1,\"item\":\"tea\",\"units\":2}\n{\"id\":2,\"item\":\"tea\",\"units\":3}\n\
                      {\"id\":3,\"item\":\"tea\",\"units\":1}\n";
const SCHEMA: &str = include_str!("sql/schema.sql");

#[test]
fn python() {
    runs(&Project::new("python", false), "handler.py", include_str!("sql/handler.py"));
}

#[test]
fn javascript() {
    runs(&Project::new("javascript", false), "src/handler.js", include_str!("sql/handler.js"));
}

#[test]
fn typescript() {
    runs(&Project::new("typescript", false), "src/handler.ts", include_str!("sql/handler.ts"));
}

#[test]
fn rust() {
    runs(&Project::new("rust", false), "src/lib.rs", include_str!("sql/lib.rs"));
}

#[test]
fn c() {
    runs(&Project::new("c", false), "handler.c", include_str!("sql/handler.c"));
}

#[test]
fn c_worker() {
    runs(&Project::made("c", &["--kind", "worker"]), "handler.c", include_str!("sql/handler.c"));
}

#[test]
fn go() {
    let project = Project::new("go", false);
    runs(&project, "main.go", include_str!("sql/main.go"));
}

/// One server for all.
fn database() -> Db {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start).database()
}

fn runs(project: &Project, file: &str, source: &str) {
    let db = database();
    written(project, file, source);
    let write = |name: &str, text: &str| std::fs::write(project.dir.join(name), text).expect("written");
    // An address that nobody has: cases run in the database that they are given.
    write("pelton.toml", &configuration(project, "postgres://nobody@127.0.0.1:1/none"));
    let tested = project.done(&["test", "--database", &db.url()]);
    assert!(tested.contains("3 cases passed"), "{tested}");
    assert_eq!(db.number("select count(*) from pg_tables where tablename in ('orders', 'stock')"), 0);
    write("pelton.toml", &configuration(project, &db.url()));
    in_a_worker(project, &db);
}

fn written(project: &Project, file: &str, source: &str) {
    let write = |name: &str, text: &str| std::fs::write(project.dir.join(name), text).expect("written");
    write(file, source);
    write("schema.sql", SCHEMA);
    write("tests/cases.toml", include_str!("sql/cases.toml"));
    // The template's own tests are of the template's handler.
    let manifest = std::fs::read_to_string(project.dir.join("handler.toml")).expect("it is there");
    let manifest =
        manifest.replace("\ntest = ", "\n# test = ").replace("\n# uses = ", "\nuses = [\"sql\"] # ");
    write(
        "handler.toml",
        &manifest.replacen("\n[[tools]]", "\n[sql]\nschema = \"schema.sql\"\n\n[[tools]]", 1),
    );
}

fn configuration(project: &Project, url: &str) -> String {
    let (name, component) = (&project.name, project.component());
    format!(
        "data_dir = \"data\"\n[databases.shop]\nurl = \"{url}\"\n\
         [pipelines.{name}.handler]\ncomponent = \"{component}\"\nconcurrency = 2\n\
         [pipelines.{name}.retry]\nmax_attempts = 2\ninitial_interval = \"10ms\"\n\
         [pipelines.{name}.grants]\nsql = [\"shop\"]\n"
    )
}

fn in_a_worker(project: &Project, db: &Db) {
    db.run(SCHEMA);
    project.done(&["db", "init", "--database", "shop"]);
    std::fs::write(project.dir.join("orders"), ORDERS).expect("written");
    project.done(&["send", &project.name, "--lines", "orders", "--key", "tea"]);
    let Said { code, out, err } = project.pelton(&["run", "--until-empty"]);
    assert_eq!(code, 0, "{out}\n{err}");
    let counts: Value = serde_json::from_str(&out).expect("JSON");
    let counts = &counts["pipelines"][&project.name];
    assert_eq!(counts["handled"], 2, "{counts}\n{err}");
    assert_eq!(db.number("select units from stock"), 0);
    assert_eq!(db.number("select count(*) from orders o join log l on l.order_id = o.id"), 2);
    assert_eq!(db.number("select count(*) from log where note = '\\x0001ff'"), 2);
    let letters = project.done(&["dlq", "list", &project.name, "--json"]);
    assert!(letters.contains("order 3: no 1 tea (23514)"), "{letters}");
}

/// The example, as its author runs it: a server is found, started, and gone at the end.
#[test]
fn a_server_is_started_for_cases() {
    let project = Project::new("rust", false);
    written(&project, "src/lib.rs", include_str!("sql/lib.rs"));
    std::fs::write(
        project.dir.join("pelton.toml"),
        configuration(&project, "postgres://nobody@127.0.0.1:1/none"),
    )
    .expect("written");
    let none = project.pelton(&["test"]);
    assert_eq!(none.code, 64, "{}", none.out);
    assert!(
        none.err.contains("pelton test --postgres") && none.err.contains("DATABASE_URL"),
        "{}",
        none.err
    );
    let tested = project.done(&["test", "--no-build", "--postgres"]);
    assert!(
        tested.contains("database: a PostgreSQL of its own") && tested.contains("3 cases passed"),
        "{tested}"
    );
    project.edit("schema.sql", "create table log", "create tabel log");
    let wrong = project.pelton(&["test", "--no-build", "--postgres"]);
    assert_eq!(wrong.code, 1, "{}", wrong.out);
    assert!(wrong.err.contains("schema.sql: syntax error at or near \"tabel\""), "{}", wrong.err);
}
