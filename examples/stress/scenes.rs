//! Scenes: random numbers of actors of all kinds do random things to some channels, and then the account must balance.

use crate::ledger::{Ledger, Token};
use crate::ways::{self, Got, Kind, Random, Sent, pause};
use gochan::{Receiver, Select, Sender, bounded, rt, unbounded};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Where actors run.
pub(crate) struct Stage {
    pub(crate) workers: rt::Runtime,
    pub(crate) tokio: tokio::runtime::Runtime,
}

/// An actor under way; ended, it says what was wrong.
enum Actor {
    Thread(thread::JoinHandle<Result<(), String>>),
    Goroutine(rt::JoinHandle<Result<(), String>>),
    Task(tokio::task::JoinHandle<Result<(), String>>),
}

impl Stage {
    fn start(&self, kind: Kind, work: impl Future<Output = Result<(), String>> + Send + 'static) -> Actor {
        match kind {
            Kind::Thread => Actor::Thread(thread::spawn(|| ways::run(work))),
            Kind::Goroutine => Actor::Goroutine(self.workers.go(|| ways::run(work))),
            Kind::Task => Actor::Task(self.tokio.spawn(work)),
        }
    }

    /// Waits for all.
    fn end(&self, actors: Vec<Actor>) -> Result<(), String> {
        let panicked = |_| Err("an actor panicked".to_string());
        actors.into_iter().try_for_each(|actor| match actor {
            Actor::Thread(thread) => thread.join().unwrap_or_else(|_| panicked(())),
            Actor::Goroutine(goroutine) => match goroutine.join() {
                Err(error) if error.is_cancelled() => Ok(()),
                ended => ended.unwrap_or_else(|_| panicked(())),
            },
            Actor::Task(task) => match self.tokio.block_on(task) {
                Err(error) if error.is_cancelled() => Ok(()),
                ended => ended.unwrap_or_else(|_| panicked(())),
            },
        })
    }
}

impl Actor {
    /// A thread cannot be cancelled.
    fn cancel(&self) {
        match self {
            Actor::Thread(_) => {}
            Actor::Goroutine(goroutine) => goroutine.cancel(),
            Actor::Task(task) => task.abort(),
        }
    }
}

/// The order in which a receiver sees the values of each producer.
struct Order {
    last: Vec<Option<u32>>,
    /// Whether it is promised.
    counts: bool,
}

impl Order {
    fn new(producers: u32, counts: bool) -> Self {
        Self { last: vec![None; producers as usize], counts }
    }

    fn receive(&mut self, token: Token, ledger: &Ledger) -> Result<(), String> {
        ledger.received(&token);
        let last = &mut self.last[token.producer as usize];
        if self.counts && last.is_some_and(|last| last >= token.number) {
            return Err(format!("{token:?} came after {}.{}", token.producer, last.unwrap_or_default()));
        }
        *last = Some(token.number);
        Ok(())
    }
}

/// What is random about a scene.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    what: What,
    cap: Option<usize>,
    senders: u32,
    receivers: u32,
    each: u32,
    /// Receives that are dropped with what they were handed.
    drops: bool,
    /// Actors are cancelled.
    cancels: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// Senders and receivers on one channel, which is closed when the last sender goes.
    Crowd,
    /// The same, and several close it at some time.
    Storm,
    /// The same, and the receivers leave.
    Leave,
    /// Everybody selects among several channels, both ways.
    Mesh,
    /// Very many channels.
    Many,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let what =
            random.pick(&[What::Crowd, What::Crowd, What::Storm, What::Storm, What::Leave, What::Mesh, What::Mesh]);
        let what = if random.below(40) == 0 { What::Many } else { what };
        Plan {
            what,
            cap: random.pick(&[Some(0), Some(0), Some(1), Some(2), Some(7), Some(64), None]),
            senders: 1 + random.pick(&[2, 8, 40]) * random.below(3) as u32,
            receivers: 1 + random.pick(&[2, 8, 40]) * random.below(3) as u32,
            each: 20 + random.below(200) as u32,
            drops: random.below(2) == 0,
            cancels: random.below(3) == 0,
        }
    }

    /// Plays the scene. How many values were received, or what is wrong.
    pub(crate) fn play(self, stage: &Stage, random: &mut Random, channels: u32) -> Result<u64, String> {
        match self.what {
            What::Crowd | What::Storm | What::Leave => self.crowd(stage, random),
            What::Mesh => self.mesh(stage, random),
            What::Many => many(stage, random, channels),
        }
    }

    fn kind(random: &mut Random) -> Kind {
        random.pick(&[Kind::Thread, Kind::Goroutine, Kind::Goroutine, Kind::Task, Kind::Task])
    }

    fn crowd(self, stage: &Stage, random: &mut Random) -> Result<u64, String> {
        let (tx, rx) = self.cap.map_or_else(unbounded, bounded);
        let ledger = Ledger::new(self.senders, self.each);
        let mut actors = Vec::new();
        for producer in 0..self.senders {
            let kind = Self::kind(random);
            let work = produce(kind, tx.clone(), producer, self.each, ledger.clone(), Random(random.next()));
            actors.push(stage.start(kind, work));
        }
        for _ in 0..self.receivers {
            let kind = Self::kind(random);
            // Who leaves does so after some values.
            let limit = if self.what == What::Leave { random.below(u64::from(self.each)) } else { u64::MAX };
            let order = Order::new(self.senders, !self.drops && !self.cancels);
            let random = Random(random.next());
            actors.push(stage.start(kind, consume(kind, rx.clone(), limit, self.drops, order, ledger.clone(), random)));
        }
        let closed = Arc::new(AtomicU64::new(0));
        for _ in 0..if self.what == What::Storm { 4 } else { 0 } {
            let (kind, tx, rx, closed) = (Self::kind(random), tx.clone(), rx.clone(), closed.clone());
            let mut random = Random(random.next());
            actors.push(stage.start(kind, async move {
                for _ in 0..random.below(200) {
                    pause(kind, &mut random).await;
                }
                closed.fetch_add(u64::from(if random.below(2) == 0 { tx.close() } else { rx.close() }), Relaxed);
                Ok(())
            }));
        }
        drop(tx);
        // If those who leave have all gone, nobody receives any more; else what is left is received here.
        let rest = (self.what != What::Leave).then(|| rx.clone());
        drop(rx);
        if self.cancels {
            // One receiver stays, for the senders' sake.
            let stays = self.senders as usize;
            let cancelled = actors.iter().enumerate().filter(|(i, _)| *i != stays && random.below(4) == 0);
            cancelled.for_each(|(_, actor)| actor.cancel());
        }
        let ended = stage.end(actors);
        let mut order = Order::new(self.senders, false);
        rest.iter().flat_map(|rest| rest.try_iter()).try_for_each(|token| order.receive(token, &ledger))?;
        drop(rest);
        ended?;
        if self.what == What::Storm && closed.load(Relaxed) > 1 {
            return Err("two have closed the channel".into());
        }
        ledger.balance(self.what == What::Leave)
    }

    /// Everybody is a producer and a receiver, on some channels of which each is closed by the end of the last actor.
    fn mesh(self, stage: &Stage, random: &mut Random) -> Result<u64, String> {
        let count = self.senders + self.receivers;
        let ledger = Ledger::new(count, self.each);
        let channels: Vec<_> = (0..2 + random.below(4)).map(|_| self.cap.map_or_else(unbounded, bounded)).collect();
        let mut actors = Vec::new();
        for producer in 0..count {
            let (kind, ledger, channels) = (Self::kind(random), ledger.clone(), channels.clone());
            let random = Random(random.next());
            actors.push(stage.start(kind, meet(kind, channels, producer, self.each, self.drops, ledger, random)));
        }
        // Who is alone in the end is let go when all are closed.
        let closer = channels.clone();
        let time = Duration::from_micros(random.below(20_000));
        actors.push(stage.start(Kind::Thread, async move {
            thread::sleep(time);
            closer.iter().for_each(|(tx, _)| _ = tx.close());
            Ok(())
        }));
        if self.cancels {
            actors.iter().filter(|_| random.below(4) == 0).for_each(Actor::cancel);
        }
        let ended = stage.end(actors);
        for token in channels.iter().flat_map(|(_, rx)| rx.try_iter()) {
            ledger.received(&token);
        }
        drop(channels);
        ended?;
        ledger.balance(false)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

async fn produce(
    kind: Kind,
    tx: Sender<Token>,
    producer: u32,
    each: u32,
    ledger: Arc<Ledger>,
    mut random: Random,
) -> Result<(), String> {
    for number in 0..each {
        pause(kind, &mut random).await;
        let value = ledger.token(producer, number);
        if ways::send(kind, &tx, value, &ledger, &mut random).await == Sent::Closed {
            break;
        }
    }
    Ok(())
}

async fn consume(
    kind: Kind,
    rx: Receiver<Token>,
    limit: u64,
    drops: bool,
    mut order: Order,
    ledger: Arc<Ledger>,
    mut random: Random,
) -> Result<(), String> {
    let mut received = 0;
    while received < limit {
        pause(kind, &mut random).await;
        match ways::receive(kind, &rx, drops, &mut random).await {
            Got::Values(values) => {
                received += values.len() as u64;
                values.into_iter().try_for_each(|token| order.receive(token, &ledger))?;
            }
            // Whoever looks again and again lets others run.
            Got::Nothing if kind == Kind::Task => tokio::task::yield_now().await,
            Got::Nothing => rt::yield_now(),
            Got::Closed => break,
        }
    }
    Ok(())
}

/// Selects among sends and receives on all channels.
async fn meet(
    kind: Kind,
    channels: Vec<(Sender<Token>, Receiver<Token>)>,
    producer: u32,
    each: u32,
    drops: bool,
    ledger: Arc<Ledger>,
    mut random: Random,
) -> Result<(), String> {
    for number in 0..each {
        pause(kind, &mut random).await;
        let mut select = Select::new();
        let mut arms = Vec::new();
        for (i, (tx, rx)) in channels.iter().enumerate() {
            if random.below(2) == 0 {
                select.send(tx);
                arms.push((i, true));
            }
            if random.below(2) == 0 {
                select.recv(rx);
                arms.push((i, false));
            }
        }
        if arms.is_empty() {
            continue;
        }
        let Some(chosen) = ways::select(kind, &mut select, &mut random).await else { continue };
        if drops && random.below(8) == 0 {
            continue;
        }
        let (i, sends) = arms[chosen.index()];
        let (tx, rx) = &channels[i];
        if !sends {
            chosen.recv(rx).into_iter().for_each(|token| ledger.received(&token));
            continue;
        }
        let value = ledger.token(producer, number);
        match chosen.send(tx, value) {
            Ok(()) => ledger.sent(producer, number),
            Err(_) => ledger.back(producer, number),
        }
    }
    Ok(())
}

/// Very many channels, each with somebody parked on it; then all get a value, or are closed.
fn many(stage: &Stage, random: &mut Random, count: u32) -> Result<u64, String> {
    let ledger = Ledger::new(1, count);
    let channels: Vec<_> = (0..count).map(|_| bounded::<Token>(random.below(2) as usize)).collect();
    let mut actors = Vec::new();
    for (_, rx) in &channels {
        let (rx, ledger) = (rx.clone(), ledger.clone());
        let kind = random.pick(&[Kind::Goroutine, Kind::Task]);
        actors.push(stage.start(kind, async move {
            let got = if kind == Kind::Task { rx.recv_async().await } else { rx.recv() };
            got.iter().for_each(|token| ledger.received(token));
            Ok(())
        }));
    }
    for (number, (tx, _)) in channels.iter().enumerate() {
        if random.below(4) == 0 {
            tx.close();
            continue;
        }
        let number = number as u32;
        match tx.send(ledger.token(0, number)) {
            Ok(()) => ledger.sent(0, number),
            Err(_) => ledger.back(0, number),
        }
    }
    let ended = stage.end(actors);
    drop(channels);
    ended?;
    ledger.balance(false)
}
