//! How a body of one schema is read for another: what stands in it by the writer's, what is seen by the
//! reader's. Made once for a pair of schemas, by the rules of Avro's specification. Without a reader's
//! schema everything is seen as it was written.

use super::default;
use super::types::{Field, Form, Type, TypeId, Types, Wire};
use std::collections::HashMap;

/// Steps of one plan, at most: pairs of types.
const MAX_STEPS: usize = 100_000;

/// The place of a step.
pub(super) type StepId = usize;

/// What is done for one type of the writer.
#[derive(Debug)]
pub(super) enum Step {
    Null,
    Boolean,
    Float,
    Double,
    Value(Wire, Form),
    /// The reader's symbol for each of the writer's; none where it has none.
    Enum(Vec<Option<String>>),
    Array(StepId),
    Map(StepId),
    Union(Vec<StepId>),
    /// The writer's fields, and those that only the reader has: `"name":value` as JSON.
    Record(Vec<FieldStep>, Vec<Vec<u8>>),
    /// The reader cannot have it: in words. Wrong only if it comes.
    Unreadable(String),
}

#[derive(Debug)]
pub(super) struct FieldStep {
    /// The writer's name.
    pub(super) name: String,
    /// `"name":` as JSON, of the reader; none where the reader has no such field.
    pub(super) key: Option<Vec<u8>>,
    pub(super) step: StepId,
}

/// All steps; the first is that of the body.
#[derive(Debug)]
pub(super) struct Plan {
    steps: Vec<Step>,
}

impl Plan {
    pub(super) fn of(writer: &Types, reader: Option<&Types>) -> Result<Self, String> {
        let mut maker = Maker { writer, reader, places: HashMap::new(), open: Vec::new(), asked: 0 };
        maker.place(writer.root, reader.map(|types| types.root));
        let mut steps = Vec::new();
        // A list and no recursion: types that contain each other have no end, and may be deep.
        while let Some((w, r)) = maker.open.get(steps.len()).copied() {
            steps.push(match r {
                None => maker.own(w),
                Some(r) => maker.step(w, r),
            });
            if maker.asked > MAX_STEPS {
                return Err(format!("it needs more than {MAX_STEPS} steps to be read"));
            }
        }
        Ok(Self { steps })
    }

    pub(super) fn get(&self, id: StepId) -> &Step {
        self.steps.get(id).unwrap_or(&Step::Null)
    }
}

/// A type of the writer, and the reader's for it; none where the writer's is seen, or nobody sees it.
type Pair = (TypeId, Option<TypeId>);

struct Maker<'t> {
    writer: &'t Types,
    reader: Option<&'t Types>,
    places: HashMap<Pair, StepId>,
    open: Vec<Pair>,
    asked: usize,
}

impl<'t> Maker<'t> {
    fn place(&mut self, writer: TypeId, reader: Option<TypeId>) -> StepId {
        self.asked += 1;
        let next = self.open.len();
        let place = *self.places.entry((writer, reader)).or_insert(next);
        if place == next {
            self.open.push((writer, reader));
        }
        place
    }

    fn places(&mut self, writers: &[TypeId], reader: Option<TypeId>) -> Vec<StepId> {
        writers.iter().map(|writer| self.place(*writer, reader)).collect()
    }

    /// As it was written.
    fn own(&mut self, w: TypeId) -> Step {
        match self.writer.get(w) {
            Type::Null => Step::Null,
            Type::Boolean => Step::Boolean,
            Type::Float => Step::Float,
            Type::Double => Step::Double,
            Type::Value(wire, form) => Step::Value(*wire, *form),
            Type::Enum { symbols, .. } => Step::Enum(symbols.iter().cloned().map(Some).collect()),
            Type::Array(items) => Step::Array(self.place(*items, None)),
            Type::Map(values) => Step::Map(self.place(*values, None)),
            Type::Union(variants) => Step::Union(self.places(variants, None)),
            Type::Record { fields, .. } => {
                let step = |field: &Field| {
                    let (name, key) = (field.name.clone(), Some(key(&field.name)));
                    FieldStep { name, key, step: self.place(field.of, None) }
                };
                Step::Record(fields.iter().map(step).collect(), Vec::new())
            }
        }
    }

    fn step(&mut self, w: TypeId, r: TypeId) -> Step {
        let Some(types) = self.reader else { return self.own(w) };
        let (one, other) = (self.writer.get(w), types.get(r));
        match (one, other) {
            (Type::Union(variants), _) => Step::Union(self.places(variants, Some(r))),
            (one, Type::Union(variants)) => match fitting(one, variants, types) {
                // The same bytes, read for the type that fits.
                Some(variant) => self.step(w, variant),
                None => Step::Unreadable(format!("is {}, which the reader's union has not", kind(one))),
            },
            (Type::Null, Type::Null) => Step::Null,
            (Type::Boolean, Type::Boolean) => Step::Boolean,
            (Type::Float, Type::Float | Type::Double) => Step::Float,
            (Type::Double, Type::Double) => Step::Double,
            (Type::Value(wire @ (Wire::Int | Wire::Long), _), Type::Float | Type::Double) => {
                Step::Value(*wire, Form::Number)
            }
            (Type::Value(wire, _), Type::Value(wanted, form)) if fits(*wire, *wanted) => {
                Step::Value(*wire, *form)
            }
            (Type::Enum { symbols, .. }, Type::Enum { symbols: known, default, .. }) => {
                let find = |symbol: &String| known.contains(symbol).then(|| symbol.clone());
                Step::Enum(symbols.iter().map(|symbol| find(symbol).or_else(|| default.clone())).collect())
            }
            (Type::Array(w), Type::Array(r)) => Step::Array(self.place(*w, Some(*r))),
            (Type::Map(w), Type::Map(r)) => Step::Map(self.place(*w, Some(*r))),
            (Type::Record { fields: w, .. }, Type::Record { fields: r, .. }) => self.record(w, r, types),
            (one, other) => {
                Step::Unreadable(format!("is {}, and the reader wants {}", kind(one), kind(other)))
            }
        }
    }

    fn record(&mut self, writer: &[Field], reader: &'t [Field], types: &Types) -> Step {
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        for (place, field) in reader.iter().enumerate() {
            for alias in &field.aliases {
                by_name.entry(alias).or_insert(place);
            }
        }
        // A field's own name goes before another's alias.
        by_name.extend(reader.iter().enumerate().map(|(place, field)| (field.name.as_str(), place)));
        let mut missing: Vec<Option<&Field>> = reader.iter().map(Some).collect();
        let mut step = |field: &Field| {
            // The first of two that mean the same field is it.
            let place = by_name.get(field.name.as_str());
            let seen = place.and_then(|place| missing.get_mut(*place)?.take());
            let step = self.place(field.of, seen.map(|seen| seen.of));
            FieldStep { name: field.name.clone(), key: seen.map(|seen| key(&seen.name)), step }
        };
        let steps = writer.iter().map(&mut step).collect();
        let mut defaults = Vec::new();
        for field in missing.into_iter().flatten() {
            let Some(value) = &field.default else {
                let name = &field.name;
                return Step::Unreadable(format!(
                    "has no field `{name}`, for which the reader has no default"
                ));
            };
            match default::json(types, field.of, value) {
                Ok(value) => defaults.push([key(&field.name), value].concat()),
                Err(why) => {
                    return Step::Unreadable(format!("has no `{}`, whose default {why}", field.name));
                }
            }
        }
        Step::Record(steps, defaults)
    }
}

/// `"name":`. Avro's names need no escapes.
fn key(name: &str) -> Vec<u8> {
    format!("\"{name}\":").into_bytes()
}

/// Whether bytes of one kind can be read as another, by the rules of promotion.
fn fits(writer: Wire, reader: Wire) -> bool {
    match (writer, reader) {
        (Wire::Int, Wire::Int | Wire::Long) | (Wire::Long, Wire::Long) => true,
        (Wire::Bytes | Wire::Text, Wire::Bytes | Wire::Text) => true,
        (Wire::Fixed(size), Wire::Fixed(wanted)) => size == wanted,
        (Wire::Int | Wire::Long | Wire::Bytes | Wire::Text | Wire::Fixed(_), _) => false,
    }
}

/// The type of a reader's union that a writer's type is read as: the same before one that it can become.
fn fitting(one: &Type, variants: &[TypeId], types: &Types) -> Option<TypeId> {
    let find =
        |fits: fn(&Type, &Type) -> bool| variants.iter().copied().find(|id| fits(one, types.get(*id)));
    find(is_same).or_else(|| find(becomes))
}

fn is_same(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Value(wire, form), Type::Value(wanted, as_form)) => wire == wanted && form == as_form,
        (Type::Float, Type::Float) | (Type::Double, Type::Double) => true,
        (Type::Value(..) | Type::Float | Type::Double, _) => false,
        (one, other) => becomes(one, other),
    }
}

fn becomes(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Null, Type::Null) | (Type::Boolean, Type::Boolean) | (Type::Double, Type::Double) => true,
        (Type::Array(_), Type::Array(_)) | (Type::Map(_), Type::Map(_)) => true,
        (Type::Float, Type::Float | Type::Double) => true,
        (Type::Value(Wire::Int | Wire::Long, _), Type::Float | Type::Double) => true,
        (Type::Value(wire, _), Type::Value(wanted, _)) => fits(*wire, *wanted),
        (Type::Enum { name, .. }, Type::Enum { name: wanted, aliases, .. })
        | (Type::Record { name, .. }, Type::Record { name: wanted, aliases, .. }) => {
            name == wanted || aliases.contains(name)
        }
        _ => false,
    }
}

/// A type in words.
pub(super) fn kind(one: &Type) -> &'static str {
    match one {
        Type::Null => "null",
        Type::Boolean => "a boolean",
        Type::Float => "a float",
        Type::Double => "a double",
        Type::Value(Wire::Int, _) => "an int",
        Type::Value(Wire::Long, _) => "a long",
        Type::Value(Wire::Bytes, _) => "bytes",
        Type::Value(Wire::Text, _) => "a string",
        Type::Value(Wire::Fixed(_), _) => "a fixed",
        Type::Enum { .. } => "an enum",
        Type::Array(_) => "an array",
        Type::Map(_) => "a map",
        Type::Union(_) => "a union",
        Type::Record { .. } => "a record",
    }
}
