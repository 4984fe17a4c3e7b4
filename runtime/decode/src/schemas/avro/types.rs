//! The types of an Avro schema, with names resolved: one list, in which types name others by their place.
//! So a schema that contains itself needs no special care, and no name is looked up while a body is read.

use apache_avro::Schema;
use apache_avro::schema::{FixedSchema, InnerDecimalSchema, Name, RecordSchema, UuidSchema};
use serde_json::Value;
use std::collections::HashMap;

/// Types of one schema, at most.
const MAX_TYPES: usize = 20_000;

/// The place of a type.
pub(super) type TypeId = usize;

/// All types of a schema.
#[derive(Debug)]
pub(in crate::schemas) struct Types {
    pub(super) all: Vec<Type>,
    pub(super) root: TypeId,
}

#[derive(Debug, Clone)]
pub(super) enum Type {
    Null,
    Boolean,
    Float,
    Double,
    /// Everything that is one value on the wire and has several meanings.
    Value(Wire, Form),
    Enum {
        name: String,
        aliases: Vec<String>,
        symbols: Vec<String>,
        default: Option<String>,
    },
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record {
        name: String,
        aliases: Vec<String>,
        fields: Vec<Field>,
    },
}

/// How a value stands in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Int,
    Long,
    Bytes,
    Text,
    Fixed(usize),
}

/// What a value means, and so how it is written as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Number,
    Text,
    Base64,
    Date,
    /// A time of day; parts of a second.
    Time(u64),
    /// A moment; parts of a second, and whether it is in UTC.
    Timestamp(u64, bool),
    /// Digits behind the point.
    Decimal(usize),
    BigDecimal,
    Duration,
    Uuid,
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) default: Option<Value>,
    pub(super) of: TypeId,
}

impl Types {
    /// Of a schema and those that it refers to.
    pub(super) fn of(schema: &Schema, others: &[Schema]) -> Result<Self, String> {
        let mut maker = Maker { all: Vec::new(), named: HashMap::new(), open: Vec::new() };
        let root = maker.add(schema)?;
        // Others count when somebody names them, and may name each other.
        for other in others {
            maker.add(other)?;
        }
        maker.close(root)
    }

    pub(super) fn get(&self, id: TypeId) -> &Type {
        self.all.get(id).unwrap_or(&Type::Null)
    }
}

struct Maker {
    all: Vec<Type>,
    named: HashMap<String, TypeId>,
    /// Types that stand for a name that is not known yet.
    open: Vec<(TypeId, String)>,
}

impl Maker {
    fn push(&mut self, one: Type) -> Result<TypeId, String> {
        if self.all.len() >= MAX_TYPES {
            return Err(format!("it has more than {MAX_TYPES} types"));
        }
        self.all.push(one);
        Ok(self.all.len() - 1)
    }

    fn named(&mut self, name: &Name, one: Type) -> Result<TypeId, String> {
        let id = self.push(one)?;
        self.named.insert(name.fullname(None), id);
        Ok(id)
    }

    fn add(&mut self, schema: &Schema) -> Result<TypeId, String> {
        match schema {
            Schema::Null => self.push(Type::Null),
            Schema::Boolean => self.push(Type::Boolean),
            Schema::Float => self.push(Type::Float),
            Schema::Double => self.push(Type::Double),
            Schema::Array(array) => {
                let items = self.add(&array.items)?;
                self.push(Type::Array(items))
            }
            Schema::Map(map) => {
                let values = self.add(&map.types)?;
                self.push(Type::Map(values))
            }
            Schema::Union(union) => {
                let variants: Result<_, _> = union.variants().iter().map(|one| self.add(one)).collect();
                self.push(Type::Union(variants?))
            }
            Schema::Record(record) => self.record(record),
            Schema::Enum(one) => {
                let aliases =
                    one.aliases.iter().flatten().map(|alias| last(&alias.fullname(None))).collect();
                let (symbols, default) = (one.symbols.clone(), one.default.clone());
                let (name, full) = (one.name.name().to_owned(), &one.name);
                self.named(full, Type::Enum { name, aliases, symbols, default })
            }
            Schema::Ref { name } => {
                let id = self.push(Type::Null)?;
                self.open.push((id, name.fullname(None)));
                Ok(id)
            }
            value => self.value(value),
        }
    }

    /// What is one value on the wire.
    fn value(&mut self, schema: &Schema) -> Result<TypeId, String> {
        let (wire, form) = match schema {
            Schema::Int => (Wire::Int, Form::Number),
            Schema::Date => (Wire::Int, Form::Date),
            Schema::TimeMillis => (Wire::Int, Form::Time(1_000)),
            Schema::Long => (Wire::Long, Form::Number),
            Schema::TimeMicros => (Wire::Long, Form::Time(1_000_000)),
            Schema::TimestampMillis => (Wire::Long, Form::Timestamp(1_000, true)),
            Schema::TimestampMicros => (Wire::Long, Form::Timestamp(1_000_000, true)),
            Schema::TimestampNanos => (Wire::Long, Form::Timestamp(1_000_000_000, true)),
            Schema::LocalTimestampMillis => (Wire::Long, Form::Timestamp(1_000, false)),
            Schema::LocalTimestampMicros => (Wire::Long, Form::Timestamp(1_000_000, false)),
            Schema::LocalTimestampNanos => (Wire::Long, Form::Timestamp(1_000_000_000, false)),
            Schema::Bytes => (Wire::Bytes, Form::Base64),
            Schema::BigDecimal => (Wire::Bytes, Form::BigDecimal),
            Schema::String => (Wire::Text, Form::Text),
            Schema::Uuid(UuidSchema::String) => (Wire::Text, Form::Uuid),
            Schema::Uuid(UuidSchema::Bytes) => (Wire::Bytes, Form::Uuid),
            Schema::Uuid(UuidSchema::Fixed(fixed)) => return self.fixed(fixed, Form::Uuid),
            Schema::Duration(fixed) => return self.fixed(fixed, Form::Duration),
            Schema::Fixed(fixed) => return self.fixed(fixed, Form::Base64),
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => (Wire::Bytes, Form::Decimal(decimal.scale)),
                InnerDecimalSchema::Fixed(fixed) => return self.fixed(fixed, Form::Decimal(decimal.scale)),
            },
            other => return Err(format!("it has a type that is not known here: {other}")),
        };
        self.push(Type::Value(wire, form))
    }

    fn fixed(&mut self, fixed: &FixedSchema, form: Form) -> Result<TypeId, String> {
        self.named(&fixed.name, Type::Value(Wire::Fixed(fixed.size), form))
    }

    fn record(&mut self, record: &RecordSchema) -> Result<TypeId, String> {
        // Its place comes first: its fields may be of its own type.
        let id = self.named(&record.name, Type::Null)?;
        let mut fields = Vec::new();
        for field in &record.fields {
            let of = self.add(&field.schema)?;
            let (name, aliases) = (field.name.clone(), field.aliases.clone());
            fields.push(Field { name, aliases, default: field.default.clone(), of });
        }
        let aliases = record.aliases.iter().flatten().map(|alias| last(&alias.fullname(None))).collect();
        if let Some(place) = self.all.get_mut(id) {
            *place = Type::Record { name: record.name.name().to_owned(), aliases, fields };
        }
        Ok(id)
    }

    /// Puts in what names stand for.
    fn close(mut self, root: TypeId) -> Result<Types, String> {
        let mut stands_for: HashMap<TypeId, TypeId> = HashMap::new();
        for (id, name) in std::mem::take(&mut self.open) {
            let known = self.named.get(&name).ok_or_else(|| format!("it has no type `{name}`"))?;
            stands_for.insert(id, *known);
        }
        let put = |id: &mut TypeId| *id = stands_for.get(id).copied().unwrap_or(*id);
        for one in &mut self.all {
            match one {
                Type::Array(of) | Type::Map(of) => put(of),
                Type::Union(variants) => variants.iter_mut().for_each(put),
                Type::Record { fields, .. } => fields.iter_mut().for_each(|field| put(&mut field.of)),
                Type::Null | Type::Boolean | Type::Float | Type::Double => {}
                Type::Value(..) | Type::Enum { .. } => {}
            }
        }
        let mut root = root;
        put(&mut root);
        Ok(Types { all: self.all, root })
    }
}

/// A name without its namespace.
fn last(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).to_owned()
}
