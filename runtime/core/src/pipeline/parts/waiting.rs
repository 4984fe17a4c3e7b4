//! What waits in one lane, in its order.

use super::entry::Slot;
use std::collections::BTreeMap;

/// By the number of its receipt. The first stands by itself: most lanes have no other, and then nothing is
/// allocated for a message that passes through.
#[derive(Debug, Default)]
pub struct Waiting {
    first: Option<(u64, Slot)>,
    rest: BTreeMap<u64, Slot>,
}

impl Waiting {
    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The first, and its number.
    pub fn first(&self) -> Option<(u64, Slot)> {
        self.first
    }

    /// Puts one in its place.
    pub fn insert(&mut self, order: u64, slot: Slot) {
        match self.first {
            Some((first, _)) if first < order => drop(self.rest.insert(order, slot)),
            before => {
                self.first = Some((order, slot));
                self.rest.extend(before.filter(|(first, _)| *first != order));
            }
        }
    }

    /// Takes the first out.
    pub fn pop_first(&mut self) -> Option<(u64, Slot)> {
        let first = self.first.take()?;
        self.first = self.rest.pop_first();
        Some(first)
    }

    /// Takes one out, wherever it waits.
    pub fn remove(&mut self, order: u64) -> Option<Slot> {
        match self.first {
            Some((first, _)) if first == order => self.pop_first().map(|(_, slot)| slot),
            Some(_) | None => self.rest.remove(&order),
        }
    }

    /// All of them, in order.
    pub fn into_slots(self) -> impl Iterator<Item = Slot> {
        self.first.into_iter().chain(self.rest).map(|(_, slot)| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain map, with every way of putting four in and taking them out.
    #[test]
    fn it_is_a_map_whatever_comes_first() {
        for steps in 0..8u32.pow(6) {
            let (mut waiting, mut map) = (Waiting::default(), BTreeMap::new());
            for at in 0..6u32 {
                let (order, puts) = (u64::from(steps >> (3 * at) & 3), steps >> (3 * at) & 4 == 0);
                match (puts, order) {
                    (true, _) => {
                        waiting.insert(order, u64::from(at));
                        map.insert(order, u64::from(at));
                    }
                    (false, 0) => assert_eq!(waiting.pop_first(), map.pop_first()),
                    (false, _) => assert_eq!(waiting.remove(order), map.remove(&order)),
                }
                assert_eq!((waiting.len(), waiting.is_empty()), (map.len(), map.is_empty()));
                assert_eq!(waiting.first(), map.first_key_value().map(|(order, slot)| (*order, *slot)));
            }
            assert!(waiting.into_slots().eq(map.into_values()), "{steps}");
        }
    }
}
