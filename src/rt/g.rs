//! G: a goroutine.
//!
//! A goroutine starts as a closure in a record, which any worker may take. When it first runs it gets a stack, and from
//! then on is its worker's: it is resumed there and nowhere else, and what is its `own`, its `follower` and when it stopped, is
//! touched there and nowhere else. Everything else of the record is atomic or was written before it was shared.
//!
//! One allocation holds all of it: what the worker knows, the closure, and the end that the handle waits for. The worker
//! has one reference from the first run to the end, the handle another (see `record`).

use super::cancel::Cancelled;
use super::census;
use super::join::{End, JoinError};
use super::mail::Remote;
use super::prefetch::{Follower, prefetch_stack};
use super::record::{Counted, Ref};
use super::scope::ScopeState;
use super::stack::Stack;
use super::switch::Context;
use super::worker::Worker;
use crate::debug::Origin;
use crate::park::{Reason, Resumed, Wait};
use crate::primitive::{LINE, light_or_fence};
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::{ManuallyDrop, offset_of};
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Which goroutine or task: what is known of it from its start.
///
/// # Examples
///
/// ```
/// use gochan::rt;
///
/// let spawned = rt::Goroutine::new().name("counter").spawn(|| rt::current().unwrap().to_string());
/// let id = spawned.id();
/// assert_eq!(spawned.join().unwrap(), format!("goroutine {id} [counter]"));
/// ```
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Identity {
    name: Option<Arc<str>>,
    parent: Option<NonZeroU64>,
    // At the end: what a worker says of whom it runs.
    id: NonZeroU64,
    spawned_at: &'static Location<'static>,
}

impl Identity {
    #[inline(always)]
    pub(super) fn new(
        parent: Option<NonZeroU64>,
        spawned_at: &'static Location<'static>,
        name: Option<&Arc<str>>,
    ) -> Self {
        let id = next_id();
        let name = name.map(|name| {
            census::enter_name(id, name);
            name.clone()
        });
        Self { name, parent, id, spawned_at }
    }

    /// Tells it from all others of the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id.get()
    }

    /// Which goroutine or task started it; `None` if a plain thread did.
    #[must_use]
    pub fn parent(&self) -> Option<u64> {
        self.parent.map(NonZeroU64::get)
    }

    /// What a dump says of it.
    pub(crate) fn origin(&self) -> Origin {
        Origin { name: self.name.clone(), parent: self.parent(), spawned_at: Some(self.spawned_at) }
    }

    pub(super) fn key(&self) -> NonZeroU64 {
        self.id
    }

    /// Says on stderr what has become of it, where nobody else will.
    pub(super) fn report(&self, what: fmt::Arguments<'_>) {
        eprintln!("{self}, spawned at {}, {what}", self.spawned_at);
    }

    /// Where it was started.
    #[must_use]
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// The name that it was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goroutine {}", self.id)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " [{name}]"))
    }
}

/// Numbers are taken from the process sixteen at a time, as in Go.
fn next_id() -> NonZeroU64 {
    const AT_A_TIME: u64 = 16;
    static IDS: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    let id = match NEXT.get() {
        next if next == 0 || next % AT_A_TIME == 1 => IDS.fetch_add(AT_A_TIME, Ordering::Relaxed),
        next => next,
    };
    NEXT.set(id + 1);
    NonZeroU64::new(id).expect("fewer than 2^64 goroutines")
}

/// How a goroutine ended: its value, its panic, or neither because it was cancelled.
pub(super) type Ended<T> = Result<T, Option<Box<dyn std::any::Any + Send>>>;

/// A goroutine, whatever its closure is.
pub(super) trait Body: Counted {
    /// Runs the closure. Called once, on the goroutine's stack; nothing unwinds from it.
    fn run(&self);
    /// It will never run, or never again: who waits for its end is told, and why, as if that were its panic.
    fn forsake(&self, why: Option<String>);
}

/// A goroutine as its handle sees it.
///
/// # Safety
/// It begins with a [`Known`].
pub(super) unsafe trait Joinable<T>: Counted {}

impl<B: ?Sized + Counted> Ref<B> {
    #[inline(always)]
    pub(super) fn end<T>(&self) -> &End<T>
    where
        B: Joinable<T>,
    {
        // SAFETY: whatever is joinable does.
        unsafe { &self.begins_with::<Known<T>>().end }
    }

    /// Waits for its end. Called by its one handle.
    pub(super) fn join<T>(&self, at: &'static Location<'static>) -> Result<T, JoinError>
    where
        B: Joinable<T>,
    {
        JoinError::of(self.end().wait(Reason::Join, at), self.identity())
    }
}

pub(super) type SharedBody = Ref<dyn Body + Send + Sync>;

/// What is known of a goroutine to those who do not know its closure: the scheduler, and its handle.
#[repr(C)]
pub(super) struct Known<T> {
    g: G,
    end: End<T>,
}

/// All of a goroutine, from the beginning of a cache line on.
#[repr(C, align(64))]
pub(super) struct Record<F, T> {
    known: Known<T>,
    /// Taken when it runs.
    closure: UnsafeCell<Option<F>>,
}

// SAFETY: the closure is touched by who runs the goroutine, or by the last who has it, and so sent; it need not be `Sync`.
// The same holds for the value, which the end hands from the goroutine to its handle. `G` says why it may be shared.
unsafe impl<F: Send, T: Send> Send for Record<F, T> {}
// SAFETY: as above.
unsafe impl<F: Send, T: Send> Sync for Record<F, T> {}

// SAFETY: the first field of the first field, in the order of C.
unsafe impl<F, T> Counted for Record<F, T> {}
// SAFETY: the first field, in the order of C.
unsafe impl<F: FnOnce() -> T, T> Joinable<T> for Record<F, T> {}

impl<F: FnOnce() -> T, T> Record<F, T> {
    #[inline(always)]
    pub(super) fn two(spec: Spec, closure: F) -> (Ref<Self>, Ref<Self>) {
        let size = const { size_of::<Self>() as u32 };
        Ref::two(|| Self {
            known: Known { g: G::new(spec, size), end: End::new() },
            closure: UnsafeCell::new(Some(closure)),
        })
    }
}

impl<F: FnOnce() -> T, T> Body for Record<F, T> {
    fn run(&self) {
        let place = self.closure.get();
        // SAFETY: this runs once, and nobody else touches the closure of a goroutine that runs. What it has captured is not to
        // be found here once more, by who looks for handles in memory.
        let closure = unsafe {
            let closure = place.read();
            place.cast::<u8>().write_bytes(0, size_of_val(&closure));
            place.write(None);
            closure.expect("run once")
        };
        let Known { g, end } = &self.known;
        let told_to_end = g.is_told_to_end();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            if told_to_end {
                // Here, where what the drop waits for parks the goroutine.
                drop(closure);
                return None;
            }
            Some(closure())
        }));
        let ended = match ended {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(None),
            Err(payload) if payload.is::<Cancelled>() => Err(None),
            Err(payload) => Err(Some(payload)),
        };
        let unwanted = end.set(ended);
        let panicked = matches!(unwanted, Some(Err(Some(_))));
        if panicked {
            g.identity.report(format_args!("has panicked, and nobody joins it"));
        }
        let _ = catch_unwind(AssertUnwindSafe(|| drop(unwanted)));
        if let Some(scope) = &g.scope {
            scope.child_ended(panicked);
        }
    }

    fn forsake(&self, why: Option<String>) {
        let Known { g, end } = &self.known;
        if g.home().is_none() {
            // SAFETY: it has not started, and never will.
            let closure = unsafe { (*self.closure.get()).take() };
            // What it borrows from a scope is borrowed no more when the scope is told.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(closure)));
            if let Some(scope) = &g.scope {
                scope.child_ended(false);
            }
        }
        drop(end.set(Err(why.map(|why| Box::new(why) as _))));
    }
}

/// What a goroutine is started with, its closure apart.
pub(super) struct Spec {
    pub(super) identity: Identity,
    pub(super) stack_size: usize,
    /// One that was taken beforehand.
    pub(super) stack: Option<Stack>,
    pub(super) scope: Option<Arc<ScopeState>>,
}

/// What the scheduler knows of a goroutine, the first three cache lines of its record. What is touched whenever it is switched is
/// the second, and of the first who follows it.
#[repr(C)]
pub(super) struct G {
    /// [`Ref`]'s.
    pub(super) references: AtomicUsize,
    /// The child of which scope it is.
    pub(super) scope: Option<Arc<ScopeState>>,
    /// Its place among those who live on its worker, which alone writes it; to others it is a hint.
    pub(super) place: AtomicUsize,
    /// Who was readied some turns after it the last time; its worker's, too. Here, where there is room.
    follower: Cell<Follower>,
    pub(super) stack_size: usize,
    pub(super) identity: Identity,
    /// What others know of its worker, from its first run on.
    home: AtomicPtr<Remote>,
    /// While it is readied, on its worker's list: who was before it.
    pub(super) readied_before: Cell<*const G>,
    /// What would have it end.
    ends: AtomicU32,
    /// In which turn of its worker it stopped last; that worker's, too.
    stopped_in: Cell<u32>,
    pub(super) own: Own,
}

/// After so many turns of others a stack has left the nearest cache, or is about to.
const COLD: u32 = 64;

/// It was cancelled.
const CANCELLED: u32 = 1;
/// It is the child of a scope, which may be.
const SCOPED: u32 = 2;

// A model checker's atomics are larger.
#[cfg(not(any(gochan_loom, gochan_shuttle)))]
const _: () = assert!(!Context::HOPS || size_of::<Record<fn(), ()>>() <= 4 * LINE);
const _: () = assert!(offset_of!(G, identity) + offset_of!(Identity, id) == LINE);
const _: () = assert!(offset_of!(G, own) + offset_of!(Own, context) + size_of::<usize>() <= 2 * LINE);

/// What only its worker touches.
#[repr(C)]
pub(super) struct Own {
    /// Why it was resumed.
    pub(super) resumed: Cell<Resumed>,
    /// Was anybody of this thread unwinding when it parked?
    pub(super) panicking: Cell<bool>,
    /// It unwinds because it was cancelled.
    pub(super) unwinding: Cell<bool>,
    /// How often it was made to.
    pub(super) unwound: Cell<u8>,
    /// Wake-ups that have come and are owed to waits that it has not come to sleep in.
    pub(super) spare: Cell<u32>,
    /// While it is parked and may be resumed early: for what it waits.
    pub(super) wait: Cell<*const Wait>,
    /// Where it goes on comes first in it.
    pub(super) context: Context,
    /// What it has last awaited a future with: what the waker points to.
    pub(super) awaits: Cell<*const ()>,
    /// While it is not 0, it is not made to unwind.
    pub(super) shields: Cell<u32>,
    /// Bytes of the record that this is in: written before that was shared, and so not its worker's alone. Here, where there would else be a
    /// gap, with which the fields from here on would not be made in place.
    pub(super) size: u32,
    /// The innermost scope that it is in.
    pub(super) scopes: Cell<*const ScopeState>,
}

impl G {
    #[inline(always)]
    fn new(Spec { identity, stack_size, stack, scope }: Spec, size: u32) -> Self {
        Self {
            identity,
            stack_size,
            home: AtomicPtr::new(ptr::null_mut()),
            readied_before: Cell::new(ptr::null()),
            ends: AtomicU32::new(if scope.is_some() { SCOPED } else { 0 }),
            scope,
            references: AtomicUsize::new(0),
            place: AtomicUsize::new(usize::MAX),
            follower: Cell::default(),
            stopped_in: Cell::new(0),
            own: Own {
                context: Context::new(stack),
                resumed: Cell::new(Resumed::Readied),
                spare: Cell::new(0),
                wait: Cell::new(ptr::null()),
                awaits: Cell::new(ptr::null()),
                panicking: Cell::new(false),
                unwinding: Cell::new(false),
                unwound: Cell::new(0),
                shields: Cell::new(0),
                size,
                scopes: Cell::new(ptr::null()),
            },
        }
    }

    /// Where it lives; `None` before its first run.
    pub(super) fn home(&self) -> Option<&'static Remote> {
        // SAFETY: a remote is never freed.
        unsafe { self.home.load(Ordering::Acquire).as_ref() }
    }

    /// Is it, or the scope that it is a child of, cancelled?
    #[inline]
    pub(super) fn is_told_to_end(&self) -> bool {
        let ends = self.ends.load(Ordering::SeqCst);
        ends != 0 && (ends & CANCELLED != 0 || self.scope.as_ref().is_some_and(|scope| scope.is_cancelled()))
    }

    pub(super) fn tell_to_end(&self) {
        self.ends.fetch_or(CANCELLED, Ordering::SeqCst);
    }

    /// It is about to stop, in this turn of its worker.
    #[inline(always)]
    pub(super) fn stops_in(&self, turn: u32) {
        self.stopped_in.set(turn);
    }

    /// Has it been switched out for so many turns that its stack may have left the cache?
    #[inline(always)]
    pub(super) fn is_cold(&self, turn: u32) -> bool {
        turn.wrapping_sub(self.stopped_in.get()) >= COLD
    }

    /// It will be run before long: what it will touch then had better be in the cache.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        if let Some(top) = self.own.context.top() {
            prefetch_stack(top);
            self.follower.get().prefetch(self, top);
        }
    }

    /// That one was readied some turns after it.
    #[inline(always)]
    pub(super) fn is_followed_by(&self, g: &Self) {
        if let Some(top) = g.own.context.top() {
            self.follower.set(Follower::new(g, top));
        }
    }

    /// Gives a goroutine its stack, and makes it this worker's for good.
    pub(super) fn start(body: &Ref<dyn Body>, worker: &Worker, stack: Stack) {
        let g = body.g();
        let body = ptr::from_ref(&**body);
        // SAFETY: the worker keeps the record until the coroutine has ended, which gives the stack back, or for ever.
        unsafe {
            g.live_on(worker, &stack);
            g.own.context.prepare(stack, body);
        }
    }

    /// From now on that is its worker, and that its stack.
    ///
    /// # Safety
    /// It stays where it is for as long as anything runs on the stack.
    pub(super) unsafe fn live_on(&self, worker: &Worker, stack: &Stack) {
        self.home.store(ptr::from_ref(worker.remote).cast_mut(), Ordering::Release);
        // Who cancels it either finds it here, or is seen when it first runs.
        light_or_fence();
        // SAFETY: the caller's contract.
        unsafe { stack.set_owner(self) };
    }
}

impl Drop for G {
    #[inline]
    fn drop(&mut self) {
        if self.identity.name.is_some() {
            census::leave_name(self.identity.id);
        }
    }
}

impl fmt::Debug for G {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.identity, f)
    }
}

/// A goroutine that has not run yet. Dropped, it never will.
pub(super) struct Fresh(SharedBody);

impl Fresh {
    pub(super) fn new(body: SharedBody) -> Self {
        Self(body)
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.0.g().identity
    }

    /// Is that the size of the stack that it has yet to be given?
    pub(super) fn needs_stack(&self, size: usize) -> bool {
        let g = self.0.g();
        g.stack_size == size && !g.own.context.has_stack()
    }

    #[inline]
    pub(super) fn into_body(self) -> SharedBody {
        let this = ManuallyDrop::new(self);
        // SAFETY: nobody reads it again.
        unsafe { ptr::read(&raw const this.0) }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.0.forsake(None);
    }
}
