//! Lists for who must not allocate, and must not be found by who looks through memory.
//!
//! A sheet is a mapping of its own: large, since what is not used takes nothing, and gone without a trace when it is dropped.

use std::ops::{Deref, DerefMut, Range};
use std::ptr::{self, NonNull};

pub(super) struct Sheet<T> {
    start: NonNull<T>,
    len: usize,
    capacity: usize,
    /// Something did not fit.
    pub(super) overflowed: bool,
}

// SAFETY: a sheet owns its values.
unsafe impl<T: Send> Send for Sheet<T> {}

impl<T> Sheet<T> {
    /// Room for so many. `None` if the system gives none.
    pub(super) fn new(capacity: usize) -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let bytes = capacity.checked_mul(size_of::<T>())?;
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        (start != libc::MAP_FAILED).then_some(())?;
        Some(Self { start: NonNull::new(start.cast())?, len: 0, capacity, overflowed: false })
    }

    /// Full, it notes that.
    pub(super) fn push(&mut self, value: T) {
        if self.len == self.capacity {
            self.overflowed = true;
            return;
        }
        // SAFETY: there is room.
        unsafe { self.start.add(self.len).write(value) };
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: it is there, and now ours.
        Some(unsafe { self.start.add(self.len).read() })
    }

    /// Takes a value out; the last one comes in its place.
    pub(super) fn swap_remove(&mut self, at: usize) {
        let last = self.len - 1;
        self.swap(at, last);
        drop(self.pop());
    }

    pub(super) fn end(&self) -> *mut T {
        // SAFETY: the end of the mapping.
        unsafe { self.start.add(self.capacity).as_ptr() }
    }

    pub(super) fn clear(&mut self) {
        while self.pop().is_some() {}
        self.overflowed = false;
    }

    /// Its memory.
    pub(super) fn span(&self) -> Range<usize> {
        let start = self.start.addr().get();
        start..start + self.capacity * size_of::<T>()
    }
}

impl<T> Deref for Sheet<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: so many are there.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Sheet<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Sheet<T> {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: the mapping is ours, and nobody refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.capacity * size_of::<T>()) };
    }
}
