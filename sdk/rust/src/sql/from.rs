//! What a value can be read as.

use super::Value;

/// What a value of a row can be read as. `Option` where it may be null.
pub trait FromValue: Sized {
    /// What it is called, for who reads the error.
    const NAME: &'static str;

    /// The value as this; none when it is of another type, or does not fit.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for Value {
    const NAME: &'static str = "a value";

    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const NAME: &'static str = T::NAME;

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl FromValue for bool {
    const NAME: &'static str = "a truth value";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Boolean(is) => Some(*is),
            _ => None,
        }
    }
}

impl FromValue for String {
    const NAME: &'static str = "text";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    const NAME: &'static str = "bytes";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl FromValue for f64 {
    const NAME: &'static str = "a number";

    /// Of a `numeric` too, which is text: the nearest one.
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Float(number) => Some(*number),
            Value::Text(text) => text.parse().ok(),
            // Exact, or none: 32 bits are, and larger ones are read as what they are.
            Value::Integer(number) => i32::try_from(*number).ok().map(Self::from),
            _ => None,
        }
    }
}

macro_rules! whole {
    ($($type:ty)+) => {$(
        impl FromValue for $type {
            const NAME: &'static str = "a whole number of this size";

            /// Of a `numeric` too, which is text, where it has no fraction: `sum` makes one of whole
            /// numbers.
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Integer(number) => (*number).try_into().ok(),
                    Value::Text(text) => text.parse().ok(),
                    _ => None,
                }
            }
        }
    )+};
}

whole!(i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_what_it_is_or_not_at_all() {
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(i64::from_value(&Value::Integer(7)), Some(7));
        assert_eq!(u8::from_value(&Value::Integer(700)), None);
        assert_eq!((i64::from_value(&text("42")), i64::from_value(&text("4.2"))), (Some(42), None));
        assert_eq!(f64::from_value(&text("4.5")), Some(4.5));
        assert_eq!(Option::<i64>::from_value(&Value::Null), Some(None));
        assert_eq!((i64::from_value(&Value::Null), String::from_value(&Value::Integer(1))), (None, None));
    }
}
