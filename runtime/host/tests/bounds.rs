//! Files that are small enough and hold too much: refused before there is work, and soon.
#![allow(clippy::unwrap_used)]

use pelton_host::{LoadError, describe, inspect};
use std::time::{Duration, Instant};

const MAX: usize = 32 << 20;
/// The longest that a file may keep whoever looks at it.
const SOON: Duration = Duration::from_secs(5);

/// As WebAssembly writes numbers.
fn number(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

fn section(id: u8, count: usize, entries: &[u8]) -> Vec<u8> {
    let count = number(count);
    [&[id][..], &number(count.len() + entries.len()), &count, entries].concat()
}

fn file(component: bool, sections: &[Vec<u8>]) -> Vec<u8> {
    let version: [u8; 4] = if component { [0x0d, 0, 1, 0] } else { [1, 0, 0, 0] };
    [b"\0asm", &version[..], &sections.concat()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [number(text.len()), text.as_bytes().to_vec()].concat()
}

/// `n` of something, each with its number in its name, which is padded to so many bytes.
fn many(n: usize, length: usize, entry: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    if n > 200_000 {
        // Beyond the bound nobody looks whether they are the same.
        return entry(text("n")).repeat(n);
    }
    let padding = "x".repeat(length.saturating_sub(8));
    let name = |i: usize| text(&format!("n{i}{padding}"));
    let mut all = Vec::with_capacity(n * (length + 16));
    (0..n).for_each(|i| all.extend_from_slice(&entry(name(i))));
    all
}

/// A module with so many imports of functions.
fn module_imports(n: usize, length: usize) -> Vec<u8> {
    let types = section(1, 1, &[0x60, 0, 0]);
    let imports = many(n, length, |name| [&text("env")[..], &name, &[0, 0]].concat());
    file(false, &[types, section(2, n, &imports)])
}

fn module_exports(n: usize, length: usize) -> Vec<u8> {
    let head = [section(1, 1, &[0x60, 0, 0]), section(3, 1, &[0])];
    let exports = many(n, length, |name| [name, vec![0, 0]].concat());
    file(false, &[&head[..], &[section(7, n, &exports), section(10, 1, &[2, 0, 0x0b])]].concat())
}

/// The type of a function without parameters and result, in a component.
const FUNC: [u8; 4] = [0x40, 0, 1, 0];

fn component_imports(n: usize, length: usize) -> Vec<u8> {
    let imports = many(n, length, |name| [&[0][..], &name, &[1, 0]].concat());
    file(true, &[section(7, 1, &FUNC), section(10, n, &imports)])
}

fn component_exports(n: usize, length: usize) -> Vec<u8> {
    let import = [&[0][..], &text("f"), &[1, 0]].concat();
    let exports = many(n, length, |name| [&[0][..], &name, &[1, 0, 0]].concat());
    file(true, &[section(7, 1, &FUNC), section(10, 1, &import), section(11, n, &exports)])
}

/// One type of an instance, or of a component, with so many exports.
fn one_type(head: u8, n: usize, length: usize) -> Vec<u8> {
    let exports = many(n, length, |name| [&[4, 0][..], &name, &[1, 0]].concat());
    let ty = [&[head][..], &number(n + 1), &[1], &FUNC, &exports].concat();
    file(true, &[section(7, 1, &ty)])
}

/// Types of functions, each inside a type of an instance, which is inside the next.
fn nested_types(depth: usize) -> Vec<u8> {
    let inner = [0x42, 1, 1].repeat(depth);
    file(true, &[section(7, 1, &[&inner[..], &FUNC].concat())])
}

fn small_types(n: usize) -> Vec<u8> {
    file(true, &[section(7, n, &FUNC.repeat(n))])
}

/// A record with so many fields, as often as that.
fn records(fields: usize, times: usize) -> Vec<u8> {
    let record =
        [&[0x72][..], &number(fields), &many(fields, 8, |name| [name, vec![0x7f]].concat())].concat();
    file(true, &[section(7, times, &record.repeat(times))])
}

/// A module of no use inside a component, as often as that.
fn parts(n: usize) -> Vec<u8> {
    let module = [&[1, 8][..], &file(false, &[])].concat();
    file(true, &[module.repeat(n)])
}

/// A component that says of itself that it was made by so many tools, which are all the same.
fn producers(n: usize) -> Vec<u8> {
    let tools = [text("rustc"), text("1")].concat().repeat(n);
    let field = [text("language"), number(n), tools].concat();
    let body = [text("producers"), number(1), field].concat();
    file(true, &[[&[0][..], &number(body.len()), &body].concat()])
}

/// So many sections of a kind, each without entries.
fn sections(component: bool, kind: u8, n: usize) -> Vec<u8> {
    file(component, &[[kind, 1, 0].repeat(n)])
}

/// Sections of nobody's, with the shortest of names.
fn custom_sections(n: usize) -> Vec<u8> {
    file(false, &[[0, 2, 1, b'x'].repeat(n)])
}

/// A sum of so many ones, of which an offset or a value may consist.
fn sum(n: usize) -> Vec<u8> {
    [&[0x41, 1][..], &[0x41, 1, 0x6a].repeat(n), &[0x0b]].concat()
}

fn long_offset(n: usize) -> Vec<u8> {
    let data = [&[0][..], &sum(n), &[0]].concat();
    file(false, &[section(5, 1, &[0, 1]), section(11, 1, &data)])
}

fn long_value(n: usize) -> Vec<u8> {
    file(false, &[section(6, 1, &[&[0x7f, 0][..], &sum(n)].concat())])
}

/// One list of so many elements, each an expression.
fn elements(n: usize) -> Vec<u8> {
    let list = [&[5, 0x70][..], &number(n), &[0xd2, 0, 0x0b].repeat(n)].concat();
    let head = [section(1, 1, &[0x60, 0, 0]), section(3, 1, &[0])];
    file(false, &[&head[..], &[section(9, 1, &list), section(10, 1, &[2, 0, 0x0b])]].concat())
}

/// Functions' types, each with a thousand parameters.
fn wide_functions(n: usize) -> Vec<u8> {
    let ty = [&[0x60][..], &number(1000), &[0x7f].repeat(1000), &[0]].concat();
    file(false, &[section(1, n, &ty.repeat(n))])
}

fn refused_soon(what: &str, bytes: &[u8]) -> LoadError {
    assert!(bytes.len() <= MAX, "{what}: {} bytes", bytes.len());
    let begun = Instant::now();
    let error = inspect(bytes, MAX, None).unwrap_err();
    assert!(begun.elapsed() < SOON, "{what}: {:?}", begun.elapsed());
    let begun = Instant::now();
    drop(describe(bytes, MAX));
    assert!(begun.elapsed() < SOON, "{what} is described in {:?}", begun.elapsed());
    assert!(error.to_string().len() < 8 << 10, "{what}: {} bytes of words", error.to_string().len());
    error
}

#[test]
fn imports_and_exports_are_counted_before_anything_is_kept_of_them() {
    type Make = fn(usize, usize) -> Vec<u8>;
    let kinds: [(&str, Make); 6] = [
        ("imports of a module", module_imports),
        ("exports of a module", module_exports),
        ("imports of a component", component_imports),
        ("exports of a component", component_exports),
        ("exports of an instance's type", |n, length| one_type(0x42, n, length)),
        ("exports of a component's type", |n, length| one_type(0x41, n, length)),
    ];
    for (what, make) in kinds {
        for (n, length) in [(20_000, 8), (80_000, 8), (900_000, 8), (310, 100_000)] {
            let error = refused_soon(&format!("{n} {what}"), &make(n, length));
            if n > 200_000 {
                assert!(matches!(error, LoadError::TooComplex { .. }), "{n} {what}: {error}");
            }
        }
    }
    let error = refused_soon("four million", &component_exports(4_000_000, 8));
    assert!(matches!(error, LoadError::TooComplex { .. } | LoadError::Invalid(_)), "{error}");
}

#[test]
fn what_types_declare_counts() {
    for (what, bytes) in [
        ("nested types", nested_types(50)),
        ("deeply nested types", nested_types(5_000_000)),
        ("types", small_types(199_000)),
        ("many types", small_types(900_000)),
        ("wide records", records(10_000, 300)),
        ("records", records(1_000, 199)),
        ("parts", parts(3_000_000)),
        ("producers", producers(3_000_000)),
    ] {
        refused_soon(what, &bytes);
    }
}

#[test]
fn what_has_few_entries_is_bounded_by_its_bytes_and_empty_sections_by_their_number() {
    for (what, bytes) in [
        ("empty sections of types", sections(true, 7, 5_000_000)),
        ("empty sections of imports", sections(true, 10, 5_000_000)),
        ("empty sections of a module", sections(false, 1, 5_000_000)),
        ("sections of nobody's", custom_sections(5_000_000)),
        ("a long offset", long_offset(9_000_000)),
        ("a long value", long_value(9_000_000)),
        ("elements", elements(8_000_000)),
        ("wide functions", wide_functions(30_000)),
    ] {
        let error = refused_soon(what, &bytes);
        let fits = matches!(error, LoadError::TooComplex { .. } | LoadError::Invalid(_));
        assert!(fits, "{what}: {error}");
    }
}
