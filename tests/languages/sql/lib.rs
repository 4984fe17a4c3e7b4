//! SQL, as the test of SQL wants it.

use pelton_sdk::{Failure, Message, sql};
use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    id: i64,
    item: String,
    units: i64,
    #[serde(default)]
    lost: bool,
}

const TEXT: &str = "ä'\"\\ 日本";
const NOTE: &[u8] = &[0, 1, 255];
const VALUES: &str = "select $1::int8 + 1152921504606846976 as big, $2::float8 as part, $3::bool as yes, \
    $4::text as words, $5::bytea as note, $6::numeric as price, null::int4 as nothing";

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let order: Order = message.json()?;
    let Order { id, item, units, lost } = &order;
    let shop = sql("shop");
    let rows = shop.query(VALUES, (*id, 0.5, true, TEXT, NOTE, "12.50"))?;
    let row = rows.one()?;
    let same = row.get::<i64>("big")? == (1 << 60) + id
        && row.get::<f64>("part")? == 0.5
        && row.get::<bool>(2)?
        && row.get::<String>("words")? == TEXT
        && row.get::<Vec<u8>>("note")? == NOTE
        && row.get::<Option<i32>>("nothing")?.is_none();
    if !same {
        return Err(Failure::reject(format!("got {row:?}")));
    }
    let price: String = row.get("price")?;
    let update = "update stock set units = units - $2 where item = $1 returning units";
    let left = shop.query(update, (item, *units)).map_err(|error| match error.constraint() {
        Some("stock_not_negative") => {
            Failure::reject(format!("order {id}: no {units} {item} ({})", error.code()))
        }
        _ => error.into(),
    })?;
    let insert = "insert into orders (id, item, total) values ($1, $2, $3)";
    let changed = shop.execute(insert, (*id, item, price))?;
    if changed != 1 {
        return Err(Failure::reject(format!("{changed} rows")));
    }
    let log = if *lost { -1 } else { *id };
    shop.stage("insert into log (order_id, note) values ($1, $2)", (log, NOTE))?;
    println!("order {id}: {} left", left.one()?.get::<i64>("units")?);
    Ok(())
}
