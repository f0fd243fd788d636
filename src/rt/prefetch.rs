//! Hints to the processor, where there are any for it.
//!
//! With hundreds of goroutines the stack of each has left the nearest cache, or all of them, when its turn comes, and so has its record.
//! Whose turn that will be is known beforehand: a goroutine that has been readied is run before long, and if it hands on what it is handed,
//! it readies the same one as the last time, whose sudog it finds on that one's stack, and that one readies the same as the last time. So
//! each worker remembers who was readied before whom, and fetches what will be wanted [some](AHEAD) turns later: with 503 in a ring the time
//! of a hop went down by 15 % where the second-level cache has 512 KiB. Memory takes as long as several hops, so one turn ahead is not enough:
//! with three, a ring of 100,000 takes 0.57 of the time.

use super::g::G;
use crate::primitive::LINE;
use std::cell::Cell;
use std::ptr;

/// So many turns ahead. With one more, there are more lines on their way than a core can wait for.
const AHEAD: usize = 3;
/// Cache lines on top of a stack that a goroutine comes back to from a `recv`: its frame, and those of who waits for it.
const TOP: usize = 7;
/// Of a record, what a switch touches, or who readies.
const SWITCHED: usize = 2;

/// Memory that will be wanted in a moment: so many cache lines from here on. Nothing is touched.
#[inline(always)]
pub(super) fn prefetch(from: *const u8, lines: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    for line in 0..lines {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, whatever the address is.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(line * LINE).cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = (from, lines);
}

/// The top of a stack that has stopped here.
#[inline(always)]
pub(super) fn prefetch_stack(top: *const u8) {
    prefetch(top, TOP);
}

/// What a switch touches of a record.
#[inline(always)]
pub(super) fn prefetch_record(g: *const G) {
    prefetch(g.cast(), SWITCHED);
}

/// Who was readied [some](AHEAD) turns after a goroutine, and where the stack of that one had stopped: cache lines, by the lower half of their
/// numbers. It may have ended since, so this leads nowhere but to a hint; nor does it look like an address, to who looks for handles in memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Follower {
    record: u32,
    top: u32,
}

impl Follower {
    #[inline(always)]
    pub(super) fn new(g: *const G, top: *const u8) -> Self {
        Self { record: number(g.cast()), top: number(top) }
    }

    /// Of a goroutine that will be run before long.
    #[inline(always)]
    pub(super) fn prefetch(self, leader: *const G, top: *const u8) {
        if self.record != 0 {
            prefetch_record(line(self.record, leader.cast()).cast());
            prefetch_stack(line(self.top, top));
        }
    }
}

/// Who was readied on a worker after a long time, the latest first.
#[derive(Debug)]
pub(super) struct Recent([Cell<*const G>; AHEAD]);

impl Recent {
    pub(super) fn new() -> Self {
        Self([const { Cell::new(ptr::null()) }; AHEAD])
    }

    /// The next has been readied: the first of them will lead to it from now on.
    ///
    /// # Safety
    /// None of them has ended.
    #[inline(always)]
    pub(super) unsafe fn are_followed_by(&self, g: &G) {
        // SAFETY: the caller's contract.
        if let Some(leader) = unsafe { self.0[AHEAD - 1].get().as_ref() } {
            leader.is_followed_by(g);
        }
        for i in (1..AHEAD).rev() {
            self.0[i].set(self.0[i - 1].get());
        }
        self.0[0].set(g);
    }

    /// A goroutine has ended, which may be one of them.
    #[inline(always)]
    pub(super) fn forget(&self) {
        self.0.iter().for_each(|one| one.set(ptr::null()));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = *const G> {
        self.0.iter().map(Cell::get).filter(|one| !one.is_null())
    }
}

fn number(at: *const u8) -> u32 {
    (at.addr() / LINE) as u32
}

/// The line with this number that is nearest to here: records are near to each other, and so are stacks.
fn line(number_of_line: u32, here: *const u8) -> *const u8 {
    let lines = number_of_line.wrapping_sub(number(here)) as i32;
    here.wrapping_sub(here.addr() % LINE).wrapping_offset(lines as isize * LINE as isize)
}

#[cfg(test)]
mod tests {
    use super::{LINE, line, number};

    #[test]
    fn the_nearest_line_of_a_number() {
        let memory = vec![0_u8; 64 * LINE];
        for (here, there) in [(0, 1), (3, 3), (40 * LINE + 5, 7), (7, 40 * LINE + 5), (LINE - 1, 63 * LINE)] {
            let (here, there) = (&raw const memory[here], &raw const memory[there]);
            let found = line(number(there), here);
            assert_eq!(found.addr(), there.addr() / LINE * LINE);
        }
        // Across the number's overflow.
        let below = std::ptr::without_provenance::<u8>((1 << 38) - LINE);
        let above = std::ptr::without_provenance::<u8>(1 << 38);
        assert_eq!(line(number(above), below), above);
        assert_eq!(line(number(below), above), below);
    }
}
