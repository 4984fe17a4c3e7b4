//! Writes a row for each message: its number, and its body. The first letter says whether somebody waits for
//! the database's answer (`n`), or not.

use pelton_sdk::{Failure, Message, sql};

const INSERT: &str = "insert into bench (id, body) values ($1, $2)";

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let body = message.text()?;
    let (database, row) = (sql("bench"), (number(body), body));
    if body.starts_with('n') {
        database.execute(INSERT, row)?;
    } else {
        database.stage(INSERT, row)?;
    }
    Ok(())
}

fn number(body: &str) -> i64 {
    let digits = body.bytes().skip(2).take_while(u8::is_ascii_digit);
    digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
}
