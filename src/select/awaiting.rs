//! `Select` awaited: the futures of its asynchronous methods.
//!
//! A future borrows its list and holds everything else inline: the sudogs, the room for a value, the wait. It is pinned
//! before it is polled, and forgotten it leaves all that where it is; the list is in no queue.

use super::dynamic::{Select, SelectedOperation, Slot};
use super::future::Going;
use super::watch::Watching;
use super::{Case, INLINE};
use crate::chan::hchan::Patience;
use crate::chan::waitq::Sudog;
use crate::{ReadyTimeoutError, SelectTimeoutError, TrySelectError};
use smallvec::SmallVec;
use std::fmt;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

impl<'a> Select<'a> {
    /// Awaits until an operation is possible, and selects it: [`select`](Self::select) for a task, on any executor.
    ///
    /// The list can be selected from again afterwards. Up to 16 operations on values of up to 64 bytes are selected from
    /// without an allocation.
    ///
    /// # Panics
    ///
    /// If there are no operations. Polled after it has selected, the future panics.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has done nothing: see [`SelectFut`]. So has a
    /// [`SelectedOperation`] that is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::{Select, bounded};
    ///
    /// let (tx, rx) = bounded(0);
    /// let (results, sums) = bounded(1);
    /// std::thread::spawn(move || tx.send(7));
    /// futures_executor::block_on(async {
    ///     let mut select = Select::new();
    ///     let number = select.recv(&rx);
    ///     let operation = select.select_async().await;
    ///     assert_eq!(operation.index(), number);
    ///     let number = operation.recv(&rx).unwrap();
    ///     let mut select = Select::new();
    ///     select.send(&results);
    ///     select.select_async().await.send(&results, number + 1).unwrap();
    /// });
    /// assert_eq!(sums.recv(), Ok(8));
    /// ```
    #[track_caller]
    pub fn select_async(&mut self) -> SelectFut<'_, 'a> {
        self.require_operations();
        SelectFut(Selecting::new(self, Patience::Forever, Location::caller()))
    }

    /// As [`try_select`](Self::try_select), for a task: where that would keep its thread until the expression of a
    /// [`select!`](crate::select!) elsewhere is evaluated, this is awaited.
    ///
    /// # Errors
    ///
    /// [`TrySelectError`] if there was a moment at which no operation was possible. Go's `default`.
    ///
    /// # Cancel safety
    ///
    /// As for [`select_async`](Self::select_async).
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded::<u8>(0);
    /// let mut select = gochan::Select::new();
    /// select.send(&tx);
    /// select.recv(&rx);
    /// assert!(futures_executor::block_on(select.try_select_async()).is_err());
    /// ```
    #[track_caller]
    pub fn try_select_async(&mut self) -> TrySelectFut<'_, 'a> {
        TrySelectFut(Selecting::new(self, Patience::Try, Location::caller()))
    }

    /// As [`select_async`](Self::select_async), awaiting at most for `timeout` from now on.
    ///
    /// The first such wait of a process starts a thread that keeps the time for all.
    ///
    /// # Errors
    ///
    /// [`SelectTimeoutError`] when the time is over. With a timeout of zero an operation that is possible is selected.
    ///
    /// # Cancel safety
    ///
    /// As for [`select_async`](Self::select_async).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(0);
    /// let mut select = gochan::Select::new();
    /// select.recv(&rx);
    /// assert!(futures_executor::block_on(select.select_timeout_async(Duration::from_millis(5))).is_err());
    /// ```
    #[track_caller]
    pub fn select_timeout_async(&mut self, timeout: Duration) -> SelectTimeoutFut<'_, 'a> {
        let patience = Instant::now().checked_add(timeout).map_or(Patience::Forever, Patience::Until);
        SelectTimeoutFut(Selecting::new(self, patience, Location::caller()))
    }

    /// As [`select_timeout_async`](Self::select_timeout_async), until `deadline`.
    ///
    /// # Errors
    ///
    /// [`SelectTimeoutError`] when the time is over.
    ///
    /// # Cancel safety
    ///
    /// As for [`select_async`](Self::select_async).
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// let (tx, rx) = gochan::bounded(1);
    /// tx.send(7).unwrap();
    /// let mut select = gochan::Select::new();
    /// select.recv(&rx);
    /// let operation = futures_executor::block_on(select.select_deadline_async(Instant::now())).unwrap();
    /// assert_eq!(operation.recv(&rx), Ok(7));
    /// ```
    #[track_caller]
    pub fn select_deadline_async(&mut self, deadline: Instant) -> SelectTimeoutFut<'_, 'a> {
        SelectTimeoutFut(Selecting::new(self, Patience::Until(deadline), Location::caller()))
    }

    /// Awaits until an operation is possible, and returns its index; it is not carried out. [`ready`](Self::ready) for a
    /// task, on any executor.
    ///
    /// Somebody else may be faster: be ready to find it impossible. Whoever waits so does not count as a waiting sender or
    /// receiver for others, and is not told of a task that selects, or reserves, a send: who must not wait does not meet it.
    ///
    /// # Panics
    ///
    /// If there are no operations.
    ///
    /// # Cancel safety
    ///
    /// Nothing depends on it.
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(0);
    /// std::thread::spawn(move || tx.send(7));
    /// let mut select = gochan::Select::new();
    /// let receive = select.recv(&rx);
    /// assert_eq!(futures_executor::block_on(select.ready_async()), receive);
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// ```
    #[track_caller]
    pub fn ready_async(&mut self) -> ReadyFut<'_, 'a> {
        self.require_operations();
        ReadyFut(Looking::new(self, None, Location::caller()))
    }

    /// As [`ready_async`](Self::ready_async), awaiting at most for `timeout` from now on.
    ///
    /// The first such wait of a process starts a thread that keeps the time for all.
    ///
    /// # Errors
    ///
    /// [`ReadyTimeoutError`] when the time is over.
    ///
    /// # Cancel safety
    ///
    /// Nothing depends on it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(0);
    /// let mut select = gochan::Select::new();
    /// select.recv(&rx);
    /// assert!(futures_executor::block_on(select.ready_timeout_async(Duration::from_millis(5))).is_err());
    /// ```
    #[track_caller]
    pub fn ready_timeout_async(&mut self, timeout: Duration) -> ReadyTimeoutFut<'_, 'a> {
        ReadyTimeoutFut(Looking::new(self, Instant::now().checked_add(timeout), Location::caller()))
    }

    /// As [`ready_timeout_async`](Self::ready_timeout_async), until `deadline`.
    ///
    /// # Errors
    ///
    /// [`ReadyTimeoutError`] when the time is over.
    ///
    /// # Cancel safety
    ///
    /// Nothing depends on it.
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(0);
    /// let mut select = gochan::Select::new();
    /// select.recv(&rx);
    /// assert!(futures_executor::block_on(select.ready_deadline_async(Instant::now())).is_err());
    /// ```
    #[track_caller]
    pub fn ready_deadline_async(&mut self, deadline: Instant) -> ReadyTimeoutFut<'_, 'a> {
        ReadyTimeoutFut(Looking::new(self, Some(deadline), Location::caller()))
    }
}

/// Sudogs, one per case.
struct Sudogs(SmallVec<[MaybeUninit<Sudog>; INLINE]>);

impl Sudogs {
    fn of(cases: &[Case<'_>]) -> Self {
        assert!(cases.len() <= usize::from(u16::MAX), "too many operations in a select");
        Self(SmallVec::with_capacity(cases.len()))
    }

    /// Where they are. Once queued they are reached by this only.
    fn room(&mut self) -> *mut Sudog {
        self.0.as_mut_ptr().cast()
    }
}

/// A selection of a task.
struct Selecting<'s, 'a> {
    select: &'s mut Select<'a>,
    going: Going,
    sgs: Sudogs,
    slot: Slot,
    stage: Stage,
    _pinned: PhantomPinned,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not polled yet, so not pinned: the cases know no room.
    New,
    Polled,
    Over,
}

// SAFETY: what it moves between threads are bytes of values that only somebody with a handle of their channel can take
// out; the pointers in its sudogs and its cases lead to itself, and are used by others under the channels' locks only.
unsafe impl Send for Selecting<'_, '_> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl Sync for Selecting<'_, '_> {}

impl<'s, 'a> Selecting<'s, 'a> {
    fn new(select: &'s mut Select<'a>, patience: Patience, at: &'static Location<'static>) -> Self {
        let (going, sgs, slot) = (Going::new(select.biased, patience, at), Sudogs::of(&select.cases), select.slot());
        Self { select, going, sgs, slot, stage: Stage::New, _pinned: PhantomPinned }
    }

    fn poll(self: Pin<&mut Self>, cx: &Context<'_>) -> Poll<Option<SelectedOperation<'a>>> {
        // SAFETY: nothing is moved out that is still in use.
        let this = unsafe { self.get_unchecked_mut() };
        match this.stage {
            Stage::New => this.select.receive_in(&mut this.slot),
            Stage::Polled => {}
            Stage::Over => panic!("polled after it has selected"),
        }
        this.stage = Stage::Polled;
        // SAFETY: all is pinned with us, but the cases, which are borrowed and stay as they are.
        let polled = unsafe { Going::poll(&raw mut this.going, &this.select.cases, this.sgs.room(), cx) };
        polled.map(|fired| {
            this.stage = Stage::Over;
            // Nobody else knows the slot any more.
            let slot = std::mem::replace(&mut this.slot, Slot::small());
            fired.map(|fired| this.select.operation(fired, slot))
        })
    }
}

impl Drop for Selecting<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: pinned if it was ever polled.
        unsafe { Going::give_up(&raw mut self.going, &self.select.cases, self.sgs.room()) };
    }
}

/// A wait of a task for an operation that is possible.
struct Looking<'s, 'a> {
    select: &'s mut Select<'a>,
    watching: Watching,
    sgs: Sudogs,
    _pinned: PhantomPinned,
}

// SAFETY: the pointers in its sudogs lead to itself, and are used by others under the channels' locks only; no value moves.
unsafe impl Send for Looking<'_, '_> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl Sync for Looking<'_, '_> {}

impl<'s, 'a> Looking<'s, 'a> {
    fn new(select: &'s mut Select<'a>, deadline: Option<Instant>, at: &'static Location<'static>) -> Self {
        let sgs = Sudogs::of(&select.cases);
        Self { select, watching: Watching::new(deadline, at), sgs, _pinned: PhantomPinned }
    }

    fn poll(self: Pin<&mut Self>, cx: &Context<'_>) -> Poll<Option<usize>> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let (cases, biased) = (&this.select.cases, this.select.biased);
        // SAFETY: all is pinned with us, but the cases, which are borrowed and stay as they are.
        let polled = unsafe { Watching::poll(&raw mut this.watching, cases, biased, this.sgs.room(), cx) };
        polled.map(|ready| ready.map(|case| this.select.indices[case]))
    }
}

impl Drop for Looking<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: pinned if it was ever polled.
        unsafe { Watching::leave(&raw mut self.watching, &self.select.cases, self.sgs.room()) };
    }
}

/// The futures: each is a selection, or a wait, and says in its own way how that has ended.
macro_rules! futures {
    ($($(#[$doc:meta])+ $Fut:ident($Inner:ident) -> $Output:ty = $end:expr;)+) => {$(
        $(#[$doc])+
        #[must_use = "futures do nothing unless they are polled"]
        pub struct $Fut<'s, 'a>($Inner<'s, 'a>);

        impl<'a> Future for $Fut<'_, 'a> {
            type Output = $Output;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                // SAFETY: pinned with us.
                unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll(cx).map($end)
            }
        }

        impl fmt::Debug for $Fut<'_, '_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(concat!(stringify!($Fut), " { .. }"))
            }
        }
    )+};
}

futures! {
    /// What [`Select::select_async`] returns.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has selected nothing: a value that it was handed and has not returned yet goes to the next receiver, or
    /// waits for one, before all others; a slot or a receiver that it was promised goes to the next sender.
    SelectFut(Selecting) -> SelectedOperation<'a> = |selected| selected.expect("waited for ever");

    /// What [`Select::try_select_async`] returns.
    ///
    /// # Cancel safety
    ///
    /// As for [`SelectFut`].
    TrySelectFut(Selecting) -> Result<SelectedOperation<'a>, TrySelectError> = |selected| selected.ok_or(TrySelectError);

    /// What [`Select::select_timeout_async`] and [`Select::select_deadline_async`] return.
    ///
    /// # Cancel safety
    ///
    /// As for [`SelectFut`].
    SelectTimeoutFut(Selecting) -> Result<SelectedOperation<'a>, SelectTimeoutError>
        = |selected| selected.ok_or(SelectTimeoutError);

    /// What [`Select::ready_async`] returns.
    ///
    /// # Cancel safety
    ///
    /// Nothing depends on it.
    ReadyFut(Looking) -> usize = |ready| ready.expect("waited for ever");

    /// What [`Select::ready_timeout_async`] and [`Select::ready_deadline_async`] return.
    ///
    /// # Cancel safety
    ///
    /// Nothing depends on it.
    ReadyTimeoutFut(Looking) -> Result<usize, ReadyTimeoutError> = |ready| ready.ok_or(ReadyTimeoutError);
}

/// They must not be polled again.
macro_rules! fused {
    ($($Fut:ident)+) => {$(
        #[cfg(feature = "stream")]
        impl futures_core::FusedFuture for $Fut<'_, '_> {
            fn is_terminated(&self) -> bool {
                self.0.stage == Stage::Over
            }
        }
    )+};
}
fused!(SelectFut TrySelectFut SelectTimeoutFut);
