//! Reading a stream request by request, so that a break costs nothing but time.

use super::{
    client::{Ask, Client, header, piece, stream_path},
    elements::Elements,
    exit::{Exit, Failure},
};
use crate::{
    limits::TAIL_MARK_BYTES,
    model::{Offset, holds_messages},
};
use http::Method;

/// What takes content.
pub(super) trait Sink {
    /// The next bytes, or the next messages, each a line.
    fn take(&mut self, content: &[u8]) -> Result<(), Failure>;

    /// Everything before `offset` was taken.
    fn reached(&mut self, offset: Offset) -> Result<(), Failure>;
}

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub enum From {
    /// At the first byte.
    Beginning,
    /// At the present end.
    Now,
    /// Behind what was read before.
    At(Offset),
}

impl From {
    /// As it is said on the command line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => Ok(Self::Beginning),
            "now" => Ok(Self::Now),
            text => text.parse().map(Self::At).map_err(|_| {
                "must be beginning, now, or an offset: sixteen digits, an underscore and sixteen digits"
                    .into()
            }),
        }
    }

    /// As a position. Nothing comes of what begins at the present end but its position.
    fn offset(self) -> Offset {
        match self {
            Self::At(offset) => offset,
            Self::Beginning | Self::Now => Offset::ZERO,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Beginning => "-1".into(),
            Self::Now => "now".into(),
            Self::At(offset) => offset.to_string(),
        }
    }
}

/// One request that went well.
pub(super) struct Step {
    /// There was nothing more at the moment.
    pub up_to_date: bool,
    /// And nothing more will come.
    pub ended: bool,
}

/// One that did not.
pub(super) struct Broken {
    pub failure: Failure,
    /// It may be tried again, from where the reader is now.
    pub passing: bool,
}

impl<T: Into<Failure>> std::convert::From<T> for Broken {
    fn from(failure: T) -> Self {
        Self { failure: failure.into(), passing: false }
    }
}

/// What content is.
enum Content {
    Unknown,
    Bytes,
    Messages(Elements),
}

/// A reader of one stream.
pub(super) struct Reader<'a> {
    client: &'a Client,
    path: String,
    /// Where the next request begins.
    from: From,
    live: bool,
    content: Content,
}

impl<'a> Reader<'a> {
    pub fn new(client: &'a Client, name: &str, from: From) -> Self {
        let (path, content) = (stream_path(name), Content::Unknown);
        Self { client, path, from, live: false, content }
    }

    /// Whether the next request waits until there is something.
    pub fn wait_for_more(&mut self, wait: bool) {
        self.live = wait;
    }

    /// One request.
    pub async fn step(&mut self, sink: &mut impl Sink) -> Result<Step, Broken> {
        let live = if self.live { "&live=long-poll" } else { "" };
        let target = format!("{}?offset={}{live}", self.path, self.from.text());
        let response = self.client.insist(&Ask::new(Method::GET, &target)).await?;
        let headers = response.headers();
        let next: Offset = header(headers, "stream-next-offset").parse().map_err(|_| {
            Failure::new(Exit::Failed, "the server does not say where it is: is it one of these?")
        })?;
        let up_to_date = header(headers, "stream-up-to-date") == "true";
        let ended = up_to_date && header(headers, "stream-closed") == "true";
        if matches!(self.content, Content::Unknown) && response.status() == 200 {
            self.content = match holds_messages(header(headers, "content-type")) {
                true => Content::Messages(Elements::new()),
                false => Content::Bytes,
            };
        }
        let mut body = response.into_body();
        let mut since = 0;
        loop {
            match piece(&mut body).await {
                Ok(None) => break,
                Ok(Some(bytes)) => {
                    self.hand_on(&bytes, sink)?;
                    since += bytes.len() as u64;
                    if since > TAIL_MARK_BYTES && matches!(self.content, Content::Bytes) {
                        since = 0;
                        sink.reached(self.from.offset())?;
                    }
                }
                Err(failure) => {
                    self.go_back();
                    return Err(Broken { failure, passing: true });
                }
            }
        }
        if let Content::Messages(elements) = &mut self.content {
            elements.next_array();
        }
        self.from = From::At(next);
        sink.reached(next)?;
        Ok(Step { up_to_date, ended })
    }

    fn hand_on(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), Failure> {
        match &mut self.content {
            Content::Messages(elements) => {
                let mut lines = Vec::new();
                elements.print(bytes, &mut lines)?;
                sink.take(&lines)
            }
            Content::Bytes | Content::Unknown => {
                sink.take(bytes)?;
                // Only the bytes of an offset are looked at, so one inside of a record is as good.
                self.from = From::At(self.from.offset().advance(0, bytes.len() as u64));
                Ok(())
            }
        }
    }

    /// After an answer that broke off: to behind what was taken of it.
    fn go_back(&mut self) {
        if let Content::Messages(elements) = &mut self.content {
            let (records, bytes) = elements.passed();
            self.from = From::At(self.from.offset().advance(records, bytes));
            elements.next_array();
        }
    }
}
