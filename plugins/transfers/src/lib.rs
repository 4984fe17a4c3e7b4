//! Moves money between accounts, and does on the way what its message says: what handlers do that are wrong,
//! hostile or unlucky. For tests: whatever it does, a transfer that is answered `Ok` is in the books once,
//! and any other is not.

use pelton_sdk::{EffectError, Failure, Message, sql};
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Transfer {
    id: i64,
    from: i64,
    to: i64,
    cents: i64,
    /// What it does besides.
    how: How,
    /// What it runs.
    statements: Vec<String>,
    /// How often.
    times: u32,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum How {
    /// Nothing.
    #[default]
    Plain,
    /// Nothing, and no statement's answer is waited for.
    Staged,
    /// The first attempt asks for a retry when all is done.
    Retry,
    /// It is rejected when all is done.
    Reject,
    /// The first attempt traps when all is done.
    Trap,
    /// The first attempt sends a statement that fails, and answers `Ok`.
    Swallow,
    /// The same with one that nobody waits for.
    SwallowStaged,
    /// Tries to end the transaction between the two halves.
    Commit,
    /// The first attempt sends statements that hide an end, and answers `Ok` whatever comes of it.
    Hidden,
    /// The database says that it is in conflict with others, as often as the function `conflict` does.
    Conflict,
    /// A statement takes a while between the two halves.
    Slow,
    /// Nothing is done, and nothing is asked of the database.
    Nothing,
    /// Runs its `statements` instead, says what comes of each, and answers `Ok`.
    Run,
    /// The same, and nobody waits for their answers.
    Stage,
}

/// What would end the transaction, or hide that it does.
const ENDINGS: [&str; 12] = [
    "COMMIT",
    "commit work",
    "/* a /* nested */ comment */ commit",
    "-- a line\n\tEND",
    "ROLLBACK",
    "abort",
    "BEGIN",
    "savepoint s",
    "release s",
    "prepare transaction 'x'",
    "set session statement_timeout = 0",
    "discard all",
];

/// What only the database itself can refuse: the transaction is over then.
const HIDDEN: [&str; 3] =
    ["do $$ begin commit; end $$", "do 'begin execute ''commit''; end'", "select 1; commit"];

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let transfer: Transfer = message.json()?;
    let is_first = message.attempt == 1;
    match transfer.how {
        How::Nothing => return Ok(()),
        How::Run => {
            run(&transfer);
            return Ok(());
        }
        How::Stage => {
            for statement in &transfer.statements {
                sql("shop").stage(statement, ())?;
            }
            return Ok(());
        }
        How::Staged => staged(&transfer)?,
        _ => moved(&transfer)?,
    }
    match transfer.how {
        How::Retry if is_first => Err(Failure::retry("the first attempt is no good")),
        How::Reject => Err(Failure::reject("this one is not wanted")),
        How::Trap if is_first => panic!("the first attempt traps"),
        How::Swallow if is_first => {
            drop(sql("shop").execute("insert into accounts values ($1, 0)", (transfer.from,)));
            Ok(())
        }
        How::Hidden if is_first => {
            let at = transfer.id.unsigned_abs() % HIDDEN.len() as u64;
            drop(sql("shop").execute(HIDDEN[usize::try_from(at).unwrap_or(0)], ()));
            Ok(())
        }
        How::SwallowStaged if is_first => {
            sql("shop").stage("insert into accounts values ($1, 0)", (transfer.from,))?;
            Ok(())
        }
        _ => Ok(()),
    }
}

const TAKE: &str = "update accounts set balance = balance - $2 where id = $1";
const GIVE: &str = "update accounts set balance = balance + $2 where id = $1";
const NOTE: &str = "insert into transfers (id, payer, payee, cents) values ($1, $2, $3, $4)";

/// The two halves are in the order of the message: two transfers that cross each other may wait for each
/// other.
fn moved(transfer: &Transfer) -> Result<(), Failure> {
    let Transfer { id, from, to, cents, how, .. } = *transfer;
    let shop = sql("shop");
    let rows = shop.query("select balance from accounts where id = $1", (from,))?;
    let row = rows.first().ok_or_else(|| Failure::reject(format!("transfer {id}: no account {from}")))?;
    let _balance: i64 = row.get("balance")?;
    one(shop.execute(TAKE, (from, cents))?, id)?;
    match how {
        How::Commit => ends_nothing(id)?,
        How::Conflict => drop(shop.query("select conflict()", ())?),
        How::Slow => drop(shop.query("select pg_sleep(0.05)", ())?),
        _ => {}
    }
    one(shop.execute(GIVE, (to, cents))?, id)?;
    shop.stage(NOTE, (id, from, to, cents))?;
    Ok(())
}

fn staged(transfer: &Transfer) -> Result<(), EffectError> {
    let Transfer { id, from, to, cents, .. } = *transfer;
    let shop = sql("shop");
    shop.stage(NOTE, (id, from, to, cents))?;
    shop.stage(TAKE, (from, cents))?;
    shop.stage(GIVE, (to, cents))
}

fn one(changed: u64, id: i64) -> Result<(), Failure> {
    if changed == 1 { Ok(()) } else { Err(Failure::reject(format!("transfer {id}: {changed} accounts"))) }
}

/// Every way to end the transaction is refused, and it goes on.
fn ends_nothing(id: i64) -> Result<(), Failure> {
    for statement in ENDINGS {
        match sql("shop").execute(statement, ()) {
            Err(error) if error.code() == "refused" => {}
            other => return Err(Failure::reject(format!("transfer {id}: `{statement}`: {other:?}"))),
        }
    }
    Ok(())
}

/// Says `ran ID: ` and what came of each statement: how many rows it changed or gave, or a code.
fn run(transfer: &Transfer) {
    let mut all = Vec::new();
    for _ in 0..transfer.times.max(1) {
        for statement in &transfer.statements {
            all.push(match sql("shop").query(statement, ()) {
                Ok(rows) => rows.affected().to_string(),
                Err(error) => error.code().to_owned(),
            });
        }
    }
    let kept = all.len().saturating_sub(20);
    eprintln!("ran {}: {}", transfer.id, all[kept..].join(" "));
}

#[cfg(test)]
mod tests;
