//! A WebSocket of one client.

use futures::{SinkExt, StreamExt};
use http::HeaderValue;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::client::Endpoint;
use crate::dialect::Patience;
use crate::limits;

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Nobody accepted it.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// It broke off, or was refused.
    #[error("the socket broke off: {0}")]
    Broken(Box<Error>),
    /// The server closed it.
    #[error("the server closed the socket: {0}")]
    Closed(String),
    /// Nothing happened for so long that nothing will.
    #[error("the socket is silent: {0}")]
    Silent(&'static str),
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self::Broken(Box::new(error))
    }
}

/// An open connection. Dropping it breaks it off, without a farewell.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// When something came the last time.
    heard: Instant,
    silence: Duration,
}

impl Socket {
    /// Connects with a token.
    pub async fn open(endpoint: &Endpoint, token: &str, patience: Patience) -> Result<Self, Lost> {
        let connect =
            timeout(limits::CONNECT.min(patience.answer), TcpStream::connect(endpoint.address()));
        let stream = connect.await.map_err(|_| Lost::Silent("the connection"))?;
        let stream = stream.map_err(Lost::Connect)?;
        stream.set_nodelay(true).map_err(Lost::Connect)?;
        let mut request = format!("ws://{}/ws", endpoint.address()).into_client_request()?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let bearer = bearer.map_err(http::Error::from).map_err(Error::HttpFormat)?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        // Without it, the server takes this for a client that knows nothing of frames.
        let protocol = HeaderValue::from_static("messages");
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        let config =
            WebSocketConfig::default().read_buffer_size(limits::SOCKET_BYTES).write_buffer_size(0);
        let handshake = client_async_with_config(request, stream, Some(config));
        let opened = timeout(patience.answer, handshake).await;
        let (stream, _) = opened.map_err(|_| Lost::Silent("the handshake"))??;
        Ok(Self { stream, heard: Instant::now(), silence: patience.silence })
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Value) -> Result<(), Lost> {
        let sending = self.stream.send(Message::text(frame.to_string()));
        Ok(timeout(self.silence, sending).await.map_err(|_| Lost::Silent("what is sent"))??)
    }

    /// The next frame as text. Can be given up and asked for again.
    pub async fn next(&mut self) -> Result<Utf8Bytes, Lost> {
        loop {
            let next = timeout_at(self.heard + self.silence, self.stream.next()).await;
            let next = next.map_err(|_| Lost::Silent("no heartbeat"))?;
            self.heard = Instant::now();
            match next {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => {
                    let why = frame.map(|frame| frame.to_string());
                    return Err(Lost::Closed(why.unwrap_or_default()));
                }
                // Pings are answered by the library.
                Some(Ok(_)) => (),
                Some(Err(error)) => return Err(error.into()),
                None => return Err(Lost::Closed("without a word".to_owned())),
            }
        }
    }
}
