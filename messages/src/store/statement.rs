//! One way to run a statement on either database, so that everything above it is written once.

use futures::future::BoxFuture;
use sqlx::{
    AssertSqlSafe, Database, FromRow, SqlSafeStr, SqlStr, postgres::PgRow, sqlite::SqliteRow,
};
use std::{borrow::Cow, fmt::Write, io, time::Duration};

/// A parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Int(i64),
    MaybeInt(Option<i64>),
    Text(&'a str),
    MaybeText(Option<&'a str>),
    Bytes(&'a [u8]),
}

/// A number as the databases know them; what is beyond all of them is as good as the greatest.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Int(integer(number))
    }
}

impl From<Option<u64>> for Value<'_> {
    fn from(number: Option<u64>) -> Self {
        Self::MaybeInt(number.map(integer))
    }
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

    /// The same, knowing whether its text comes again.
    pub fn recurring(self, recurs: bool) -> Self {
        Self { recurs, ..self }
    }

    /// What it says to the database.
    pub fn text(&self) -> &str {
        self.text.as_str()
    }
}

/// A statement that is put together piece by piece.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    text: String,
    values: Vec<Value<'a>>,
}

impl<'a> Draft<'a> {
    /// Begins with a text that has places for `values`.
    pub fn new(text: &str, values: &[Value<'a>]) -> Self {
        Self { text: text.to_owned(), values: values.to_vec() }
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// A parameter, and its place in the text.
    pub fn value(&mut self, value: impl Into<Value<'a>>) -> &mut Self {
        self.values.push(value.into());
        // Writing to a string cannot fail.
        let _ = write!(self.text, "${}", self.values.len());
        self
    }

    /// A list of parameters between parentheses.
    pub fn list(&mut self, values: impl IntoIterator<Item = Value<'a>>) -> &mut Self {
        for (place, value) in values.into_iter().enumerate() {
            self.text(if place == 0 { "(" } else { ", " }).value(value);
        }
        self.text(")")
    }

    /// The statement; `recurs` when there are few such texts, so that each is worth keeping its plan.
    pub fn finish(self, recurs: bool) -> Statement<'a> {
        Statement { text: AssertSqlSafe(self.text).into_sql_str(), values: self.values, recurs }
    }
}

/// A row of named columns, where they are too many for a tuple: its fields have their names.
macro_rules! columns {
    ($(#[$attribute:meta])* $name:ident { $($column:ident: $kind:ty),* $(,)? }) => {
        $(#[$attribute])*
        pub(in crate::store) struct $name { $(pub $column: $kind),* }

        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $name
        where
            &'static str: sqlx::ColumnIndex<R>,
            $($kind: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,)*
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                Ok(Self { $($column: row.try_get(stringify!($column))?),* })
            }
        }
    };
}
pub(super) use columns;

/// A row that both databases can give.
pub(super) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{}

/// A database that runs statements.
pub(super) trait Run: Database {
    /// A statement for the time of the database, in milliseconds since 1970.
    const NOW_MS: &'static str;

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

    /// As [`Run::fetch`], for as long as it takes: while nobody is served.
    fn fetch_patiently<'a, R: Row + 'a>(
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

/// Postgres has no text with a NUL in it. What is written was promised already, so it must not fail
/// for that.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Both kinds of query have this method, but no trait says so.
macro_rules! bind {
    ($query:expr, $values:expr) => {
        $values.into_iter().fold($query, |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::MaybeInt(value) => query.bind(value),
            Value::Text(value) => query.bind(without_nul(value)),
            Value::MaybeText(value) => query.bind(value.map(without_nul)),
            Value::Bytes(value) => query.bind(value),
        })
    };
}

macro_rules! run {
    ($database:ty, $now_ms:literal) => {
        impl Run for $database {
            const NOW_MS: &'static str = $now_ms;

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

            fn fetch_patiently<'a, R: Row + 'a>(
                on: &'a mut Self::Connection,
                statement: Statement<'a>,
            ) -> BoxFuture<'a, Result<Vec<R>, sqlx::Error>> {
                Box::pin(async move {
                    let query = sqlx::query_as(statement.text).persistent(statement.recurs);
                    bind!(query, statement.values).fetch_all(on).await
                })
            }
        }
    };
}

run!(sqlx::Sqlite, "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)");
run!(sqlx::Postgres, "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)");
