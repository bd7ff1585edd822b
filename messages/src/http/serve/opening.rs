//! The first bytes of a connection, which tell what is spoken on it. They are read again by whoever
//! understands it.

use crate::tls;
use bytes::{Buf, Bytes, BytesMut};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// How HTTP/2 begins where nobody has agreed on it before (RFC 9113, 3.4). No method of HTTP/1 begins
/// like this.
const HTTP2: &[u8] = b"PRI";

/// What somebody begins to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/1, as far as it can be told.
    Http1,
    /// HTTP/2.
    Http2,
    /// TLS.
    Tls,
}

/// A stream of which something was read already.
pub(super) struct Opened<S> {
    begin: Bytes,
    stream: S,
}

/// Finds out what is spoken. There is no limit to how long that takes.
pub(super) async fn open<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Opened<S>, Spoken)> {
    let mut begin = BytesMut::with_capacity(HTTP2.len());
    let spoken = loop {
        // Never more than there is room for.
        if (&mut stream).take((HTTP2.len() - begin.len()) as u64).read_buf(&mut begin).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &begin[..] {
            [tls::FIRST_BYTE, ..] => break Spoken::Tls,
            HTTP2 => break Spoken::Http2,
            part if HTTP2.starts_with(part) => {}
            _ => break Spoken::Http1,
        }
    };
    Ok((Opened { begin: begin.freeze(), stream }, spoken))
}

impl<S> Opened<S> {
    /// What is behind it, for who does not care for what was read.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.begin.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, to);
        }
        let count = self.begin.len().min(to.remaining());
        to.put_slice(&self.begin[..count]);
        self.begin.advance(count);
        if self.begin.is_empty() {
            // Its memory with it.
            self.begin = Bytes::new();
            // With what follows, or hyper would make room for it as for the second of two large pieces.
            // What goes wrong here goes wrong again the next time.
            let _ = Pin::new(&mut self.stream).poll_read(cx, to);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// However the bytes come, what is spoken is told, and all of them are read after that.
    #[tokio::test]
    async fn the_beginning_is_read_again() {
        for (sent, spoken) in [
            ("GET / HTTP/1.1\r\n", Spoken::Http1),
            ("PUT / HTTP/1.1\r\n", Spoken::Http1),
            ("PROPFIND /", Spoken::Http1),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Spoken::Http2),
            ("\u{16}\u{3}\u{1}", Spoken::Tls),
        ] {
            for piece_bytes in [1, 2, 3, 1024] {
                let (mut client, server) = tokio::io::duplex(piece_bytes);
                let sending = tokio::spawn(async move {
                    client.write_all(sent.as_bytes()).await.expect("taken");
                });
                let (mut opened, found) = open(server).await.expect("a beginning");
                let mut all = String::new();
                opened.read_to_string(&mut all).await.expect("the rest");
                sending.await.expect("sent");
                assert_eq!((found, &*all), (spoken, sent), "in pieces of {piece_bytes}");
            }
        }
    }

    #[tokio::test]
    async fn who_says_nothing_speaks_nothing() {
        for sent in ["", "P", "PR"] {
            let (mut client, server) = tokio::io::duplex(8);
            client.write_all(sent.as_bytes()).await.expect("taken");
            drop(client);
            assert!(open(server).await.is_err(), "{sent:?}");
        }
    }
}
