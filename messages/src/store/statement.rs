//! One way to run a statement on either database, so that everything above it is written once.

use futures::future::BoxFuture;
use sqlx::{
    AssertSqlSafe, Database, FromRow, SqlSafeStr, SqlStr, postgres::PgRow, sqlite::SqliteRow,
};
use std::{fmt::Write, io, time::Duration};

/// A parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Int(i64),
    MaybeInt(Option<i64>),
    Text(&'a str),
    MaybeText(Option<&'a str>),
    Bytes(&'a [u8]),
}

/// A statement and its parameters.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    text: SqlStr,
    values: Vec<Value<'a>>,
    /// Whether the text comes again, so that it is worth keeping its plan.
    recurs: bool,
}

impl<'a> Statement<'a> {
    /// A statement whose text never changes.
    pub fn fixed(text: &'static str, values: Vec<Value<'a>>) -> Self {
        Self { text: SqlStr::from_static(text), values, recurs: true }
    }

    /// A statement that ends in one list of values: `head` and then `($1, $2)` and so on.
    pub fn list(head: &str, values: Vec<Value<'a>>) -> Self {
        let recurs = values.len() == 1;
        Self { recurs, ..Self::over(head, 1, values, "") }
    }

    /// A statement over `rows` rows of parameters: `head`, a list, `tail`. The list is
    /// `($1, $2), ($3, $4)` and so on, with as many parameters in a row as fit `values`.
    pub fn over(head: &str, rows: usize, values: Vec<Value<'a>>, tail: &str) -> Self {
        let columns = values.len() / rows;
        let mut text = String::with_capacity(head.len() + tail.len() + values.len() * 6);
        text.push_str(head);
        for row in 0..rows {
            text.push_str(if row == 0 { " (" } else { ", (" });
            for column in 0..columns {
                let comma = if column == 0 { "" } else { ", " };
                // Writing to a string cannot fail.
                let _ = write!(text, "{comma}${}", row * columns + column + 1);
            }
            text.push(')');
        }
        text.push_str(tail);
        Self {
            text: AssertSqlSafe(text).into_sql_str(),
            values,
            recurs: rows == super::sql::ROWS_MAX,
        }
    }
}

/// A row that both databases can give.
pub(super) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{}

/// A database that runs statements.
pub(super) trait Run: Database {
    /// Runs a statement and tells how many rows it has changed.
    fn execute<'a>(
        on: &'a mut Self::Connection,
        statement: Statement<'a>,
    ) -> BoxFuture<'a, Result<u64, sqlx::Error>>;

    /// Runs a statement and takes all its rows.
    fn fetch<'a, R: Row + 'a>(
        on: &'a mut Self::Connection,
        statement: Statement<'a>,
    ) -> BoxFuture<'a, Result<Vec<R>, sqlx::Error>>;
}

/// Longer than any statement may run: the database ends it after thirty seconds. Whoever waits
/// longer waits on a network that is gone, of which nothing else would tell for a quarter of an
/// hour.
const ANSWER_WAIT: Duration = Duration::from_secs(35);

async fn answered<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let answer = tokio::time::timeout(ANSWER_WAIT, answer).await;
    answer.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

/// Both kinds of query have this method, but no trait says so.
macro_rules! bind {
    ($query:expr, $values:expr) => {
        $values.into_iter().fold($query, |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::MaybeInt(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::MaybeText(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    };
}

macro_rules! run {
    ($database:ty) => {
        impl Run for $database {
            fn execute<'a>(
                on: &'a mut Self::Connection,
                statement: Statement<'a>,
            ) -> BoxFuture<'a, Result<u64, sqlx::Error>> {
                Box::pin(async move {
                    let query = sqlx::query(statement.text).persistent(statement.recurs);
                    let query = bind!(query, statement.values);
                    Ok(answered(query.execute(on)).await?.rows_affected())
                })
            }

            fn fetch<'a, R: Row + 'a>(
                on: &'a mut Self::Connection,
                statement: Statement<'a>,
            ) -> BoxFuture<'a, Result<Vec<R>, sqlx::Error>> {
                Box::pin(async move {
                    let query = sqlx::query_as(statement.text).persistent(statement.recurs);
                    let query = bind!(query, statement.values);
                    answered(query.fetch_all(on)).await
                })
            }
        }
    };
}

run!(sqlx::Sqlite);
run!(sqlx::Postgres);
