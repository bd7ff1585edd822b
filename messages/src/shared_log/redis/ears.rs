//! What a node listens to: a connection of its own to every server, on which nothing else goes, so
//! that neither wake-ups nor commands wait for the other.
//!
//! What is wanted is written down first, by partition; an ear is then told to look there. So it
//! makes no difference in which order it is told, or whether it was just connecting: it does what is
//! written down at that time.

use super::{
    LogError, Wake,
    answer::{bytes, text, wake},
    keys::{Keys, PARTITIONS, Partition},
    link::{RETRY_MAX, RETRY_MIN, connect},
    servers::{Map, Place, Servers},
};
use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Subscriptions in one write.
const AT_ONCE: usize = 512;

/// Whether a silent connection is still one is asked this often.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);

/// Whoever begins to listen waits so long until the server has said yes.
const FOLLOW_WAIT: Duration = Duration::from_secs(2);

/// The channels that are wanted, by partition, and whether a server has ever confirmed that it tells
/// of them: before that nothing can have been missed.
struct Wanted(Mutex<Vec<HashMap<String, bool>>>);

impl Wanted {
    fn of(&self) -> MutexGuard<'_, Vec<HashMap<String, bool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether it was before.
    fn confirm(&self, partition: Partition, channel: &str) -> bool {
        let mut of = self.of();
        let confirmed = of[usize::from(partition)].get_mut(channel);
        confirmed.is_some_and(|confirmed| std::mem::replace(confirmed, true))
    }
}

/// An ear is to do what is wanted of this channel, and to say when it is done. It answers with
/// false when it is not the ear for it.
struct Look {
    partition: Partition,
    channel: String,
    done: oneshot::Sender<bool>,
}

/// See the module.
pub(super) struct Ears {
    servers: Arc<Servers>,
    keys: Arc<Keys>,
    wanted: Arc<Wanted>,
    ears: Mutex<HashMap<String, mpsc::UnboundedSender<Look>>>,
    wakes: mpsc::UnboundedSender<Wake>,
    end: CancellationToken,
}

impl Ears {
    /// Ears that end with `end`, and tell `wakes` what they hear.
    pub(super) fn new(
        servers: Arc<Servers>,
        keys: Arc<Keys>,
        wakes: mpsc::UnboundedSender<Wake>,
        end: CancellationToken,
    ) -> Self {
        let wanted = Wanted(Mutex::new(vec![HashMap::new(); usize::from(PARTITIONS)]));
        let ears = Mutex::default();
        Self { servers, keys, wanted: Arc::new(wanted), ears, wakes, end }
    }

    /// Hears a channel from now on, or no more. What is wanted stays so also when this fails.
    pub(super) async fn want(
        &self,
        partition: Partition,
        channel: String,
        want: bool,
    ) -> Result<(), LogError> {
        if let Some(wanted) = self.wanted.of().get_mut(usize::from(partition)) {
            if want {
                wanted.entry(channel.clone()).or_insert(false);
            } else {
                wanted.remove(&channel);
            }
        }
        let end = Instant::now() + FOLLOW_WAIT;
        while Instant::now() < end {
            let (done, answer) = oneshot::channel();
            self.tell(Look { partition, channel: channel.clone(), done });
            match tokio::time::timeout_at(end, answer).await {
                Ok(Ok(true)) => return Ok(()),
                // It is elsewhere now, or will be known to be in a moment.
                Ok(_) => {
                    self.servers.suspect();
                    tokio::time::sleep(RETRY_MIN).await;
                }
                Err(_) => break,
            }
        }
        Err(LogError::Unavailable("nobody confirms that it listens".to_owned()))
    }

    fn tell(&self, look: Look) {
        let map = self.servers.map();
        let Some(place) = map.borrow().place(look.partition).cloned() else { return };
        let mut ears = self.ears.lock().unwrap_or_else(PoisonError::into_inner);
        let ear = ears.entry(place.address.clone()).or_insert_with(|| self.ear(&place));
        if let Err(unheard) = ear.send(look) {
            let ear = self.ear(&place);
            let _ = ear.send(unheard.0);
            ears.insert(place.address, ear);
        }
    }

    /// Has an ear at every server that there is, also at a new one that has taken over partitions:
    /// for ever.
    pub(super) async fn follow(&self) {
        let mut map = self.servers.map();
        loop {
            let known = map.borrow_and_update().clone();
            {
                let mut ears = self.ears.lock().unwrap_or_else(PoisonError::into_inner);
                ears.retain(|_, ear| !ear.is_closed());
                for place in known.in_use() {
                    ears.entry(place.address.clone()).or_insert_with(|| self.ear(place));
                }
            }
            // An ear may end at the moment at which its server comes back.
            let _ = tokio::time::timeout(PROBE_INTERVAL, map.changed()).await;
        }
    }

    fn ear(&self, place: &Place) -> mpsc::UnboundedSender<Look> {
        let (looks, asked) = mpsc::unbounded_channel();
        let ear = Ear {
            place: place.clone(),
            servers: self.servers.clone(),
            keys: self.keys.clone(),
            wanted: self.wanted.clone(),
            wakes: self.wakes.clone(),
            served: BTreeSet::new(),
            ending: HashMap::new(),
        };
        tokio::spawn(self.end.clone().run_until_cancelled_owned(ear.listen(asked)));
        looks
    }
}

/// What is told by a server beside wake-ups.
enum Said {
    /// It is gone.
    Gone,
    /// It has ended this subscription.
    Ended(String),
}

/// Listens to one server.
struct Ear {
    place: Place,
    servers: Arc<Servers>,
    keys: Arc<Keys>,
    wanted: Arc<Wanted>,
    wakes: mpsc::UnboundedSender<Wake>,
    /// The partitions whose channels are subscribed to.
    served: BTreeSet<Partition>,
    /// Subscriptions that we have ended, which the server will say it has done, so many times.
    ending: HashMap<String, usize>,
}

impl Ear {
    /// Until the server has no partition any more.
    async fn listen(mut self, mut looks: mpsc::UnboundedReceiver<Look>) {
        let mut map = self.servers.map();
        let mut wait = RETRY_MIN;
        while !map.borrow_and_update().partitions_at(&self.place.address).is_empty() {
            match self.session(&mut map, &mut looks).await {
                Ok(()) => return,
                Err((error, held)) => {
                    tracing::debug!(server = self.place.address, %error, "a subscription broke");
                    // One that held for a while is tried again at once.
                    wait = if held { RETRY_MIN } else { (wait * 2).min(RETRY_MAX) };
                }
            }
            self.servers.suspect();
            tokio::time::sleep(wait).await;
        }
    }

    /// One connection, until it breaks, which is an error and says whether it ever worked, or is not
    /// needed any more.
    async fn session(
        &mut self,
        map: &mut watch::Receiver<Map>,
        looks: &mut mpsc::UnboundedReceiver<Look>,
    ) -> Result<(), (LogError, bool)> {
        let (said, mut heard) = mpsc::unbounded_channel();
        self.served.clear();
        self.ending.clear();
        let push = self.hearing(said);
        let mut connection = connect(&self.place.info, self.servers.client("wakes"), push)
            .await
            .map_err(|error| (error, false))?;
        self.take_up(&mut connection, map).await.map_err(|error| (error, false))?;
        let mut probe = tokio::time::interval(PROBE_INTERVAL);
        while !self.served.is_empty() {
            let done = tokio::select! {
                Some(look) = looks.recv() => self.look(&mut connection, look, looks).await,
                Some(said) = heard.recv() => self.hear(said),
                _ = map.changed() => self.take_up(&mut connection, map).await,
                _ = probe.tick() => send(&mut connection, [redis::cmd("PING")].iter()).await,
            };
            done.map_err(|error| (error, true))?;
        }
        Ok(())
    }

    /// What is done with everything that the server says, as it comes.
    fn hearing(
        &self,
        said: mpsc::UnboundedSender<Said>,
    ) -> impl Fn(PushInfo) + Send + Sync + use<> {
        let (keys, wakes) = (self.keys.clone(), self.wakes.clone());
        move |push| {
            let mut data = push.data.into_iter();
            let channel = data.next().and_then(|channel| text(channel).ok()).unwrap_or_default();
            // Nobody may be there any more to be told: then it makes no difference.
            let _ = match push.kind {
                PushKind::SMessage => {
                    let Ok(payload) = bytes(data.next().unwrap_or(Value::Nil)) else { return };
                    match wake(&keys, &channel, payload) {
                        Some(Ok(wake)) => wakes.send(wake).is_ok(),
                        Some(Err(error)) => {
                            tracing::error!(%error, channel, "a wake-up cannot be read");
                            wakes.send(Wake::Lost).is_ok()
                        }
                        None => false,
                    }
                }
                PushKind::SUnsubscribe => said.send(Said::Ended(channel)).is_ok(),
                PushKind::Disconnection => said.send(Said::Gone).is_ok(),
                _ => false,
            };
        }
    }

    /// What ends a connection is an error.
    fn hear(&mut self, said: Said) -> Result<(), LogError> {
        if let Said::Ended(channel) = said
            && let Some(times) = self.ending.get_mut(&channel)
        {
            *times -= 1;
            if *times == 0 {
                self.ending.remove(&channel);
            }
            return Ok(());
        }
        // The server has ended it by itself: its partition is on another one now. That message was
        // taken for an answer, so the others are out of step, and the connection is of no use.
        Err(LogError::Unavailable("the server has ended a subscription".to_owned()))
    }

    /// Subscribes to what is wanted of the partitions that this server has now and had not before.
    /// What was told meanwhile was missed, so everything has to be looked at.
    async fn take_up(
        &mut self,
        connection: &mut MultiplexedConnection,
        map: &mut watch::Receiver<Map>,
    ) -> Result<(), LogError> {
        let has: BTreeSet<Partition> =
            map.borrow_and_update().partitions_at(&self.place.address).into_iter().collect();
        let channels: Vec<(Partition, String)> = {
            let wanted = self.wanted.of();
            let new = has.difference(&self.served);
            new.flat_map(|p| wanted[usize::from(*p)].keys().map(|c| (*p, c.clone()))).collect()
        };
        let commands: Vec<_> =
            channels.iter().map(|(_, channel)| subscribe(channel, true)).collect();
        for commands in commands.chunks(AT_ONCE) {
            send(connection, commands.iter()).await?;
        }
        self.served = has;
        let missed = channels.iter().filter(|(p, channel)| self.wanted.confirm(*p, channel));
        if missed.count() > 0 {
            let _ = self.wakes.send(Wake::Lost);
        }
        Ok(())
    }

    /// Does what is wanted now of the channels in question: of all that are asked for by now.
    async fn look(
        &mut self,
        connection: &mut MultiplexedConnection,
        first: Look,
        looks: &mut mpsc::UnboundedReceiver<Look>,
    ) -> Result<(), LogError> {
        let more = std::iter::from_fn(|| looks.try_recv().ok()).take(AT_ONCE - 1);
        let (ours, others): (Vec<Look>, Vec<Look>) = std::iter::once(first)
            .chain(more)
            .partition(|look| self.served.contains(&look.partition));
        answer(others, false);
        let mut commands = Vec::with_capacity(ours.len());
        for Look { partition, channel, .. } in &ours {
            let want = self.wanted.of()[usize::from(*partition)].contains_key(channel);
            if !want {
                *self.ending.entry(channel.clone()).or_default() += 1;
            }
            commands.push(subscribe(channel, want));
        }
        send(connection, commands.iter()).await?;
        for Look { partition, channel, .. } in &ours {
            self.wanted.confirm(*partition, channel);
        }
        answer(ours, true);
        Ok(())
    }
}

/// Whoever has asked may not wait any more.
fn answer(looks: Vec<Look>, done: bool) {
    for look in looks {
        let _ = look.done.send(done);
    }
}

fn subscribe(channel: &str, want: bool) -> redis::Cmd {
    let mut command = redis::cmd(if want { "SSUBSCRIBE" } else { "SUNSUBSCRIBE" });
    command.arg(channel);
    command
}

/// Each of the commands is answered once.
async fn send<'a>(
    connection: &mut MultiplexedConnection,
    commands: impl ExactSizeIterator<Item = &'a redis::Cmd>,
) -> Result<(), LogError> {
    let count = commands.len();
    let mut pipeline = redis::Pipeline::with_capacity(count);
    for command in commands {
        pipeline.add_command(command.clone());
    }
    let answers = match count {
        0 => return Ok(()),
        _ => connection.send_packed_commands(&pipeline, 0, count).await,
    };
    let answers = answers.map_err(|error| super::answer::meaning(&error))?;
    let failed = answers.into_iter().find_map(|answer| answer.extract_error().err());
    failed.map_or(Ok(()), |error| Err(super::answer::meaning(&error)))
}
