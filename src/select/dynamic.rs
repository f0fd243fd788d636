//! Select: a list of operations that is made at run time.

use super::first::First;
use super::{Case, INLINE, selectgo_after, spend, watch};
use crate::chan::arm::{Dir, Fired, Target};
use crate::chan::handshake::{Promise, Promised};
use crate::chan::hchan::Patience;
use crate::{
    ReadyTimeoutError, Receiver, RecvError, SelectTimeoutError, SendError, Sender, TryReadyError, TrySelectError,
};
use smallvec::SmallVec;
use std::alloc::Layout;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Selects from a list of operations that is made at run time.
///
/// First the operations are added, each of which gets an index. Then one of the selecting methods waits until one of them
/// is possible and returns it as a [`SelectedOperation`], which must be finished with the handle of the same channel. If
/// several are possible, one is chosen at random, each with the same probability; a [biased](Self::new_biased) select
/// takes the first. A closed channel makes its operations possible: they fail.
///
/// Nothing happens to the channels of the operations that were not selected. Go's `reflect.Select`; where the
/// operations are known when the program is written, [`select!`](crate::select!) says it shorter.
///
/// Up to 16 operations on values of up to 64 bytes are selected from without an allocation.
///
/// # Examples
///
/// ```
/// use gochan::{Select, unbounded};
/// use std::thread;
///
/// let (tx1, rx1) = unbounded();
/// let (tx2, rx2) = unbounded();
/// tx1.send(10).unwrap();
///
/// let mut select = Select::new();
/// let first = select.recv(&rx1);
/// let second = select.send(&tx2);
/// let operation = select.select();
/// match operation.index() {
///     i if i == first => assert_eq!(operation.recv(&rx1), Ok(10)),
///     i if i == second => assert_eq!(operation.send(&tx2, 20), Ok(())),
///     _ => unreachable!(),
/// }
/// ```
pub struct Select<'a> {
    /// The operations. Those that receive get their room when they are selected from.
    pub(super) cases: SmallVec<[Case<'a>; INLINE]>,
    /// Their indices, which grow and are not used twice.
    pub(super) indices: SmallVec<[usize; INLINE]>,
    next_index: usize,
    pub(super) biased: bool,
    /// What the largest value to receive needs.
    needs: Layout,
    /// Room for it, if it does not fit a [`Small`] one. Shared with the operation that was selected last.
    large: Option<Arc<Large>>,
}

// SAFETY: a case holds references to channels, which any thread may lock; what it moves between threads are bytes of values
// that only somebody with a handle of the channel can take out again. Its room is set before it is used.
unsafe impl Send for Select<'_> {}
// SAFETY: a shared reference gives access to nothing but `clone`.
unsafe impl Sync for Select<'_> {}
impl UnwindSafe for SelectedOperation<'_> {}
impl RefUnwindSafe for SelectedOperation<'_> {}
impl UnwindSafe for Select<'_> {}
impl RefUnwindSafe for Select<'_> {}

/// Room for a value, on the stack.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct Small(MaybeUninit<[u8; 64]>);

fn is_small(layout: Layout) -> bool {
    layout.size() <= size_of::<Small>() && layout.align() <= align_of::<Small>()
}

/// Room for a value, on the heap.
pub(super) struct Large {
    room: *mut u8,
    layout: Layout,
}

// SAFETY: it is memory, used by who owns the only `Arc` or was handed it together with the value in it.
unsafe impl Send for Large {}
// SAFETY: as above.
unsafe impl Sync for Large {}

impl Large {
    fn new(layout: Layout) -> Arc<Self> {
        // SAFETY: what is not small is larger than nothing, or aligned more than a byte; it is made so below.
        let room = unsafe { std::alloc::alloc(layout) };
        if room.is_null() {
            std::alloc::handle_alloc_error(layout);
        }
        Arc::new(Self { room, layout })
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { std::alloc::dealloc(self.room, self.layout) };
    }
}

/// Room for the value that is received, until the operation is finished.
pub(super) struct Slot {
    small: Small,
    /// Used instead, if there is one.
    large: Option<Arc<Large>>,
}

impl Slot {
    #[inline]
    pub(super) fn small() -> Self {
        Self { small: Small(MaybeUninit::uninit()), large: None }
    }

    #[inline]
    fn room(&mut self) -> *mut () {
        match &self.large {
            None => self.small.0.as_mut_ptr().cast(),
            Some(large) => large.room.cast(),
        }
    }
}

impl<'a> Select<'a> {
    /// Makes an empty list. Among several operations that are possible one is chosen at random.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cases: SmallVec::new(),
            indices: SmallVec::new(),
            next_index: 0,
            biased: false,
            needs: Layout::new::<()>(),
            large: None,
        }
    }

    /// Makes an empty list. Among several operations that are possible the one that was added first is chosen.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// tx.send(1).unwrap();
    /// let mut select = gochan::Select::new_biased();
    /// let first = select.recv(&rx);
    /// select.send(&tx);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), first);
    /// assert_eq!(operation.recv(&rx), Ok(1));
    /// ```
    #[must_use]
    pub fn new_biased() -> Self {
        Self { biased: true, ..Self::new() }
    }

    fn add(&mut self, target: Target<'a>, dir: Dir) -> usize {
        let index = self.next_index;
        self.next_index += 1;
        self.cases.push(Case { target, dir, room: std::ptr::null_mut() });
        self.indices.push(index);
        index
    }

    /// Adds a send, and returns its index.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// let mut select = gochan::Select::new();
    /// select.send(&tx);
    /// select.select().send(&tx, 7).unwrap();
    /// assert_eq!(rx.recv(), Ok(7));
    /// ```
    pub fn send<T>(&mut self, s: &'a Sender<T>) -> usize {
        self.add(s.target(), Dir::Send)
    }

    /// Adds a receive, and returns its index.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// tx.send(7).unwrap();
    /// let mut select = gochan::Select::new();
    /// select.recv(&rx);
    /// assert_eq!(select.select().recv(&rx), Ok(7));
    /// ```
    pub fn recv<T>(&mut self, r: &'a Receiver<T>) -> usize {
        let value = Layout::new::<T>();
        let size = self.needs.size().max(value.size());
        let align = self.needs.align().max(value.align());
        // The size of a type is a multiple of its alignment, that of the largest of several need not be; if rounding up
        // goes beyond the address space, no such value exists.
        self.needs = Layout::from_size_align(size, align).expect("values to receive are too large").pad_to_align();
        self.add(r.target(), Dir::Recv)
    }

    /// Takes an operation off the list, for example because its channel is closed. Other indices stay as they are.
    ///
    /// # Panics
    ///
    /// If there is no operation with this index, or not any more.
    ///
    /// ```
    /// use gochan::{Select, unbounded};
    ///
    /// let (tx1, rx1) = unbounded::<u8>();
    /// let (_tx2, rx2) = unbounded::<u8>();
    /// drop(tx1);
    /// let mut select = Select::new();
    /// let first = select.recv(&rx1);
    /// select.recv(&rx2);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), first);
    /// assert!(operation.recv(&rx1).is_err());
    /// select.remove(first);
    /// assert!(select.try_select().is_err());
    /// ```
    pub fn remove(&mut self, index: usize) {
        assert!(index < self.next_index, "index out of bounds; {index} >= {}", self.next_index);
        let at = self.indices.iter().position(|i| *i == index).expect("no operation with this index");
        // In order, for a biased select.
        self.cases.remove(at);
        self.indices.remove(at);
    }

    /// Selects, and says in `selected` what has fired. False if nothing has.
    #[inline(never)]
    fn run(&mut self, selected: &mut Selected<'a>, patience: &Patience, at: &'static Location<'static>) -> bool {
        let room = if is_small(self.needs) { selected.slot.room() } else { self.large_room_in(&mut selected.slot) };
        let cases = &*self.cases;
        spend(patience);
        // SAFETY: the room is large enough for every value that may be received.
        let mut first = unsafe { First::glance(cases, self.biased, Some(room)) };
        let case = if let Some(fired) = first.ended() {
            selected.fired = fired;
            first.case
        } else {
            // SAFETY: as above.
            let fired = unsafe { selectgo_after(&mut first, cases, patience, at) };
            let Some((case, fired)) = fired else { return false };
            selected.fired = fired;
            case
        };
        let Case { target, dir, .. } = self.cases[case];
        (selected.index, selected.target, selected.dir) = (self.indices[case], target, dir);
        true
    }

    /// A slot for any value that may be received.
    pub(super) fn slot(&mut self) -> Slot {
        Slot { large: (!is_small(self.needs)).then(|| self.large_room()), ..Slot::small() }
    }

    /// From now on values are received in this slot, which stays where it is.
    pub(super) fn receive_in(&mut self, slot: &mut Slot) {
        let room = slot.room();
        self.cases.iter_mut().for_each(|case| case.room = room);
    }

    /// What has fired, with the slot that it was to receive in.
    pub(super) fn operation(&self, (case, fired): (usize, Fired), slot: Slot) -> SelectedOperation<'a> {
        let Case { target, dir, .. } = self.cases[case];
        Selected { index: self.indices[case], target, dir, fired, slot }.into()
    }

    #[cold]
    fn large_room_in(&mut self, slot: &mut Slot) -> *mut () {
        slot.large = Some(self.large_room());
        slot.room()
    }

    /// The room that the select has, unless there is none, or it is too small, or an operation still uses it.
    fn large_room(&mut self) -> Arc<Large> {
        let needs = self.needs;
        let has = |large: &mut Arc<Large>| {
            large.layout.size() >= needs.size()
                && large.layout.align() >= needs.align()
                && Arc::get_mut(large).is_some()
        };
        if !self.large.as_mut().is_some_and(has) {
            // An overaligned value may have no size.
            let size = needs.size().max(needs.align());
            let layout = Layout::from_size_align(size, needs.align()).expect("values to receive are too large");
            self.large = Some(Large::new(layout));
        }
        self.large.clone().expect("just made")
    }

    /// Selects an operation that is possible now.
    ///
    /// # Errors
    ///
    /// [`TrySelectError`] if there was a moment at which none was. Go's `default`.
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded::<u8>(0);
    /// let mut select = gochan::Select::new();
    /// select.send(&tx);
    /// select.recv(&rx);
    /// assert!(select.try_select().is_err());
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        let mut selected = Selected::none();
        let fired = self.run(&mut selected, &Patience::Try, Location::caller());
        if fired { Ok(selected.into()) } else { Err(TrySelectError) }
    }

    /// Waits until an operation is possible, and selects it.
    ///
    /// # Panics
    ///
    /// If there are no operations. (Go's `select {}` waits for ever.)
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(0);
    /// std::thread::scope(|s| {
    ///     s.spawn(|| tx.send(7));
    ///     let mut select = gochan::Select::new();
    ///     select.recv(&rx);
    ///     assert_eq!(select.select().recv(&rx), Ok(7));
    /// });
    /// ```
    #[inline]
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        self.require_operations();
        let mut selected = Selected::none();
        let fired = self.run(&mut selected, &Patience::Forever, Location::caller());
        assert!(fired, "waited for ever");
        selected.into()
    }

    /// Waits until an operation is possible, at most for `timeout`, and selects it.
    ///
    /// # Errors
    ///
    /// [`SelectTimeoutError`] when the time is over. With a timeout of zero an operation that is possible is selected.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(0);
    /// let mut select = gochan::Select::new();
    /// select.recv(&rx);
    /// assert!(select.select_timeout(Duration::from_millis(5)).is_err());
    /// ```
    #[inline]
    #[track_caller]
    pub fn select_timeout(&mut self, timeout: Duration) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run_until(Patience::For(timeout), Location::caller())
    }

    /// Waits until an operation is possible, until `deadline` at most, and selects it.
    ///
    /// # Errors
    ///
    /// [`SelectTimeoutError`] when the time is over.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(0);
    /// let mut select = gochan::Select::new();
    /// select.recv(&rx);
    /// assert!(select.select_deadline(Instant::now() + Duration::from_millis(5)).is_err());
    /// ```
    #[inline]
    #[track_caller]
    pub fn select_deadline(&mut self, deadline: Instant) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run_until(Patience::Until(deadline), Location::caller())
    }

    #[inline]
    fn run_until(
        &mut self,
        patience: Patience,
        at: &'static Location<'static>,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        let mut selected = Selected::none();
        if self.run(&mut selected, &patience, at) { Ok(selected.into()) } else { Err(SelectTimeoutError) }
    }

    fn watch(&self, patience: Patience, at: &'static Location<'static>) -> Option<usize> {
        watch::ready(&self.cases, self.biased, patience, at).map(|case| self.indices[case])
    }

    pub(super) fn require_operations(&self) {
        assert!(!self.cases.is_empty(), "no operations have been added to `Select`");
    }

    /// The index of an operation that is possible now; it is not carried out.
    ///
    /// Somebody else may be faster: be ready to find it impossible.
    ///
    /// # Errors
    ///
    /// [`TryReadyError`] if none is.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// let mut select = gochan::Select::new();
    /// let receive = select.recv(&rx);
    /// assert!(select.try_ready().is_err());
    /// tx.send(7).unwrap();
    /// assert_eq!(select.try_ready(), Ok(receive));
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// ```
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.watch(Patience::Try, Location::caller()).ok_or(TryReadyError)
    }

    /// Waits until an operation is possible, and returns its index; it is not carried out.
    ///
    /// Somebody else may be faster: be ready to find it impossible. Whoever waits so does not count as a waiting sender
    /// or receiver for others, and is not told of a task that selects, or reserves, a send: who must not wait does not
    /// meet it.
    ///
    /// # Panics
    ///
    /// If there are no operations.
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(0);
    /// std::thread::scope(|s| {
    ///     s.spawn(|| tx.send(7));
    ///     let mut select = gochan::Select::new();
    ///     let receive = select.recv(&rx);
    ///     assert_eq!(select.ready(), receive);
    ///     assert_eq!(rx.try_recv(), Ok(7));
    /// });
    /// ```
    #[track_caller]
    pub fn ready(&mut self) -> usize {
        self.require_operations();
        self.watch(Patience::Forever, Location::caller()).expect("waited for ever")
    }

    /// As [`ready`](Self::ready), waiting at most for `timeout`.
    ///
    /// # Errors
    ///
    /// [`ReadyTimeoutError`] when the time is over.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(0);
    /// let mut select = gochan::Select::new();
    /// select.recv(&rx);
    /// assert!(select.ready_timeout(Duration::from_millis(5)).is_err());
    /// ```
    #[track_caller]
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.watch(Patience::For(timeout), Location::caller()).ok_or(ReadyTimeoutError)
    }

    /// As [`ready`](Self::ready), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// [`ReadyTimeoutError`] when the time is over.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(0);
    /// let mut select = gochan::Select::new();
    /// select.recv(&rx);
    /// assert!(select.ready_deadline(Instant::now() + Duration::from_millis(5)).is_err());
    /// ```
    #[track_caller]
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.watch(Patience::Until(deadline), Location::caller()).ok_or(ReadyTimeoutError)
    }
}

impl Clone for Select<'_> {
    fn clone(&self) -> Self {
        Self { cases: self.cases.clone(), indices: self.indices.clone(), large: None, ..*self }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

/// An operation that was selected and must be finished, by [`send`](Self::send) or [`recv`](Self::recv), whichever it is.
///
/// Dropped instead, it has not happened: a value that was received goes back to the channel as the next to be received,
/// and a send leaves the receiver or the slot that it had got to others. (crossbeam-channel panics. The message of a timer
/// is gone.)
#[must_use = "a selected operation that is not finished has not happened"]
pub struct SelectedOperation<'a> {
    index: usize,
    target: Target<'a>,
    dir: Dir,
    fired: Fired,
    /// A [`Slot`], taken apart: what is moved as one is moved through memory.
    small: Small,
    large: ManuallyDrop<Option<Arc<Large>>>,
    /// To be finished where it was selected: the value may have to stay on its thread.
    _not_send: PhantomData<*const ()>,
}

/// What has fired, where others write it. The operation is made of it where only inlined code knows where that is, so it need not be
/// anywhere, and is moved for nothing: else each move would read as one what was just written in parts, which stalls.
struct Selected<'a> {
    index: usize,
    target: Target<'a>,
    dir: Dir,
    fired: Fired,
    slot: Slot,
}

impl Selected<'_> {
    #[inline]
    fn none() -> Self {
        Self { index: 0, target: Target::Never, dir: Dir::Recv, fired: Fired::Closed, slot: Slot::small() }
    }
}

impl<'a> From<Selected<'a>> for SelectedOperation<'a> {
    #[inline]
    fn from(Selected { index, target, dir, fired, slot: Slot { small, large } }: Selected<'a>) -> Self {
        Self { index, target, dir, fired, small, large: ManuallyDrop::new(large), _not_send: PhantomData }
    }
}

impl SelectedOperation<'_> {
    /// What has fired: it is the caller's from here on.
    #[inline]
    fn take(&mut self) -> Fired {
        std::mem::replace(&mut self.fired, Fired::Closed)
    }

    /// The index of the operation in its [`Select`].
    ///
    /// ```
    /// let (_, rx) = gochan::unbounded::<u8>();
    /// let mut select = gochan::Select::new();
    /// let receive = select.recv(&rx);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), receive);
    /// assert!(operation.recv(&rx).is_err());
    /// ```
    #[inline]
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Finishes a send.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value, if the channel is closed.
    ///
    /// # Panics
    ///
    /// If the operation is not a send on the channel of `s`. It has not happened then.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// let mut select = gochan::Select::new();
    /// select.send(&tx);
    /// assert_eq!(select.select().send(&tx.clone(), 7), Ok(()));
    /// assert_eq!(rx.recv(), Ok(7));
    /// ```
    #[inline]
    pub fn send<T>(mut self, s: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        let is_it = self.dir == Dir::Send && self.target.address() == s.target().address();
        assert!(is_it, "passed a sender that wasn't selected");
        let promised = match self.take() {
            Fired::Promised(promised) => promised,
            _ => Promised::Closed,
        };
        let chan = s.hchan().expect("a nil channel is never selected");
        Promise::new(chan, promised).keep(msg).map_err(SendError)
    }

    /// Finishes a receive.
    ///
    /// # Errors
    ///
    /// [`RecvError`] if the channel is closed and empty.
    ///
    /// # Panics
    ///
    /// If the operation is not a receive from the channel of `r`. It has not happened then.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// tx.send(7).unwrap();
    /// let mut select = gochan::Select::new();
    /// select.recv(&rx);
    /// assert_eq!(select.select().recv(&rx.clone()), Ok(7));
    /// ```
    #[inline]
    pub fn recv<T>(mut self, r: &Receiver<T>) -> Result<T, RecvError> {
        let is_it = self.dir == Dir::Recv && self.target.address() == r.target().address();
        assert!(is_it, "passed a receiver that wasn't selected");
        match self.take() {
            // SAFETY: a value of this channel is in the slot, and is read once.
            Fired::Received(_) => Ok(unsafe {
                match &*self.large {
                    None => self.small.0.as_ptr().cast::<T>().read(),
                    Some(large) => large.room.cast::<T>().read(),
                }
            }),
            _ => Err(RecvError),
        }
    }
}

/// An operation that is dropped has not happened.
#[cold]
#[inline(never)]
fn give_up(target: Target<'_>, fired: Fired, mut slot: Slot) {
    // SAFETY: if a value was received, it is in the slot.
    unsafe { target.give_up(fired, slot.room()) };
}

impl Drop for SelectedOperation<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: an operation is dropped once, and its fields are not used after that.
        let large = unsafe { ManuallyDrop::take(&mut self.large) };
        if !matches!(self.fired, Fired::Closed) {
            give_up(self.target, self.fired, Slot { small: self.small, large });
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}
