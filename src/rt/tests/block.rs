//! The memory of records.

use crate::chan::tests::Random;
use crate::primitive::LINE;
use crate::rt::block::{self, Chain, Class};
use crate::rt::pool::SCAVENGE;
use std::alloc::Layout;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

const BLOCK: usize = 64 << 10;

fn class(lines: usize) -> Class {
    Class::of(Layout::from_size_align(lines * LINE, LINE).unwrap()).unwrap()
}

/// A piece, and what was written all over it.
struct Piece {
    at: NonNull<u8>,
    len: usize,
    mark: u8,
}

impl Piece {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: taken, so of this length and ours; written all over when it was.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.len) }
    }
}

/// A piece that was taken, written to.
fn mark(lines: usize, at: NonNull<u8>, mark: u8) -> Piece {
    let len = lines * LINE;
    // SAFETY: taken.
    unsafe { at.write_bytes(mark, len) };
    Piece { at, len, mark }
}

/// Its memory, to be given back.
fn unmark(mut piece: Piece) -> NonNull<u8> {
    let mark = piece.mark;
    assert!(piece.bytes().iter().all(|byte| *byte == mark), "somebody else has written to it");
    piece.at
}

fn take(lines: usize, count: usize, taken: &mut Vec<Piece>) {
    (0..count).for_each(|_| taken.push(mark(lines, block::take_one(class(lines)), taken.len() as u8)));
}

fn give(pieces: impl IntoIterator<Item = Piece>) {
    // SAFETY: taken, and not used any more.
    pieces.into_iter().for_each(|piece| unsafe { block::give_one(unmark(piece)) });
}

fn take_chain(lines: usize) -> Vec<Piece> {
    let mut chain = block::take(class(lines));
    let pieces: Vec<_> = std::iter::from_fn(|| chain.pop()).collect();
    pieces.into_iter().enumerate().map(|(i, at)| mark(lines, at, i as u8)).collect()
}

fn give_chain(lines: usize, pieces: Vec<Piece>) {
    let mut chain = Chain::new();
    // SAFETY: taken, and not used any more.
    pieces.into_iter().for_each(|piece| unsafe { chain.push(unmark(piece)) });
    block::give(class(lines), chain);
}

#[test]
fn classes() {
    let class = |size, align| Class::of(Layout::from_size_align(size, align).unwrap()).map(Class::lines);
    assert_eq!([class(1, 1), class(64, 64), class(65, 8), class(1024, 64)], [1, 1, 2, 16].map(Some));
    assert_eq!([class(0, 1), class(1025, 8), class(64, 128)], [None; 3]);
}

/// Of all sizes, taken and given in any order: each is its owner's alone, begins a line, and lies in one block behind its first line.
#[test]
fn pieces_are_apart() {
    let mut random = Random(1);
    let mut below = |end| random.below(end);
    let mut taken = Vec::new();
    for _ in 0..2_000 {
        take(below(14) + 1, below(200) + 1, &mut taken);
        let given = below(200).min(taken.len());
        for _ in 0..given {
            let piece = taken.swap_remove(below(taken.len()));
            give([piece]);
        }
    }
    let mut ends = BTreeSet::new();
    for Piece { at, len, .. } in &taken {
        let (start, in_block) = (at.addr().get(), at.addr().get() % BLOCK);
        assert!(start % LINE == 0 && in_block >= LINE && in_block + len <= BLOCK, "{in_block} {len}");
        assert!(ends.insert((start, start + len)));
    }
    assert!(ends.iter().zip(ends.iter().skip(1)).all(|((_, end), (start, _))| end <= start));
    give(taken);
}

/// A block of which nothing is in use is cut anew, and one that has room is used before another.
#[test]
fn blocks_are_used_again() {
    // Nobody else has records of this size.
    let lines = 15;
    let in_block = (BLOCK - LINE) / (lines * LINE);
    let blocks =
        |pieces: &[Piece]| -> BTreeSet<_> { pieces.iter().map(|piece| piece.at.addr().get() / BLOCK).collect() };
    let mut taken = Vec::new();
    take(lines, 10 * in_block, &mut taken);
    let first = blocks(&taken);
    assert_eq!(first.len(), 10, "they are full");
    // One of each: so the next ten are where those were.
    let mut kept: Vec<_> = Vec::new();
    for (i, piece) in taken.into_iter().enumerate() {
        if i % in_block == 3 { give([piece]) } else { kept.push(piece) }
    }
    take(lines, 10, &mut kept);
    assert_eq!(blocks(&kept), first);
    give(kept);
    let mut taken = Vec::new();
    take(lines, 1, &mut taken);
    assert!(taken[0].at.addr().get() % BLOCK == LINE, "a block that nothing was left of begins anew");
    give(taken);
}

/// A chain is taken as it was given; if nobody needs it, its pieces are in their blocks again.
#[test]
fn chains_are_taken_apart() {
    // Nobody else has records of this size.
    let lines = 16;
    let mut chain = take_chain(lines);
    assert!(!chain.is_empty() && chain.len() <= 64, "a new one is short");
    let short = chain.len();
    chain.extend(take_chain(lines));
    let addresses: BTreeSet<_> = chain.iter().map(|piece| piece.at).collect();
    assert_eq!(addresses.len(), 2 * short);
    give_chain(lines, chain);
    let again = take_chain(lines);
    assert!(again.iter().map(|piece| piece.at).collect::<BTreeSet<_>>() == addresses, "as it was");
    give_chain(lines, again);
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited in vain");
        thread::sleep(3 * SCAVENGE);
        let chain = take_chain(lines);
        if chain.len() == short {
            give(chain);
            return;
        }
        give_chain(lines, chain);
    }
}
