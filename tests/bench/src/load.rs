//! The messages of the rows: 1 KB each, with their number, and the work they ask for.

use crate::book::Set;

/// Bytes of a body.
const BODY: usize = 1024;
/// What a body is filled with.
const ITEM: &str = r#",{"sku":"A-17","count":3,"price":12.5,"tags":["new","blue"]}"#;

/// How much work a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    None,
    Hash,
    Json,
    Wait,
}

impl Level {
    /// Those that keep a processor busy.
    pub const ALL: [Self; 3] = [Self::None, Self::Hash, Self::Json];

    /// As the table says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "no work",
            Self::Hash => "5 us of hashing",
            Self::Json => "100 us of JSON",
            Self::Wait => "5 ms of waiting",
        }
    }

    fn letter(self) -> char {
        match self {
            Self::None => 'n',
            Self::Hash => 'h',
            Self::Json => 'j',
            Self::Wait => 'w',
        }
    }

    /// What this machine may be given to do in half a second or more.
    pub fn messages(self, quick: bool) -> u64 {
        let all = match self {
            Self::None => 200_000,
            Self::Hash => 100_000,
            Self::Json => 20_000,
            Self::Wait => 10_000,
        };
        if quick { all / 10 } else { all }
    }
}

/// Messages with the numbers from `first` on.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub level: Level,
    pub first: u64,
    pub count: u64,
}

impl Load {
    pub fn numbers(self) -> std::ops::Range<u64> {
        self.first..self.first + self.count
    }

    pub fn produced(self) -> Set {
        self.numbers().collect()
    }

    /// The work's letter, then a JSON array of 1 KB whose first element is the number.
    pub fn body(self, number: u64) -> Vec<u8> {
        let mut text = format!("{}[{number}", self.level.letter());
        while text.len() + ITEM.len() < BODY {
            text.push_str(ITEM);
        }
        text.push(']');
        text.extend(std::iter::repeat_n(' ', BODY - text.len()));
        text.into_bytes()
    }
}

/// The number in a body.
pub fn number(body: &[u8]) -> u64 {
    let digits = body.iter().skip(2).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_body_is_a_kilobyte_of_json_after_the_letter_and_tells_its_number() {
        let load = Load { level: Level::Json, first: 7, count: 3 };
        for wanted in load.numbers() {
            let body = load.body(wanted);
            assert_eq!((body.len(), number(&body)), (BODY, wanted));
            let tree: serde_json::Value = serde_json::from_slice(&body[1..]).unwrap();
            assert!(tree.as_array().unwrap().len() > 10);
            assert!(crate::work::run(&body) > 0);
        }
    }
}
