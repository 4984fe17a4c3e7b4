//! A database in a handler's own tests: answers by statement, and what was run.

use super::{Effects, called, with};
use crate::EffectError;
use crate::sql::{Column, Parameters, Rows, Statement};

/// What a statement in a test is answered with.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "is given to `Effects::sql`"]
pub struct Reply(Result<Rows, EffectError>);

impl Reply {
    /// No rows yet, of these columns.
    pub fn rows<const N: usize>(columns: [&str; N]) -> Self {
        let column = |name: &str| Column { name: name.into(), type_name: "of the test".into() };
        Self(Ok(Rows::new(columns.into_iter().map(column).collect(), Vec::new(), 0)))
    }

    /// One more row: `.row((7, "tea"))`.
    pub fn row(self, values: impl Parameters) -> Self {
        Self(self.0.map(|rows| rows.with(values.values())))
    }

    /// So many rows were changed.
    pub fn affected(rows: u64) -> Self {
        Self(Ok(Rows::new(Vec::new(), Vec::new(), rows)))
    }

    /// It fails, as with `EffectError::new("23514", "...").with_constraint("stock_not_negative")`.
    pub fn fails(error: EffectError) -> Self {
        Self(Err(error))
    }
}

/// What a test knows of its databases.
#[derive(Default)]
pub(super) struct Databases {
    /// Parts of statements, and what answers them; each is used once.
    replies: Vec<(String, Reply)>,
    run: Vec<Statement>,
    staged: Vec<Statement>,
    /// A statement has failed: the transaction is over.
    is_over: bool,
}

impl Effects {
    /// Answers one statement that has this text in it, whatever the spaces; several for the same are used in
    /// their order.
    #[must_use]
    pub fn sql(self, statement: &str, reply: Reply) -> Self {
        with(|world| world.databases.replies.push((words(statement), reply)));
        self
    }

    /// The statements that were run for a result, in their order.
    #[must_use]
    pub fn statements(&self) -> Vec<Statement> {
        with(|world| world.databases.run.clone()).unwrap_or_default()
    }

    /// The statements that were staged, in their order.
    #[must_use]
    pub fn staged(&self) -> Vec<Statement> {
        with(|world| world.databases.staged.clone()).unwrap_or_default()
    }
}

pub(crate) fn sql_query(statement: Statement) -> Result<Rows, EffectError> {
    called(|world| {
        let databases = &mut world.databases;
        let text = words(&statement.text);
        databases.run.push(statement);
        if databases.is_over {
            return Err(EffectError::new(
                "25P02",
                "a statement has failed before: the transaction is over",
            ));
        }
        let Some(found) = databases.replies.iter().position(|(part, _)| text.contains(part)) else {
            return Err(EffectError::new("refused", format!("the test has no answer for `{text}`")));
        };
        let Reply(answer) = databases.replies.remove(found).1;
        databases.is_over = answer.as_ref().is_err_and(|error| !STANDS.contains(&error.code()));
        answer
    })
}

pub(crate) fn sql_execute(statement: Statement) -> Result<u64, EffectError> {
    sql_query(statement).map(|rows| rows.affected())
}

pub(crate) fn sql_stage(statement: Statement) -> Result<(), EffectError> {
    called(|world| {
        world.databases.staged.push(statement);
        Ok(())
    })
}

/// After these the transaction stands.
const STANDS: [&str; 3] = ["refused", "too-large", "unknown-database"];

/// A statement with one space wherever it has some.
fn words(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;
    use crate::sql::Value;

    #[test]
    fn statements_are_answered_by_their_text_once_and_noted() {
        let effects = Effects::new()
            .sql("from items where id = $1", Reply::rows(["item", "stock"]).row(("tea", 3)))
            .sql("update items", Reply::affected(1));
        let shop = sql("shop");
        let rows = shop.query("select item, stock\n  from items\n where id = $1", (7,)).unwrap();
        let row = rows.one().unwrap();
        assert_eq!((row.get::<String>("item").unwrap(), row.get::<i64>(1).unwrap()), ("tea".into(), 3));
        assert_eq!(shop.execute("update items set stock = 0", ()), Ok(1));
        shop.stage("insert into log values ($1)", ("a",)).unwrap();
        assert_eq!(shop.query("select 1", ()).unwrap_err().code(), "refused");
        let statements = effects.statements();
        assert_eq!((statements.len(), &*statements[0].database), (3, "shop"));
        assert_eq!(statements[0].parameters, [Value::Integer(7)]);
        assert_eq!(effects.staged()[0].text, "insert into log values ($1)");
    }

    #[test]
    fn after_a_failed_statement_the_transaction_is_over() {
        let error = EffectError::new("23514", "no").with_constraint("stock_not_negative").with_detail("d");
        let _effects = Effects::new()
            .sql("update", Reply::fails(error.clone()))
            .sql("select", Reply::rows(["one"]).row((1,)));
        let failed = sql("shop").execute("update items set stock = -1", ()).unwrap_err();
        assert_eq!((failed.constraint(), failed.detail()), (Some("stock_not_negative"), Some("d")));
        assert_eq!(sql("shop").query("select 1", ()).unwrap_err().code(), "25P02");
    }

    #[test]
    fn after_what_pelton_refuses_the_transaction_stands() {
        let effects = STANDS.into_iter().fold(Effects::new(), |effects, code| {
            effects.sql(code, Reply::fails(EffectError::new(code, "it is refused")))
        });
        for code in STANDS {
            assert_eq!(sql("shop").execute(code, ()).unwrap_err().code(), code);
        }
        let _effects = effects.sql("select 1", Reply::affected(1));
        assert_eq!(sql("shop").execute("select 1", ()), Ok(1));
    }
}
