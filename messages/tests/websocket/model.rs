//! Whatever clients do in whatever order: what a subscription gives is what the stream holds from
//! there on.

use crate::{
    BINARY, JSON, TEXT,
    client::{Got, Socket},
    close,
    common::{Setup, TestServer, noise},
    delete, post, put,
};
use serde_json::json;
use std::collections::HashMap;

const STREAMS: usize = 9;
const STEPS: usize = 1_000;
const TYPES: [&str; 3] = [TEXT, BINARY, JSON];

/// Numbers by chance that are the same every time.
struct Chance(std::vec::IntoIter<u8>);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        let mut byte = || usize::from(self.0.next().expect("enough chance"));
        (byte() << 16 | byte() << 8 | byte()) % bound
    }
}

/// One life of a name.
#[derive(Clone, Default)]
struct Life {
    content: Vec<u8>,
    closed: bool,
    deleted: bool,
    /// Where it can be read from, and what lies before.
    places: Vec<(String, usize)>,
}

struct Reader {
    stream: usize,
    life: usize,
    from: usize,
    got: Got,
    /// The client wants no more of it.
    left: bool,
}

impl Reader {
    fn is_over(&self) -> bool {
        self.left || self.got.closed.is_some() || self.got.error.is_some()
    }
}

struct World {
    server: TestServer,
    socket: Socket,
    chance: Chance,
    lives: Vec<Vec<Life>>,
    readers: HashMap<u64, Reader>,
    next: u64,
}

fn name(stream: usize) -> String {
    format!("s{stream}")
}

impl World {
    fn life(&mut self, stream: usize) -> &mut Life {
        self.lives[stream].last_mut().expect("a life")
    }

    async fn begin(&mut self, stream: usize) {
        let answer = put(&self.server, &name(stream), TYPES[stream % 3], "").await;
        assert_eq!(answer.status, 201);
        let places = vec![(answer.header("stream-next-offset").to_owned(), 0)];
        self.lives[stream].push(Life { places, ..Life::default() });
    }

    async fn append(&mut self, stream: usize) {
        if self.life(stream).closed {
            return;
        }
        let size = match self.chance.below(8) {
            0 => self.chance.below(120_000),
            _ => 1 + self.chance.below(40),
        };
        let seed = self.chance.below(1 << 20) as u64;
        let (frame, shown) = match stream % 3 {
            // Cut in the middle of characters.
            0 => {
                let text = "é😀 \r\n\"\\".repeat(size / 11 + 1);
                let cut = text.as_bytes()[..size.max(1)].to_vec();
                post(&self.server, &name(stream), TEXT, cut.clone()).await;
                (None, cut)
            }
            1 => {
                use base64::{Engine, engine::general_purpose::STANDARD};
                let bytes = noise(seed, size.max(1));
                (Some(json!({"base64": STANDARD.encode(&bytes)})), bytes)
            }
            _ => {
                let messages = [json!({"n": seed}), json!("x".repeat(size))];
                let shown =
                    messages.iter().map(|message| format!("{message},")).collect::<String>();
                (Some(json!({"messages": messages})), shown.into_bytes())
            }
        };
        if let Some(mut frame) = frame {
            frame["type"] = "append".into();
            frame["id"] = "append".into();
            frame["stream"] = name(stream).into();
            self.socket.send(frame).await;
            while !self.frame().await {}
        }
        self.life(stream).content.extend(shown);
    }

    /// Takes up one frame. Returns whether it is the answer to something.
    async fn frame(&mut self) -> bool {
        let frame = self.socket.next().await;
        let Some(sub) = frame["sub"].as_u64() else {
            assert_ne!(frame["type"], "error", "{frame}");
            return true;
        };
        if frame["type"] == "unsubscribed" {
            return true;
        }
        let reader = self.readers.get_mut(&sub).expect("a reader");
        assert!(!reader.is_over(), "{frame}");
        reader.got.take(&frame);
        let seen = (reader.got.offset.clone(), reader.from + reader.got.bytes.len());
        let life = &mut self.lives[reader.stream][reader.life];
        if reader.got.error.is_none() && !life.places.contains(&seen) {
            life.places.push(seen);
        }
        false
    }

    async fn subscribe(&mut self, stream: usize) {
        let pick = self.chance.below(1 << 20);
        let places = self.life(stream).places.clone();
        let (offset, from) = places[pick % places.len()].clone();
        let sub = self.next;
        self.next += 1;
        let frame =
            json!({"type": "subscribe", "sub": sub, "stream": name(stream), "offset": offset});
        self.socket.send(frame).await;
        let (life, got) = (self.lives[stream].len() - 1, Got::from(&offset));
        self.readers.insert(sub, Reader { stream, life, from, got, left: false });
    }

    async fn unsubscribe(&mut self) {
        let mut open: Vec<u64> =
            self.readers.iter().filter(|(_, r)| !r.is_over()).map(|(sub, _)| *sub).collect();
        open.sort_unstable();
        if open.is_empty() {
            return;
        }
        let sub = open[self.chance.below(open.len())];
        self.settle().await;
        let reader = self.readers.get_mut(&sub).expect("a reader");
        if reader.is_over() {
            return;
        }
        self.socket.send(json!({"type": "unsubscribe", "sub": sub})).await;
        while !self.frame().await {}
        self.readers.get_mut(&sub).expect("a reader").left = true;
    }

    /// Connects anew, and every subscription goes on where it is.
    async fn reconnect(&mut self) {
        self.socket = Socket::open(&self.server).await;
        for (sub, reader) in self.readers.iter().filter(|(_, reader)| !reader.is_over()) {
            let (stream, offset) = (name(reader.stream), &reader.got.offset);
            let frame =
                json!({"type": "subscribe", "sub": sub, "stream": stream, "offset": offset});
            self.socket.feed(frame).await;
        }
        self.socket.send(json!({"type": "ping"})).await;
        while !self.frame().await {}
    }

    fn is_settled(&self, reader: &Reader) -> bool {
        let life = &self.lives[reader.stream][reader.life];
        let unfinished = reader.stream.is_multiple_of(3) && !life.closed;
        let missing = life.content.len() - reader.from - reader.got.bytes.len();
        let whole = missing == 0 || (unfinished && missing < 4 && !life.deleted);
        reader.is_over() || (whole && !life.closed && !life.deleted)
    }

    /// Reads until everybody has everything, and compares.
    async fn settle(&mut self) {
        while !self.readers.values().all(|reader| self.is_settled(reader)) {
            self.frame().await;
        }
        for (sub, reader) in &self.readers {
            let life = &self.lives[reader.stream][reader.life];
            let want = &life.content[reader.from..];
            assert!(want.starts_with(&reader.got.bytes), "sub {sub} of s{}", reader.stream);
            if reader.got.closed.is_some() {
                assert_eq!(reader.got.bytes.len(), want.len(), "sub {sub} of s{}", reader.stream);
            }
            if let Some(code) = &reader.got.error {
                assert!(life.deleted && code == "stream_not_found", "sub {sub}: {code}");
            }
        }
    }

    async fn step(&mut self) {
        let stream = self.chance.below(STREAMS);
        match self.chance.below(40) {
            0..16 => self.append(stream).await,
            16..28 => self.subscribe(stream).await,
            28..33 => self.unsubscribe().await,
            33..36 => self.settle().await,
            36 if !self.life(stream).closed && self.chance.below(2) == 0 => {
                close(&self.server, &name(stream)).await;
                self.life(stream).closed = true;
            }
            37 | 39 => {
                self.settle().await;
                delete(&self.server, &name(stream)).await;
                self.life(stream).deleted = true;
                self.settle().await;
                self.begin(stream).await;
            }
            38 => self.reconnect().await,
            _ => {}
        }
    }
}

#[tokio::test]
async fn subscriptions_agree_with_the_streams() {
    let setup = Setup::new().await.with(&["--window-bytes-max", "200000", "--durability", "os"]);
    let server = setup.start().await;
    let socket = Socket::open(&server).await;
    let chance = Chance(noise(4711, STEPS * 40).into_iter());
    let lives = vec![Vec::new(); STREAMS];
    let mut world = World { server, socket, chance, lives, readers: HashMap::new(), next: 0 };
    for stream in 0..STREAMS {
        world.begin(stream).await;
    }
    for _ in 0..STEPS {
        world.step().await;
    }
    world.settle().await;
    let ended = |what: fn(&Got) -> bool| world.readers.values().filter(|r| what(&r.got)).count();
    let (closed, gone) = (ended(|got| got.closed.is_some()), ended(|got| got.error.is_some()));
    let bytes: usize = world.readers.values().map(|reader| reader.got.bytes.len()).sum();
    let count = world.readers.len();
    eprintln!("{count} subscriptions, {closed} closed, {gone} deleted, {bytes} bytes");
    assert!(closed > 0 && gone > 0, "the dice have left something out");
}
