//! What can be a parameter.

use super::Value;

/// What stands for `$1` and those that follow: a tuple of what can be a [`Value`], a list of values, or
/// `()`.
pub trait Parameters {
    /// In their order.
    fn values(self) -> Vec<Value>;
}

impl Parameters for () {
    fn values(self) -> Vec<Value> {
        Vec::new()
    }
}

impl Parameters for Vec<Value> {
    fn values(self) -> Vec<Value> {
        self
    }
}

impl Parameters for &[Value] {
    fn values(self) -> Vec<Value> {
        self.to_vec()
    }
}

impl<const N: usize> Parameters for [Value; N] {
    fn values(self) -> Vec<Value> {
        self.into()
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: Into<Value>),+> Parameters for ($($name,)+) {
            #[allow(non_snake_case, reason = "a name for each place")]
            fn values(self) -> Vec<Value> {
                let ($($name,)+) = self;
                vec![$($name.into()),+]
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
tuples!(A B C D E F G H I J);
tuples!(A B C D E F G H I J K);
tuples!(A B C D E F G H I J K L);

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

macro_rules! whole {
    ($($type:ty)+) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::Integer(value.into())
            }
        }
    )+};
}

whole!(i8 i16 i32 i64 u8 u16 u32);

macro_rules! large {
    ($($type:ty)+) => {$(
        /// What is more than 64 bits with a sign hold is its digits, which bind to a `numeric`.
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                i64::try_from(value).map_or_else(|_| Self::Text(value.to_string()), Self::Integer)
            }
        }
    )+};
}

large!(u64 i128 u128 usize);

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Self::Float(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.into())
    }
}

impl From<&Vec<u8>> for Value {
    fn from(value: &Vec<u8>) -> Self {
        Self::Bytes(value.clone())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_parameter() {
        let none: Option<i64> = None;
        let values = (1_u8, "a", none, Some(true), 0.5, &b"x"[..], u64::MAX).values();
        let expected = [
            Value::Integer(1),
            Value::Text("a".into()),
            Value::Null,
            Value::Boolean(true),
            Value::Float(0.5),
            Value::Bytes(b"x".to_vec()),
            Value::Text("18446744073709551615".into()),
        ];
        assert_eq!(values, expected);
        assert_eq!(().values(), []);
        assert_eq!(expected.clone().values(), (&expected[..]).values());
    }
}
