//! What has been said: messages from the tables, which are waited for where they lag behind.

use super::{
    Chat, ChatError,
    conversation::Conversation,
    decide::message_of,
    name::{ConversationName, MessageId},
    others::Letter,
    role::Permission,
    state::Person,
    view::{ConversationView, MessageView, ReactorView, ReportView, RevisionView, UnreadView},
};
use crate::{
    limits::{
        LIST_CONVERSATIONS_MAX, MESSAGES_AT_ONCE, MESSAGES_BYTES_MAX, REACTORS_MAX,
        REASON_BYTES_MAX, REPORTS_MAX, SEARCH_WORDS_MAX,
    },
    model::{Standing, Target},
    store::{MessageQuery, SearchQuery, StoredMessage},
};
use std::{collections::BTreeMap, sync::Arc};

/// Which messages somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only those behind this position.
    pub after: Option<u64>,
    /// Only those before this position.
    pub before: Option<u64>,
    /// Those around this position, instead.
    pub around: Option<u64>,
    /// Only those of the thread of this message.
    pub thread: Option<String>,
    /// Only those of this user.
    pub source: Option<String>,
    /// Only those of exactly this time.
    pub created: Option<u64>,
    /// Only those that answer this message.
    pub reply_to: Option<String>,
    /// The latest first.
    pub descending: bool,
    /// So many.
    pub limit: u32,
    /// But without the first so many.
    pub skip: u32,
}

/// What somebody looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// In which conversation; `None` for all of theirs.
    pub conversation: Option<ConversationName>,
    /// Words.
    pub text: String,
    /// Only messages that were sent before this time.
    pub before: Option<u64>,
    /// So many.
    pub limit: u32,
}

/// A conversation whose tables are about to be read for somebody.
pub(super) struct Seen {
    pub conversation: Arc<Conversation>,
    /// The position of the event by which they take part.
    since: u64,
    /// They see what comes behind this.
    visible_from: u64,
}

/// Messages that are read in parts, so that large ones are not too many at once.
struct Pages {
    query: MessageQuery,
    /// How many are still wanted.
    left: u32,
    bytes: usize,
    found: Vec<StoredMessage>,
}

impl Pages {
    fn new(query: MessageQuery) -> Self {
        Self { left: query.limit, query, bytes: 0, found: Vec::new() }
    }

    /// What to ask for next, if anything.
    fn next(&mut self) -> Option<&MessageQuery> {
        if self.left == 0 || self.bytes >= MESSAGES_BYTES_MAX {
            return None;
        }
        self.query.limit = self.left.min(MESSAGES_AT_ONCE);
        Some(&self.query)
    }

    /// Takes what has come of that, and lets `on` move the query behind the last of it.
    fn take(
        &mut self,
        part: Vec<StoredMessage>,
        on: impl FnOnce(&mut MessageQuery, &StoredMessage),
    ) {
        let is_whole = part.len() == self.query.limit as usize;
        self.left = if is_whole { self.left - self.query.limit } else { 0 };
        self.bytes += part.iter().map(|message| message.text.len()).sum::<usize>();
        if let Some(last) = part.last() {
            on(&mut self.query, last);
        }
        self.found.extend(part);
    }
}

impl Wanted {
    fn query(&self, conversation: Arc<str>, visible_from: u64) -> Result<MessageQuery, ChatError> {
        let thread = match &self.thread {
            None => None,
            Some(id) => Some(message_of(&conversation, id).ok_or(ChatError::BadThread)?),
        };
        Ok(MessageQuery {
            after: self.after.unwrap_or(0).max(visible_from),
            before: self.before,
            thread,
            main_line: thread.is_none() && self.source.is_none() && self.reply_to.is_none(),
            source: self.source.clone(),
            created: self.created,
            reply_to: self.reply_to.clone(),
            descending: self.descending,
            limit: self.limit,
            skip: self.skip,
            conversation,
        })
    }
}

impl Chat {
    /// The conversations that `user` is `standing` to, the latest created first, from the one behind
    /// `after` on.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list(
        &self,
        user: &str,
        standing: Standing,
        after: Option<&ConversationName>,
        limit: u32,
    ) -> Result<Vec<ConversationView>, ChatError> {
        self.wait_for_all_tables().await?;
        let after = after.map(ConversationName::as_str);
        let listed = self.store.conversations_of(user, standing, after, limit).await?;
        Ok(listed.into_iter().map(ConversationView::listed).collect())
    }

    /// One of them, as `user` sees it.
    ///
    /// # Errors
    /// There is none, or the user is nothing to it.
    pub async fn view(
        &self,
        user: &str,
        name: &ConversationName,
    ) -> Result<ConversationView, ChatError> {
        let conversation = self.conversation(name).await?;
        let standing = {
            let live = conversation.live();
            let known = live.state.people.get(user).map(|person| person.standing);
            if live.state.closed {
                return Err(ChatError::NotFound);
            }
            let known = known.filter(|known| matches!(known, Standing::Member | Standing::Invited));
            match known {
                Some(known) => known,
                None => live.state.insider(user).map(|_| Standing::Member)?,
            }
        };
        // Also how far they are, which is in another stream.
        self.wait_for_all_tables().await?;
        let listed = self.store.conversation_of(user, standing, name.as_str()).await?;
        listed.map(ConversationView::listed).ok_or(ChatError::NotAParticipant)
    }

    /// What is unread in all conversations of `user`.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn unread(&self, user: &str) -> Result<Vec<UnreadView>, ChatError> {
        self.wait_for_all_tables().await?;
        let standing = Standing::Member;
        let listed =
            self.store.conversations_of(user, standing, None, LIST_CONVERSATIONS_MAX).await?;
        let view = |one: crate::store::ListedConversation| UnreadView {
            conversation: one.row.name,
            unread: one.unread,
            mentions: one.mentions,
            position: one.position,
            read: one.receipt.read,
        };
        Ok(listed.into_iter().map(view).collect())
    }

    /// The conversation, for somebody who takes part, with tables that say everything that was
    /// answered until now.
    async fn seen(&self, user: &str, name: &ConversationName) -> Result<Seen, ChatError> {
        let conversation = self.conversation(name).await?;
        conversation.member(user)?;
        self.wait_for_tables(&conversation).await?;
        // Meanwhile much may have happened.
        let Person { since, visible_from, .. } = conversation.member(user)?;
        Ok(Seen { conversation, since, visible_from: visible_from.records })
    }

    /// Whether `user` still takes part, as they did when reading began. Only then they are shown what
    /// was read: the tables may say what came behind their leaving.
    async fn check(&self, seen: &Seen, user: &str) -> Result<(), ChatError> {
        let conversation = match &self.others {
            Some(_) => &self.conversation(seen.conversation.name()).await?,
            None => &seen.conversation,
        };
        let person = conversation.member(user)?;
        if person.since == seen.since { Ok(()) } else { Err(ChatError::NotAParticipant) }
    }

    /// A message, for somebody who may see it.
    pub(super) async fn seen_message(
        &self,
        user: &str,
        id: &MessageId,
    ) -> Result<(Seen, StoredMessage), ChatError> {
        let seen = self.seen(user, &id.conversation).await?;
        let found = self.store.message(&id.target()).await?;
        self.check(&seen, user).await?;
        let found = found.filter(|_| id.position > seen.visible_from);
        Ok((seen, found.ok_or(ChatError::NoMessage)?))
    }

    /// Messages of a conversation.
    ///
    /// # Errors
    /// The user does not take part, or the store does not answer.
    pub async fn messages(
        &self,
        user: &str,
        name: &ConversationName,
        wanted: &Wanted,
    ) -> Result<Vec<MessageView>, ChatError> {
        let seen = self.seen(user, name).await?;
        let query = wanted.query(name.text().clone(), seen.visible_from)?;
        let found = match wanted.around {
            None => self.page(query).await?,
            Some(around) => self.around(query, around).await?,
        };
        let views = self.with_reactions(user, found).await?;
        self.check(&seen, user).await?;
        Ok(views)
    }

    /// As many as were asked for, or fewer where they are large. They are read in parts.
    async fn page(&self, query: MessageQuery) -> Result<Vec<StoredMessage>, ChatError> {
        let on = |query: &mut MessageQuery, last: &StoredMessage| {
            let last = last.target.position;
            if query.descending {
                query.before = Some(last);
            } else {
                query.after = last;
            }
            query.skip = 0;
        };
        let mut pages = Pages::new(query);
        while let Some(query) = pages.next() {
            let part = self.store.messages(query).await?;
            pages.take(part, on);
        }
        Ok(pages.found)
    }

    /// Half of them up to a position, the others behind it.
    async fn around(
        &self,
        query: MessageQuery,
        around: u64,
    ) -> Result<Vec<StoredMessage>, ChatError> {
        let half = query.limit.div_ceil(2);
        let descending = query.descending;
        let end = around.saturating_add(1);
        let up_to = MessageQuery {
            before: Some(query.before.map_or(end, |before| before.min(end))),
            descending: true,
            limit: half,
            ..query.clone()
        };
        let behind = MessageQuery {
            after: query.after.max(around),
            descending: false,
            limit: query.limit - half,
            ..query
        };
        let mut found = self.page(up_to).await?;
        found.reverse();
        found.extend(self.page(behind).await?);
        if descending {
            found.reverse();
        }
        Ok(found)
    }

    async fn with_reactions(
        &self,
        user: &str,
        found: Vec<StoredMessage>,
    ) -> Result<Vec<MessageView>, ChatError> {
        // Which of them are of each conversation, by position.
        let mut places: BTreeMap<Arc<str>, BTreeMap<u64, usize>> = BTreeMap::new();
        for (index, message) in found.iter().enumerate() {
            let Target { conversation, position } = &message.target;
            places.entry(conversation.clone()).or_default().insert(*position, index);
        }
        let mut views: Vec<MessageView> = found.into_iter().map(MessageView::stored).collect();
        for (conversation, places) in places {
            let positions: Vec<u64> = places.keys().copied().collect();
            for reaction in self.store.reactions(&conversation, &positions, user).await? {
                if let Some(index) = places.get(&reaction.position) {
                    views[*index].react(reaction);
                }
            }
        }
        Ok(views)
    }

    /// One message.
    ///
    /// # Errors
    /// There is none, or the user may not see it.
    pub async fn message(&self, user: &str, id: &MessageId) -> Result<MessageView, ChatError> {
        let (_, found) = self.seen_message(user, id).await?;
        let mut views = self.with_reactions(user, vec![found]).await?;
        views.pop().ok_or(ChatError::NoMessage)
    }

    /// How a message was edited.
    ///
    /// # Errors
    /// There is none, or the user may not see it.
    pub async fn revisions(
        &self,
        user: &str,
        id: &MessageId,
    ) -> Result<Vec<RevisionView>, ChatError> {
        let (seen, _) = self.seen_message(user, id).await?;
        let revisions = self.store.revisions(&id.target()).await?;
        self.check(&seen, user).await?;
        Ok(revisions.into_iter().map(RevisionView::from).collect())
    }

    /// Who has reacted to a message, and how.
    ///
    /// # Errors
    /// There is none, or the user may not see it.
    pub async fn reactors(
        &self,
        user: &str,
        id: &MessageId,
    ) -> Result<Vec<ReactorView>, ChatError> {
        let (seen, _) = self.seen_message(user, id).await?;
        let reactors = self.store.reactors(&id.target(), REACTORS_MAX).await?;
        self.check(&seen, user).await?;
        Ok(reactors.into_iter().map(ReactorView::from).collect())
    }

    /// What is pinned in a conversation.
    ///
    /// # Errors
    /// The user does not take part.
    pub async fn pinned(
        &self,
        user: &str,
        name: &ConversationName,
    ) -> Result<Vec<MessageView>, ChatError> {
        let seen = self.seen(user, name).await?;
        let mut found = self.store.pinned(name.as_str()).await?;
        self.check(&seen, user).await?;
        found.retain(|message| message.target.position > seen.visible_from);
        self.with_reactions(user, found).await
    }

    /// Messages to and from `user` alone.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn inbox(&self, user: &str, wanted: &Wanted) -> Result<Vec<MessageView>, ChatError> {
        self.wait_for_all_tables().await?;
        // What belongs to several conversations goes on by number.
        let on = |query: &mut MessageQuery, _: &StoredMessage| query.skip += query.limit;
        let mut pages = Pages::new(wanted.query("".into(), 0)?);
        while let Some(query) = pages.next() {
            let part = self.store.inbox(user, query).await?;
            pages.take(part, on);
        }
        self.with_reactions(user, pages.found).await
    }

    /// Messages that hold some words.
    ///
    /// # Errors
    /// There are no words, or too many; the user does not take part.
    pub async fn search(&self, user: &str, wanted: &Search) -> Result<Vec<MessageView>, ChatError> {
        let words: Vec<String> = wanted.text.split_whitespace().map(str::to_owned).collect();
        // As the database will take them apart.
        let terms = wanted.text.split(|c: char| !c.is_alphanumeric()).filter(|t| !t.is_empty());
        if words.is_empty() || words.len().max(terms.count()) > SEARCH_WORDS_MAX {
            return Err(ChatError::Invalid(format!("q must have 1 to {SEARCH_WORDS_MAX} words")));
        }
        match &wanted.conversation {
            Some(name) => drop(self.seen(user, name).await?),
            None => self.wait_for_all_tables().await?,
        }
        let query = SearchQuery {
            user: user.to_owned(),
            conversation: wanted.conversation.as_ref().map(|name| name.text().clone()),
            words,
            before: wanted.before,
            limit: wanted.limit,
        };
        let found = self.store.search(&query).await?;
        self.with_reactions(user, found).await
    }

    /// What is gone from the tables is gone from the memory of this node, too, and soon from that of all
    /// others.
    pub(super) async fn tell_erased(&self, conversation: &Conversation) -> Result<(), ChatError> {
        let Some(others) = &self.others else { return Ok(()) };
        others.shared.look_now(conversation.channel().name()).await?;
        let conversation = conversation.name().text().clone();
        others.post.send(Letter::Erased { conversation });
        Ok(())
    }

    /// Complains about a message.
    ///
    /// # Errors
    /// There is none, or the user may not see it.
    pub async fn report(
        &self,
        user: &Arc<str>,
        id: &MessageId,
        reason: &str,
    ) -> Result<(), ChatError> {
        if reason.is_empty() || reason.len() > REASON_BYTES_MAX || reason.contains('\0') {
            let what = format!("reason must have 1 to {REASON_BYTES_MAX} bytes");
            return Err(ChatError::Invalid(what));
        }
        self.seen_message(user, id).await?;
        self.receipts.report(user, id, reason).await
    }

    /// What was complained about, the latest first.
    ///
    /// # Errors
    /// The user may not know.
    pub async fn reports(
        &self,
        user: &str,
        name: &ConversationName,
    ) -> Result<Vec<ReportView>, ChatError> {
        let conversation = self.conversation(name).await?;
        let check = |conversation: &Conversation| {
            let live = conversation.live();
            let person = live.state.insider(user)?;
            let may = live.state.may(person, Permission::Reports);
            if may { Ok(()) } else { Err(ChatError::Forbidden(Permission::Reports)) }
        };
        check(&conversation)?;
        self.wait_for_all_tables().await?;
        let reports = self.store.reports(name.as_str(), REPORTS_MAX).await?;
        check(&*self.conversation(name).await?)?;
        Ok(reports.into_iter().map(|report| ReportView::of(name, report)).collect())
    }
}
