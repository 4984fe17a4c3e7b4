//! Components that do what a test says: for each message the deeds of its body's first letter. What they are
//! answered is a line of their log.

mod imports;

use imports::{helpers, imports};
use std::fmt::Write;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const GUEST: &str = include_str!("../../fixtures/deeds.wat");
const WORLDS: &str = include_str!("../../fixtures/deeds.wit");

/// One thing that a handler does.
#[derive(Debug, Clone, Copy)]
pub enum Deed {
    Open(&'static str),
    Get(&'static str),
    Set(&'static str, &'static str),
    /// A value of so many zeros.
    SetZeros(&'static str, u32),
    Delete(&'static str),
    Exists(&'static str),
    Add(&'static str, i64),
    /// All pages.
    List,
    GetMany(&'static [&'static str]),
    SetMany(&'static [(&'static str, &'static str)]),
    DeleteMany(&'static [&'static str]),
    /// Opens a swap of this key.
    Swap(&'static str),
    Current,
    /// Swaps to this value.
    SwapTo(&'static str),
    Send(Outgoing),
    /// Sends by the standard's producer: target, topic, body, and a pair of metadata.
    Produce(&'static str, &'static str, &'static str, (&'static str, &'static str)),
    Config(&'static str),
    /// All of it: names and values.
    ConfigAll,
    /// All variables: names and values.
    Environment,
    /// Runs a statement of the database `shop`, perhaps with one text as its parameter.
    Query(&'static str, Option<&'static str>),
    Execute(&'static str, Option<&'static str>),
    Stage(&'static str, Option<&'static str>),
    /// Of another database.
    QueryOf(&'static str, &'static str),
    /// The same statement so many times; only the last answer is shown.
    ExecuteTimes(&'static str, u32),
    StageTimes(&'static str, u32),
    /// Prints it: to the log.
    Say(&'static str),
    Retry,
    Reject(&'static str),
    Trap,
    Spin,
    /// Opens stores, or swaps of keys, until it is stopped.
    OpenForever,
    SwapForever,
    /// Writes so many keys, `0000` and so on.
    SetCounted(u32),
}

/// A message for the outbox.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing {
    pub target: &'static str,
    pub key: Option<&'static str>,
    pub header: Option<(&'static str, &'static str)>,
    pub body: &'static str,
    pub zeros: u32,
    pub delay_ms: Option<u64>,
    pub topic: Option<&'static str>,
}

/// A message with nothing but a body.
pub const fn send(target: &'static str, body: &'static str) -> Outgoing {
    Outgoing { target, key: None, header: None, body, zeros: 0, delay_ms: None, topic: None }
}

/// Which interfaces it imports, and what it exports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum World {
    Draft,
    Draft2,
    /// Draft 2, with a handler of batches.
    Batch,
    /// Draft 2 of state, the outbox, and SQL.
    Sql,
    SqlBatch,
    Outbox,
    Producer,
    ConfigRc,
    ConfigSpin,
    ConfigRuntime,
    Environment,
}

impl World {
    fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Draft2 => "draft-two",
            Self::Batch => "batch",
            Self::Sql => "sql",
            Self::SqlBatch => "sql-batch",
            Self::Outbox => "outbox",
            Self::Producer => "producer",
            Self::ConfigRc => "config-rc",
            Self::ConfigSpin => "config-spin",
            Self::ConfigRuntime => "config-runtime",
            Self::Environment => "environment",
        }
    }
}

struct Code {
    world: World,
    data: String,
    next: usize,
}

/// A component of a world, with the deeds of each letter.
pub fn component_of(world: World, letters: &[(char, &[Deed])]) -> Vec<u8> {
    let mut code = Code { world, data: String::new(), next: 131_072 };
    let mut deeds = String::new();
    for (letter, all) in letters {
        let all: String = all.iter().map(|deed| code.deed(*deed)).collect();
        let letter = u32::from(*letter);
        write!(deeds, "(if (i32.eq (local.get $letter) (i32.const {letter})) (then {all}))").unwrap();
    }
    let wat = GUEST
        .replace("IMPORTS", &imports(world))
        .replace("HELPERS", &helpers(world))
        .replace("DATA", &code.data)
        .replace("DEEDS", &deeds)
        .replace("EXPORT", if matches!(world, World::Batch | World::SqlBatch) { MANY } else { ONE });
    encode(&wat, world.name())
}

fn encode(wat: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = Resolve::default();
    // One by one: what the SDKs use of the standard is a part of what the host has.
    let files = [
        "../../wit/handler.wit",
        "../../wit/deps/effects/effects.wit",
        "wit/keyvalue.wit",
        "wit/messaging.wit",
    ];
    for file in files {
        resolve.push_file(file).unwrap();
    }
    let package = resolve.push_str("deeds.wit", WORLDS).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

const ONE: &str = "(func (export \"pelton:handler/message-handler@0.1.0#handle\") (param $message i32) \
    (result i32) (call $handle (local.get $message) (i32.const 1024)) (i32.const 1024))";
const MANY: &str =
    "(func (export \"pelton:handler/batch-handler@0.1.0#handle-batch\") (param $list i32) (param \
    $len i32) (result i32) (local $i i32)
    (i32.store (i32.const 512) (i32.const 1024)) (i32.store (i32.const 516) (local.get $len))
    (loop $each
      (call $handle (i32.add (local.get $list) (i32.mul (local.get $i) (i32.const 88)))
        (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 40))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $i) (local.get $len))))
    (i32.const 512))";

/// A deed again and again, of which only what the last one says is kept.
fn repeated(deed: &str, times: u32) -> String {
    format!(
        "(global.set $times (i32.const {times}))
         (loop $again
           (global.set $trace (i32.const 65536))
           {deed}
           (global.set $times (i32.sub (global.get $times) (i32.const 1)))
           (br_if $again (global.get $times)))"
    )
}

impl Code {
    /// Where a text is and how long, as two constants.
    fn text(&mut self, text: &str) -> String {
        let at = self.next;
        let bytes: String = text.bytes().map(|b| format!("\\{b:02x}")).collect();
        writeln!(self.data, "(data (i32.const {at}) \"{bytes}\")").unwrap();
        self.next += text.len().next_multiple_of(4).max(4);
        format!("(i32.const {at}) (i32.const {})", text.len())
    }

    fn option(&mut self, text: Option<&str>) -> String {
        match text {
            Some(text) => format!("(i32.const 1) {}", self.text(text)),
            None => "(i32.const 0) (i32.const 0) (i32.const 0)".to_owned(),
        }
    }

    /// A list of texts, each two words: where it is, as two constants.
    fn list(&mut self, texts: &[&str], words: usize) -> String {
        let places: Vec<String> = texts.iter().map(|text| self.text(text)).collect();
        let mut bytes = String::new();
        for place in &places {
            for number in place.split(['(', ')', ' ']).filter_map(|word| word.parse::<u32>().ok()) {
                number.to_le_bytes().iter().for_each(|b| write!(bytes, "\\{b:02x}").unwrap());
            }
        }
        let at = self.next;
        writeln!(self.data, "(data (i32.const {at}) \"{bytes}\")").unwrap();
        self.next += texts.len() * 8 + 8;
        format!("(i32.const {at}) (i32.const {})", texts.len() * 2 / words)
    }

    fn deed(&mut self, deed: Deed) -> String {
        let store = "(global.get $store)";
        let two = self.world != World::Draft;
        match deed {
            Deed::Open(name) => format!("(call $open {} (i32.const 64)) (call $opened)", self.text(name)),
            Deed::Get(key) => {
                format!("(call $get {store} {} (i32.const 64)) (call $value)", self.text(key))
            }
            Deed::Set(key, value) => {
                let (key, value) = (self.text(key), self.text(value));
                format!("(call $set {store} {key} {value} (i32.const 64)) (call $done)")
            }
            Deed::SetZeros(key, length) => format!(
                "(call $set {store} {} (i32.const 1048576) (i32.const {length}) (i32.const 64)) (call $done)",
                self.text(key)
            ),
            Deed::Delete(key) => {
                format!("(call $delete {store} {} (i32.const 64)) (call $done)", self.text(key))
            }
            Deed::Exists(key) => {
                format!("(call $exists {store} {} (i32.const 64)) (call $flag)", self.text(key))
            }
            Deed::Add(key, by) => {
                format!(
                    "(call $add {store} {} (i64.const {by}) (i32.const 64)) (call $number)",
                    self.text(key)
                )
            }
            Deed::List => "(call $list_all)".to_owned(),
            Deed::GetMany(keys) => {
                let place = if two { 8 } else { 0 };
                let keys = self.list(keys, 2);
                format!(
                    "(call $get_many {store} {keys} (i32.const 64)) (call $options (i32.const {place}))"
                )
            }
            Deed::SetMany(pairs) => {
                let flat: Vec<&str> = pairs.iter().flat_map(|(key, value)| [*key, *value]).collect();
                format!("(call $set_many {store} {} (i32.const 64)) (call $done)", self.list(&flat, 4))
            }
            Deed::DeleteMany(keys) => {
                format!("(call $delete_many {store} {} (i32.const 64)) (call $done)", self.list(keys, 2))
            }
            Deed::Swap(key) => {
                format!("(call $cas {store} {} (i32.const 64)) (call $swap_opened)", self.text(key))
            }
            Deed::Current => "(call $current (global.get $cas) (i32.const 64)) (call $value)".to_owned(),
            Deed::SwapTo(value) => {
                format!(
                    "(call $swap (global.get $cas) {} (i32.const 64)) (call $swapped)",
                    self.text(value)
                )
            }
            other => self.other_deed(other),
        }
    }

    fn other_deed(&mut self, deed: Deed) -> String {
        match deed {
            Deed::Send(message) => self.send(message),
            Deed::Produce(target, topic, body, (name, value)) => format!(
                "(call $connect {} (i32.const 64))
                 (call $produce_it {} {} {} {})",
                self.text(target),
                self.text(topic),
                self.text(body),
                self.text(name),
                self.text(value)
            ),
            Deed::Config(name) => {
                format!("(call $config {} (i32.const 64)) (call $value)", self.text(name))
            }
            Deed::ConfigAll => {
                "(call $all (i32.const 64)) (call $texts (i32.load (i32.const 68)) (i32.mul \
                                (i32.const 2) (i32.load (i32.const 72))))"
                    .to_owned()
            }
            Deed::Environment => {
                "(call $environment (i32.const 64)) (call $texts (i32.load (i32.const 64)) \
                                  (i32.mul (i32.const 2) (i32.load (i32.const 68))))"
                    .to_owned()
            }
            Deed::Query(text, parameter) => self.sql("query", "queried", "shop", text, parameter),
            Deed::QueryOf(database, text) => self.sql("query", "queried", database, text, None),
            Deed::Execute(text, parameter) => self.sql("execute", "executed", "shop", text, parameter),
            Deed::Stage(text, parameter) => self.sql("stage", "statement_staged", "shop", text, parameter),
            Deed::ExecuteTimes(text, times) => {
                let deed = self.deed(Deed::Execute(text, None));
                repeated(&deed, times)
            }
            Deed::StageTimes(text, times) => {
                let deed = self.deed(Deed::Stage(text, None));
                repeated(&deed, times)
            }
            Deed::Say(text) => format!("(call $say {})", self.text(text)),
            Deed::Retry => "(global.set $answer (i32.const 1))".to_owned(),
            Deed::Reject(reason) => {
                format!("(global.set $answer (i32.const 2)) (call $because {})", self.text(reason))
            }
            Deed::Trap => "(unreachable)".to_owned(),
            Deed::Spin => "(loop $again (br $again))".to_owned(),
            Deed::OpenForever => format!("(loop $on {} (br $on))", self.deed(Deed::Open("default"))),
            Deed::SwapForever => format!("(loop $on {} (br $on))", self.deed(Deed::Swap("k"))),
            Deed::SetCounted(count) => format!("(call $set_counted (i32.const {count}))"),
            of_state => panic!("{of_state:?} is none of these"),
        }
    }

    fn sql(
        &mut self,
        function: &str,
        then: &str,
        database: &str,
        text: &str,
        parameter: Option<&str>,
    ) -> String {
        let (database, text) = (self.text(database), self.text(text));
        let parameters = match parameter {
            Some(parameter) => {
                let place = self.text(parameter);
                let at = self.next.next_multiple_of(8);
                let mut bytes = "\\04\\00\\00\\00\\00\\00\\00\\00".to_owned();
                for number in place.split(['(', ')', ' ']).filter_map(|word| word.parse::<u32>().ok()) {
                    number.to_le_bytes().iter().for_each(|b| write!(bytes, "\\{b:02x}").unwrap());
                }
                writeln!(self.data, "(data (i32.const {at}) \"{bytes}\")").unwrap();
                self.next = at + 16;
                format!("(i32.const {at}) (i32.const 1)")
            }
            None => "(i32.const 0) (i32.const 0)".to_owned(),
        };
        format!("(call ${function} {database} {text} {parameters} (i32.const 64)) (call ${then})")
    }

    fn send(&mut self, message: Outgoing) -> String {
        let headers = match message.header {
            Some((name, value)) => self.list(&[name, value], 4),
            None => "(i32.const 0) (i32.const 0)".to_owned(),
        };
        let body = match message.zeros {
            0 => self.text(message.body),
            zeros => format!("(i32.const 1048576) (i32.const {zeros})"),
        };
        let delay = message.delay_ms;
        format!(
            "(call $send {} {} {headers} {body} (i32.const {}) (i64.const {}) {} (i32.const 64))
             (call $sent)",
            self.text(message.target),
            self.option(message.key),
            i32::from(delay.is_some()),
            delay.unwrap_or(0),
            self.option(message.topic)
        )
    }
}
