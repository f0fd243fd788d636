//! What `select!` expands to: typed arms on the caller's stack.
//!
//! For each handle the macro makes an arm, selects among them, and finishes the one that has fired. An arm has no drop,
//! so that the bodies may move the handles; between the select and the finish nothing can panic but the expression of a
//! message, and meanwhile a [`Promise`] exists, which has one.

#![allow(missing_docs, reason = "hidden: only the macros name these")]

use super::{Case, selectgo};
use crate::chan::arm::{Dir, Fired, Target};
use crate::chan::handshake::{self, Promised};
use crate::chan::hchan::{Hchan, Patience};
use crate::{Chan, Receiver, RecvError, SendError, Sender};
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::time::Duration;

/// How the outcome of an arm is told: as crossbeam-channel does, or as Go does.
pub trait Telling<T> {
    type Sent;
    type Received;

    fn sent(outcome: Result<(), T>) -> Self::Sent;
    fn received(value: Option<T>) -> Self::Received;
}

/// `Result<T, RecvError>` and `Result<(), SendError<T>>`.
#[derive(Debug)]
pub enum Plain {}

impl<T> Telling<T> for Plain {
    type Sent = Result<(), SendError<T>>;
    type Received = Result<T, RecvError>;

    #[inline]
    fn sent(outcome: Result<(), T>) -> Self::Sent {
        outcome.map_err(SendError)
    }

    #[inline]
    fn received(value: Option<T>) -> Self::Received {
        value.ok_or(RecvError)
    }
}

/// `Option<T>`, and a panic for a send on a closed channel.
#[derive(Debug)]
pub enum GoExact {}

impl<T> Telling<T> for GoExact {
    type Sent = ();
    type Received = Option<T>;

    #[track_caller]
    fn sent(outcome: Result<(), T>) {
        if let Err(value) = outcome {
            // Not while unwinding: its drop may panic too.
            drop(value);
            panic!("send on closed channel");
        }
    }

    fn received(value: Option<T>) -> Option<T> {
        value
    }
}

/// A receiving arm.
pub struct RecvArm<'a, T, G> {
    receiver: &'a Receiver<T>,
    room: MaybeUninit<T>,
    fired: Option<Fired>,
    telling: PhantomData<G>,
}

/// A sending arm.
pub struct SendArm<'a, T, G> {
    chan: Option<&'a Hchan<T>>,
    fired: Option<Fired>,
    telling: PhantomData<G>,
}

/// A sending arm that was chosen: its value may be evaluated now.
#[must_use]
pub struct Promise<'a, T, G>(handshake::Promise<'a, T>, PhantomData<G>);

/// An arm as [`select`] takes it.
pub struct Arm<'x> {
    pub(super) case: Case<'x>,
    pub(super) fired: &'x mut Option<Fired>,
}

// SAFETY: an arm is a reference to a channel, which any thread may lock, and the room for its value, which it owns.
unsafe impl<T: Send, G> Send for RecvArm<'_, T, G> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl<T: Send, G> Sync for RecvArm<'_, T, G> {}

impl<T, G: Telling<T>> RecvArm<'_, T, G> {
    #[inline]
    pub fn arm(&mut self) -> Arm<'_> {
        let case = Case { target: self.receiver.target(), dir: Dir::Recv, room: self.room.as_mut_ptr().cast() };
        Arm { case, fired: &mut self.fired }
    }

    #[inline]
    pub fn finish(&mut self) -> G::Received {
        G::received(match self.fired.take() {
            // SAFETY: the room was given to the select, which says that it holds a value; it is read once.
            Some(Fired::Received(_)) => Some(unsafe { self.room.assume_init_read() }),
            _ => None,
        })
    }
}

impl<'a, T, G: Telling<T>> SendArm<'a, T, G> {
    #[inline]
    pub fn arm(&mut self) -> Arm<'_> {
        let target = self.chan.map_or(Target::Never, |chan| Target::Chan(chan));
        Arm { case: Case { target, dir: Dir::Send, room: std::ptr::null_mut() }, fired: &mut self.fired }
    }

    #[inline]
    pub fn promise(&mut self) -> Promise<'a, T, G> {
        let promised = match self.fired.take() {
            Some(Fired::Promised(promised)) => promised,
            _ => Promised::Closed,
        };
        let chan = self.chan.expect("a nil channel is never selected");
        Promise(handshake::Promise::new(chan, promised), PhantomData)
    }
}

impl<T, G: Telling<T>> Promise<'_, T, G> {
    #[inline]
    #[track_caller]
    pub fn keep(self, value: T) -> G::Sent {
        G::sent(self.0.keep(value))
    }
}

/// How long a macro's select waits: for ever, not at all (`default`), or for a time.
pub(super) fn patience(wait: Option<Option<Duration>>) -> Patience {
    match wait {
        None => Patience::Forever,
        Some(None) => Patience::Try,
        Some(Some(timeout)) => Patience::For(timeout),
    }
}

/// Selects among `arms`: the index of the one that has fired, or their number if none has.
#[doc(hidden)]
#[track_caller]
#[inline(always)]
pub fn select<const N: usize>(arms: [Arm<'_>; N], biased: bool, wait: Option<Option<Duration>>) -> usize {
    let cases = arms.each_ref().map(|arm| arm.case);
    // Apart, so that the arms themselves are nowhere in memory.
    let places = arms.map(|arm| arm.fired);
    // SAFETY: each receiving arm has its room.
    match unsafe { selectgo(&cases, biased, patience(wait), Location::caller()) } {
        None => N,
        Some((case, fired)) => {
            *places[case] = Some(fired);
            case
        }
    }
}

/// The arms of the macros.
#[doc(hidden)]
impl<T> Receiver<T> {
    #[inline]
    pub fn __recv_arm(&self) -> RecvArm<'_, T, Plain> {
        RecvArm { receiver: self, room: MaybeUninit::uninit(), fired: None, telling: PhantomData }
    }
}

#[doc(hidden)]
impl<T> Sender<T> {
    #[inline]
    pub fn __send_arm(&self) -> SendArm<'_, T, Plain> {
        SendArm { chan: self.hchan(), fired: None, telling: PhantomData }
    }
}

#[doc(hidden)]
impl<T> Chan<T> {
    #[inline]
    pub fn __recv_arm(&self) -> RecvArm<'_, T, GoExact> {
        let receiver = self.as_receiver();
        RecvArm { receiver, room: MaybeUninit::uninit(), fired: None, telling: PhantomData }
    }

    #[inline]
    pub fn __send_arm(&self) -> SendArm<'_, T, GoExact> {
        SendArm { chan: self.as_sender().hchan(), fired: None, telling: PhantomData }
    }
}

macro_rules! debug {
    ($($Type:ident<$($x:tt),+>)+) => {$(
        impl<$($x),+> fmt::Debug for $Type<$($x),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(stringify!($Type))
            }
        }
    )+};
}
debug!(RecvArm<'a, T, G> SendArm<'a, T, G> Promise<'a, T, G> Arm<'x>);
