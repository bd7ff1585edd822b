//! A webhook: a small server that keeps what it is sent and answers as it is told.

use super::soon;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

/// What a webhook was sent.
#[derive(Debug)]
pub struct Call {
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

impl Call {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

type Answers = Arc<Mutex<VecDeque<Response<Full<Bytes>>>>>;

/// The server. Dropped, it is gone.
pub struct Webhook {
    address: SocketAddr,
    answers: Answers,
    calls: mpsc::UnboundedReceiver<Call>,
    server: JoinHandle<()>,
}

impl Webhook {
    /// Starts one that answers `{}` to everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (called, calls) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let server = tokio::spawn(serve(listener, called, answers.clone()));
        Self { address, answers, calls, server }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The answer to one of the next calls; those after it are answered with `{}` again.
    pub fn answer(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let answer = answer.body(Full::new(Bytes::copy_from_slice(body.as_bytes())));
        self.answers.lock().expect("no panic").push_back(answer.expect("valid"));
    }

    /// The next call.
    pub async fn call(&mut self) -> Call {
        soon("the webhook is called", self.calls.recv()).await.expect("a server")
    }

    /// Whether it was called and nobody has taken that yet.
    pub fn was_called(&self) -> bool {
        !self.calls.is_empty()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, called: mpsc::UnboundedSender<Call>, answers: Answers) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (called, answers) = (called.clone(), answers.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (called, answers) = (called.clone(), answers.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                let answer = answers.lock().expect("no panic").pop_front();
                // The test may be over.
                let _ = called.send(Call { headers: head.headers, body });
                let nothing = || Response::new(Full::new(Bytes::from_static(b"{}")));
                Ok::<_, Infallible>(answer.unwrap_or_else(nothing))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
