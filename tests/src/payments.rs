//! Books of the example handler `payments`: what the gateway has charged, what state says, and the receipts
//! that were sent are held against each other. They are read by the commands and at the gateway.

use crate::components::plugin;
use crate::payment_gateway::Gateway;
use crate::site::{Pipeline, Site};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Customers of [`order`].
const CUSTOMERS: u64 = 5;

/// What the pipeline grants: this gateway alone.
#[must_use]
pub fn grants(gateway: &Gateway) -> String {
    let url = gateway.url();
    format!(
        "config = {{ gateway = \"{url}\" }}\nstate = true\nhttp = [{{ to = \"{url}\", methods = [\"POST\"], \
         private = [\"127.0.0.1/32\"] }}]\noutbox.receipts = {{ type = \"embedded\", queue = \"receipts\" }}"
    )
}

/// The pipeline of payments at a gateway. Retries are quick.
#[must_use]
pub fn payments(gateway: &Gateway) -> Pipeline {
    Pipeline::new("payments", plugin("payments"))
        .with("dedup", "key = \"json:/id\"")
        .with("retry", "max_attempts = 50\ninitial_interval = \"20ms\"\nmax_interval = \"200ms\"")
        .with("grants", &grants(gateway))
}

/// The pipeline that takes receipts: a second one for an order is a duplicate.
#[must_use]
pub fn receipts() -> Pipeline {
    Pipeline::new("receipts", plugin("checksum")).with("dedup", "key = \"json:/order\"")
}

/// An order of one of some customers.
#[must_use]
pub fn order(number: u64) -> String {
    order_of(number, &format!("c{}", number % CUSTOMERS))
}

/// An order of a customer; each number has an amount of its own.
#[must_use]
pub fn order_of(number: u64, customer: &str) -> String {
    format!("{{\"id\": {number}, \"customer\": \"{customer}\", \"amount_cents\": {}}}", 100 + number)
}

/// Sends orders.
pub fn send(site: &Site, numbers: RangeInclusive<u64>) {
    site.send_lines("payments", &[], &numbers.map(order).collect::<Vec<_>>());
}

/// What state says that each customer has paid.
///
/// # Panics
/// When a line is none.
#[must_use]
pub fn totals(site: &Site) -> BTreeMap<String, i64> {
    let exported = site.done(&["state", "export", "payments"]);
    let total = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("each line is JSON");
        let text = |name: &str| line[name].as_str().expect("keys and totals are text").to_owned();
        let customer = text("key").strip_prefix("total/").expect("a total").to_owned();
        (customer, text("value").parse().expect("a number"))
    };
    exported.lines().map(total).collect()
}

/// Sees that orders were charged once each, that the totals are the gateway's, and, where somebody takes
/// them, that each order has one receipt.
///
/// # Panics
/// When something is lost, or was done twice.
pub fn balance(site: &Site, gateway: &Gateway, numbers: RangeInclusive<u64>, has_receipts: bool) {
    let books = gateway.books();
    assert_eq!(books.refused, 0, "requests without a key, or with the key of another");
    assert_eq!(books.orders(), numbers.clone().collect::<Vec<_>>(), "charges");
    let charged = books.customers().into_iter().map(|(customer, (cents, _))| (customer, cents)).collect();
    assert_eq!(totals(site), charged, "totals: state, and the gateway");
    if has_receipts {
        let status = site.status("receipts");
        let count = numbers.count() as u64;
        let found = (status.handled, status.duplicates, status.left(), status.dead_letters);
        assert_eq!(found, (count, 0, 0, 0), "receipts: {status:?}");
    }
}
