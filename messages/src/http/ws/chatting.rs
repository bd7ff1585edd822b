//! A socket whose user takes part in the chat: what it is told beside the streams, and what it asks.
//!
//! It has a seat from its first frame about chat on. Content is not its business: it says which
//! conversations the socket is to subscribe to, and these are subscriptions like all others.

use super::{
    answer, chat_request::Follow, label::Label, request::Subscribe, source::Source,
    subscription::Why,
};
use crate::{
    chat::{
        Chat, ChatError, Conversation, ConversationName, ConversationView, Letters, Mark, Notice,
        Seat,
    },
    http::{problem::Problem, protocol::Start},
    limits::{
        LIST_CONVERSATIONS_MAX, SOCKET_AGAIN_MS, SOCKET_QUESTIONS_MAX, SOCKET_TYPING_PER_SEC_MAX,
    },
    model::Standing,
    stream::StreamError,
};
use axum::http::StatusCode;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// See the module.
pub(super) struct Chatting {
    chat: Arc<Chat>,
    user: Arc<str>,
    seat: Seat,
    letters: Letters,
    mode: Mode,
    /// Answered in the order in which they were asked.
    questions: FuturesOrdered<BoxFuture<'static, Answer>>,
    /// The conversations are listed because the client wants to follow them.
    begins_to_follow: bool,
    /// Letters were missed, and they are listed again.
    looks_again: bool,
    /// Then how far everybody is has to be said again in these.
    stale: VecDeque<ConversationName>,
    /// What could not be found out, and is asked again at this time.
    again: Vec<Question>,
    again_at: Instant,
    typing: Typing,
}

/// What nobody has asked for, and the client needs to be told nevertheless.
enum Question {
    /// What there is to say of a conversation that the user may have come into.
    LookIn(ConversationName),
    /// What was missed.
    LookAgain,
    /// What there is, for a client that knows nothing of all this.
    Show,
}

/// Which conversations come by themselves. Those that have come are remembered, for as long as the
/// user takes part.
enum Mode {
    /// None.
    Asks,
    /// All.
    Follows(HashSet<ConversationName>),
    /// All, for a client that knows nothing of all this.
    Plain(HashSet<ConversationName>),
}

/// How often somebody has said in the last second that they type.
struct Typing {
    since: Instant,
    count: u32,
}

type Listed = Result<Vec<ConversationView>, ChatError>;

/// What has come of a question.
enum Answer {
    Text(Option<String>),
    Followed(Follow, Listed),
    /// For a client that knows nothing of all this.
    Shown(Listed),
    /// After letters were missed.
    ListedAgain(Listed),
    CameIn(ConversationName, Result<ConversationView, ChatError>),
    Acquainted(Option<Label>, Result<Vec<String>, ChatError>),
}

/// What is to be done, in this order.
pub(super) enum Told {
    /// A frame for the client.
    Frame(String),
    /// Subscriptions to begin, unless the conversation is read already.
    Begin(Option<Label>, Vec<Subscribe>),
}

impl Chatting {
    /// Takes a seat for `user`.
    pub fn sit_down(chat: Arc<Chat>, user: Arc<str>) -> Self {
        let (seat, letters) = chat.sit_down(&user);
        let typing = Typing { since: Instant::now(), count: 0 };
        let (questions, stale, again) = (FuturesOrdered::new(), VecDeque::new(), Vec::new());
        Self {
            chat,
            user,
            seat,
            letters,
            mode: Mode::Asks,
            questions,
            begins_to_follow: false,
            looks_again: false,
            stale,
            again,
            again_at: Instant::now(),
            typing,
        }
    }

    /// As [`Chatting::sit_down`], for a client that is shown every new message from now on.
    pub fn plain(chat: Arc<Chat>, user: Arc<str>) -> Self {
        let mut chatting = Self::sit_down(chat, user);
        chatting.mode = Mode::Plain(HashSet::new());
        chatting.find_out(Question::Show);
        chatting
    }

    /// Whether the client knows nothing of all this.
    pub fn is_plain(&self) -> bool {
        matches!(self.mode, Mode::Plain(_))
    }

    /// The client has said something that shows that it does.
    pub fn end_plain(&mut self) {
        self.mode = Mode::Asks;
    }

    /// Whether there is room for one more question.
    pub fn has_room(&self) -> bool {
        self.questions.len() < SOCKET_QUESTIONS_MAX
    }

    fn ask(&mut self, question: impl Future<Output = Answer> + Send + 'static) {
        self.questions.push_back(question.boxed());
    }

    /// All conversations come by themselves from now on.
    pub fn follow(&mut self, follow: Follow) -> Result<(), Problem> {
        if std::mem::replace(&mut self.begins_to_follow, true) {
            let (status, detail) = (StatusCode::CONFLICT, "follow has just been asked for");
            return Err(Problem::new(status, "follow_pending", detail));
        }
        // There is a seat, so what begins behind the list is told of in a letter.
        if !matches!(self.mode, Mode::Follows(_)) {
            self.mode = Mode::Follows(HashSet::new());
        }
        self.list(|listed| Answer::Followed(follow, listed));
        Ok(())
    }

    fn list(&mut self, answer: impl FnOnce(Listed) -> Answer + Send + 'static) {
        let (chat, user) = (self.chat.clone(), self.user.clone());
        self.ask(async move {
            answer(chat.list(&user, Standing::Member, None, LIST_CONVERSATIONS_MAX).await)
        });
    }

    /// The user has got, or read, everything up to `position`, or everything there is.
    pub fn mark(
        &mut self,
        id: Option<Label>,
        conversation: ConversationName,
        mark: Mark,
        position: Option<u64>,
    ) {
        let (chat, user) = (self.chat.clone(), self.user.clone());
        self.ask(async move {
            let marked = chat.mark(&user, &conversation, mark, position, id.is_some()).await;
            Answer::Text(match marked {
                Ok(position) => id.map(|id| answer::done(Some(&id), position)),
                Err(error) => Some(answer::error(id.as_ref(), None, &error.into())),
            })
        });
    }

    /// The user types, or no more.
    pub fn typing(&mut self, id: Option<Label>, conversation: ConversationName, on: bool) {
        if !self.typing.is_rare() {
            return;
        }
        let (chat, user) = (self.chat.clone(), self.user.clone());
        self.ask(async move {
            let refused = chat.typing(&user, &conversation, on).await.err();
            Answer::Text(refused.map(|error| answer::error(id.as_ref(), None, &error.into())))
        });
    }

    /// The client wants to know whether these are there.
    pub fn watch(&mut self, id: Option<Label>, users: Vec<String>) {
        let (chat, user) = (self.chat.clone(), self.user.clone());
        self.ask(async move { Answer::Acquainted(id, chat.acquainted(&user, &users).await) });
    }

    /// Looks at a conversation that is read from now on. Returns how far everybody is.
    pub fn opened(&mut self, conversation: Arc<Conversation>) -> Option<String> {
        if self.is_plain() {
            return None;
        }
        self.seat.look_at(conversation).map(|frame| frame.to_string())
    }

    /// Looks away from one that is read no more.
    pub fn ended(&mut self, name: ConversationName, why: Why) -> Option<Told> {
        self.seat.look_away(&name);
        if matches!(why, Why::NoAccess) {
            // Some of those who are watched may have been known from there alone.
            let watched = self.seat.watched();
            if !watched.is_empty() {
                self.watch(None, watched);
            }
        }
        match (why, &mut self.mode) {
            (Why::NoAccess, Mode::Follows(known) | Mode::Plain(known)) => {
                if known.remove(&name) {
                    // They may have come in again while this one lagged.
                    self.find_out(Question::LookIn(name));
                }
                None
            }
            (Why::Trimmed(low), Mode::Plain(_)) => {
                Some(Told::Begin(None, vec![begin(name, Start::At(low), true)]))
            }
            _ => None,
        }
    }

    fn find_out(&mut self, question: Question) {
        match question {
            Question::LookIn(name) => {
                let (chat, user) = (self.chat.clone(), self.user.clone());
                self.ask(async move {
                    let found = chat.view(&user, &name).await;
                    Answer::CameIn(name, found)
                });
            }
            Question::LookAgain => self.list(Answer::ListedAgain),
            Question::Show => self.list(Answer::Shown),
        }
    }

    /// It could not be found out. Where that may pass it is asked again: the client cannot ask for what
    /// it does not know of.
    fn not_found_out(&mut self, question: Question, error: ChatError) -> Vec<Told> {
        use StreamError::{LogUnavailable, Overloaded, StoreUnavailable};
        match error {
            ChatError::Stream(StoreUnavailable | LogUnavailable | Overloaded) => {
                if self.again.is_empty() {
                    self.again_at = Instant::now() + Duration::from_millis(SOCKET_AGAIN_MS);
                }
                self.again.push(question);
                Vec::new()
            }
            error => failed(None, error),
        }
    }

    /// Waits for something that is to be done; only for what was asked for, unless there `is_room` for
    /// more. Cancel safe.
    pub async fn progress(&mut self, is_room: bool) -> Vec<Told> {
        if is_room && let Some(name) = self.stale.pop_front() {
            let frame = self.seat.receipts(&name);
            return frame.map(|frame| Told::Frame(frame.to_string())).into_iter().collect();
        }
        let asks = is_room && self.has_room();
        let reads = asks && self.again.len() < SOCKET_QUESTIONS_MAX;
        tokio::select! {
            Some(answer) = self.questions.next(), if !self.questions.is_empty() => {
                self.answered(answer)
            }
            Some(notice) = self.letters.next(), if reads => self.noticed(notice),
            () = sleep_until(self.again_at), if asks && !self.again.is_empty() => {
                let again = std::mem::take(&mut self.again);
                again.into_iter().for_each(|question| self.find_out(question));
                Vec::new()
            }
            else => std::future::pending().await,
        }
    }

    /// Lets what was asked for happen, and returns what there is to say of it.
    pub async fn finish(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(answer) = self.questions.next().await {
            if let Answer::Text(text) = answer {
                texts.extend(text);
            }
        }
        texts
    }

    fn noticed(&mut self, notice: Notice) -> Vec<Told> {
        self.look_again();
        match notice {
            Notice::Joined(name) => {
                self.find_out(Question::LookIn(name));
                Vec::new()
            }
            Notice::Missed => Vec::new(),
            Notice::Frame(_) if self.is_plain() => Vec::new(),
            Notice::Frame(frame) => vec![Told::Frame(frame.to_string())],
        }
    }

    /// Whoever has missed something asks for everything that it could have been.
    fn look_again(&mut self) {
        if self.looks_again || !self.letters.has_missed() {
            return;
        }
        self.stale = self.seat.conversations().cloned().collect();
        if !matches!(self.mode, Mode::Asks) {
            self.looks_again = true;
            self.find_out(Question::LookAgain);
        }
    }

    fn answered(&mut self, answer: Answer) -> Vec<Told> {
        match answer {
            Answer::Text(text) => text.map(Told::Frame).into_iter().collect(),
            Answer::Followed(follow, listed) => {
                self.begins_to_follow = false;
                match listed {
                    Ok(views) => self.followed(follow, &views),
                    Err(error) => failed(follow.id.as_ref(), error),
                }
            }
            Answer::Shown(Ok(views)) => self.shown(&views),
            Answer::ListedAgain(Err(error)) => self.not_found_out(Question::LookAgain, error),
            Answer::ListedAgain(Ok(views)) => {
                self.looks_again = false;
                let told = match self.mode {
                    // Meanwhile the client has said that it wants none.
                    Mode::Asks => Vec::new(),
                    _ => views.into_iter().flat_map(|view| self.came_in(&view)).collect(),
                };
                self.look_again();
                told
            }
            Answer::CameIn(_, Ok(view)) => self.came_in(&view),
            // They are gone again.
            Answer::CameIn(_, Err(ChatError::NotAParticipant | ChatError::NotFound)) => Vec::new(),
            Answer::CameIn(name, Err(error)) => self.not_found_out(Question::LookIn(name), error),
            Answer::Shown(Err(error)) => self.not_found_out(Question::Show, error),
            Answer::Acquainted(_, Ok(users)) => {
                let frames = self.seat.watch(users);
                frames.iter().map(|frame| Told::Frame(frame.to_string())).collect()
            }
            Answer::Acquainted(id, Err(error)) => failed(id.as_ref(), error),
        }
    }

    fn followed(&mut self, follow: Follow, views: &[ConversationView]) -> Vec<Told> {
        let Follow { id, from, default } = follow;
        let Mode::Follows(known) = &mut self.mode else { return Vec::new() };
        let names: Vec<ConversationName> = views.iter().filter_map(name).collect();
        known.extend(names.iter().cloned());
        let all = names.into_iter().map(|name| {
            let start = from.get(&name).copied().unwrap_or(default);
            begin(name, start, false)
        });
        let all = all.collect();
        vec![Told::Frame(answer::following(id.as_ref(), &self.user, views)), Told::Begin(id, all)]
    }

    fn shown(&mut self, views: &[ConversationView]) -> Vec<Told> {
        let Mode::Plain(known) = &mut self.mode else { return Vec::new() };
        let all = views.iter().filter_map(|view| {
            let name = name(view)?;
            known.insert(name.clone());
            // From the end that it had in the list.
            let start = view.offset.parse().map_or(Start::Now, Start::At);
            Some(begin(name, start, true))
        });
        vec![Told::Begin(None, all.collect())]
    }

    /// The user takes part in a conversation, or may if they want to.
    fn came_in(&mut self, view: &ConversationView) -> Vec<Told> {
        let Some(name) = name(view) else { return Vec::new() };
        let is_member = view.state == Standing::Member.as_str();
        let (known, is_plain) = match &mut self.mode {
            Mode::Asks => return vec![Told::Frame(answer::conversation(view))],
            Mode::Follows(known) => (known, false),
            Mode::Plain(known) => (known, true),
        };
        if known.contains(&name) {
            return Vec::new();
        }
        let mut told = Vec::new();
        if !is_plain {
            told.push(Told::Frame(answer::conversation(view)));
        }
        if is_member {
            known.insert(name.clone());
            told.push(Told::Begin(None, vec![begin(name, Start::Beginning, is_plain)]));
        }
        told
    }
}

impl Typing {
    /// Whether it was not said too often. Counts.
    fn is_rare(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            *self = Self { since: Instant::now(), count: 0 };
        }
        self.count += 1;
        self.count <= SOCKET_TYPING_PER_SEC_MAX
    }
}

fn failed(id: Option<&Label>, error: ChatError) -> Vec<Told> {
    vec![Told::Frame(answer::error(id, None, &error.into()))]
}

fn name(view: &ConversationView) -> Option<ConversationName> {
    view.name.parse().ok()
}

/// A subscription to a conversation, called as this.
fn begin(name: ConversationName, start: Start, is_plain: bool) -> Subscribe {
    let sub = Label::of(&name);
    Subscribe { id: None, sub, source: Source::Conversation(name), start, window: None, is_plain }
}
