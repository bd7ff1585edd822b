//! A copy of a database while others write to it.

use super::StoreError;
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use std::{path::Path, str::FromStr};

/// Writes what the SQLite database of `url` holds at one moment into the file `to`, which must not be
/// there. Nobody has to wait for it.
///
/// # Errors
/// There is no such database, or it cannot be read or written.
pub async fn copy_into(url: &str, to: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::from_str(url)?.read_only(true).create_if_missing(false);
    let mut connection = options.connect().await?;
    let name = to.to_str().ok_or(StoreError::UnknownUrl)?;
    sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await?;
    Ok(connection.close().await?)
}
