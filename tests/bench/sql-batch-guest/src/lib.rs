//! Writes a row for each message of a call, by one statement.

use pelton_sdk::sql::Value;
use pelton_sdk::{EffectError, Failure, Message, sql};

#[pelton_sdk::batch_handler]
fn handle(messages: Vec<Message>) -> Vec<Result<(), Failure>> {
    let written = write(&messages);
    messages.iter().map(|_| written.clone().map_err(Failure::from)).collect()
}

fn write(messages: &[Message]) -> Result<(), EffectError> {
    let rows: Vec<String> =
        (0..messages.len()).map(|row| format!("(${}, ${})", 2 * row + 1, 2 * row + 2)).collect();
    let values = messages.iter().flat_map(|message| {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        [Value::Integer(number(&body)), Value::Text(body)]
    });
    let insert = format!("insert into bench (id, body) values {}", rows.join(", "));
    sql("bench").execute(&insert, values.collect::<Vec<_>>()).map(drop)
}

fn number(body: &str) -> i64 {
    let digits = body.bytes().skip(2).take_while(u8::is_ascii_digit);
    digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
}
