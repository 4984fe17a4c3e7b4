//! Reads a body by its plan, and writes what is seen as JSON.
//!
//! Nothing is allocated for what a body says of itself: no list, no text before its bytes are there. Depth is
//! bounded, and so is the number of values, by the bytes that there are. A body that ends early is wrong.

use super::form;
use super::plan::{FieldStep, Plan, Step, StepId};
use super::types::{Form, Wire};
use crate::schemas::fault::Fault;
use crate::schemas::out::{Out, too_large};
use crate::schemas::wire::zigzag;

/// How deep lists, maps and records may be in each other.
const MAX_DEPTH: usize = 100;
/// Values of a body: so many, and some for each byte. Some types take no byte at all.
const VALUES: usize = 10_000;
const VALUES_PER_BYTE: usize = 16;

/// Reads a body to its end.
pub(super) fn read(plan: &Plan, body: &[u8], out: &mut Out) -> Result<(), Fault> {
    let values = values(body.len());
    let mut reader = Reader { plan, rest: body, out, values, depth: 0 };
    reader.step(0)?;
    let rest = reader.rest.len();
    if rest > 0 {
        return Err(Fault::new(format!("it goes on for {rest} bytes behind its end")));
    }
    Ok(())
}

struct Reader<'p, 'b, 'o> {
    plan: &'p Plan,
    rest: &'b [u8],
    out: &'o mut Out,
    values: usize,
    depth: usize,
}

impl<'p, 'b> Reader<'p, 'b, '_> {
    fn step(&mut self, id: StepId) -> Result<(), Fault> {
        self.values = self
            .values
            .checked_sub(1)
            .ok_or_else(|| Fault::new("has more values than its bytes can say"))?;
        if self.out.full() {
            return Err(Fault::new(too_large(self.out.most())));
        }
        match self.plan.get(id) {
            Step::Null => self.out.put(b"null"),
            Step::Boolean => match self.take(1)? {
                [0] => self.out.put(b"false"),
                [1] => self.out.put(b"true"),
                other => return Err(Fault::new(format!("is no boolean but {other:?}"))),
            },
            Step::Float => {
                let value = f32::from_le_bytes(self.array()?);
                form::float(f64::from(value), Some(value), self.out);
            }
            Step::Double => form::float(f64::from_le_bytes(self.array()?), None, self.out),
            Step::Value(wire, form) => self.value(*wire, *form)?,
            Step::Enum(symbols) => {
                let place = self.number()?;
                let symbol = usize::try_from(place).ok().and_then(|place| symbols.get(place));
                match symbol {
                    None => {
                        return Err(Fault::new(format!(
                            "{place} is not one of its {} symbols",
                            symbols.len()
                        )));
                    }
                    Some(None) => {
                        return Err(Fault::new(format!("its symbol {place} is not one of the reader's")));
                    }
                    Some(Some(symbol)) => self.out.quoted(symbol),
                }
            }
            Step::Array(items) => {
                self.nested(|reader| reader.blocks(b"[", b"]", |r, n| r.item(*items, n)))?
            }
            Step::Map(values) => {
                self.nested(|reader| reader.blocks(b"{", b"}", |r, _| r.entry(*values)))?
            }
            Step::Union(variants) => {
                let place = self.number()?;
                let variant = usize::try_from(place).ok().and_then(|place| variants.get(place));
                let variant = variant.ok_or_else(|| {
                    Fault::new(format!("{place} is not one of the {} types of its union", variants.len()))
                })?;
                self.nested(|reader| reader.step(*variant))?;
            }
            Step::Record(fields, defaults) => self.nested(|reader| reader.record(fields, defaults))?,
            Step::Unreadable(why) => return Err(Fault::new(why.clone())),
        }
        Ok(())
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(format!("is more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(ends)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(ends)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<i64, Fault> {
        let read = zigzag(self.rest);
        let (number, rest) = read.ok_or_else(|| Fault::new("it ends early, or has too large a number"))?;
        self.rest = rest;
        Ok(number)
    }

    fn value(&mut self, wire: Wire, form: Form) -> Result<(), Fault> {
        let bytes = match wire {
            Wire::Int | Wire::Long => {
                let number = self.number()?;
                if wire == Wire::Int && i32::try_from(number).is_err() {
                    return Err(Fault::new(format!("{number} has no place in an int")));
                }
                return form::integer(form, number, self.out).map_err(Fault::new);
            }
            Wire::Fixed(size) => self.take(size)?,
            Wire::Bytes | Wire::Text => {
                let length = self.number()?;
                let bytes =
                    usize::try_from(length).map_err(|_| Fault::new(format!("has {length} bytes")))?;
                self.take(bytes)?
            }
        };
        if wire == Wire::Text && std::str::from_utf8(bytes).is_err() {
            return Err(Fault::new("is no UTF-8 text"));
        }
        form::bytes(form, bytes, self.out).map_err(Fault::new)
    }

    /// Lists and maps come in blocks of so many items; one of none ends them.
    fn blocks(
        &mut self,
        open: &[u8],
        close: &[u8],
        mut read: impl FnMut(&mut Self, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.out.put(open);
        let mut place = 0;
        loop {
            let mut count = self.number()?;
            if count < 0 {
                // Its bytes stand before it, for who does not want to read it.
                self.number()?;
                count = count.checked_neg().ok_or_else(ends)?;
            }
            if count == 0 {
                break;
            }
            for _ in 0..count {
                if place > 0 {
                    self.out.put(b",");
                }
                read(self, place)?;
                place += 1;
            }
        }
        self.out.put(close);
        Ok(())
    }

    fn item(&mut self, items: StepId, place: usize) -> Result<(), Fault> {
        self.step(items).map_err(|fault| fault.within(place))
    }

    fn entry(&mut self, values: StepId) -> Result<(), Fault> {
        let length = self.number()?;
        let name = self.take(
            usize::try_from(length).map_err(|_| Fault::new(format!("has a name of {length} bytes")))?,
        )?;
        let name = std::str::from_utf8(name).map_err(|_| Fault::new("has a name that is no UTF-8 text"))?;
        self.out.text(name);
        self.out.put(b":");
        self.step(values).map_err(|fault| fault.within(name))
    }

    fn record(&mut self, fields: &'p [FieldStep], defaults: &[Vec<u8>]) -> Result<(), Fault> {
        self.out.put(b"{");
        let mut some = false;
        for field in fields {
            let was = match &field.key {
                Some(key) => {
                    self.out.put(if some { b"," } else { b"" });
                    self.out.put(key);
                    some = true;
                    self.out.wanted()
                }
                None => self.out.set_wanted(false),
            };
            let read = self.step(field.step);
            self.out.set_wanted(was);
            read.map_err(|fault| fault.within(&field.name))?;
        }
        for field in defaults {
            self.out.put(if some { b"," } else { b"" });
            self.out.put(field);
            some = true;
        }
        self.out.put(b"}");
        Ok(())
    }
}

fn ends() -> Fault {
    Fault::new("it ends early")
}

/// Values that a body of so many bytes may have.
pub(super) fn values(bytes: usize) -> usize {
    bytes.saturating_mul(VALUES_PER_BYTE).saturating_add(VALUES)
}
