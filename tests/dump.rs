//! What a dump shows, and that it stops nobody.

use gochan::debug::{self, Channel, Direction, Dump, Kind, Reason, Routine, State};
use gochan::{bounded, go, rt, select, unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{iter, thread};

/// A dump is of the whole process, so the tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Dumps until there is one that suits.
fn until(suits: impl Fn(&Dump) -> bool) -> Dump {
    let start = Instant::now();
    iter::repeat_with(debug::dump)
        .inspect(|dump| assert!(start.elapsed() < Duration::from_secs(60), "{dump}"))
        .find(suits)
        .unwrap()
}

fn routine(dump: &Dump, id: u64) -> Option<&Routine> {
    dump.routines.iter().find(|routine| routine.id == Some(id) && routine.kind <= Kind::Task)
}

fn waits(dump: &Dump, id: u64, reason: Reason) -> bool {
    routine(dump, id).and_then(|routine| routine.waits.as_ref()).is_some_and(|waits| waits.reason == reason)
}

#[test]
fn a_goroutine_that_receives() {
    let _alone = alone();
    let (tx, rx) = bounded::<u8>(3);
    tx.set_name("jobs");
    let line = line!() + 1;
    let receiver = rt::Goroutine::new().name("worker").spawn(move || rx.recv());
    let id = receiver.id();
    let dump = until(|dump| {
        waits(dump, id, Reason::ChanReceive) && !routine(dump, id).unwrap().waits.as_ref().unwrap().on.is_empty()
    });
    let seen = routine(&dump, id).unwrap();
    assert_eq!((seen.kind, seen.state, seen.parent), (Kind::Goroutine, State::Waiting, None));
    assert_eq!(seen.name.as_deref(), Some("worker"));
    assert_eq!((seen.spawned_at.unwrap().file(), seen.spawned_at.unwrap().line()), (file!(), line));
    let waits = seen.waits.as_ref().unwrap();
    assert_eq!((waits.at.line(), waits.has_deadline, waits.on.len()), (line, false, 1));
    assert_eq!(waits.on[0].direction, Direction::Receive);
    let channel = dump.channels.iter().find(|channel| channel.id == waits.on[0].channel).unwrap();
    assert_eq!((channel.name.as_deref(), channel.capacity, channel.len), (Some("jobs"), Some(3), 0));
    assert_eq!((channel.senders, channel.receivers, channel.closed), (1, 1, false));
    assert_eq!(channel.made_at.line(), line - 3);
    let text = dump.to_string();
    assert!(text.contains(&format!("goroutine {id} \"worker\" [chan receive]:\n    {}:{line}:", file!())), "{text}");
    assert!(text.contains(&format!("\ncreated by a thread at {}:{line}:", file!())), "{text}");
    drop(tx);
    assert!(receiver.join().unwrap().is_err());
}

#[test]
fn the_other_side_is_shown() {
    let _alone = alone();
    let (tx, rx) = bounded(0);
    let (go_on, wait) = bounded::<()>(0);
    let sender = go(move || {
        tx.send(1).unwrap();
        let _ = wait.recv();
        drop(tx);
    });
    let receiver = go(move || (rx.recv(), rx.recv()));
    let (from, to) = (sender.id(), receiver.id());
    // It has received once, and waits again.
    let last_send = |dump: &Dump| {
        let on = routine(dump, to)?.waits.as_ref()?.on.first()?;
        dump.channels.iter().find(|channel| channel.id == on.channel)?.last_send
    };
    let dump = until(|dump| {
        last_send(dump).is_some() && waits(dump, to, Reason::ChanReceive) && waits(dump, from, Reason::ChanReceive)
    });
    assert_eq!(last_send(&dump).unwrap().by, Some((Kind::Goroutine, from)));
    let text = dump.to_string();
    let expected = format!("nobody waits to send; the last send seen was by goroutine {from} at {}", file!());
    assert!(text.contains(&expected), "{text}");
    drop(go_on);
    sender.join().unwrap();
    assert_eq!(receiver.join().unwrap(), (Ok(1), Err(gochan::RecvError)));
}

#[test]
fn every_kind_of_waiter() {
    let _alone = alone();
    let (tx, rx) = bounded::<u8>(0);
    let thread = {
        let rx = rx.clone();
        thread::Builder::new().name("by thread".into()).spawn(move || rx.recv()).unwrap()
    };
    let foreign = {
        let rx = rx.clone();
        thread::spawn(move || futures_executor::block_on(rx.recv_async()))
    };
    let task = {
        let rx = rx.clone();
        rt::spawn(async move { rx.recv_async().await })
    };
    let awaits = {
        let rx = rx.clone();
        go(move || rt::block_on(rx.recv_async()))
    };
    let on_two = {
        let (rx, (other, never)) = (rx.clone(), unbounded::<u8>());
        go(move || {
            let received = select! { recv(rx) -> value => value, recv(never) -> value => value };
            drop(other);
            received
        })
    };
    let timed = go(move || rx.recv_timeout(Duration::from_secs(1000)).ok());
    let all_asleep = |channel: &Channel| channel.waiting.iter().all(|waiting| waiting.asleep_for.is_some());
    let waiters = |dump: &Dump| dump.channels.iter().any(|channel| channel.waiting.len() == 6 && all_asleep(channel));
    let dump = until(|dump| waiters(dump) && waits(dump, awaits.id(), Reason::Await));
    let of_kind = |kind| dump.routines.iter().filter(move |routine| routine.kind == kind);
    let of_thread = of_kind(Kind::Thread).find(|routine| routine.name.as_deref() == Some("by thread")).unwrap();
    assert!(of_thread.id.is_some() && of_thread.waits.as_ref().unwrap().reason == Reason::ChanReceive);
    assert!(of_kind(Kind::ForeignTask).any(|routine| routine.waits.as_ref().unwrap().reason == Reason::ChanReceive));
    let of_task = routine(&dump, task.id()).unwrap();
    assert_eq!((of_task.kind, of_task.state), (Kind::Task, State::Waiting));
    assert_eq!(of_task.spawned_at.unwrap().file(), file!());
    let waits_of = |id| routine(&dump, id).unwrap().waits.as_ref().unwrap();
    assert_eq!(waits_of(task.id()).reason, Reason::ChanReceive);
    assert_eq!(waits_of(awaits.id()).on.len(), 1);
    assert_eq!((waits_of(on_two.id()).reason, waits_of(on_two.id()).on.len()), (Reason::Select, 2));
    assert!(waits_of(timed.id()).has_deadline && !waits_of(on_two.id()).has_deadline);
    (0..6).for_each(|i| tx.send(i).unwrap());
    assert!(thread.join().unwrap().is_ok() && foreign.join().unwrap().is_ok());
    assert!(task.join().unwrap().is_ok() && awaits.join().unwrap().is_ok() && on_two.join().unwrap().is_ok());
    assert!(timed.join().unwrap().is_some());
}

#[test]
fn who_waits_elsewhere_or_does_not_wait() {
    let _alone = alone();
    let runtime = rt::Runtime::builder().workers(1).build().unwrap();
    let sleeper = runtime.go(|| rt::sleep(Duration::from_secs(1000)));
    let nil = runtime.go(|| gochan::never::<u8>().recv().is_ok());
    let (asleep, on_nil) = (sleeper.id(), nil.id());
    let joiner = runtime.go(move || sleeper.join().is_ok());
    let joins = joiner.id();
    let yields = runtime.go(|| {
        let yielding = go(rt::yield_now).id();
        rt::yield_now();
        (yielding, rt::current().unwrap().id(), debug::dump())
    });
    let (yielding, me, dump) = yields.join().unwrap();
    assert_eq!(routine(&dump, me).unwrap().state, State::Running);
    assert!(routine(&dump, yielding).is_none_or(|routine| routine.state == State::Runnable));
    let of_ours = dump.workers.iter().filter(|worker| worker.busy_with.is_some_and(|(_, id)| id == me));
    assert_eq!(of_ours.count(), 0, "who asks does not keep himself from answering");
    let dump = until(|dump| waits(dump, asleep, Reason::Sleep) && waits(dump, joins, Reason::Join));
    assert!(waits(&dump, on_nil, Reason::ChanReceiveNil));
    let text = dump.to_string();
    assert!(text.contains(&format!("goroutine {asleep} [sleep]:")), "{text}");
    assert!(runtime.shutdown_timeout(Duration::from_secs(60)));
    assert!(!joiner.join().unwrap_or(true) || nil.join().is_err());
}

#[test]
fn a_worker_that_does_not_answer() {
    let _alone = alone();
    let runtime = rt::Runtime::builder().workers(1).build().unwrap();
    let (tx, rx) = bounded::<u8>(0);
    let parked = runtime.go(move || rx.recv().is_ok());
    until(|dump| waits(dump, parked.id(), Reason::ChanReceive));
    let stop = Arc::new(AtomicBool::new(false));
    let line = line!() + 2;
    let (stopped, goroutine) = (stop.clone(), rt::Goroutine::new().name("busy"));
    let busy = runtime.run(move || goroutine.spawn(move || while !stopped.load(Ordering::Relaxed) {}));
    let id = busy.id();
    let is_busy = |dump: &Dump| dump.workers.iter().any(|worker| worker.busy_with == Some((Kind::Goroutine, id)));
    let dump = until(is_busy);
    let seen = routine(&dump, id).unwrap();
    assert_eq!((seen.state, seen.name.as_deref()), (State::Running, Some("busy")));
    assert_eq!(seen.spawned_at.unwrap().line(), line);
    // Its worker says nothing of it, its channel does.
    let seen = routine(&dump, parked.id()).unwrap();
    assert_eq!((seen.state, seen.waits.as_ref().unwrap().on.len()), (State::Waiting, 1));
    assert_eq!(seen.spawned_at.unwrap().file(), file!());
    assert!(dump.to_string().contains(&format!("does not answer: it runs goroutine {id}, created at")), "{dump}");
    stop.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    drop(tx);
    assert!(!parked.join().unwrap());
}

#[test]
fn from_a_task_and_from_a_destructor_of_one_that_panics() {
    struct Dumps(Arc<Mutex<Option<Dump>>>);
    impl Drop for Dumps {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = Some(debug::dump());
        }
    }
    let _alone = alone();
    let task = rt::spawn(async { (rt::current().unwrap().id(), debug::dump()) });
    let (id, dump) = task.join().unwrap();
    let seen = routine(&dump, id).unwrap();
    assert_eq!((seen.kind, seen.state), (Kind::Task, State::Running));
    let found = Arc::new(Mutex::new(None));
    let dumps = Dumps(found.clone());
    let panics = go(move || {
        let _dumps = dumps;
        std::panic::resume_unwind(Box::new(7));
    });
    let id = panics.id();
    assert!(panics.join().unwrap_err().is_panic());
    let dump = found.lock().unwrap().take().unwrap();
    assert_eq!(routine(&dump, id).unwrap().state, State::Running);
}
