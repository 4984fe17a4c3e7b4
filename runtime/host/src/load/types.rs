//! How much a section of types declares: one entry of it may be a whole interface, with others inside.
//!
//! The parser's own reading of a type calls itself for each type inside, as deep as the file says, so this
//! goes first, without doing so.

use super::validate::{at_most, invalid};
use crate::error::LoadError;
use wasmparser::{
    BinaryReader, ComponentDefinedType, ComponentImport, ComponentType, CoreType, FromReader,
    InstanceTypeDeclaration,
};

/// Types inside one another. Interfaces have two or three.
const MAX_DEPTH: u64 = 50;

/// The bytes by which a type of components, and one of instances, begins; and a declaration of a type in
/// them, and of an import.
const COMPONENT: u8 = 0x41;
const INSTANCE: u8 = 0x42;
const TYPE: u8 = 0x01;
const IMPORT: u8 = 0x03;

/// Walks a section of types of components. `add` is told of what there is before it is read.
pub(crate) fn walk(
    section: &[u8],
    mut add: impl FnMut(u64) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    let mut types = Types { reader: BinaryReader::new(section, 0), open: Vec::new(), add: &mut add };
    let count = types.number()?;
    (types.add)(count.into())?;
    (0..count).try_for_each(|_| types.one())
}

/// What is declared inside a core type.
pub(crate) fn declared(ty: &CoreType<'_>) -> u64 {
    match ty {
        CoreType::Rec(_) => 0,
        CoreType::Module(all) => all.len() as u64,
    }
}

struct Types<'a, 'f> {
    reader: BinaryReader<'a>,
    /// Declarations that are left, of each type that is not at its end.
    open: Vec<u32>,
    add: &'f mut dyn FnMut(u64) -> Result<(), LoadError>,
}

impl<'a> Types<'a, '_> {
    fn one(&mut self) -> Result<(), LoadError> {
        self.begin()?;
        while let Some(left) = self.open.last_mut() {
            if *left == 0 {
                self.open.pop();
                continue;
            }
            *left -= 1;
            match self.next()? {
                TYPE => {
                    self.byte()?;
                    self.begin()?;
                }
                IMPORT => {
                    self.byte()?;
                    self.read::<ComponentImport<'a>>()?;
                }
                _ => {
                    if let InstanceTypeDeclaration::CoreType(ty) = self.read()? {
                        (self.add)(declared(&ty))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A type, to its end or to its first declaration.
    fn begin(&mut self) -> Result<(), LoadError> {
        if !matches!(self.next()?, COMPONENT | INSTANCE) {
            let parts = parts(&self.read()?);
            return (self.add)(parts);
        }
        self.byte()?;
        let count = self.number()?;
        (self.add)(count.into())?;
        self.open.push(count);
        at_most("types inside one another", self.open.len() as u64, MAX_DEPTH)
    }

    fn next(&self) -> Result<u8, LoadError> {
        self.reader.clone().read_u8().map_err(|error| invalid(&error))
    }

    fn byte(&mut self) -> Result<u8, LoadError> {
        self.reader.read_u8().map_err(|error| invalid(&error))
    }

    fn number(&mut self) -> Result<u32, LoadError> {
        self.reader.read_var_u32().map_err(|error| invalid(&error))
    }

    fn read<T: FromReader<'a>>(&mut self) -> Result<T, LoadError> {
        self.reader.read().map_err(|error| invalid(&error))
    }
}

/// Parts of a type that has no declarations.
fn parts(ty: &ComponentType<'_>) -> u64 {
    let count = match ty {
        ComponentType::Func(func) => func.params.len(),
        ComponentType::Defined(ComponentDefinedType::Record(fields)) => fields.len(),
        ComponentType::Defined(ComponentDefinedType::Variant(cases)) => cases.len(),
        ComponentType::Defined(ComponentDefinedType::Tuple(parts)) => parts.len(),
        ComponentType::Defined(ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names)) => {
            names.len()
        }
        ComponentType::Defined(_)
        | ComponentType::Resource { .. }
        | ComponentType::Component(_)
        | ComponentType::Instance(_) => 0,
    };
    count as u64
}
