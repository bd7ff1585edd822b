//! Which server has which partition, and the connections to all of them.

use super::{
    LogError, LogStats,
    answer::{meaning, text},
    keys::{PARTITIONS, Partition, slot},
    link::{Link, RETRY_MIN, connect},
    scripts::Call,
    target::{Login, Target},
};
use redis::{Cmd, ConnectionInfo, ErrorKind, RedisError, ServerErrorKind, Value};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// Where there may be another master, it is looked for this often, also if nothing seems wrong.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// A call waits this long until the place of a partition is known anew.
const MOVE_WAIT: Duration = Duration::from_millis(1_000);

/// Which server has which partition at a time.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Map {
    servers: Vec<Place>,
    /// By partition, the place of its server among them.
    of: Vec<Option<usize>>,
}

/// A server and how to connect to it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) address: String,
    pub(super) info: ConnectionInfo,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl Place {
    fn new(info: ConnectionInfo) -> Self {
        Self { address: info.addr().to_string(), info }
    }
}

impl Map {
    fn of_one(info: ConnectionInfo) -> Self {
        Self { servers: vec![Place::new(info)], of: vec![Some(0); usize::from(PARTITIONS)] }
    }

    pub(super) fn place(&self, partition: Partition) -> Option<&Place> {
        self.servers.get((*self.of.get(usize::from(partition))?)?)
    }

    /// The servers that have any partition.
    pub(super) fn in_use(&self) -> impl Iterator<Item = &Place> {
        let used = |at: usize| self.of.contains(&Some(at));
        self.servers.iter().enumerate().filter(move |(at, _)| used(*at)).map(|(_, place)| place)
    }

    /// The partitions that a server has.
    pub(super) fn partitions_at(&self, address: &str) -> Vec<Partition> {
        let at =
            |partition: &Partition| self.place(*partition).is_some_and(|p| p.address == address);
        (0..PARTITIONS).filter(at).collect()
    }
}

/// See the module.
pub(super) struct Servers {
    target: Target,
    /// What the connections are called, before what each is for.
    client: String,
    map: watch::Sender<Map>,
    links: Mutex<HashMap<String, Arc<Link>>>,
    stale: Arc<Notify>,
    looked: Notify,
    stats: Arc<LogStats>,
}

impl Servers {
    /// Looks where the servers are. Connections are called as this `client`.
    pub(super) async fn find(target: Target, client: &str) -> Result<Self, LogError> {
        let servers = Self {
            target,
            client: client.to_owned(),
            map: watch::Sender::new(Map::default()),
            links: Mutex::default(),
            stale: Arc::new(Notify::new()),
            looked: Notify::new(),
            stats: Arc::default(),
        };
        servers.map.send_replace(servers.look().await?);
        Ok(servers)
    }

    pub(super) fn stats(&self) -> &Arc<LogStats> {
        &self.stats
    }

    pub(super) fn map(&self) -> watch::Receiver<Map> {
        self.map.subscribe()
    }

    /// What a connection of this purpose is called, for whoever looks at the list of clients.
    pub(super) fn client(&self, purpose: &str) -> String {
        format!("{}:{purpose}", self.client)
    }

    /// Something is not where it was.
    pub(super) fn suspect(&self) {
        self.stale.notify_one();
    }

    /// Looks for the servers again whenever there is a reason, for ever.
    pub(super) async fn follow(&self) {
        loop {
            let _ = tokio::time::timeout(LOOK_INTERVAL, self.stale.notified()).await;
            match self.look().await {
                Ok(map) => {
                    self.map.send_if_modified(|old| {
                        let moved = *old != map;
                        *old = map;
                        moved
                    });
                    let known = self.map.borrow().clone();
                    self.links().retain(|address, _| {
                        known.servers.iter().any(|place| place.address == *address)
                    });
                }
                Err(error) => tracing::debug!(%error, "the servers of Redis are not found"),
            }
            self.looked.notify_waiters();
            // A server that is away is a reason all the time.
            tokio::time::sleep(RETRY_MIN * 5).await;
        }
    }

    async fn look(&self) -> Result<Map, LogError> {
        match &self.target {
            Target::Single(info) => Ok(Map::of_one(info.clone())),
            Target::Sentinel { sentinels, name, login } => master(sentinels, name, login).await,
            Target::Cluster { seeds, login } => {
                let mut known: Vec<_> =
                    self.map.borrow().servers.iter().map(|place| place.info.clone()).collect();
                known.extend(seeds.iter().cloned());
                slots(&known, login).await
            }
        }
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, place: &Place) -> Arc<Link> {
        let name = self.client("commands");
        let known = (self.stale.clone(), self.stats.clone());
        let link = || Arc::new(Link::to(place.info.clone(), name, known));
        self.links().entry(place.address.clone()).or_insert_with(link).clone()
    }

    /// The connections to all servers.
    pub(super) fn all(&self) -> Vec<Arc<Link>> {
        let places = self.map.borrow().servers.clone();
        places.iter().map(|place| self.link(place)).collect()
    }

    /// Calls a script where its partition is. It is sent again only where it surely has not run:
    /// when the server did not know it, or does not have the partition any more.
    ///
    /// With `replicas` it waits, for so long, until so many have what has been written.
    pub(super) async fn call(
        &self,
        partition: Partition,
        call: &Call,
        replicas: Option<(u32, Duration)>,
    ) -> Result<Value, LogError> {
        let start = Instant::now();
        let answer = self.try_call(partition, call, replicas, start).await;
        self.stats.times.time(start.elapsed());
        if matches!(answer, Err(LogError::Unavailable(_))) {
            self.stats.errors.one();
        }
        answer
    }

    async fn try_call(
        &self,
        partition: Partition,
        call: &Call,
        replicas: Option<(u32, Duration)>,
        start: Instant,
    ) -> Result<Value, LogError> {
        let mut long = false;
        loop {
            let looked = self.looked.notified();
            let place = self.map.borrow().place(partition).cloned();
            let error = match place {
                None => LogError::Unavailable("no server has this partition".to_owned()),
                Some(place) => {
                    let command = if long { call.long() } else { call.short() };
                    match run(&self.link(&place), command, replicas).await? {
                        Ok(value) => return Ok(value),
                        Err(error) if is(&error, ServerErrorKind::NoScript) && !long => {
                            long = true;
                            continue;
                        }
                        Err(error) if is(&error, ServerErrorKind::Moved) => meaning(&error),
                        Err(error) => {
                            self.suspect_if_down(&error);
                            return Err(meaning(&error));
                        }
                    }
                }
            };
            self.suspect();
            let left = MOVE_WAIT.saturating_sub(start.elapsed());
            if tokio::time::timeout(left, looked).await.is_err() {
                return Err(error);
            }
        }
    }

    fn suspect_if_down(&self, error: &RedisError) {
        let down = [ServerErrorKind::ReadOnly, ServerErrorKind::ClusterDown, ServerErrorKind::Ask];
        if down.into_iter().any(|kind| is(error, kind)) {
            self.suspect();
        }
    }
}

fn is(error: &RedisError, kind: ServerErrorKind) -> bool {
    error.kind() == ErrorKind::Server(kind)
}

/// Runs a command, and if asked makes sure that replicas have it: WAIT counts what this connection has
/// written before.
async fn run(
    link: &Link,
    command: Cmd,
    replicas: Option<(u32, Duration)>,
) -> Result<Result<Value, RedisError>, LogError> {
    let lone = || LogError::Unavailable("an answer is missing".to_owned());
    let Some((replicas, time)) = replicas else {
        return link.send(&[command]).await?.pop().ok_or_else(lone);
    };
    let mut wait = redis::cmd("WAIT");
    wait.arg(replicas).arg(time.as_millis() as u64);
    let mut answers = link.send(&[command, wait]).await?.into_iter();
    let (answer, waited) = (answers.next().ok_or_else(lone)?, answers.next().ok_or_else(lone)?);
    match (answer, waited) {
        (Ok(answer), Ok(Value::Int(count))) if count >= i64::from(replicas) => Ok(Ok(answer)),
        (Ok(_), _) => Err(LogError::Unavailable(format!("fewer than {replicas} replicas have it"))),
        (Err(error), _) => Ok(Err(error)),
    }
}

/// The server that sentinels say is the master.
async fn master(sentinels: &[ConnectionInfo], name: &str, login: &Login) -> Result<Map, LogError> {
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    match ask_any(sentinels, &command).await?.1 {
        Value::Array(mut place) if place.len() == 2 => {
            let port = place.pop().map(text).transpose()?.unwrap_or_default();
            let host = place.pop().map(text).transpose()?.unwrap_or_default();
            let port = port.parse().map_err(|_| unfound("no port"))?;
            Ok(Map::of_one(login.at(&host, port)?))
        }
        _ => Err(LogError::Unfit(format!("its sentinels know no master called {name}"))),
    }
}

/// The masters of a cluster, by what one of its nodes says.
async fn slots(nodes: &[ConnectionInfo], login: &Login) -> Result<Map, LogError> {
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let (asked, answer) = ask_any(nodes, &command).await?;
    let Value::Array(ranges) = answer else { return Err(unfound("no slots")) };
    let mut map = Map { servers: Vec::new(), of: vec![None; usize::from(PARTITIONS)] };
    for range in ranges {
        let (first, last, host, port) = slot_range(range)?;
        // A node that does not know how others reach it is reached as it was now.
        let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or(asked.clone());
        let place = Place::new(login.at(&host, port)?);
        let at = map.servers.iter().position(|known| *known == place).unwrap_or_else(|| {
            map.servers.push(place);
            map.servers.len() - 1
        });
        for partition in (0..PARTITIONS).filter(|p| (first..=last).contains(&slot(*p))) {
            map.of[usize::from(partition)] = Some(at);
        }
    }
    Ok(map)
}

/// First slot, last slot, and the host and port of the master, which is named before its replicas.
fn slot_range(range: Value) -> Result<(u16, u16, Option<String>, u16), LogError> {
    let number = |value: Option<Value>| match value {
        Some(Value::Int(number)) => u16::try_from(number).map_err(|_| unfound("no number")),
        _ => Err(unfound("no number")),
    };
    let Value::Array(range) = range else { return Err(unfound("no range")) };
    let mut range = range.into_iter();
    let (first, last) = (number(range.next())?, number(range.next())?);
    let Some(Value::Array(master)) = range.next() else { return Err(unfound("no master")) };
    let mut master = master.into_iter();
    let host = master.next().and_then(|host| text(host).ok());
    Ok((first, last, host, number(master.next())?))
}

/// Asks one after the other until one answers; also says the host of that one.
async fn ask_any(nodes: &[ConnectionInfo], command: &Cmd) -> Result<(String, Value), LogError> {
    let mut last = unfound("none is named");
    for node in nodes {
        let answer = async {
            let mut connection = connect(node, String::new(), |_| ()).await?;
            let value = connection.send_packed_command(command).await;
            value.and_then(Value::extract_error).map_err(|error| meaning(&error))
        };
        match answer.await {
            Ok(value) => return Ok((host_of(node), value)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn host_of(node: &ConnectionInfo) -> String {
    let address = node.addr().to_string();
    address.rsplit_once(':').map_or(address.clone(), |(host, _)| host.to_owned())
}

fn unfound(why: &str) -> LogError {
    LogError::Unavailable(format!("its servers are not found: {why}"))
}
