//! Connections on which a test says every byte itself.

use super::soon;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

/// A connection.
pub struct Raw {
    stream: TcpStream,
    /// What has come so far.
    pub received: Vec<u8>,
}

impl Raw {
    /// Connects and sends `text`.
    pub async fn send(address: SocketAddr, text: &str) -> Self {
        let stream = soon("a connection", TcpStream::connect(address)).await.expect("a connection");
        let mut raw = Self { stream, received: Vec::new() };
        raw.write(text.as_bytes()).await;
        raw
    }

    /// Sends more.
    pub async fn write(&mut self, bytes: &[u8]) {
        let write = soon("the bytes are taken", self.stream.write_all(bytes)).await;
        write.expect("an open connection");
    }

    /// Sends more, where the other side may be gone. Tells whether it was there.
    pub async fn try_write(&mut self, bytes: &[u8]) -> bool {
        soon("the bytes are taken", self.stream.write_all(bytes)).await.is_ok()
    }

    /// What has come so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    async fn more(&mut self) -> bool {
        let read = soon("bytes or the end", self.stream.read_buf(&mut self.received)).await;
        // Being reset is an end, too.
        matches!(read, Ok(1..))
    }

    /// Reads until `words` have come.
    pub async fn until(&mut self, words: &str) {
        while !self.text().contains(words) {
            assert!(self.more().await, "{words:?} has not come: {:?}", self.text());
        }
    }

    /// Reads until the other side closes, and tells how long that took.
    pub async fn closed(&mut self) -> Duration {
        let began = Instant::now();
        while self.more().await {}
        began.elapsed()
    }

    /// Reads until the other side closes or `words` come at the end, and returns everything.
    pub async fn closed_after(mut self, words: &str) -> Vec<u8> {
        while !self.received.ends_with(words.as_bytes()) && self.more().await {}
        self.received
    }

    /// Sends one byte after the other until the other side closes, and tells after how long it did;
    /// `None` when it took them all.
    pub async fn drip(&mut self, bytes: &[u8], pause: Duration) -> Option<Duration> {
        let began = Instant::now();
        for byte in bytes {
            if !self.try_write(&[*byte]).await {
                return Some(began.elapsed());
            }
            if let Ok(more) = tokio::time::timeout(pause, self.more()).await
                && !more
            {
                return Some(began.elapsed());
            }
        }
        None
    }
}
