//! One socket from its first frame to its last: one task that reads, sends, and drives everything
//! between.

mod chat;

use super::{
    answer, append,
    chatting::Chatting,
    close::Close,
    label::Label,
    request::{Refused, Request, Subscribe, parse},
    source::Source,
    subscriptions::Subscriptions,
    wait_for,
    wire::{Ended, Event, Wire},
    writes::Writes,
};
use crate::{
    auth::{Access, Principal},
    http::{App, jitter::jitter, problem::Problem, serve::Lease, traffic::Transport},
    limits::{
        SOCKET_ANSWERS_MAX, SOCKET_BAD_FRAMES_MAX, SOCKET_CLOSE_WAIT_MS_MAX, SOCKET_HEARTBEAT_SECS,
    },
    stats::Held,
};
use axum::{
    body::Bytes,
    extract::ws::{Message, WebSocket},
    http::StatusCode,
};
use futures::{FutureExt, future::BoxFuture};
use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, Sleep, interval_at, sleep_until, timeout};

/// Frames that are sent before anything else is looked at.
const FRAMES_AT_ONCE: usize = 16;

/// See the module.
pub(super) struct Session {
    app: App,
    _counted: Held,
    principal: Arc<Principal>,
    /// The end of that.
    expiry: Option<Pin<Box<Sleep>>>,
    wire: Wire,
    subscriptions: Subscriptions,
    writes: Writes,
    /// The seat in the chat, for whoever has said anything about that.
    chatting: Option<Box<Chatting>>,
    /// What is to be sent before any content.
    answers: VecDeque<Message>,
    renewing: Option<BoxFuture<'static, Renewed>>,
    /// Frames in a row that made no sense.
    bad_frames: u32,
    /// When the client was last seen to do something.
    heard: Instant,
    /// Something was sent, something came, since the last beat.
    sent: bool,
    came: bool,
}

struct Renewed {
    id: Option<Label>,
    principal: Result<Arc<Principal>, Problem>,
}

/// How a session ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The client is gone.
    Gone,
    /// The client has said goodbye.
    Closed,
    /// The server does not want to go on.
    Close(Close),
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Gone => Self::Gone,
            Ended::TooLarge => Self::Close(Close::TooLarge),
            Ended::Broken => Self::Close(Close::Protocol),
        }
    }
}

impl Session {
    /// On `socket`, for `principal`, who may know nothing of this protocol.
    pub fn new(app: App, principal: Arc<Principal>, socket: WebSocket, is_plain: bool) -> Self {
        let plain = || Chatting::plain(app.chat.clone(), principal.subject().clone());
        let counted = app.traffic.sockets.hold();
        let mut session = Self {
            _counted: counted,
            subscriptions: Subscriptions::new(app.clone()),
            writes: Writes::default(),
            chatting: is_plain.then(plain).map(Box::new),
            app,
            expiry: expiry(&principal),
            principal,
            wire: Wire::new(socket),
            answers: VecDeque::new(),
            renewing: None,
            bad_frames: 0,
            heard: Instant::now(),
            sent: false,
            came: false,
        };
        let heartbeat = session.heartbeat_ms().div_ceil(1000);
        let stall = session.app.reader_stall.as_secs();
        session.answer(answer::hello(heartbeat, stall, session.principal.expires_at_ms()));
        session
    }

    /// Until the end, or until the server cannot wait any longer.
    pub async fn run(mut self, lease: Lease) {
        let session = async {
            let end = self.serve(&lease).await;
            tracing::debug!(?end, "socket");
            let wait = Duration::from_millis(SOCKET_CLOSE_WAIT_MS_MAX);
            // Whoever does not say goodbye in time does without.
            let _ = timeout(wait, self.finish(end)).await;
        };
        tokio::select! {
            () = session => {}
            () = lease.cut_off.cancelled() => {}
        }
    }

    async fn serve(&mut self, lease: &Lease) -> End {
        let mut stop = std::pin::pin!(lease.stop.cancelled());
        // One beat sees that nothing was sent since the one before it, which was right behind
        // something: so twice as often as is promised.
        let beat_ms = self.heartbeat_ms() / 2;
        let beat = Duration::from_millis(beat_ms);
        // Not all of those who came at once at the same time.
        let first = Duration::from_millis(jitter(beat_ms));
        let mut beats = interval_at(Instant::now() + first, beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let sends = !self.answers.is_empty() || self.subscriptions.has_ready();
            // Nothing that has begun may wait here: it may hold what others need, as a connection to
            // the database. But what its end has to tell must have room.
            let has_room = self.answers.len() < SOCKET_ANSWERS_MAX;
            if has_room {
                self.subscriptions.open_more();
            }
            let end = tokio::select! {
                event = self.wire.event(self.may_read(), sends) => self.event(event),
                told = self.subscriptions.progress() => self.tell(told),
                told = self.writes.progress() => self.tell(told),
                told = chat::progress(&mut self.chatting, has_room) => self.all_told(told),
                renewed = wait_for(&mut self.renewing) => self.renewed(renewed),
                _ = beats.tick() => self.beat(),
                () = wait_for(&mut self.expiry) => Err(End::Close(Close::Expired)),
                () = &mut stop => Err(End::Close(Close::Restart)),
            };
            if let Err(end) = end {
                return end;
            }
        }
    }

    /// A client hears something at least this often.
    fn heartbeat_ms(&self) -> u64 {
        // Often enough for a stall to be seen in time.
        (SOCKET_HEARTBEAT_SECS * 1000).min(self.app.reader_stall.as_millis() as u64 / 3)
    }

    fn answer(&mut self, text: String) {
        self.answers.push_back(Message::Text(text.into()));
    }

    fn tell(&mut self, told: Option<String>) -> Result<(), End> {
        told.into_iter().for_each(|text| self.answer(text));
        self.spread_news();
        Ok(())
    }

    /// Whoever does not take answers, or has too much on the way, is not heard: so neither has to be
    /// kept.
    fn may_read(&self) -> bool {
        self.answers.len() < SOCKET_ANSWERS_MAX && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.writes.has_room() && self.chat_has_room()
    }

    fn event(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Message(message) => {
                (self.heard, self.came) = (Instant::now(), true);
                self.message(message)
            }
            Event::Writable { moved } => {
                if moved {
                    self.heard = Instant::now();
                }
                self.send()
            }
            Event::Flushed { moved } => {
                if moved {
                    self.heard = Instant::now();
                }
                Ok(())
            }
            Event::Ended(ended) => Err(ended.into()),
        }
    }

    /// Sends what there is, as long as there is room for it.
    fn send(&mut self) -> Result<(), End> {
        // The timer may be late, and nothing is shown to whoever may see it no more.
        if self.principal.check_time().is_err() {
            return Err(End::Close(Close::Expired));
        }
        for _ in 0..FRAMES_AT_ONCE {
            let content = || self.subscriptions.next_frame().map(|text| Message::Text(text.into()));
            let message = self.answers.pop_front().or_else(content);
            self.spread_news();
            let Some(message) = message else { break };
            self.sent = true;
            self.wire.send(message)?;
            if !self.wire.is_writable() {
                break;
            }
        }
        Ok(())
    }

    /// From time to time: is there anybody?
    fn beat(&mut self) -> Result<(), End> {
        if !self.has_room() {
            // It is this side that does not listen.
            self.heard = Instant::now();
        }
        if self.heard.elapsed() >= self.app.reader_stall {
            return Err(End::Close(Close::Silent));
        }
        let (sent, came) = (self.sent, self.came);
        (self.sent, self.came) = (false, false);
        let quiet = self.answers.is_empty();
        if !sent && quiet {
            // For programs, which do not see pings.
            self.answer(answer::heartbeat());
        }
        if !came && quiet {
            self.answers.push_back(Message::Ping(Bytes::new()));
        }
        Ok(())
    }

    fn message(&mut self, message: Message) -> Result<(), End> {
        let refused = match message {
            Message::Text(text) => match parse(&text) {
                Ok(request) => {
                    self.bad_frames = 0;
                    self.request(request);
                    return Ok(());
                }
                Err(refused) => refused,
            },
            Message::Binary(_) => Refused {
                id: None,
                sub: None,
                problem: Problem::bad_request("bad_frame", "frames are JSON, sent as text"),
                malformed: true,
            },
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(End::Closed),
        };
        let Refused { id, sub, problem, malformed } = refused;
        self.answer(answer::error(id.as_ref(), sub.as_ref(), &problem));
        self.bad_frames = if malformed { self.bad_frames + 1 } else { 0 };
        if self.bad_frames >= SOCKET_BAD_FRAMES_MAX {
            return Err(End::Close(Close::BadFrames));
        }
        Ok(())
    }

    fn request(&mut self, request: Request) {
        self.end_plain(&request);
        let answer = match request {
            Request::Subscribe(request) => {
                let (id, sub) = (request.id.clone(), request.sub.clone());
                let refused = self.subscribe(request).err();
                refused.map(|problem| answer::error(id.as_ref(), Some(&sub), &problem))
            }
            Request::Unsubscribe { id, sub } => Some(match self.subscriptions.end(&sub) {
                Ok(()) => answer::unsubscribed(id.as_ref(), &sub),
                Err(problem) => answer::error(id.as_ref(), Some(&sub), &problem),
            }),
            Request::Ack { id, sub, bytes } => {
                let refused = self.subscriptions.acknowledge(&sub, bytes).err();
                refused.map(|problem| answer::error(id.as_ref(), Some(&sub), &problem))
            }
            Request::Append(append) => match self.app.auth.request(&self.principal) {
                Ok(()) => {
                    let (streams, principal) = (self.app.streams.clone(), self.principal.clone());
                    let bytes = append.records.len();
                    self.writes.push(bytes, append::begin(streams, append, principal));
                    None
                }
                Err(problem) => Some(answer::error(append.id.as_ref(), None, &problem)),
            },
            Request::Chat(request) => self.chat(request),
            Request::Token { id, token } => self.renew(id, token),
            Request::Ping { id } => Some(answer::pong(id.as_ref())),
        };
        answer.into_iter().for_each(|text| self.answer(text));
        self.spread_news();
    }

    fn subscribe(&mut self, request: Subscribe) -> Result<(), Problem> {
        self.app.auth.request(&self.principal)?;
        match &request.source {
            Source::Stream(name) => self.principal.check(Access::Read, name)?,
            // Who takes part is seen when it is looked up.
            Source::Conversation(_) => drop(self.chatting()?),
        }
        self.begin(request)
    }

    fn begin(&mut self, request: Subscribe) -> Result<(), Problem> {
        self.subscriptions.check(&request.sub)?;
        let counted = self.app.traffic.reads(Transport::Socket);
        let reading = self.app.auth.reading(self.principal.clone(), counted)?;
        self.subscriptions.begin(request, reading, self.principal.subject().clone());
        Ok(())
    }

    fn renew(&mut self, id: Option<Label>, token: String) -> Option<String> {
        if self.renewing.is_some() {
            let (status, detail) = (StatusCode::CONFLICT, "another token is being looked at");
            let problem = Problem::new(status, "token_pending", detail);
            return Some(answer::error(id.as_ref(), None, &problem));
        }
        let gate = self.app.auth.clone();
        let renew = async move { Renewed { id, principal: gate.token(&token).await } };
        self.renewing = Some(renew.boxed());
        None
    }

    /// A new token counts for everything from now on, also for what has begun.
    fn renewed(&mut self, Renewed { id, principal }: Renewed) -> Result<(), End> {
        self.renewing = None;
        let same = |principal: Arc<Principal>| {
            if principal.subject() == self.principal.subject() {
                return Ok(principal);
            }
            let detail = "the token is of somebody else; open a socket of their own";
            Err(Problem::new(StatusCode::FORBIDDEN, "other_subject", detail))
        };
        match principal.and_then(same) {
            Err(problem) => self.answer(answer::error(id.as_ref(), None, &problem)),
            Ok(principal) => {
                self.expiry = expiry(&principal);
                self.answer(answer::token(id.as_ref(), principal.expires_at_ms()));
                let refused =
                    self.subscriptions.retain(|name| Ok(principal.check(Access::Read, name)?));
                refused.into_iter().for_each(|text| self.answer(text));
                self.principal = principal;
            }
        }
        Ok(())
    }

    /// What was asked for is done and answered, and then both sides say goodbye.
    async fn finish(&mut self, end: End) {
        // Nobody goes on with what these read.
        self.subscriptions = Subscriptions::new(self.app.clone());
        let Self { writes, chatting, .. } = self;
        let (written, asked) = tokio::join!(writes.finish(), async {
            match chatting {
                Some(chatting) => chatting.finish().await,
                None => Vec::new(),
            }
        });
        written.into_iter().chain(asked).for_each(|text| self.answer(text));
        let End::Close(close) = end else {
            return self.wire.flush().await;
        };
        let goodbye = Message::Close(Some(close.frame()));
        for message in std::mem::take(&mut self.answers).into_iter().chain([goodbye]) {
            if self.wire.send_last(message).await.is_err() {
                return;
            }
        }
        while !matches!(self.wire.next().await, None | Some(Message::Close(_))) {}
        self.wire.flush().await;
    }
}

fn expiry(principal: &Principal) -> Option<Pin<Box<Sleep>>> {
    principal.deadline().map(|deadline| Box::pin(sleep_until(deadline)))
}
