//! Reads of all kinds, compared with the model.

use super::common::protocol::{Events, at};
use super::common::request;
use super::model::{At, Stream};
use super::operation::{From, Live, NAMES};
use super::play::{Outcome, Play, Want};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::Method;

/// How a stream that is hidden or missing is answered.
fn absent(stream: Option<&Stream>) -> Result<&Stream, Want> {
    match stream {
        None => Err(Want::status(404)),
        Some(stream) if stream.hidden => Err(Want::status(410)),
        Some(stream) => Ok(stream),
    }
}

impl Play {
    /// Everything there is, in all ways.
    pub async fn look(&mut self) -> Outcome {
        for name in 0..NAMES {
            self.head(name).await?;
            self.read(name, From::Beginning, Live::No).await?;
            self.read(name, From::Beginning, Live::Sse).await?;
        }
        Ok(())
    }

    pub async fn head(&mut self, name: usize) -> Outcome {
        let answer = self.ask(Method::HEAD, &format!("s{name}"), &[], Vec::new()).await;
        let want = match absent(self.model.streams.get(&name)) {
            Err(want) => want,
            Ok(stream) => Want::status(200)
                .position(stream.tail(), stream.closed)
                .header("content-type", &stream.content_type)
                .header("cache-control", "no-store")
                .header("stream-ttl", if stream.ttl { "3600" } else { "" }),
        };
        want.compare(&answer)
    }

    pub async fn read(&mut self, name: usize, from: From, live: Live) -> Outcome {
        let stream = self.model.streams.get(&name);
        let place = stream.map_or(Some(At::default()), |stream| place(stream, from));
        let tail = stream.map_or(At::default(), Stream::tail);
        let offset = match from {
            From::Nothing if live == Live::No => None,
            From::Nothing | From::Beginning => Some("-1".to_owned()),
            From::Now => Some("now".to_owned()),
            From::Record(_) | From::Byte(_) => place.map(At::text),
            From::Beyond => {
                let beyond = At { records: tail.records + 1, bytes: tail.bytes + 1 };
                Some(beyond.text())
            }
        };
        let offset = offset.map(|offset| format!("?offset={offset}")).unwrap_or_default();
        let target = format!("s{name}{offset}");
        match (absent(stream), place) {
            (Ok(_), None) => self.refused(&target, live, Want::status(416)).await,
            (Err(want), _) => self.refused(&target, live, want).await,
            (Ok(stream), Some(place)) => match live {
                Live::Sse => self.follow(stream, &target, place).await,
                Live::No => {
                    let answer = self.ask(Method::GET, &target, &[], Vec::new()).await;
                    caught_up(stream, place).compare(&answer)
                }
                // With nothing to read it would wait.
                Live::LongPoll if place == tail && !stream.closed => Ok(()),
                Live::LongPoll => {
                    let target = format!("{target}&live=long-poll");
                    let answer = self.ask(Method::GET, &target, &[], Vec::new()).await;
                    if place.bytes == tail.bytes {
                        let want = Want { body: Some(Vec::new()), ..Want::status(204) };
                        let want = want.position(tail, true).header("stream-up-to-date", "true");
                        return want.compare(&answer);
                    }
                    if !stream.closed && answer.header("stream-cursor").is_empty() {
                        return Err(format!("no cursor: {answer:?}"));
                    }
                    caught_up(stream, place).compare(&answer)
                }
            },
        }
    }

    async fn refused(&self, target: &str, live: Live, want: Want) -> Outcome {
        let live = match live {
            Live::No => "",
            _ if !target.contains('?') => "",
            Live::LongPoll => "&live=long-poll",
            Live::Sse => "&live=sse",
        };
        let answer = self.ask(Method::GET, &format!("{target}{live}"), &[], Vec::new()).await;
        want.compare(&answer)
    }

    /// Follows until there is nothing more at the moment.
    async fn follow(&self, stream: &Stream, target: &str, place: At) -> Outcome {
        let target = at(&format!("{target}&live=sse"), "");
        let request = request(Method::GET, &target, &[], Bytes::new());
        let reader = self.server().open(request).await;
        if reader.status != 200 {
            return Err(format!("{} {:?}", reader.status, reader.headers));
        }
        let encoded = reader.headers.contains_key("stream-sse-data-encoding");
        let mut events = Events::new(reader);
        let mut content = Vec::new();
        loop {
            let event = events.next().await.ok_or("the events end")?;
            if event.name == "data" {
                content.extend(decode(stream, encoded, &event.data)?);
                continue;
            }
            let control = event.control();
            if control["upToDate"] != true {
                continue;
            }
            let closed = control["streamClosed"] == true;
            let right = control["streamNextOffset"] == stream.tail().text()
                && closed == stream.closed
                && control["streamCursor"].is_string() != closed
                && content == stream.content[place.bytes..];
            let got = String::from_utf8_lossy(&content);
            return if right { Ok(()) } else { Err(format!("{control}, {got:?} of {stream:?}")) };
        }
    }
}

fn decode(stream: &Stream, encoded: bool, data: &str) -> Result<Vec<u8>, String> {
    if stream.is_json() {
        let inner = data.strip_prefix('[').and_then(|data| data.strip_suffix(']'));
        return Ok(format!("{},", inner.ok_or_else(|| format!("no array: {data}"))?).into());
    }
    if !encoded {
        return Ok(data.as_bytes().to_vec());
    }
    STANDARD.decode(data.replace('\n', "")).map_err(|error| format!("{error}: {data}"))
}

/// The byte at which a read begins; `None` where there is none.
fn place(stream: &Stream, from: From) -> Option<At> {
    let record = |at: u8| stream.ends[usize::from(at) % stream.ends.len()];
    match from {
        From::Nothing | From::Beginning => Some(At::default()),
        From::Record(at) => Some(record(at)),
        From::Byte(at) if stream.is_json() => Some(record(at)),
        From::Byte(at) => {
            let bytes = usize::from(at) % (stream.content.len() + 1);
            let before = stream.ends.iter().rfind(|end| end.bytes <= bytes);
            before.map(|before| At { bytes, ..*before })
        }
        From::Now => Some(stream.tail()),
        From::Beyond => None,
    }
}

fn caught_up(stream: &Stream, place: At) -> Want {
    let want = Want { body: Some(stream.body(place.bytes)), ..Want::status(200) };
    want.position(stream.tail(), stream.closed)
        .header("stream-up-to-date", "true")
        .header("content-type", &stream.content_type)
}
