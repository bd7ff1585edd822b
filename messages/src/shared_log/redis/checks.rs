//! What a server must be to be used, and what an operator should know of it.

use super::{
    LogError, Memory,
    answer::{corrupt, text},
    link::Link,
};
use redis::Value;

/// The first version that has channels of a shard, and flags of scripts.
const MAJOR_MIN: u32 = 7;

/// Refuses a server that is too old, and warns of settings that lose data.
pub(super) async fn check(link: &Link) -> Result<(), LogError> {
    let info = info(link, "server").await?;
    let version = line(&info, "redis_version").unwrap_or("unknown");
    let major = version.split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < MAJOR_MIN) {
        return Err(LogError::Unfit(format!(
            "it has version {version}; {MAJOR_MIN} or later is needed, or Valkey"
        )));
    }
    // Where others run the server, settings cannot be asked for, and are theirs.
    if let Some(policy) = setting(link, "maxmemory-policy").await
        && policy != "noeviction"
    {
        tracing::warn!(policy, "Redis may drop what is not in the database: set noeviction");
    }
    if setting(link, "appendonly").await.as_deref() == Some("no") {
        tracing::warn!("Redis loses what is not in the database when it stops: set appendonly yes");
    }
    Ok(())
}

/// How much memory a server uses.
pub(super) async fn memory(link: &Link) -> Result<Memory, LogError> {
    let info = info(link, "memory").await?;
    let number = |key| line(&info, key).and_then(|value| value.parse().ok());
    match (number("used_memory"), number("maxmemory")) {
        (Some(used_bytes), Some(max_bytes)) => Ok(Memory { used_bytes, max_bytes }),
        _ => Err(corrupt("what it says of its memory")),
    }
}

async fn info(link: &Link, section: &str) -> Result<String, LogError> {
    let mut command = redis::cmd("INFO");
    command.arg(section);
    text(link.ask(command).await?)
}

fn line<'a>(info: &'a str, key: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
}

async fn setting(link: &Link, name: &str) -> Option<String> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(name);
    match link.ask(command).await.ok()? {
        Value::Map(mut pairs) => text(pairs.pop()?.1).ok(),
        Value::Array(mut pair) => text(pair.pop()?).ok(),
        _ => None,
    }
}
