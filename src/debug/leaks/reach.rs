//! Who can still be reached? The proof behind a definite leak; `docs/design/leaks.md` has it at length.
//!
//! At one instant, at which nothing of the process runs (`freeze.rs`), take the goroutines that are parked on channels, without
//! a deadline, and were not told to end: the *waiters*. Each can be resumed by who uses one of its channels, and by nobody else.
//! To use a channel one needs a handle: a pointer to the channel, or something that leads to one. So everything is searched
//! for pointers to these channels, and into the stacks of the waiters: the registers of all threads, and all memory
//! (`memory.rs`) but
//!
//! - the waiters' stacks and records, and the channels;
//! - blocks of the heap, if it is ours (`heap.rs`), so that it is known where they are;
//! - what is ours: the registry's addresses are veiled, the lists here lie in mappings of their own, and the thread that looks
//!   has a stack of its own on which nobody else has ever put anything;
//! - what is certainly dead: stacks that nobody owns, and what lies below the stack pointer of a goroutine, of a worker, of the
//!   main thread and of the thread that asks.
//!
//! What is reached leads further: a stack and a block to what lies in them, a channel to its buffer and to who waits on it. When
//! nothing more is found, the waiters that were not reached are stuck for good: all that they could be resumed by is in their
//! own hands, and none of them will move first.
//!
//! Whatever else happens to look like a pointer makes more reachable: it can hide a leak, and never make one.
//!
//! Lock order: the registry's shards, the list of workers, the heap's lists; all are held while the world stands still.

use super::freeze::{World, freeze};
use super::heap;
use super::memory::{Memory, Region, Targets, What};
use super::sheet::Sheet;
use crate::chan::registry;
use crate::park::{Reason, Wait};
use crate::rt::Identity;
use crate::rt::parked::{Resident, Thread, residents, stacks, workers};
use std::ops::Range;
use std::panic::Location;
use std::time::Duration;

/// What a function may use below the stack pointer.
const RED_ZONE: usize = 128;
/// A process with more address space than this, stacks apart, is not searched.
const MOST: usize = 1 << 40;
/// Waiters, channels and blocks at most.
const MANY: usize = 1 << 24;

/// A block that need not be read to know what lies between blocks.
const LARGE: usize = 64 << 10;

const NO_MEMORY: &str = "there is no memory for it";
const TOO_MANY: &str = "there are too many goroutines, channels and blocks";

/// A goroutine that waits on channels, or for nothing, until somebody ends its wait.
pub(super) struct Waiter {
    pub(super) identity: Identity,
    pub(super) reason: Reason,
    pub(super) at: &'static Location<'static>,
    pub(super) since: Option<Duration>,
    /// It waits for nothing that anybody could bring about.
    pub(super) for_nothing: bool,
    /// Somebody may end its wait, or at least get at what is on its stack.
    pub(super) is_reached: bool,
    /// It was found in the queue of a channel.
    is_queued: bool,
    wait: *const Wait,
    /// What of its stack is in use.
    live: Range<usize>,
    record: Range<usize>,
}

// SAFETY: the pointer is compared only.
unsafe impl Send for Waiter {}

/// A channel, or a block of the heap: where it is, and whether it was reached.
struct Thing {
    range: Range<usize>,
    is_reached: bool,
}

/// Everything that can be reached.
struct Things {
    waiters: Sheet<Waiter>,
    channels: Sheet<Thing>,
    /// Blocks of the heap, in order; neither channels nor records of waiters.
    blocks: Sheet<Thing>,
    /// What was reached, and was not searched yet.
    found: Sheet<Target>,
}

/// One of the things, by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Channel(u32),
    /// The stack of a waiter.
    Waiter(u32),
    Block(u32),
}

/// What one look at the process needs.
pub(super) struct Reach {
    memory: Memory,
    targets: Targets<Target>,
    things: Things,
    /// Who waits on which channel: the numbers of both, and the other way round.
    queues: Sheet<(u32, u32)>,
    waits: Sheet<(u32, u32)>,
    /// Who has which channel on his stack, of those that were not reached.
    holds: Sheet<(u32, u32)>,
    /// What is in use of the stacks of the other goroutines.
    others: Sheet<Range<usize>>,
    /// What is not searched, in order.
    skipped: Sheet<Range<usize>>,
    /// Where the stacks of threads stop.
    stops: Sheet<usize>,
    /// The thread that asks, if it runs no goroutine.
    caller: Option<Thread>,
    /// The calling thread's stack.
    own: Range<usize>,
}

impl Reach {
    /// For the calling thread, which was started for this and has this stack.
    pub(super) fn new(caller: Option<Thread>, own: Range<usize>) -> Result<Self, &'static str> {
        fn room<T>() -> Result<Sheet<T>, &'static str> {
            Sheet::new(MANY).ok_or(NO_MEMORY)
        }
        let things = Things { waiters: room()?, channels: room()?, blocks: room()?, found: room()? };
        Ok(Self {
            memory: Memory::open()?,
            targets: Targets::new(2 * MANY).ok_or(NO_MEMORY)?,
            things,
            queues: room()?,
            waits: room()?,
            holds: room()?,
            others: room()?,
            skipped: room()?,
            stops: room()?,
            caller,
            own,
        })
    }

    /// Looks at all of the process, which stands still meanwhile.
    ///
    /// # Errors
    ///
    /// Why it could not: then nothing is known of anybody.
    pub(super) fn look(&mut self) -> Result<(), &'static str> {
        // Before the world stops, which could be while somebody has them.
        let (registry, workers) = (registry::Locked::new(), workers());
        // The last: from here on nothing may be allocated.
        let heap = heap::Locked::new();
        let mut looked = Ok(());
        freeze(|world| looked = self.look_at(world, &registry, &workers, &heap))?;
        looked
    }

    fn look_at(
        &mut self,
        world: &World,
        registry: &registry::Locked,
        workers: &[Thread],
        heap: &heap::Locked,
    ) -> Result<(), &'static str> {
        self.stop(world, workers)?;
        // SAFETY: the world stands still.
        unsafe { self.collect(registry) };
        self.collect_blocks(heap);
        self.aim()?;
        self.memory.map()?;
        self.skip(world, workers);
        let Self { targets, things, .. } = self;
        world.registers(|_, _, registers| targets.search(0, registers, |_, target| things.reach(target)))?;
        self.search_roots()?;
        self.follow()?;
        self.hold()?;
        let Things { waiters, channels, blocks, found } = &self.things;
        let full = waiters.overflowed || channels.overflowed || blocks.overflowed || found.overflowed;
        let full = full || self.queues.overflowed || self.waits.overflowed || self.holds.overflowed;
        let full = full || self.others.overflowed || self.skipped.overflowed || self.stops.overflowed;
        if full { Err(TOO_MANY) } else { Ok(()) }
    }

    /// Where the threads have got to.
    fn stop(&mut self, world: &World, workers: &[Thread]) -> Result<(), &'static str> {
        let mut is_elsewhere = false;
        world.registers(|thread, stop, _| {
            self.stops.push(stop);
            let worker = workers.iter().find(|worker| worker.id == thread);
            is_elsewhere |= worker.is_some_and(|worker| !worker.stack.contains(&stop) && !on_goroutine(stop));
        })?;
        self.stops.sort_unstable();
        // On a stack of its own, and which goroutine was interrupted cannot be told.
        if is_elsewhere { Err("a worker is in the handler of a signal") } else { Ok(()) }
    }

    /// Who waits, and on what.
    ///
    /// # Safety
    /// The world stands still.
    unsafe fn collect(&mut self, registry: &registry::Locked) {
        let Self { things: Things { waiters, channels, .. }, queues, waits, others, stops, .. } = self;
        // What of its stack a goroutine uses, if it runs.
        let running = |slot: &Range<usize>| {
            let stop = *stops.get(stops.partition_point(|stop| *stop < slot.start))?;
            (stop <= slot.end).then(|| stop.saturating_sub(RED_ZONE).max(slot.start)..slot.end)
        };
        let each = |resident: Resident| {
            if let Some(live) = running(&resident.slot) {
                return others.push(live);
            }
            // SAFETY: the caller's contract. A wait that a goroutine is parked on is on its stack.
            let (wait, live) = unsafe { (resident.waits_for_good().map(|wait| wait.as_ref()), resident.live()) };
            match wait {
                Some(wait) if wait.reason().is_of_channels() || wait.reason().is_for_nothing() => {
                    waiters.push(Waiter {
                        // SAFETY: the caller's contract.
                        identity: unsafe { resident.identity() },
                        reason: wait.reason(),
                        at: wait.location(),
                        since: wait.asleep_for(),
                        for_nothing: wait.reason().is_for_nothing(),
                        is_reached: false,
                        is_queued: false,
                        wait,
                        live,
                        record: resident.record,
                    })
                }
                _ => others.push(live),
            }
        };
        // SAFETY: the caller's contract.
        unsafe { residents(each) };
        waiters.sort_unstable_by_key(|waiter| waiter.wait);
        let mut some_unknown = false;
        registry.each(|range, queued| {
            let channel = channels.len() as u32;
            some_unknown |= !queued(&mut |wait| {
                if let Ok(waiter) = waiters.binary_search_by_key(&wait, |waiter| waiter.wait) {
                    waiters[waiter].is_queued = true;
                    queues.push((channel, waiter as u32));
                    waits.push((waiter as u32, channel));
                }
            });
            channels.push(Thing { range, is_reached: false });
        });
        queues.sort_unstable();
        waits.sort_unstable();
        for waiter in waiters.iter_mut().filter(|waiter| !waiter.for_nothing) {
            // SAFETY: as above.
            let wait = unsafe { &*waiter.wait };
            // A select may wait on a channel that somebody has locked, beside others. Who is in no queue has been resumed, and so
            // has a select whose wait is over, which is in the queues of its other arms until it runs.
            let is_resumed = !waiter.is_queued || wait.done().is_some();
            waiter.is_reached = is_resumed || wait.is_select() && some_unknown;
        }
    }

    /// The blocks of the heap, if it is ours.
    fn collect_blocks(&mut self, heap: &heap::Locked) {
        let Self { things: Things { waiters, channels, blocks, .. }, skipped, .. } = self;
        // Blocks that are more than blocks.
        channels.iter().for_each(|channel| skipped.push(channel.range.clone()));
        waiters.iter().for_each(|waiter| skipped.push(waiter.record.clone()));
        skipped.sort_unstable_by_key(|span| span.start);
        heap.each(|range| {
            let at = skipped.partition_point(|span| span.start < range.start);
            if skipped.get(at).is_none_or(|span| span.start >= range.end) {
                blocks.push(Thing { range, is_reached: false });
            }
        });
        blocks.sort_unstable_by_key(|block| block.range.start);
    }

    /// Says what is searched for.
    fn aim(&mut self) -> Result<(), &'static str> {
        let Self { targets, things: Things { waiters, channels, blocks, found }, .. } = self;
        (0..).zip(channels.iter()).for_each(|(at, channel)| targets.add(channel.range.clone(), Target::Channel(at)));
        (0..).zip(blocks.iter()).for_each(|(at, block)| targets.add(block.range.clone(), Target::Block(at)));
        for (at, waiter) in (0..).zip(waiters.iter()) {
            targets.add(waiter.live.clone(), Target::Waiter(at));
            if waiter.is_reached {
                found.push(Target::Waiter(at));
            }
        }
        targets.sort().then_some(()).ok_or(TOO_MANY)
    }

    /// Says what is not searched.
    fn skip(&mut self, world: &World, workers: &[Thread]) {
        let Self { memory, targets, things, queues, waits, holds, others, skipped, stops, caller, own } = self;
        let Things { waiters, channels, blocks, found } = things;
        // It has the channels and the waiters' records.
        skipped.push(own.clone());
        skipped.push(world.span());
        let lists = [waiters.span(), channels.span(), blocks.span(), found.span(), queues.span(), waits.span()];
        let more = [holds.span(), others.span(), skipped.span(), stops.span()];
        let lists = lists.into_iter().chain(more).chain(memory.spans()).chain(targets.spans());
        lists.chain(stacks()).for_each(|span| skipped.push(span));
        let main = memory.regions.iter().filter(|region| region.what == What::Stack).map(|region| region.range.clone());
        let known = workers.iter().chain(caller.iter()).map(|thread| thread.stack.clone());
        for stack in main.chain(known) {
            if let Some(stop) = stops.iter().find(|stop| stack.contains(stop)) {
                skipped.push(stack.start..stop.saturating_sub(RED_ZONE).max(stack.start));
            }
        }
        // Of the others only what is found in them is passed over: between two of them there is too little to be read alone.
        let large = blocks.iter().filter(|block| block.range.len() >= LARGE);
        large.for_each(|block| skipped.push(block.range.clone()));
        skipped.sort_unstable_by_key(|span| span.start);
    }

    /// All memory, and the stacks of goroutines that are no waiters.
    fn search_roots(&mut self) -> Result<(), &'static str> {
        let Self { memory, targets, things, others, skipped, .. } = self;
        let mut size = 0;
        for at in 0..memory.regions.len() {
            let Region { range, .. } = memory.regions[at].clone();
            let mut start = range.start;
            let from = skipped.partition_point(|span| span.start < range.start).saturating_sub(1);
            let cuts = skipped[from..].iter().take_while(|span| span.start < range.end).cloned();
            for cut in cuts.chain(std::iter::once(range.end..range.end)) {
                let piece = start..cut.start.min(range.end);
                start = start.max(cut.end);
                if piece.is_empty() {
                    continue;
                }
                size += piece.len();
                if size > MOST {
                    return Err("it has too much address space");
                }
                memory.read(piece, at, |at, bytes| {
                    targets.search(at, bytes, |at, target| {
                        // A block is searched when it is reached.
                        if !things.is_in_block(at) {
                            things.reach(target);
                        }
                    });
                })?;
            }
        }
        for live in others.iter() {
            memory.read_own(live.clone(), |at, bytes| targets.search(at, bytes, |_, target| things.reach(target)))?;
        }
        Ok(())
    }

    /// Where what was reached leads.
    fn follow(&mut self) -> Result<(), &'static str> {
        let Self { memory, targets, things, queues, .. } = self;
        while let Some(target) = things.found.pop() {
            if let Target::Channel(channel) = target {
                let from = queues.partition_point(|(of, _)| *of < channel);
                let waiters = queues[from..].iter().take_while(|(of, _)| *of == channel);
                waiters.for_each(|(_, waiter)| things.reach(Target::Waiter(*waiter)));
            }
            let range = things.range(target);
            memory.read_own(range, |at, bytes| targets.search(at, bytes, |_, target| things.reach(target)))?;
        }
        Ok(())
    }

    /// Which channels those have that were not reached.
    fn hold(&mut self) -> Result<(), &'static str> {
        let Self { memory, targets, things: Things { waiters, .. }, holds, .. } = self;
        for (number, waiter) in (0..).zip(waiters.iter()).filter(|(_, waiter)| !waiter.is_reached) {
            memory.read_own(waiter.live.clone(), |at, bytes| {
                targets.search(at, bytes, |_, target| {
                    if let Target::Channel(channel) = target {
                        if holds.last() != Some(&(channel, number)) {
                            holds.push((channel, number));
                        }
                    }
                });
            })?;
        }
        holds.sort_unstable();
        Ok(())
    }

    /// Who else has a channel on which one waits that was not reached.
    pub(super) fn holders(&self, of: &Waiter) -> impl Iterator<Item = &Identity> {
        let Things { waiters, .. } = &self.things;
        let number = waiters.binary_search_by_key(&of.wait, |waiter| waiter.wait).map_or(0, |at| at as u32);
        let from = self.waits.partition_point(|(waiter, _)| *waiter < number);
        let channels = self.waits[from..].iter().take_while(move |(waiter, _)| *waiter == number);
        let holders = channels.flat_map(|(_, channel)| {
            let from = self.holds.partition_point(|(of, _)| of < channel);
            self.holds[from..].iter().take_while(move |(of, _)| of == channel).map(|(_, holder)| *holder)
        });
        let mut last = number;
        let others =
            holders.filter(move |holder| *holder != number && std::mem::replace(&mut last, *holder) != *holder);
        others.map(|holder| &waiters[holder as usize].identity)
    }

    pub(super) fn waiters(&self) -> &[Waiter] {
        &self.things.waiters
    }
}

impl Things {
    fn reach(&mut self, target: Target) {
        let is_reached = match target {
            Target::Channel(at) => &mut self.channels[at as usize].is_reached,
            Target::Waiter(at) => &mut self.waiters[at as usize].is_reached,
            Target::Block(at) => &mut self.blocks[at as usize].is_reached,
        };
        if !std::mem::replace(is_reached, true) {
            self.found.push(target);
        }
    }

    fn range(&self, target: Target) -> Range<usize> {
        match target {
            Target::Channel(at) => self.channels[at as usize].range.clone(),
            Target::Waiter(at) => self.waiters[at as usize].live.clone(),
            Target::Block(at) => self.blocks[at as usize].range.clone(),
        }
    }

    /// Is an address in what is searched only when it is reached?
    fn is_in_block(&self, address: usize) -> bool {
        let behind = self.blocks.partition_point(|block| block.range.start <= address);
        behind > 0 && self.blocks[behind - 1].range.contains(&address)
    }
}

/// Is an address on a goroutine's stack?
fn on_goroutine(address: usize) -> bool {
    stacks().any(|chunk| chunk.contains(&address))
}
