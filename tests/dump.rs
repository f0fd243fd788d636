//! What a dump shows, and that it stops nobody.

use gochan::debug::{self, Channel, Direction, Dump, Group, Groups, Kind, Reason, Routine, State};
use gochan::{bounded, go, rt, select, unbounded};
use std::process::Command;
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

/// A receive that lets a select reserve the slot that it frees has met it.
#[test]
fn who_meets_a_select_leaves_a_trace() {
    let _alone = alone();
    let (tx, rx) = bounded(1);
    tx.send(1).unwrap();
    tx.set_name("met");
    let look = || debug::channels().into_iter().find(|channel| channel.name.as_deref() == Some("met")).unwrap();
    assert!(look().last_receive.is_none());
    thread::scope(|s| {
        s.spawn(|| gochan::select! { send(tx, 2) -> sent => sent.unwrap() });
        while look().waiting.is_empty() {
            thread::yield_now();
        }
        assert_eq!(rx.recv(), Ok(1));
    });
    assert_eq!(look().last_receive.expect("a trace").at.file(), file!());
    assert_eq!(rx.recv(), Ok(2));
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
    // A select of one operation is shown as that.
    let select_nil = runtime.go(|| select! { recv(gochan::never::<u8>()) -> got => got.is_ok() }).id();
    let select_send_nil = runtime.go(|| select! { send(gochan::Sender::never(), 1) -> sent => sent.is_ok() }).id();
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
    let dump = until(|dump| {
        let selects =
            waits(dump, select_nil, Reason::ChanReceiveNil) && waits(dump, select_send_nil, Reason::ChanSendNil);
        selects && waits(dump, asleep, Reason::Sleep) && waits(dump, joins, Reason::Join)
    });
    assert!(waits(&dump, on_nil, Reason::ChanReceiveNil));
    let text = dump.to_string();
    assert!(text.contains(&format!("goroutine {asleep} [sleep]:")), "{text}");
    assert!(runtime.shutdown_timeout(Duration::from_secs(60)));
    assert!(!joiner.join().unwrap_or(true) || nil.join().is_err());
}

/// They are seen, and start in order all the same.
#[test]
fn who_has_not_started_is_runnable() {
    let _alone = alone();
    let runtime = rt::Runtime::builder().workers(1).build().unwrap();
    // A task, which does not park while others answer: so nobody starts meanwhile.
    let looks = runtime.spawn(async {
        let (tx, rx) = bounded(10);
        let start = |i: u32| {
            let tx = tx.clone();
            rt::Goroutine::new().name("fresh").spawn(move || tx.send(i).unwrap()).id()
        };
        let mut ids: Vec<u64> = (0..5).map(start).collect();
        let first = debug::dump();
        ids.extend((5..10).map(start));
        let second = debug::dump();
        (ids, first, second, rx)
    });
    let (ids, first, second, rx) = looks.join().unwrap();
    let order: Vec<u32> = rx.iter().collect();
    for (dump, ids) in [(&first, &ids[..5]), (&second, &ids[..])] {
        for &id in ids {
            let fresh = routine(dump, id).unwrap();
            assert_eq!((fresh.state, fresh.name.as_deref()), (State::Runnable, Some("fresh")));
            assert!(fresh.parent.is_some() && fresh.spawned_at.is_some_and(|at| at.file().ends_with("dump.rs")));
        }
        assert!(dump.workers.iter().any(|worker| worker.fresh == ids.len()));
    }
    assert!(second.to_string().contains(&format!("goroutine {} \"fresh\" [runnable]:", ids[9])), "{second}");
    assert_eq!(order, (0..10).collect::<Vec<_>>());
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

#[test]
fn a_dump_as_json() {
    let _alone = alone();
    let (tx, rx) = bounded::<u8>(3);
    tx.set_name("a \"name\"\n");
    let receiver = rt::Goroutine::new().name("worker").spawn(move || rx.recv().is_ok());
    let id = receiver.id();
    let dump = until(|dump| waits(dump, id, Reason::ChanReceive));
    let json: serde_json::Value = serde_json::from_str(&dump.to_json()).unwrap();
    assert_eq!(json["routines"].as_array().unwrap().len(), dump.routines.len());
    assert_eq!(json["workers"].as_array().unwrap().len(), dump.workers.len());
    let routine = json["routines"].as_array().unwrap().iter().find(|routine| routine["id"] == id).unwrap();
    assert_eq!((&routine["kind"], &routine["state"]), (&"goroutine".into(), &"waiting".into()));
    assert_eq!((&routine["name"], &routine["parent"]), (&"worker".into(), &serde_json::Value::Null));
    assert!(routine["spawned_at"].as_str().unwrap().starts_with(file!()));
    let waits = &routine["waits"];
    assert_eq!((&waits["reason"], &waits["has_deadline"]), (&"chan receive".into(), &false.into()));
    assert!(waits["since"].as_f64().unwrap() >= 0.0 && waits["on"][0]["direction"] == "receive");
    let of_it = |channel: &&serde_json::Value| channel["id"] == waits["on"][0]["channel"];
    let channel = json["channels"].as_array().unwrap().iter().find(of_it).unwrap();
    assert_eq!((&channel["name"], &channel["capacity"]), (&"a \"name\"\n".into(), &3.into()));
    assert_eq!((&channel["element"], &channel["senders"]), (&"u8".into(), &1.into()));
    assert_eq!(channel["waiting"][0]["id"], id);
    drop(tx);
    assert!(!receiver.join().unwrap());
}

#[test]
fn those_who_are_alike_are_one_group() {
    let _alone = alone();
    let (tx, rx) = bounded::<u8>(0);
    let (other, theirs) = bounded::<u8>(0);
    let line = line!() + 1;
    let many: Vec<_> = (0..50).map(|_| rx.clone()).map(|rx| go(move || rx.recv().is_ok())).collect();
    let one = go(move || theirs.recv().is_ok());
    let from =
        |line: u32| move |group: &&Group| group.spawned_at.is_some_and(|at| (at.file(), at.line()) == (file!(), line));
    let group_of = |groups: &Groups, line: u32| groups.groups.iter().find(from(line)).cloned().unwrap();
    let all_wait = |dump: &Dump| many.iter().all(|one| waits(dump, one.id(), Reason::ChanReceive));
    let groups = until(|dump| all_wait(dump) && waits(dump, one.id(), Reason::ChanReceive)).grouped();
    let (of_many, of_one) = (group_of(&groups, line), group_of(&groups, line + 1));
    assert_eq!((of_many.count, of_many.state, of_many.waits.unwrap().0), (50, State::Waiting, Reason::ChanReceive));
    assert_eq!((of_one.count, of_one.oldest), (1, Some(one.id())));
    let text = groups.to_string();
    assert!(text.contains("50 goroutines [chan receive], the first of them goroutine "), "{text}");
    assert!(text.contains(&format!("1 goroutine [chan receive], goroutine {}:\n    {}:", one.id(), file!())), "{text}");
    drop((tx, other));
    assert!(many.into_iter().chain([one]).all(|one| !one.join().unwrap()));
}

#[inline(never)]
fn deep_down(rx: &gochan::Receiver<u32>) -> u32 {
    std::hint::black_box(rx.recv().unwrap())
}

#[inline(never)]
fn in_a_future(rx: &gochan::Receiver<u32>) -> u32 {
    std::hint::black_box(rt::block_on(rx.recv_async()).unwrap())
}

/// In a poll nobody may park, and from a thread it need not: the stacks come by resuming, whoever asks.
#[test]
fn stacks_of_those_who_wait() {
    let _alone = alone();
    let runtime = rt::Runtime::builder().workers(1).build().unwrap();
    let (tx, rx) = bounded(0);
    let (tx2, rx2) = bounded(0);
    let small = {
        let (goroutine, rx) = (rt::Goroutine::new().stack_size(64 << 10), rx.clone());
        runtime.run(move || goroutine.spawn(move || deep_down(&rx)))
    };
    let timed = runtime.go(move || rx.recv_timeout(Duration::from_secs(1000)).unwrap());
    let awaits = runtime.go(move || in_a_future(&rx2));
    let all = [small.id(), timed.id(), awaits.id()];
    until(|dump| all.iter().all(|&id| routine(dump, id).is_some_and(|routine| routine.waits.is_some())));
    let stack = |dump: &Dump, id: u64| routine(dump, id).unwrap().stack.as_ref().unwrap().to_string();
    let check = |dump: Dump| {
        assert!(stack(&dump, all[0]).contains("deep_down"), "{dump}");
        assert!(stack(&dump, all[2]).contains("in_a_future"), "{dump}");
        assert!(routine(&dump, all[1]).unwrap().stack.is_some());
        // Neither how it was captured, nor how it was started.
        assert!(
            !stack(&dump, all[0]).contains("show_stack") && !stack(&dump, all[0]).contains("catch_unwind"),
            "{dump}"
        );
        assert!(waits(&dump, all[0], Reason::ChanReceive) && waits(&dump, all[2], Reason::Await));
    };
    check(debug::dump_with_stacks());
    // By a neighbour, which the worker has to switch out first.
    let (me, dump) = runtime.run(|| (rt::current().unwrap().id(), debug::dump_with_stacks()));
    assert_eq!(routine(&dump, me).unwrap().state, State::Running);
    check(dump);
    // By a task in a poll of that worker, which cannot wait for it.
    let (_, dump) = runtime.spawn(async { (rt::current().unwrap().id(), debug::dump_with_stacks()) }).join().unwrap();
    assert!(waits(&dump, all[0], Reason::ChanReceive));
    tx.send(1).unwrap();
    tx.send(2).unwrap();
    tx2.send(4).unwrap();
    assert_eq!((small.join().unwrap() + timed.join().unwrap(), awaits.join().unwrap()), (3, 4));
}

/// A handle keeps what is left of a runtime; its workers are not waited for.
#[test]
fn a_runtime_that_has_ended() {
    let _alone = alone();
    let workers = || debug::dump().workers.len();
    let before = workers();
    let runtime = rt::Runtime::builder().workers(3).build().unwrap();
    let task = runtime.spawn(std::future::pending::<()>());
    assert_eq!(workers(), before + 3);
    assert!(runtime.shutdown_timeout(Duration::from_secs(60)));
    let start = Instant::now();
    assert_eq!(workers(), before);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(task.join().unwrap_err().is_cancelled());
}

/// Values are handed on while stacks are asked for all the time: none is lost, no wake-up is taken for another.
#[test]
fn stacks_while_everybody_works() {
    let _alone = alone();
    const ROUNDS: u32 = if cfg!(miri) { 20 } else { 3_000 };
    let stop = Arc::new(AtomicBool::new(false));
    let (to, from) = (bounded(0), bounded(0));
    let echo = go(move || to.1.iter().map(|i| from.0.send(i + 1).unwrap()).count());
    let asks = {
        let stop = stop.clone();
        thread::spawn(move || {
            iter::repeat_with(debug::dump_with_stacks).take_while(|_| !stop.load(Ordering::Relaxed)).count()
        })
    };
    let timed =
        go(|| (0..100).filter(|_| gochan::never::<u8>().recv_timeout(Duration::from_micros(300)).is_err()).count());
    let awaits = go(move || {
        let replies = |i| {
            to.0.send(i).unwrap();
            if i % 2 == 0 { from.1.recv() } else { rt::block_on(from.1.recv_async()) }
        };
        (0..ROUNDS).filter(|&i| replies(i) == Ok(i + 1)).count()
    });
    assert_eq!((awaits.join().unwrap(), timed.join().unwrap()), (ROUNDS as usize, 100));
    assert_eq!(echo.join().unwrap(), ROUNDS as usize);
    stop.store(true, Ordering::Relaxed);
    assert!(asks.join().unwrap() > 0);
}

#[test]
fn who_waits_too_long_is_reported_once() {
    let _alone = alone();
    let (tx, rx) = bounded::<u8>(0);
    let (reported, reports) = unbounded();
    let watch = debug::watch_with(Duration::from_millis(100), move |dump| {
        dump.routines.iter().filter_map(|routine| routine.id).for_each(|id| reported.send(id).unwrap());
    });
    let timed = go(|| gochan::never::<u8>().recv_timeout(Duration::from_secs(3)).is_ok());
    let first = go(move || (rx.recv(), rx.recv()).1.is_ok());
    let of = |id: u64| reports.iter().find(|&reported| reported == id);
    assert_eq!(of(first.id()), Some(first.id()));
    // Another wait of the same goroutine, which is not that one, and is late in turn.
    tx.send(1).unwrap();
    assert_eq!(of(first.id()), Some(first.id()));
    thread::sleep(Duration::from_millis(400));
    assert!(reports.try_iter().all(|id| id != first.id() && id != timed.id()));
    drop(watch);
    tx.send(2).unwrap();
    assert!(first.join().unwrap());
    timed.cancel();
    // It ends with its watch.
    assert!(reports.iter().all(|id| id != timed.id()));
}

/// Runs the test `name` of this file again, in a process of its own, which knows it by the environment.
fn alone_in_a_process(name: &str) -> (String, bool) {
    let this = std::env::current_exe().unwrap();
    let child = Command::new(this).args(["--exact", name, "--nocapture"]).env("DUMP_CHILD", name).output().unwrap();
    (String::from_utf8_lossy(&child.stderr).into_owned(), child.status.success())
}

fn is_child() -> bool {
    std::env::var_os("DUMP_CHILD").is_some()
}

#[test]
#[cfg(unix)]
fn a_signal_asks_for_a_dump() {
    if !is_child() {
        let (err, success) = alone_in_a_process("a_signal_asks_for_a_dump");
        assert!(success && err.contains("who runs and who waits, as a signal asked\n\ngoroutine 1 "), "{err}");
        return assert!(err.contains("\"stuck\" [chan receive]:"), "{err}");
    }
    debug::on_signal(libc::SIGUSR1).unwrap();
    debug::on_signal(libc::SIGUSR2).unwrap();
    assert!(debug::on_signal(libc::SIGKILL).is_err());
    let (_tx, rx) = bounded::<u8>(0);
    let stuck = rt::Goroutine::new().name("stuck").spawn(move || rx.recv().is_ok());
    until(|dump| waits(dump, stuck.id(), Reason::ChanReceive));
    // SAFETY: the signals have handlers.
    unsafe { libc::raise(libc::SIGUSR1) };
    // The dump is written by a thread, for which nobody can wait but by what it writes.
    thread::sleep(Duration::from_secs(1));
}

#[test]
fn a_panic_is_followed_by_a_dump() {
    if !is_child() {
        let (err, success) = alone_in_a_process("a_panic_is_followed_by_a_dump");
        assert!(success && err.contains("on purpose"), "{err}");
        let dump = err.split_once("who ran and who waited when that happened\n\n").expect(&err).1;
        assert!(dump.contains("\"panics\" [running]:") && dump.contains("\"stuck\" [chan receive]:"), "{err}");
        return;
    }
    debug::dump_on_panic();
    let (_tx, rx) = bounded::<u8>(0);
    let stuck = rt::Goroutine::new().name("stuck").spawn(move || rx.recv().is_ok());
    until(|dump| waits(dump, stuck.id(), Reason::ChanReceive));
    let panics = rt::Goroutine::new().name("panics").spawn(|| panic!("on purpose"));
    assert!(panics.join().unwrap_err().is_panic());
}

/// How long somebody has waited, whatever for: right also where it is more than a second.
#[test]
fn since_when_somebody_waits() {
    let _alone = alone();
    let (tx, rx) = bounded::<u8>(0);
    let receives = go({
        let rx = rx.clone();
        move || rx.recv()
    });
    let awaits = go(move || rt::block_on(rx.recv_async()));
    let ids = [(receives.id(), Reason::ChanReceive), (awaits.id(), Reason::Await)];
    until(|dump| ids.iter().all(|(id, reason)| waits(dump, *id, *reason)));
    thread::sleep(Duration::from_millis(1200));
    let dump = debug::dump();
    for (id, _) in ids {
        let since = routine(&dump, id).unwrap().waits.as_ref().unwrap().since;
        assert!((Duration::from_secs(1)..Duration::from_secs(60)).contains(&since), "{since:?}");
    }
    drop(tx);
    assert!(receives.join().unwrap().is_err() && awaits.join().unwrap().is_err());
}

/// Who used a channel last is known by the system's number of its thread, or as a task.
#[test]
#[cfg(target_os = "linux")]
fn who_used_a_channel_last() {
    let _alone = alone();
    let (tx, rx) = bounded::<u16>(0);
    tx.set_name("used");
    let used = || debug::channels().into_iter().find(|channel| channel.name.as_deref() == Some("used")).unwrap();
    let receives = thread::spawn(move || {
        // It is known once it has slept.
        assert_eq!((rx.recv(), rx.recv()), (Ok(1), Ok(2)));
        let link = std::fs::read_link("/proc/thread-self").unwrap();
        link.file_name().unwrap().to_str().unwrap().parse().unwrap()
    });
    for value in 1..=2 {
        until(|_| used().waiting.iter().any(|waiting| waiting.asleep_for.is_some()));
        let sends = rt::spawn({
            let tx = tx.clone();
            async move { tx.send_async(value).await }
        });
        let id = sends.id();
        sends.join().unwrap().unwrap();
        assert_eq!(used().last_send.unwrap().by, Some((Kind::Task, id)));
    }
    let by = used().last_receive.unwrap().by;
    assert_eq!(by, Some((Kind::Thread, receives.join().unwrap())));
}
