//! Damage to what the broker has on its disk.

use super::Broker;
use std::os::unix::fs::FileExt;

/// Bytes of a batch before its records, and before what its length counts.
const HEAD: u64 = 61;
const COUNTED_FROM: u64 = 12;

impl Broker {
    /// Turns a bit in the middle of the batch that begins at an offset: its checksum does not fit any more.
    ///
    /// # Panics
    /// When there is none.
    pub fn damage(&self, topic: &str, partition: i32, offset: i64) {
        let file = self.dir.path().join(format!("data/log/{topic}-{partition}/00000000000000000000.log"));
        let file = std::fs::File::options().read(true).write(true).open(file).expect("the broker has it");
        let mut at = 0;
        loop {
            let mut head = [0; 12];
            file.read_exact_at(&mut head, at).expect("there is a batch with this offset");
            let (first, length) = head.split_at(8);
            let first = i64::from_be_bytes(first.try_into().expect("eight bytes"));
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            let end = at + COUNTED_FROM + u64::from(length);
            if first == offset {
                let middle = (at + HEAD).midpoint(end);
                let mut byte = [0];
                file.read_exact_at(&mut byte, middle).expect("it is there");
                file.write_all_at(&[byte[0] ^ 1], middle).expect("it is ours");
                return;
            }
            at = end;
        }
    }
}
