//! What Redis answers, and what its errors mean.

use super::{
    Claimed, Head, LogError, Logged, Wake,
    keys::{Heard, Keys},
};
use crate::model::{StreamId, StreamName};
use bytes::{Buf, Bytes};
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

/// What a script has answered: a word and what belongs to it.
pub(super) struct Reply {
    pub(super) word: String,
    values: std::vec::IntoIter<Value>,
}

impl Reply {
    /// Lost is an error, whoever asks.
    pub(super) fn of(value: Value) -> Result<Self, LogError> {
        let Value::Array(values) = value else { return Err(corrupt("a script's answer")) };
        let mut values = values.into_iter();
        let word = text(values.next().unwrap_or(Value::Nil))?;
        if word == "lost" { Err(LogError::Lost) } else { Ok(Self { word, values }) }
    }

    pub(super) fn head(&mut self) -> Result<Head, LogError> {
        let mut number = || text(self.values.next().unwrap_or(Value::Nil)).and_then(|t| number(&t));
        Ok(Head {
            life: StreamId(number()?),
            version: number()?,
            stored: number()?,
            expires_ms: number()?,
            news: number()?,
        })
    }

    /// The head of a name that may be cold.
    pub(super) fn head_if_hot(mut self) -> Result<Option<Head>, LogError> {
        if self.word == "cold" { Ok(None) } else { self.head().map(Some) }
    }

    /// What a claim has come to.
    pub(super) fn claimed(mut self) -> Result<Claimed, LogError> {
        if self.word != "cold" {
            return self.head().map(Claimed::Hot);
        }
        let claim = self.texts()?.first().and_then(|text| text.parse().ok());
        claim.map(Claimed::As).ok_or_else(|| LogError::Corrupt("no claim".into()))
    }

    pub(super) fn texts(self) -> Result<Vec<String>, LogError> {
        self.values.filter(|value| *value != Value::Nil).map(text).collect()
    }

    /// Pairs of texts: ids and names, for example.
    pub(super) fn pairs(self) -> Result<Vec<(String, String)>, LogError> {
        let mut texts = self.texts()?.into_iter();
        Ok(std::iter::from_fn(|| Some((texts.next()?, texts.next()?))).collect())
    }

    /// A value that was kept, if there was one.
    pub(super) fn kept(mut self) -> Result<Option<Bytes>, LogError> {
        self.values.next().map(bytes).transpose()
    }

    pub(super) fn logged(mut self) -> Result<Vec<Logged>, LogError> {
        let mut logged = Vec::with_capacity(self.values.len() / 2);
        while let (Some(id), Some(change)) = (self.values.next(), self.values.next()) {
            let id = text(id)?;
            let version = number(id.strip_suffix("-0").unwrap_or(&id))?;
            logged.push(Logged { version, change: bytes(change)? });
        }
        Ok(logged)
    }
}

/// A wake-up that came on a channel; `None` if it is none of ours.
pub(super) fn wake(keys: &Keys, channel: &str, payload: Bytes) -> Option<Result<Wake, LogError>> {
    Some(match keys.heard(channel)? {
        Heard::Name(name) => moved(name, payload),
        Heard::All => std::str::from_utf8(&payload)
            .map_err(|_| corrupt("a wake-up"))
            .and_then(name)
            .map(Wake::Unstored),
        Heard::Topic(topic) => Ok(Wake::Said { topic: topic.to_owned(), words: payload }),
    })
}

/// A line with the head, then each change behind its length.
fn moved(of: &str, mut payload: Bytes) -> Result<Wake, LogError> {
    let end = payload.iter().position(|&byte| byte == b'\n').ok_or_else(|| corrupt("a wake-up"))?;
    let line = payload.split_to(end);
    payload.advance(1);
    let line = std::str::from_utf8(&line).map_err(|_| corrupt("a wake-up"))?;
    let values: Vec<_> = line.split(' ').map(|t| Value::SimpleString(t.to_owned())).collect();
    let head = Reply { word: String::new(), values: values.into_iter() }.head()?;
    let mut changes = Vec::new();
    while payload.has_remaining() {
        let bytes = payload.try_get_u32_le().map_err(|_| corrupt("a wake-up"))? as usize;
        if bytes > payload.len() {
            return Err(corrupt("a wake-up"));
        }
        changes.push(payload.split_to(bytes));
    }
    Ok(Wake::Moved { name: name(of)?, head, changes })
}

pub(super) fn name(text: &str) -> Result<StreamName, LogError> {
    StreamName::kept(text).map_err(|_| corrupt("a name"))
}

pub(super) fn bytes(value: Value) -> Result<Bytes, LogError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes.into()),
        _ => Err(corrupt("a value")),
    }
}

pub(super) fn text(value: Value) -> Result<String, LogError> {
    redis::from_redis_value(value).map_err(|_| corrupt("a text"))
}

fn number(text: &str) -> Result<u64, LogError> {
    text.parse().map_err(|_| corrupt(text))
}

pub(super) fn corrupt(what: &str) -> LogError {
    LogError::Corrupt(what.to_owned())
}

/// What an error means for the caller. Whatever is not known better may pass, and may have happened.
pub(super) fn meaning(error: &RedisError) -> LogError {
    let said = error.to_string();
    match (error.kind(), error.code()) {
        (_, Some("OOM")) => LogError::Full(said),
        (_, Some("WRONGTYPE")) | (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => {
            LogError::Corrupt(said)
        }
        (
            ErrorKind::AuthenticationFailed
            | ErrorKind::RESP3NotSupported
            | ErrorKind::InvalidClientConfig
            | ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::CrossSlot),
            _,
        )
        | (_, Some("NOAUTH" | "WRONGPASS")) => LogError::Unfit(said),
        _ => LogError::Unavailable(said),
    }
}
