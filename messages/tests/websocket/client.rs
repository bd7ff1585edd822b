//! A client of sockets that checks what every client may rely on.

use crate::common::{TestServer, soon};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

/// A socket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What the server says of itself.
    pub hello: Value,
}

/// What has come of one subscription.
#[derive(Clone, Debug, Default)]
pub struct Got {
    /// Its content: that of messages as their JSON texts, each with a comma behind it.
    pub bytes: Vec<u8>,
    /// Where it goes on.
    pub offset: String,
    /// It was told that there is nothing more at the moment.
    pub caught_up: bool,
    /// Why its stream is closed.
    pub closed: Option<String>,
    /// The code of the error that has ended it.
    pub error: Option<String>,
}

impl Got {
    /// It goes on from `offset`.
    pub fn from(offset: &str) -> Self {
        Self { offset: offset.into(), ..Self::default() }
    }

    /// The content as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("text")
    }

    /// Takes up a frame.
    pub fn take(&mut self, frame: &Value) {
        match frame["type"].as_str().expect("a type") {
            "data" => {
                let content = content(frame);
                assert!(!content.is_empty(), "{frame}");
                let next = frame["offset"].as_str().expect("an offset");
                assert!(next > &*self.offset, "{} {frame}", self.offset);
                self.bytes.extend(content);
                self.offset = next.into();
            }
            "caught_up" => {
                assert_eq!(frame["offset"], self.offset, "{frame}");
                self.caught_up = true;
            }
            "closed" => {
                assert_eq!(frame["offset"], self.offset, "{frame}");
                self.closed = Some(frame["reason"].as_str().expect("a reason").into());
            }
            "error" => self.error = Some(frame["code"].as_str().expect("a code").into()),
            "subscribed" => self.offset = frame["offset"].as_str().expect("an offset").into(),
            _ => panic!("{frame}"),
        }
    }
}

/// The bytes of a data frame.
pub fn content(frame: &Value) -> Vec<u8> {
    if let Some(text) = frame["text"].as_str() {
        return text.into();
    }
    if let Some(base64) = frame["base64"].as_str() {
        return STANDARD.decode(base64).expect("base64");
    }
    let messages = frame["messages"].as_array().unwrap_or_else(|| panic!("content: {frame}"));
    messages.iter().flat_map(|message| format!("{message},").into_bytes()).collect()
}

impl Socket {
    /// Opens one.
    pub async fn open(server: &TestServer) -> Self {
        Self::open_with(server, "/ws", &[]).await.expect("a socket")
    }

    /// Opens one with these headers.
    pub async fn open_with(
        server: &TestServer,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let url = format!("ws://{}{target}", server.address());
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        let (stream, _) = soon("a socket", connect_async(request)).await?;
        let mut socket = Self { stream, hello: Value::Null };
        socket.hello = socket.next().await;
        assert_eq!(socket.hello["type"], "hello");
        Ok(socket)
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Value) {
        self.send_message(Message::Text(frame.to_string().into())).await;
    }

    /// Sends a message as it is.
    pub async fn send_message(&mut self, message: Message) {
        soon("the frame is taken", self.stream.send(message)).await.expect("an open socket");
    }

    /// Sends a message where the server may be gone.
    pub async fn try_send(&mut self, message: Message) -> bool {
        soon("the frame is taken", self.stream.send(message)).await.is_ok()
    }

    /// Hands over a frame that goes out with others.
    pub async fn feed(&mut self, frame: Value) {
        let message = Message::Text(frame.to_string().into());
        soon("the frame is taken", self.stream.feed(message)).await.expect("an open socket");
    }

    /// The next frame, or the code with which the socket is closed; 0 for without one.
    pub async fn frame(&mut self) -> Result<String, u16> {
        loop {
            match soon("a frame", self.stream.next()).await {
                Some(Ok(Message::Text(text))) if text.contains(r#""type":"heartbeat""#) => {}
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => return Err(0),
            }
        }
    }

    /// The next frame.
    pub async fn next(&mut self) -> Value {
        let frame = self.frame().await.unwrap_or_else(|code| panic!("closed with {code}"));
        serde_json::from_str(&frame).expect("JSON")
    }

    /// The next frame, which must be of this type.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let frame = self.next().await;
            assert_eq!(frame["type"], kind, "at {caller}: {frame}");
            frame
        }
    }

    /// The next frame, which must be an error with this code.
    #[track_caller]
    pub fn refused(&mut self, code: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let frame = self.next().await;
            let told = (&frame["type"], &frame["code"]);
            assert_eq!(told, (&"error".into(), &code.into()), "at {caller}: {frame}");
            assert!(!frame["detail"].as_str().expect("a detail").is_empty(), "{frame}");
            frame
        }
    }

    /// The code with which the server closes, whatever comes before.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.frame().await {
                return code;
            }
        }
    }

    /// Says goodbye and waits until the server does, too.
    pub async fn close(mut self) {
        soon("a goodbye", self.stream.close(None)).await.expect("an open socket");
        while let Some(Ok(_)) = soon("a goodbye", self.stream.next()).await {}
    }

    /// Subscribes under `sub` and waits for the answer.
    pub async fn subscribe(&mut self, sub: impl Into<Value>, stream: &str, offset: &str) -> Value {
        let sub = sub.into();
        self.send(json!({"type": "subscribe", "sub": sub, "stream": stream, "offset": offset}))
            .await;
        let answer = self.expect("subscribed").await;
        assert_eq!((&answer["sub"], &answer["stream"]), (&sub, &stream.into()));
        answer
    }

    /// Reads the one subscription of this socket until `enough`.
    pub async fn read(&mut self, got: &mut Got, enough: impl Fn(&Got) -> bool) {
        while !enough(got) {
            let frame = self.next().await;
            got.take(&frame);
        }
    }
}
