//! Whether bytes are a valid component that can be compiled with bounded effort.

use crate::engine::FEATURES;
use crate::error::LoadError;
use crate::guest::link::PREVIEW1;
use crate::kinds::kind::{PROTOCOL_SECTION, Protocol};
use crate::load::types;
use std::collections::BTreeSet;
use wasmparser::{Parser, Payload, Validator};

/// Bytes of one function's code. Interpreters' main loops have up to some hundred thousand.
const MAX_BODY: u64 = 2 << 20;
/// Functions of all modules together. Script languages have about 40,000.
const MAX_FUNCTIONS: u64 = 200_000;
/// Types, imports, exports and the like, of all modules and components together, with what types declare.
const MAX_ITEMS: u64 = 200_000;
/// Imports and exports of the outermost module or component. Components have tens, programs some thousand
/// symbols.
const MAX_NAMES: u64 = 10_000;
/// Bytes of their names together.
const MAX_NAME_BYTES: u64 = 1 << 20;
/// Bytes of types, tables, globals, elements and the places of data, of all modules together: what is read
/// entry by entry however few entries it says it has. Script languages have some hundred thousand.
const MAX_DECLARED: u64 = 4 << 20;
/// Modules and components inside one another or side by side.
const MAX_PARTS: u64 = 500;
/// Components inside one another.
const MAX_DEPTH: u64 = 20;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A component.
    Component,
    /// A core module.
    Module,
}

/// What the outermost component or module imports and exports.
#[derive(Debug, Default)]
pub(crate) struct Surface {
    /// What a program says of its protocol by an export, and in a section.
    exported: Option<Protocol>,
    section: Option<Protocol>,
    /// Names so far, and their bytes: counted before anything is kept of them.
    names: u64,
    bytes: u64,
    seen: BTreeSet<String>,
    /// Names of imports that are more than types.
    pub(crate) imports: Vec<String>,
    /// Names of exports.
    pub(crate) exports: Vec<String>,
}

/// Running totals over everything inside.
#[derive(Default)]
struct Totals {
    depth: u64,
    parts: u64,
    functions: u64,
    items: u64,
    declared: u64,
}

/// Tells components and core modules from text and damaged files.
pub(crate) fn form(bytes: &[u8]) -> Result<Form, LoadError> {
    const MAGIC: &[u8] = b"\0asm";
    match (bytes.strip_prefix(MAGIC), bytes) {
        (_, []) => Err(LoadError::NotWasm("the file is empty; build it again")),
        (Some([0x0d, 0, 1, 0, ..]), _) => Ok(Form::Component),
        (Some([1, 0, 0, 0, ..]), _) => Ok(Form::Module),
        (Some(_), _) => Err(LoadError::NotWasm(
            "its version is unknown, or the file is cut short; build it again with current tools",
        )),
        (None, text) if text.trim_ascii_start().starts_with(b"(") => {
            Err(LoadError::NotWasm("it is WebAssembly text; assemble it with `wasm-tools parse`"))
        }
        (None, text) if std::str::from_utf8(text).is_ok() => {
            Err(LoadError::NotWasm("it is a text file; name the compiled component, not its source"))
        }
        (None, _) => Err(LoadError::NotWasm("it is some other kind of file; name a component")),
    }
}

/// Counts first, since counting is cheap, then validates everything.
pub(crate) fn file(bytes: &[u8]) -> Result<Surface, LoadError> {
    let surface = surface(bytes)?;
    Validator::new_with_features(FEATURES).validate_all(bytes).map_err(|error| invalid(&error))?;
    Ok(surface)
}

/// Languages and tools, as the modules inside say in their `producers` sections; each once, bounded.
pub(crate) fn made_by(bytes: &[u8]) -> Vec<String> {
    const MOST: usize = 16;
    const LOOKED_AT: usize = 1_000;
    let mut all = Vec::new();
    let mut looked_at = 0;
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else { continue };
        let wasmparser::KnownCustom::Producers(fields) = section.as_known() else { continue };
        for field in fields.into_iter().map_while(Result::ok) {
            for value in field.values.into_iter().map_while(Result::ok) {
                looked_at += 1;
                if looked_at > LOOKED_AT {
                    return all;
                }
                let said =
                    crate::guest::text::clean(format!("{} {}", value.name, value.version).trim(), 64);
                if all.len() < MOST && !all.contains(&said) {
                    all.push(said);
                }
            }
        }
    }
    all
}

/// Only counts; for what was validated before.
pub(crate) fn surface(bytes: &[u8]) -> Result<Surface, LoadError> {
    let mut totals = Totals::default();
    let mut surface = Surface::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| invalid(&error))?;
        totals.add(&payload, bytes)?;
        if totals.depth == 1 {
            surface.add(&payload)?;
        }
    }
    Ok(surface)
}

impl Surface {
    /// What a program says of its protocol.
    pub(crate) fn says(&self) -> Option<Protocol> {
        self.section.or(self.exported)
    }

    fn add(&mut self, payload: &Payload<'_>) -> Result<(), LoadError> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    let import = import.map_err(|error| invalid(&error))?;
                    // Of WASI the whole is granted, of anything else each function is named.
                    let function = if import.module == PREVIEW1 { "" } else { import.name };
                    self.count(import.module.len() + function.len())?;
                    let name = match import.module {
                        PREVIEW1 => PREVIEW1.to_owned(),
                        module => format!("{module}::{function}"),
                    };
                    self.import(name);
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let name = export.map_err(|error| invalid(&error))?.name;
                    if let Some(said) = Protocol::of_export(name) {
                        self.exported = Some(self.exported.map_or(said, |is| is.and(said)));
                    }
                    self.export(name)?;
                }
            }
            Payload::CustomSection(section) if section.name() == PROTOCOL_SECTION => {
                let word = std::str::from_utf8(section.data()).unwrap_or_default();
                self.section = Protocol::parse(word.trim());
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import.map_err(|error| invalid(&error))?;
                    self.count(import.name.name.len())?;
                    if !matches!(import.ty, wasmparser::ComponentTypeRef::Type(_)) {
                        self.import(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    self.export(export.map_err(|error| invalid(&error))?.name.name)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), LoadError> {
        self.names += 1;
        self.bytes += bytes as u64;
        at_most("imports and exports", self.names, MAX_NAMES)?;
        at_most("bytes of names of imports and exports", self.bytes, MAX_NAME_BYTES)
    }

    fn import(&mut self, name: String) {
        if self.seen.insert(name.clone()) {
            self.imports.push(name);
        }
    }

    fn export(&mut self, name: &str) -> Result<(), LoadError> {
        self.count(name.len())?;
        self.exports.push(name.to_owned());
        Ok(())
    }
}

impl Totals {
    fn add(&mut self, payload: &Payload<'_>, file: &[u8]) -> Result<(), LoadError> {
        match payload {
            Payload::Version { .. } => {
                self.depth += 1;
                self.parts += 1;
                at_most("nested components", self.depth, MAX_DEPTH)?;
                at_most("modules and components", self.parts, MAX_PARTS)?;
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                at_most("bytes of code in one function", (range.end - range.start) as u64, MAX_BODY)?;
            }
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::ComponentTypeSection(section) => {
                let section = file.get(section.range()).unwrap_or_default();
                types::walk(section, |more| self.add_items(more))?;
            }
            Payload::CoreTypeSection(section) => {
                self.add_items(section.count().into())?;
                for ty in section.clone() {
                    self.add_items(types::declared(&ty.map_err(|error| invalid(&error))?))?;
                }
            }
            other => self.items += items(other),
        }
        self.declared += declared(payload)?;
        at_most("bytes of types, elements and the like", self.declared, MAX_DECLARED)?;
        at_most("functions", self.functions, MAX_FUNCTIONS)?;
        // What has no entries is an item too; functions have their own bound.
        self.add_items(u64::from(!matches!(payload, Payload::CodeSectionEntry(_))))
    }

    fn add_items(&mut self, more: u64) -> Result<(), LoadError> {
        self.items = self.items.saturating_add(more);
        at_most("types, imports and exports", self.items, MAX_ITEMS)
    }
}

/// Bytes of a section whose entries may be of any length.
fn declared(payload: &Payload<'_>) -> Result<u64, LoadError> {
    let range = match payload {
        Payload::TypeSection(section) => section.range(),
        Payload::TableSection(section) => section.range(),
        Payload::GlobalSection(section) => section.range(),
        Payload::ElementSection(section) => section.range(),
        Payload::DataSection(section) => {
            return section.clone().into_iter().try_fold(0, |all, data| {
                let data = data.map_err(|error| invalid(&error))?;
                Ok(all + (data.range.len() - data.data.len()) as u64)
            });
        }
        _ => 0..0,
    };
    Ok(range.len() as u64)
}

/// Entries of a section.
fn items(payload: &Payload<'_>) -> u64 {
    u64::from(match payload {
        Payload::TypeSection(section) => section.count(),
        Payload::ImportSection(section) => section.count(),
        Payload::ExportSection(section) => section.count(),
        Payload::GlobalSection(section) => section.count(),
        Payload::TableSection(section) => section.count(),
        Payload::MemorySection(section) => section.count(),
        Payload::ElementSection(section) => section.count(),
        Payload::DataSection(section) => section.count(),
        Payload::InstanceSection(section) => section.count(),
        Payload::ComponentInstanceSection(section) => section.count(),
        Payload::ComponentAliasSection(section) => section.count(),
        Payload::ComponentCanonicalSection(section) => section.count(),
        Payload::ComponentImportSection(section) => section.count(),
        Payload::ComponentExportSection(section) => section.count(),
        _ => 0,
    })
}

pub(crate) fn at_most(what: &'static str, count: u64, max: u64) -> Result<(), LoadError> {
    if count > max {
        return Err(LoadError::TooComplex { what, count, max });
    }
    Ok(())
}

pub(crate) fn invalid(error: &wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Invalid(crate::guest::text::clean(&error.to_string(), 512))
}
