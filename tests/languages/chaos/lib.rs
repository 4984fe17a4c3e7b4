//! Does what the header `do` of its messages says, good or bad.

use pelton_sdk::{Failure, Message};
use std::hint::black_box;
use std::time::Duration;

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    match message.header("do").unwrap_or_default() {
        "retry" => {
            let text = format!("asked to retry at attempt {}", message.attempt);
            return Err(Failure::retry(text).after(Duration::from_millis(250)));
        }
        "reject" => return Err(Failure::reject("asked to reject")),
        "uncaught" => panic!("a plain error"),
        "loop" => loop {
            black_box(());
        },
        "sleep" => std::thread::sleep(Duration::from_secs(3600)),
        "memory" => {
            let mut taken = Vec::new();
            loop {
                taken.push(black_box(vec![1u8; 1 << 20]));
            }
        }
        "deep" => println!("{}", deep(1)),
        "flood" => (0..2000).for_each(|_| println!("{}", "flood ".repeat(20))),
        "print" => println!("printed"),
        "files" => {
            let read = std::fs::read("/etc/passwd").is_ok() || std::env::var("HOME").is_ok();
            println!("denied: {}", !read);
        }
        "echo" => echo(&message),
        _ => {}
    }
    Ok(())
}

#[allow(unconditional_recursion)]
fn deep(depth: u64) -> u64 {
    black_box(deep(black_box(depth + 1)) + depth)
}

fn echo(message: &Message) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for header in &message.headers {
        println!("header {}={}", header.name, text(&header.value));
    }
    let key = message.key.as_ref().map_or("none".to_owned(), |key| format!("\"{}\"", text(key)));
    let rest = message.body.iter().fold(0u64, |rest, byte| (rest * 256 + u64::from(*byte)) % 4_294_967_291);
    println!("id {}, key {key}, attempt {}, body {} {rest}", message.id, message.attempt, message.body.len());
}
