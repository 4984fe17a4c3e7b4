//! Numbers of several runs, and the order in which the runs of two sides are made.

use anyhow::{Context, Result};

/// What one side measured, sorted.
#[derive(Debug, Clone)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Of at least one run.
    pub fn new(mut values: Vec<f64>) -> Result<Self> {
        values.sort_by(f64::total_cmp);
        values.first().context("a row was measured without a run")?;
        Ok(Self(values))
    }

    pub fn min(&self) -> f64 {
        self.0[0]
    }

    pub fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 { self.0[middle] } else { (self.0[middle - 1] + self.0[middle]) / 2.0 }
    }

    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// Runs every side in turn, `runs` times (A B A B ...), after one round that is thrown away: a
/// drift of the machine then falls on all sides alike.
pub fn alternate<const N: usize>(
    runs: usize,
    mut side: impl FnMut(usize) -> Result<f64>,
) -> Result<[Samples; N]> {
    let mut values: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for run in 0..=runs {
        for (number, values) in values.iter_mut().enumerate() {
            let value = side(number)?;
            if run > 0 {
                values.push(value);
            }
        }
    }
    let samples = values.into_iter().map(Samples::new).collect::<Result<Vec<_>>>()?;
    samples.try_into().map_err(|_| anyhow::anyhow!("a side is missing"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sides_take_turns_and_the_first_round_is_dropped() {
        let mut order = Vec::new();
        let [a, b] = alternate(3, |side| {
            order.push(side);
            Ok(order.len() as f64)
        })
        .unwrap();
        assert_eq!(order, [0, 1, 0, 1, 0, 1, 0, 1]);
        assert_eq!((a.min(), a.median(), a.max()), (3.0, 5.0, 7.0));
        assert_eq!((b.min(), b.median(), b.max()), (4.0, 6.0, 8.0));
    }
}
