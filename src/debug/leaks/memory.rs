//! Where in the memory of the process is something mentioned?
//!
//! Memory is looked at as a conservative collector does: whatever could be a pointer is one, at every byte, since a handle may
//! lie in a packed struct. What is looked at: every page that the process has written to, whatever its rights are now. Pages
//! that were never touched, and those of files that are as on disk, hold nothing that the process has made. All is read
//! through `/proc/self/mem`: nothing can fault, and what cannot be read there (guards, devices) is nothing that holds values;
//! where it might, the answer is refused.
//!
//! Nothing here allocates after [`Memory::open`], nor takes a lock, so it can be used while the world is stopped.

use super::sheet::Sheet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

const PAGE: usize = 4096;
/// Where a process's addresses end.
const USER: usize = 1 << 47;
/// Read at a time.
const BLOCK: usize = 256 << 10;
const POINTER: usize = size_of::<usize>();

// Of an entry of /proc/self/pagemap.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
/// A page of a file, or of memory that is shared.
const FILE: u64 = 1 << 61;

/// A mapping.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) range: Range<usize>,
    is_readable: bool,
    is_shared: bool,
    pub(super) what: What,
}

/// What a mapping is, as far as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The stack of the main thread.
    Stack,
    /// Anything.
    Other,
}

/// The ways to the memory of this process, and room to read it.
pub(super) struct Memory {
    maps: File,
    mem: File,
    pagemap: File,
    pub(super) regions: Sheet<Region>,
    block: Sheet<u8>,
    pages: Sheet<u64>,
    /// Where what was read last ended.
    read_to: usize,
}

impl Memory {
    /// # Errors
    ///
    /// What there is not.
    pub(super) fn open() -> Result<Self, &'static str> {
        let open = |name: &str| File::open(name).map_err(|_| "there is no /proc");
        let no_memory = "there is no memory for it";
        let (mut block, mut pages) =
            (Sheet::new(POINTER + BLOCK).ok_or(no_memory)?, Sheet::new(BLOCK / PAGE).ok_or(no_memory)?);
        (0..POINTER + BLOCK).for_each(|_| block.push(0));
        (0..BLOCK / PAGE).for_each(|_| pages.push(0));
        Ok(Self {
            maps: open("/proc/self/maps")?,
            mem: open("/proc/self/mem")?,
            pagemap: open("/proc/self/pagemap")?,
            regions: Sheet::new(1 << 20).ok_or(no_memory)?,
            block,
            pages,
            read_to: 0,
        })
    }

    /// What is ours of it.
    pub(super) fn spans(&self) -> [Range<usize>; 3] {
        [self.regions.span(), self.block.span(), self.pages.span()]
    }

    /// Reads which mappings there are.
    pub(super) fn map(&mut self) -> Result<(), &'static str> {
        self.regions.clear();
        self.read_to = 0;
        let (mut at, mut kept) = (0, 0);
        let Self { maps, regions, block, .. } = self;
        loop {
            let len = maps.read_at(&mut block[kept..], at).map_err(|_| "there is no /proc/self/maps")?;
            at += len as u64;
            let text = &block[..kept + len];
            if len == 0 {
                let whole = text.is_empty() && !regions.overflowed;
                return whole.then_some(()).ok_or("there are too many mappings");
            }
            let lines = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            for line in text[..lines].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let region = parse(line).ok_or("/proc/self/maps is not understood")?;
                // The kernel's own page, which it shows to all.
                if region.range.end <= USER {
                    regions.push(region);
                }
            }
            kept = text.len() - lines;
            block.copy_within(lines..lines + kept, 0);
        }
    }

    /// Reads a range of one of the regions: everything that was written to, piece by piece, each with where it begins. A piece
    /// that goes on where the last one ended begins a few bytes before, so that a word across the two is seen.
    pub(super) fn read(
        &mut self,
        range: Range<usize>,
        region: usize,
        each: impl FnMut(usize, &[u8]),
    ) -> Result<(), &'static str> {
        let Region { is_readable, is_shared, .. } = self.regions[region];
        self.read_pages(range, is_readable, is_shared, each)
    }

    /// The same of memory that can certainly be read: a stack, a block of the heap.
    pub(super) fn read_own(&mut self, range: Range<usize>, each: impl FnMut(usize, &[u8])) -> Result<(), &'static str> {
        self.read_pages(range, true, false, each)
    }

    fn read_pages(
        &mut self,
        range: Range<usize>,
        is_readable: bool,
        is_shared: bool,
        mut each: impl FnMut(usize, &[u8]),
    ) -> Result<(), &'static str> {
        let Self { mem, pagemap, block, pages, read_to, .. } = self;
        let mut at = range.start & !(PAGE - 1);
        while at < range.end {
            let many = (range.end - at).div_ceil(PAGE).min(BLOCK / PAGE);
            let bytes = as_bytes_mut(&mut pages[..many]);
            let got = pagemap.read_at(bytes, (at / PAGE * size_of::<u64>()) as u64);
            if got.map_err(|_| "there is no /proc/self/pagemap")? != bytes.len() {
                return Err("/proc/self/pagemap is too short");
            }
            let is_ours = |entry: u64| entry & SWAPPED != 0 || entry & PRESENT != 0 && (is_shared || entry & FILE == 0);
            let pages = &pages[..many];
            let mut page = 0;
            while page < many {
                let run = pages[page..].iter().take_while(|entry| is_ours(**entry)).count();
                if run == 0 {
                    page += 1;
                    continue;
                }
                let start = (at + page * PAGE).max(range.start);
                let end = (at + (page + run) * PAGE).min(range.end);
                let mut from = start;
                while from < end {
                    let kept = if *read_to == from { POINTER - 1 } else { 0 };
                    let wanted = end - from;
                    // What was kept of the last piece lies before the room for this one.
                    let room = &mut block[POINTER..POINTER + wanted];
                    let got = match mem.read_at(room, from as u64) {
                        Ok(got) if got > 0 => got,
                        // A page of a guard, or of a device. One that may not be read now, but could be made readable, is
                        // read all the same, or this is no proof.
                        _ if is_readable || pages[page + (from - start) / PAGE] & PRESENT == 0 => {
                            from = (from & !(PAGE - 1)) + PAGE;
                            continue;
                        }
                        _ => return Err("some of its memory cannot be read"),
                    };
                    each(from - kept, &block[POINTER - kept..POINTER + got]);
                    block.copy_within(got..POINTER + got, 0);
                    from += got;
                    *read_to = from;
                }
                page += run;
            }
            at += many * PAGE;
        }
        Ok(())
    }
}

fn as_bytes_mut(numbers: &mut [u64]) -> &mut [u8] {
    // SAFETY: numbers are bytes, and bytes numbers.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
}

/// A line of /proc/self/maps: `start-end rights offset device inode name`.
fn parse(line: &[u8]) -> Option<Region> {
    let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let number = |text: &[u8]| usize::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok();
    let range = fields.next()?;
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let rights = fields.next()?;
    Some(Region {
        range: number(&range[..dash])?..number(&range[dash + 1..])?,
        is_readable: rights.first()? == &b'r',
        is_shared: rights.get(3)? == &b's',
        what: if fields.nth(3) == Some(b"[stack]") { What::Stack } else { What::Other },
    })
}

/// What is looked for: ranges of addresses, each with what it is.
pub(super) struct Targets<T> {
    /// In order, and apart.
    ranges: Sheet<(Range<usize>, T)>,
    /// Which addresses have anything that is looked for in their neighbourhood: by the highest bits that an address may have, the
    /// last for all that is none; and by the number of their page, of which only the lower bits.
    high: [bool; HIGH + 1],
    pages: Sheet<u64>,
}

const HIGH: usize = 256;
const HIGH_SHIFT: u32 = USER.trailing_zeros() - HIGH.trailing_zeros();
const PAGES: usize = 1 << 20;

fn page(address: usize) -> (usize, u64) {
    let number = (address / PAGE) % PAGES;
    (number / 64, 1 << (number % 64))
}

impl<T: Copy> Targets<T> {
    /// For so many.
    pub(super) fn new(most: usize) -> Option<Self> {
        let (ranges, mut pages) = (Sheet::new(most)?, Sheet::new(PAGES / 64)?);
        (0..PAGES / 64).for_each(|_| pages.push(0));
        Some(Self { ranges, high: [false; HIGH + 1], pages })
    }

    pub(super) fn spans(&self) -> [Range<usize>; 2] {
        [self.ranges.span(), self.pages.span()]
    }

    /// # Panics
    /// If it is beyond what a process's addresses can be.
    pub(super) fn add(&mut self, range: Range<usize>, what: T) {
        for address in (range.start & !(PAGE - 1)..range.end).step_by(PAGE) {
            let (at, bit) = page(address);
            self.pages[at] |= bit;
        }
        (range.start >> HIGH_SHIFT..=range.end >> HIGH_SHIFT).for_each(|high| self.high[high] = true);
        self.ranges.push((range, what));
    }

    /// All are added. False if they did not fit.
    pub(super) fn sort(&mut self) -> bool {
        self.ranges.sort_unstable_by_key(|(range, _)| range.start);
        !self.ranges.overflowed
    }

    /// What an address is in.
    fn find(&self, address: usize) -> Option<&(Range<usize>, T)> {
        let (at, bit) = page(address);
        if self.pages[at] & bit == 0 {
            return None;
        }
        let behind = self.ranges.partition_point(|(range, _)| range.start <= address);
        self.ranges[..behind].last().filter(|(range, _)| range.contains(&address))
    }

    /// Calls `each` for every word that is an address of what is looked for, with where the word is.
    pub(super) fn search(&self, start: usize, bytes: &[u8], mut each: impl FnMut(usize, T)) {
        // Pointers that lie side by side often lead to the same.
        let mut last: Option<&(Range<usize>, T)> = None;
        for (at, word) in bytes.windows(POINTER).enumerate() {
            let word = usize::from_ne_bytes(word.try_into().expect("so long"));
            if self.high[(word >> HIGH_SHIFT).min(HIGH)] {
                let found = last.filter(|(range, _)| range.contains(&word)).or_else(|| self.find(word));
                if let Some((_, what)) = found {
                    each(start + at, *what);
                    last = found;
                }
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{Memory, Targets};
    use std::hint::black_box;
    use std::ops::Range;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    /// Addresses that nothing is at: each test has its own.
    fn nowhere(number: usize) -> Range<usize> {
        let start = black_box(0x1234_5670_0000) + number * 0x1000;
        start..start + 0x100
    }

    /// Where in memory words of this range are.
    fn mentions(range: Range<usize>) -> Vec<usize> {
        let mut targets = Targets::new(1 << 10).unwrap();
        targets.add(range, ());
        assert!(targets.sort());
        let mut memory = Memory::open().unwrap();
        memory.map().unwrap();
        let ours: Vec<_> = memory.spans().into_iter().chain(targets.spans()).collect();
        let mut found = Vec::new();
        for region in 0..memory.regions.len() {
            let range = memory.regions[region].range.clone();
            let read = memory.read(range, region, |at, bytes| targets.search(at, bytes, |at, ()| found.push(at)));
            // Another test may unmap something meanwhile.
            let _ = read;
        }
        found.retain(|at| !ours.iter().any(|span| span.contains(at)));
        found
    }

    #[test]
    fn a_word_on_the_heap_is_found() {
        let mut room = vec![0; 100_000];
        room[77_777] = nowhere(0).start + 8;
        assert!(mentions(nowhere(0)).contains(&(&raw const room[77_777]).addr()));
        room[77_777] = 0;
        assert!(!mentions(nowhere(0)).contains(&(&raw const room[77_777]).addr()));
    }

    #[test]
    fn a_word_in_a_static_is_found() {
        static PLACE: AtomicUsize = AtomicUsize::new(0);
        PLACE.store(nowhere(1).start, Ordering::Relaxed);
        assert!(mentions(nowhere(1)).contains(&PLACE.as_ptr().addr()));
        // The first that is outside.
        PLACE.store(nowhere(1).end, Ordering::Relaxed);
        assert!(!mentions(nowhere(1)).contains(&PLACE.as_ptr().addr()));
    }

    #[test]
    fn a_word_on_the_stack_of_another_thread_is_found() {
        let ((tell, told), (end, ended)) = (mpsc::channel(), mpsc::channel::<()>());
        let other = thread::spawn(move || {
            let word = [nowhere(2).start; 3];
            tell.send((&raw const word[1]).addr()).unwrap();
            assert!(ended.recv().is_err());
            black_box(word);
        });
        let at = told.recv().unwrap();
        assert!(mentions(nowhere(2)).contains(&at));
        drop(end);
        other.join().unwrap();
    }

    /// Also where two of the pieces meet that memory is read in.
    #[test]
    fn a_word_at_any_byte_is_found() {
        for at in (0..super::BLOCK + 64).step_by(super::BLOCK / 8 - 3) {
            let mut room = vec![0_u8; super::BLOCK + 128];
            room[at..at + 8].copy_from_slice(&(nowhere(3).end - 1).to_ne_bytes());
            assert!(mentions(nowhere(3)).contains(&(&raw const room[at]).addr()), "at {at}");
        }
    }
}
