//! Takes orders out of a stock: both are tables of one database, and so is the record that an order was
//! processed. All of it is committed together, once, or nothing of it.
//!
//! The database says what cannot be: a constraint keeps the stock from falling below nothing. Such an order
//! is rejected with words, and leaves nothing behind.

use pelton_sdk::{EffectError, Failure, Message, sql};
use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    id: i64,
    customer: String,
    item: String,
    units: i64,
}

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    // A body that is no order is rejected, with the place where it is malformed.
    let order: Order = message.json()?;
    let total = take(&order)?;
    let Order { id, customer, item, units } = &order;
    let shop = sql("shop");
    let insert = "insert into orders (id, customer, item, units, total) values ($1, $2, $3, $4, $5)";
    shop.execute(insert, (*id, customer, item, *units, &total)).map_err(|error| refused(&order, error))?;
    // Its result is not needed: it is sent along with the commit.
    let spent = "insert into customers as c (name, spent) values ($1, $2)
                 on conflict (name) do update set spent = c.spent + excluded.spent";
    shop.stage(spent, (customer, &total))?;
    eprintln!("order {id}: {units} {item} for {customer}, {total}");
    Ok(())
}

/// Takes what is ordered out of the stock: what it costs, as the database writes it.
fn take(order: &Order) -> Result<String, Failure> {
    let update = "update stock set units = units - $2 where item = $1 returning price * $2 as total";
    let taken =
        sql("shop").query(update, (&order.item, order.units)).map_err(|error| refused(order, error))?;
    match taken.first() {
        Some(row) => Ok(row.get("total")?),
        None => Err(Failure::reject(format!("order {}: there is no item {}", order.id, order.item))),
    }
}

/// What the database says of the order itself will not change: a reject. All else may pass: a retry.
fn refused(order: &Order, error: EffectError) -> Failure {
    let Order { id, item, units, .. } = order;
    match error.constraint() {
        Some("stock_not_negative") => Failure::reject(format!("order {id}: there are no {units} {item}")),
        Some("units_positive") => Failure::reject(format!("order {id}: {units} {item} is no order")),
        Some("orders_pkey") => Failure::reject(format!("order {id} was taken before")),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests;
