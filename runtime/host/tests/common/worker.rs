//! Workers that do what a test says.

use std::fmt::Write;

const PROGRAM: &str = include_str!("../fixtures/program.wat");

/// What a worker does with a message: what it writes, and then reads and shows on standard error.
#[derive(Clone, Copy)]
pub enum Deed {
    /// Writes these bytes, reads, and shows what it has read.
    Call(&'static str, &'static str),
    /// The same bytes as they are.
    Raw(&'static str),
    /// Writes bytes, and reads nothing.
    Print(&'static str),
    Show(&'static str),
    Trap,
    Exit,
    Spin,
}

/// A worker that does this for the last letter of a body, and `ok` then. It exports these marks.
pub fn worker_of(marks: &[&str], letters: &[(char, &[Deed])]) -> Vec<u8> {
    let mut data = String::new();
    let mut next = 70_000;
    let mut text = |text: &str| {
        let bytes: String = text.bytes().map(|b| format!("\\{b:02x}")).collect();
        writeln!(data, "(data (i32.const {next}) \"{bytes}\")").unwrap();
        next += text.len();
        format!("(i32.const {}) (i32.const {})", next - text.len(), text.len())
    };
    let mut deeds = String::new();
    for (letter, all) in letters {
        let mut code = String::new();
        for deed in *all {
            code += &match deed {
                Deed::Call(name, json) => {
                    let call = format!("call {name} {}\n{json}\n", json.len());
                    format!("(call $write (i32.const 1) {}) (call $show)", text(&call))
                }
                Deed::Raw(bytes) => format!("(call $write (i32.const 1) {}) (call $show)", text(bytes)),
                Deed::Print(bytes) => format!("(call $write (i32.const 1) {})", text(bytes)),
                Deed::Show(bytes) => format!("(call $write (i32.const 2) {})", text(bytes)),
                Deed::Trap => "(unreachable)".to_owned(),
                Deed::Exit => "(call $exit (i32.const 0))".to_owned(),
                Deed::Spin => "(call $spin)".to_owned(),
            };
        }
        let letter = u32::from(*letter);
        write!(deeds, "(if (i32.eq (local.get $what) (i32.const {letter})) (then {code}))").unwrap();
    }
    let body = format!(
        "(loop $next
           (local.set $what (call $read))
           (if (i32.eqz (local.get $what)) (then (return)))
           (local.set $what (i32.load8_u (i32.add (local.get $what) (i32.const 1022))))
           {deeds} (call $ok) (br $next))"
    );
    let marks: String = marks.iter().map(|mark| format!("(func (export \"{mark}\"))")).collect();
    let show = "(func $show (call $write (i32.const 2) (i32.const 1024) (call $read)))";
    let program = PROGRAM.replace("BODY", &body);
    let (before, start) = program.split_once("(func (export \"_start\")").unwrap();
    wat::parse_str(format!("{before}{data}{marks}{show}(func (export \"_start\"){start}")).unwrap()
}
