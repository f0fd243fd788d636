//! Random programs on real threads over gochan's channels, each explained by the model.
//!
//! `GOCHAN_PROGRAMS=1000000 cargo test --release --test histories` runs longer; with `GOCHAN_SEED=7` as well it is the
//! program made from seed 7 that often, since each run is another schedule. A failure names its seed and draws what
//! happened.

mod history;
mod model;

use gochan::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError, TrySendError, bounded,
    unbounded,
};
use history::duel::duel;
use history::run::{Live, Port, Ports, Program, Token, run};
use history::{Op, Ret};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the handles of one thread are. An operation that returns a value must return the one that was sent.
struct Handles {
    sender: Option<Sender<Token>>,
    receiver: Option<Receiver<Token>>,
    live: Live,
    timeout: Duration,
}

impl Port for Handles {
    fn perform(&mut self, op: Op) -> Ret {
        let live = self.live.clone();
        let sender = || self.sender.as_ref().expect("a sender");
        let receiver = || self.receiver.as_ref().expect("a receiver");
        match op {
            Op::Send(value) => match sender().send(live.token(value)) {
                Ok(()) => Ret::Ok,
                Err(SendError(back)) => gave_back(back, value, Ret::Closed),
            },
            Op::TrySend(value) => match sender().try_send(live.token(value)) {
                Ok(()) => Ret::Ok,
                Err(TrySendError::Full(back)) => gave_back(back, value, Ret::Full),
                Err(TrySendError::Disconnected(back)) => gave_back(back, value, Ret::Closed),
            },
            Op::SendTimeout(value) => match sender().send_timeout(live.token(value), self.timeout) {
                Ok(()) => Ret::Ok,
                Err(SendTimeoutError::Timeout(back)) => gave_back(back, value, Ret::TimedOut),
                Err(SendTimeoutError::Disconnected(back)) => gave_back(back, value, Ret::Closed),
            },
            Op::Recv => match receiver().recv() {
                Ok(token) => Ret::Got(token.value),
                Err(RecvError) => Ret::Closed,
            },
            Op::TryRecv => match receiver().try_recv() {
                Ok(token) => Ret::Got(token.value),
                Err(TryRecvError::Empty) => Ret::Empty,
                Err(TryRecvError::Disconnected) => Ret::Closed,
            },
            Op::RecvTimeout => match receiver().recv_timeout(self.timeout) {
                Ok(token) => Ret::Got(token.value),
                Err(RecvTimeoutError::Timeout) => Ret::TimedOut,
                Err(RecvTimeoutError::Disconnected) => Ret::Closed,
            },
            Op::ForceSend(value) => match sender().force_send(live.token(value)) {
                Ok(None) => Ret::Ok,
                Ok(Some(oldest)) => Ret::Displaced(oldest.value),
                Err(SendError(back)) => gave_back(back, value, Ret::Closed),
            },
            Op::Drain => {
                let values: Vec<u32> = receiver().drain().map(|token| token.value).collect();
                Ret::drained(&values)
            }
            Op::Len => Ret::Len(self.with(Sender::len, Receiver::len)),
            Op::IsClosed => Ret::Is(self.with(Sender::is_closed, Receiver::is_closed)),
            Op::Close => Ret::First(self.with(Sender::close, Receiver::close)),
            Op::DropSender => {
                drop(self.sender.take().expect("a sender"));
                Ret::Ok
            }
            Op::DropReceiver => {
                drop(self.receiver.take().expect("a receiver"));
                Ret::Ok
            }
        }
    }
}

impl Handles {
    /// An operation that both handles have, on the one that is there.
    fn with<R>(&self, sender: fn(&Sender<Token>) -> R, receiver: fn(&Receiver<Token>) -> R) -> R {
        match (&self.sender, &self.receiver) {
            (Some(handle), _) => sender(handle),
            (None, Some(handle)) => receiver(handle),
            (None, None) => panic!("a handle"),
        }
    }
}

fn gave_back(token: Token, value: u32, ret: Ret) -> Ret {
    assert_eq!(token.value, value, "a send gave another value back");
    ret
}

fn open(program: &Program) -> Ports {
    let (sender, receiver) = match program.capacity {
        Some(capacity) => bounded(capacity),
        None => unbounded(),
    };
    let live = Live::default();
    // Within a program all timeouts are the same; between programs they differ, from nothing to longer than a pause.
    let timeout = Duration::from_micros([0, 5, 50, 200][program.seed as usize % 4]);
    let port = |sends: bool, receives: bool| -> Box<dyn Port> {
        let (sender, receiver) = (sends.then(|| sender.clone()), receives.then(|| receiver.clone()));
        Box::new(Handles { sender, receiver, live: live.clone(), timeout })
    };
    let threads = program.threads.iter().map(|_| port(true, true)).collect();
    Ports { threads, runner: port(program.runner_sends, !program.runner_sends), live: live.clone() }
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// The seeds of a test, and how many: all from 0, or one again and again.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let count = number_from("GOCHAN_PROGRAMS").unwrap_or(count);
    let seed = number_from("GOCHAN_SEED");
    match seed {
        Some(seed) => println!("seed {seed}, {count} times"),
        None => println!("seeds 0 to {}", count.saturating_sub(1)),
    }
    (0..count).map(move |program| seed.unwrap_or(program))
}

/// One test at a time: their threads should meet each other, not wait for a core.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn random_programs_are_explained_by_the_model() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    match run(seeds(3000), Duration::from_secs(10), open) {
        Ok(summary) => println!("{summary:#?} in {:?}", started.elapsed()),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn duels_are_explained_by_the_model() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    if let Err(failure) = duel(seeds(50_000), Duration::from_secs(10), open) {
        panic!("{failure}");
    }
    println!("in {:?}", started.elapsed());
}
