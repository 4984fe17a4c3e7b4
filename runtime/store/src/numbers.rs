//! Numbers in columns. SQLite's are signed; a conversion by `as` would make a far time a negative one,
//! which no clock ever reaches.

/// A number for a column: one that is too large for it is the largest it has.
pub fn signed<N: TryInto<i64>>(number: N) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A number of a column. Where none is to be negative, one that is, is 0: of a time that means now.
pub fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_the_largest_or_the_smallest() {
        let most = i64::MAX.unsigned_abs();
        assert_eq!([0, 1, most, most + 1, u64::MAX].map(signed), [0, 1, i64::MAX, i64::MAX, i64::MAX]);
        assert_eq!([i64::MIN, -1, 0, i64::MAX].map(unsigned), [0, 0, 0, most]);
    }
}
