//! The stack of a goroutine.
//!
//! ```text
//!   slot + size ->  +--------------------------------+
//!                   | colour: 0 to 31 cache lines    |
//!                   +--------------------------------+
//!                   | owner: whose stack it is       |
//!          base ->  +--------------------------------+
//!                   | the goroutine's frames         |
//!                   :  grow down                     :
//!                   +--------------------------------+
//!         limit ->  | the guard page                 |
//!                   +--------------------------------+
//! ```
//!
//! Between a slot and the next is a page that nobody touches (see [`Class::stride`]).
//!
//! **Colour.** The tops of stacks are what a worker touches, one after the other. At equal distances of 64 KiB they would
//! all fall on the same few sets of the processor's caches: with 1,024 goroutines a switch took 30 ns; moved apart by up to
//! 16 cache lines, 10 ns. Up to 32 take half of the first page that a goroutine touches, and a twelfth off a hop in a ring of 503
//! where the second-level cache has 512 KiB.
//!
//! A stack that ends its goroutine is used for the next one as it is, warm; no call to the system is made for it.

use super::g::G;
use super::pool::Slot;
use super::slab::{self, Class};
use crate::primitive::LINE;
use corosensei::stack::{STACK_ALIGNMENT, StackPointer};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::{fmt, io};

const COLOURS: usize = 32;

/// The stack of one goroutine. Dropped, it goes back to its pool; forgotten, it is never used again.
#[derive(Debug)]
pub(super) struct Stack {
    slot: Slot,
    class: Class,
}

// SAFETY: who has the stack has the memory.
unsafe impl Send for Stack {}

// SAFETY: the slot is a mapping of its own, `limit` to `base` and beyond, and nobody else has it while this is not dropped.
// Its lowest page, which `limit` includes, is a guard. A quarter of a slot at least, which is 16 KiB, is neither guard nor
// the owner's word. Base and limit are aligned: the one is rounded to STACK_ALIGNMENT, the other begins a page.
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> StackPointer {
        // The coroutine makes pointers of the number.
        StackPointer::new(self.frames().as_ptr().expose_provenance()).expect("not null")
    }

    #[inline]
    fn limit(&self) -> StackPointer {
        StackPointer::new(self.slot.0.as_ptr().expose_provenance()).expect("not null")
    }
}

impl Stack {
    /// A stack of at least `size` bytes, guard page included, for who has no [`Stacks`].
    ///
    /// # Errors
    ///
    /// If the system gives no memory for it.
    pub(super) fn new(size: usize) -> Result<Self, StackError> {
        let class = Class::of(size);
        let mut free = Vec::with_capacity(1);
        slab::take(class, 1, &mut free)?;
        Ok(Self { slot: free[0], class })
    }

    /// Where its frames begin, downwards. Aligned to 16 bytes.
    #[inline]
    pub(super) fn frames(&self) -> NonNull<u8> {
        owner(self.slot, self.class).cast()
    }

    /// Its size in bytes, guard page included.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.class.size()
    }

    /// Says whose stack it is, for the report of its overflow.
    ///
    /// # Safety
    /// `who` stays where it is for as long as anything runs on the stack.
    pub(super) unsafe fn set_owner(&self, who: *const G) {
        // SAFETY: the word is ours while the stack is.
        unsafe { owner(self.slot, self.class).as_ref() }.store(who.cast_mut(), Ordering::Relaxed);
    }

    /// The slot, without an owner.
    fn into_slot(self) -> (Slot, Class) {
        // SAFETY: null is nobody.
        unsafe { self.set_owner(ptr::null()) };
        let this = ManuallyDrop::new(self);
        (this.slot, this.class)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: null is nobody.
        unsafe { self.set_owner(ptr::null()) };
        slab::give(self.class, [self.slot]);
    }
}

/// The word at a slot's top, where the owner is named. Untouched memory is zero: nobody.
fn owner(slot: Slot, class: Class) -> NonNull<AtomicPtr<G>> {
    let number = slot.0.addr().get() >> class.log2();
    // Neighbours in number are neighbours in time, and should not be in the cache.
    let colour = number * 7 % COLOURS * LINE;
    // SAFETY: within the slot, and aligned, as slots begin and end pages.
    unsafe { slot.0.add(class.size() - colour - STACK_ALIGNMENT.max(size_of::<AtomicPtr<G>>())).cast() }
}

/// Whose stack it is whose guard page an address is in, and the stack's size. Async-signal-safe.
pub(super) fn owner_of_guard(address: usize) -> Option<(NonNull<G>, usize)> {
    let (slot, class) = slab::guarded(address)?;
    // SAFETY: slots are never unmapped.
    let who = unsafe { owner(slot, class).as_ref() }.load(Ordering::Relaxed);
    Some((NonNull::new(who)?, class.size()))
}

/// Every stack that has an owner, from its slot's lowest address to its base, and the owner; with nothing between them, for who looks while
/// nothing else runs.
pub(super) fn owned(mut each: impl FnMut(Range<usize>, NonNull<G>)) {
    slab::slots(|slot, class| {
        // SAFETY: slots are never unmapped.
        let who = unsafe { owner(slot, class).as_ref() }.load(Ordering::Relaxed);
        if let Some(who) = NonNull::new(who) {
            each(slot.0.addr().get()..owner(slot, class).addr().get(), who);
        }
    });
}

/// A worker's stacks, ready for its next goroutines: the one that was used last first.
#[derive(Debug)]
pub(super) struct Stacks {
    free: [Vec<Slot>; Class::COUNT],
}

impl Stacks {
    pub(super) fn new() -> Self {
        Self { free: [const { Vec::new() }; Class::COUNT] }
    }

    /// A stack of at least `size` bytes, guard page included.
    ///
    /// # Errors
    ///
    /// If the system gives no memory for it.
    #[inline]
    pub(super) fn get(&mut self, size: usize) -> Result<Stack, StackError> {
        let class = Class::of(size);
        let free = &mut self.free[class.index()];
        if free.is_empty() {
            slab::take(class, (class.kept() / 2).max(1), free)?;
        }
        Ok(Stack { slot: free.pop().expect("one was taken"), class })
    }

    /// Keeps a stack for the next; if it has many, half of them go to the others.
    #[inline]
    pub(super) fn put(&mut self, stack: Stack) {
        let (slot, class) = stack.into_slot();
        let free = &mut self.free[class.index()];
        free.push(slot);
        if free.len() > class.kept() {
            slab::give(class, free.drain(..free.len().div_ceil(2)));
        }
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        for (free, class) in self.free.iter_mut().zip(Class::all()).filter(|(free, _)| !free.is_empty()) {
            slab::give(class, free.drain(..));
        }
    }
}

/// Why there is no stack for a goroutine.
#[derive(Debug)]
pub(super) enum StackError {
    /// The system refused: what was asked of it, and what it said.
    Refused(&'static str, io::Error),
    /// So many that the system allows no more mappings.
    TooMany(usize),
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no stack for a goroutine: ")?;
        match self {
            Self::Refused(what, why) => write!(f, "{what}: {why}"),
            Self::TooMany(stacks) => write!(
                f,
                "there are {stacks}, and with this kernel the guard page of each takes two memory mappings; raise \
                 vm.max_map_count (by sysctl), or use Linux 6.13 or later, where it takes none"
            ),
        }
    }
}

impl std::error::Error for StackError {}
