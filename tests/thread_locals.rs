//! Channels used while a thread's locals are being destroyed: waiting must work there too.

mod common;

use common::watchdog;
use gochan::{Receiver, Sender, bounded};
use std::cell::RefCell;
use std::thread;

struct Last {
    requests: Receiver<u32>,
    answers: Sender<u32>,
}

impl Drop for Last {
    fn drop(&mut self) {
        // Both wait: the other side comes only after the thread's function has returned.
        let request = self.requests.recv().unwrap();
        self.answers.send(request + 1).unwrap();
        assert!(self.requests.recv().is_err());
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

#[test]
fn a_thread_local_may_wait_while_it_is_destroyed() {
    watchdog(|| {
        for _ in 0..20 {
            let (ask, requests) = bounded(0);
            let (answers, answer) = bounded(0);
            let dying = thread::spawn(move || LAST.set(Some(Last { requests, answers })));
            // Long enough for the thread to be asleep in its destructor.
            common::wait_for_waiting::<u32>(1);
            while gochan::debug::channels().iter().flat_map(|c| &c.waiting).all(|w| w.asleep_for.is_none()) {
                thread::yield_now();
            }
            ask.send(1).unwrap();
            assert_eq!(answer.recv(), Ok(2));
            drop(ask);
            dying.join().unwrap();
        }
    });
}
