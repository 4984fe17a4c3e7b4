//! Receipts: a place in a partition, and the assignment it came with, in 64 bits.

use pelton_core::Receipt;
use pelton_core::number::low_byte;

const OFFSET_BITS: u32 = 44;
const PLACE_BITS: u32 = 12;

/// Partitions that one source may have in its life, and offsets of one: seventeen million million.
pub const MAX_PLACES: u64 = 1 << PLACE_BITS;
pub const MAX_OFFSET: u64 = 1 << OFFSET_BITS;

/// What a receipt says. `place` is the number of the partition in this source; the assignment is
/// cut to eight bits: a receipt is not 256 assignments old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub assignment: u8,
    pub place: u64,
    pub offset: u64,
}

impl Ticket {
    /// What a receipt keeps of the number of an assignment.
    pub fn assignment(number: u32) -> u8 {
        low_byte(u64::from(number))
    }

    pub fn receipt(self) -> Receipt {
        let head = u64::from(self.assignment) << PLACE_BITS | self.place;
        Receipt(head << OFFSET_BITS | self.offset)
    }

    pub fn of(receipt: Receipt) -> Self {
        let head = receipt.0 >> OFFSET_BITS;
        Self {
            assignment: low_byte(head >> PLACE_BITS),
            place: head & (MAX_PLACES - 1),
            offset: receipt.0 & (MAX_OFFSET - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_keeps_all_of_it() {
        for (assignment, place, offset) in
            [(0, 0, 0), (255, MAX_PLACES - 1, MAX_OFFSET - 1), (7, 3, 12_345)]
        {
            let ticket = Ticket { assignment, place, offset };
            assert_eq!(Ticket::of(ticket.receipt()), ticket);
        }
    }
}
