//! The payment gateway of `script/demo`: `gateway FILE` writes its address into a file, and runs until it is
//! killed.

#[allow(dead_code, clippy::cast_possible_truncation)]
#[path = "../../../tests/src/payment_gateway.rs"]
mod payment_gateway;

use payment_gateway::{Gateway, Trouble};
use std::io::{Error, ErrorKind};
use std::time::Duration;

fn main() -> std::io::Result<()> {
    let file = std::env::args_os().nth(1);
    let file = file.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "name a file for the address"))?;
    let trouble = Trouble { down: 50, silent: 20, lost: 20, slow: 20, delay: Duration::from_millis(300) };
    let gateway = Gateway::start("127.0.0.1:0", trouble)?;
    // Whole, or not there yet.
    let new = std::path::Path::new(&file).with_extension("new");
    std::fs::write(&new, gateway.url())?;
    std::fs::rename(&new, &file)?;
    loop {
        std::thread::park();
    }
}
