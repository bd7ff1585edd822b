//! What a session does with conversations.

use super::{End, Session};
use crate::http::{
    chat::user_of,
    problem::Problem,
    ws::{
        act, answer,
        chat_request::{ChatRequest, Deed},
        chatting::{Chatting, Told},
        label::Label,
        request::{Request, Subscribe},
        source::Source,
        subscriptions::News,
    },
};

impl Session {
    /// Takes a seat in the chat unless there is one.
    pub(super) fn chatting(&mut self) -> Result<&mut Chatting, Problem> {
        let user = user_of(&self.app, &self.principal)?;
        let chat = &self.app.chat;
        let sit_down = || Box::new(Chatting::sit_down(chat.clone(), user));
        Ok(self.chatting.get_or_insert_with(sit_down))
    }

    pub(super) fn chat_has_room(&self) -> bool {
        self.chatting.as_ref().is_none_or(|chatting| chatting.has_room())
    }

    /// Whoever says anything but [`ChatRequest::is_private`] knows this protocol, and asks for what
    /// it wants to have.
    pub(super) fn end_plain(&mut self, request: &Request) {
        let keeps_seat = match request {
            Request::Chat(chat) if chat.is_private() => return,
            Request::Chat(_) => true,
            Request::Subscribe(Subscribe { source, .. }) => {
                matches!(source, Source::Conversation(_))
            }
            _ => false,
        };
        let Some(chatting) = self.chatting.as_mut().filter(|chatting| chatting.is_plain()) else {
            return;
        };
        chatting.end_plain();
        self.subscriptions.clear();
        if !keeps_seat {
            self.chatting = None;
        }
    }

    /// Does what a frame about chat asks for, or says why not.
    pub(super) fn chat(&mut self, request: ChatRequest) -> Option<String> {
        let id = request.id().cloned();
        let refused = self.try_chat(request).err();
        refused.map(|problem| answer::error(id.as_ref(), None, &problem))
    }

    fn try_chat(&mut self, request: ChatRequest) -> Result<(), Problem> {
        self.app.auth.request(&self.principal)?;
        self.principal.check_time()?;
        let chatting = self.chatting()?;
        match request {
            ChatRequest::Follow(follow) => chatting.follow(follow)?,
            ChatRequest::Mark { id, conversation, mark, position } => {
                chatting.mark(id, conversation, mark, position);
            }
            ChatRequest::Typing { id, conversation, on } => chatting.typing(id, conversation, on),
            ChatRequest::Presence { id, watch } => chatting.watch(id, watch),
            ChatRequest::Act(act) => {
                if matches!(act.deed, Deed::Send { .. }) {
                    self.app.auth.message(&self.principal)?;
                }
                let (chat, principal) = (self.app.chat.clone(), self.principal.clone());
                self.writes.push(act.bytes, act::begin(chat, act, principal));
            }
        }
        Ok(())
    }

    /// Does what chat wants to have done.
    pub(super) fn all_told(&mut self, told: Vec<Told>) -> Result<(), End> {
        for told in told {
            match told {
                Told::Frame(text) => self.answer(text),
                Told::Begin(id, all) => self.begin_all(id.as_ref(), all),
            }
        }
        Ok(())
    }

    /// Begins subscriptions, as many as may be. Why others may not is said once for all of them.
    fn begin_all(&mut self, id: Option<&Label>, all: Vec<Subscribe>) {
        let mut refused = None;
        for request in all {
            let Source::Conversation(name) = &request.source else { continue };
            if !self.subscriptions.reads(name)
                && let Err(problem) = self.begin(request)
            {
                refused.get_or_insert(problem);
            }
        }
        if let Some(problem) = refused {
            self.answer(answer::error(id, None, &problem));
        }
    }

    /// Tells chat what has become of conversations.
    pub(super) fn spread_news(&mut self) {
        while let Some(news) = self.subscriptions.news() {
            let Some(chatting) = &mut self.chatting else { continue };
            let told = match news {
                News::Opened(conversation) => chatting.opened(conversation).map(Told::Frame),
                News::Ended(name, why) => chatting.ended(name, why),
            };
            // One at a time, and none that comes of it ends this.
            let _ = self.all_told(told.into_iter().collect());
        }
    }
}

/// What chat wants to have done next, if it has a seat.
pub(super) async fn progress(chatting: &mut Option<Box<Chatting>>, has_room: bool) -> Vec<Told> {
    match chatting {
        Some(chatting) => chatting.progress(has_room).await,
        None => std::future::pending().await,
    }
}
