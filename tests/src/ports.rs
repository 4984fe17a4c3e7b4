//! Ports for the servers that tests start.
//!
//! A broker takes seconds until it listens. A port that the system gives to whoever connects somewhere
//! could be taken meanwhile, and so could one that another suite has found free. So ports are below those
//! that the system gives, and each process has blocks of its own.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Where the blocks are. The system gives ports from 32768 on.
const PORTS: Range<u16> = 10_000..32_000;
/// Ports of a block. The first is held for as long as the process lives: that makes the block its own.
const BLOCK: u16 = 100;

struct Block {
    _held: TcpListener,
    /// Those that nobody was given.
    left: Range<u16>,
}

static OURS: Mutex<Vec<Block>> = Mutex::new(Vec::new());

/// The first of some ports in a row that nobody has, and nobody else is given.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn free(count: u16) -> u16 {
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match ours.last_mut().filter(|block| block.left.len() >= usize::from(count)) {
            Some(block) => {
                let first = block.left.start;
                block.left.start += count;
                if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
                    return first;
                }
            }
            None => ours.push(claim()),
        }
    }
}

/// A block that no other process has. Each begins to look at another place.
fn claim() -> Block {
    let count = (PORTS.end - PORTS.start) / BLOCK;
    let begin = std::process::id() % u32::from(count);
    let begin = u16::try_from(begin).expect("less than the number of blocks");
    let blocks = (0..count).map(|number| PORTS.start + (begin + number) % count * BLOCK);
    let held = |first| Some((TcpListener::bind(("127.0.0.1", first)).ok()?, first));
    let (held, first) = blocks.filter_map(held).next().expect("there are free ports");
    Block { _held: held, left: first + 1..first + BLOCK }
}
