//! crossfire: the narrowest of its types for each topology, flavour `One` for capacity 1, `Multiplex` to select over
//! receivers (it cannot select over senders). It has no capacity 0; `detect_backoff_cfg()` is called as its docs advise.

use crate::kinds::{
    AsyncRx, AsyncTx, AsyncUse, BlockingRx, BlockingTx, BlockingUse, Cap, Chan, Payload, Raced, Selects, TaskSelects,
    Tasks, Threads,
};
use crossfire::flavor::{Flavor, FlavorMC, FlavorMP};
use crossfire::select::{Multiplex, Mux};
use crossfire::{AsyncRx as ARx, AsyncTx as ATx, MAsyncRx, MAsyncTx, MRx, MTx, Rx, Tx, mpmc, mpsc, spsc};

pub struct Crossfire;

// The handles for many ends dereference to those for one, where the methods are.

impl<T: Send, F: Flavor<Item = T>> BlockingTx<T> for Tx<F> {
    fn send(&mut self, msg: T) {
        assert!(Tx::send(self, msg).is_ok());
    }
}

impl<T: Send, F: Flavor<Item = T> + FlavorMP> BlockingTx<T> for MTx<F> {
    fn send(&mut self, msg: T) {
        assert!(Tx::send(self, msg).is_ok());
    }
}

impl<T: Send, F: Flavor<Item = T>> BlockingRx<T> for Rx<F> {
    fn recv(&mut self) -> T {
        Rx::recv(self).unwrap()
    }
}

impl<T: Send, F: Flavor<Item = T> + FlavorMC> BlockingRx<T> for MRx<F> {
    fn recv(&mut self) -> T {
        Rx::recv(self).unwrap()
    }
}

impl<T: Send, F: Flavor<Item = T>> BlockingRx<T> for Multiplex<F> {
    fn recv(&mut self) -> T {
        Multiplex::recv(self).unwrap()
    }
}

impl<T: Payload, F: Flavor<Item = T>> AsyncTx<T> for ATx<F> {
    async fn send(&mut self, msg: T) -> bool {
        ATx::send(self, msg).await.is_ok()
    }
}

impl<T: Payload, F: Flavor<Item = T> + FlavorMP> AsyncTx<T> for MAsyncTx<F> {
    async fn send(&mut self, msg: T) -> bool {
        ATx::send(self, msg).await.is_ok()
    }
}

impl<T: Payload, F: Flavor<Item = T>> AsyncRx<T> for ARx<F> {
    async fn recv(&mut self) -> Option<T> {
        ARx::recv(self).await.ok()
    }
}

impl<T: Payload, F: Flavor<Item = T> + FlavorMC> AsyncRx<T> for MAsyncRx<F> {
    async fn recv(&mut self) -> Option<T> {
        ARx::recv(self).await.ok()
    }
}

/// Opens the channel of the wanted topology and capacity; blocking and async handles differ only in their names.
macro_rules! open {
    ($cap:ident, $senders:ident, $receivers:ident, $user:ident, $tx:ident $mtx:ident $rx:ident $mrx:ident) => {{
        crossfire::detect_backoff_cfg();
        Some(match ($senders, $receivers, $cap) {
            (_, _, Cap::Bounded(0)) => return None,
            (1, 1, Cap::Bounded(1)) => {
                let (tx, rx): ($tx<spsc::One<T>>, $rx<_>) = spsc::new();
                $user.run(vec![tx], vec![rx])
            }
            (1, 1, Cap::Bounded(n)) => {
                let (tx, rx): ($tx<spsc::Array<T>>, $rx<_>) = spsc::build(spsc::Array::new(n));
                $user.run(vec![tx], vec![rx])
            }
            (1, 1, Cap::Unbounded) => {
                let (tx, rx): ($tx<spsc::List<T>>, $rx<_>) = spsc::new();
                $user.run(vec![tx], vec![rx])
            }
            (_, 1, Cap::Bounded(1)) => {
                let (tx, rx): ($mtx<mpsc::One<T>>, $rx<_>) = mpsc::new();
                $user.run(vec![tx; $senders], vec![rx])
            }
            (_, 1, Cap::Bounded(n)) => {
                let (tx, rx): ($mtx<mpsc::Array<T>>, $rx<_>) = mpsc::build(mpsc::Array::new(n));
                $user.run(vec![tx; $senders], vec![rx])
            }
            (_, 1, Cap::Unbounded) => {
                let (tx, rx): ($mtx<mpsc::List<T>>, $rx<_>) = mpsc::new();
                $user.run(vec![tx; $senders], vec![rx])
            }
            (_, _, Cap::Bounded(1)) => {
                let (tx, rx): ($mtx<mpmc::One<T>>, $mrx<_>) = mpmc::new();
                $user.run(vec![tx; $senders], vec![rx; $receivers])
            }
            (_, _, Cap::Bounded(n)) => {
                let (tx, rx): ($mtx<mpmc::Array<T>>, $mrx<_>) = mpmc::build(mpmc::Array::new(n));
                $user.run(vec![tx; $senders], vec![rx; $receivers])
            }
            (_, _, Cap::Unbounded) => {
                let (tx, rx): ($mtx<mpmc::List<T>>, $mrx<_>) = mpmc::new();
                $user.run(vec![tx; $senders], vec![rx; $receivers])
            }
        })
    }};
}

impl Threads for Crossfire {
    fn open<T: Payload, U: BlockingUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        open!(cap, senders, receivers, user, Tx MTx Rx MRx)
    }
}

impl Tasks for Crossfire {
    fn open<T: Payload, U: AsyncUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        open!(cap, senders, receivers, user, ATx MAsyncTx ARx MAsyncRx)
    }
}

impl TaskSelects for Crossfire {
    fn open_rx<T: Payload, U: AsyncUse<T>>(cap: Cap, user: U) -> Option<U::Out> {
        crossfire::detect_backoff_cfg();
        Some(match cap {
            Cap::Bounded(0) => return None,
            Cap::Bounded(1) => {
                let (txs, rx) = Raced::over(|| -> (MAsyncTx<mpsc::One<T>>, ARx<_>) { mpsc::new() });
                user.run(txs, vec![rx])
            }
            Cap::Bounded(n) => {
                let (txs, rx) =
                    Raced::over(|| -> (MAsyncTx<mpsc::Array<T>>, ARx<_>) { mpsc::build(mpsc::Array::new(n)) });
                user.run(txs, vec![rx])
            }
            Cap::Unbounded => {
                let (txs, rx) = Raced::over(|| -> (MAsyncTx<mpsc::List<T>>, ARx<_>) { mpsc::new() });
                user.run(txs, vec![rx])
            }
        })
    }
}

impl Selects for Crossfire {
    fn open_rx<T: Payload, U: BlockingUse<T>>(cap: Cap, count: usize, user: U) -> Option<U::Out> {
        crossfire::detect_backoff_cfg();
        Some(match cap {
            Cap::Bounded(0) => return None,
            Cap::Bounded(1) => {
                let mut all = Multiplex::<spsc::One<T>>::new();
                let txs: Vec<Tx<Mux<_>>> = (0..count).map(|_| all.new_tx()).collect();
                user.run(txs, vec![all])
            }
            Cap::Bounded(n) => {
                let mut all = Multiplex::<spsc::Array<T>>::new();
                let txs: Vec<Tx<Mux<_>>> = (0..count).map(|_| all.bounded_tx(n)).collect();
                user.run(txs, vec![all])
            }
            Cap::Unbounded => {
                let mut all = Multiplex::<spsc::List<T>>::new();
                let txs: Vec<Tx<Mux<_>>> = (0..count).map(|_| all.new_tx()).collect();
                user.run(txs, vec![all])
            }
        })
    }
}

/// Between goroutines: capacity 1 and one receiver.
pub struct FireOne;
/// Between goroutines: roomy, one receiver.
pub struct FireArray;
/// Between goroutines: capacity 1, many receivers.
pub struct FireShared;

impl Chan for FireOne {
    type Tx = MAsyncTx<mpsc::One<usize>>;
    type Rx = ARx<mpsc::One<usize>>;
    const LEAST: Option<usize> = Some(1);
    fn new(_: usize) -> Option<(Self::Tx, Self::Rx)> {
        Some(mpsc::new())
    }
}

impl Chan for FireArray {
    type Tx = MAsyncTx<mpsc::Array<usize>>;
    type Rx = ARx<mpsc::Array<usize>>;
    fn new(cap: usize) -> Option<(Self::Tx, Self::Rx)> {
        Some(mpsc::build(mpsc::Array::new(cap)))
    }
}

impl Chan for FireShared {
    type Tx = MAsyncTx<mpmc::One<usize>>;
    type Rx = MAsyncRx<mpmc::One<usize>>;
    const LEAST: Option<usize> = Some(1);
    fn new(_: usize) -> Option<(Self::Tx, Self::Rx)> {
        Some(mpmc::new())
    }
}
