//! The order in which a select looks at its arms: a random permutation, made as far as it is needed.

/// So many arms are permuted in one word, four bits each.
pub(super) const FEW: usize = 16;

/// A permutation of the arms; the identity for a biased select.
pub(super) struct Order {
    len: usize,
    few: u64,
    /// All of them, if they are more than a few.
    many: Vec<u16>,
    biased: bool,
}

impl Order {
    #[inline]
    pub(super) fn new(len: usize, biased: bool) -> Self {
        /// Out of line: inlined, it is most of what a select of a few arms begins with.
        #[cold]
        #[inline(never)]
        fn all(len: usize) -> Vec<u16> {
            (0..len as u16).collect()
        }
        let many = if len > FEW { all(len) } else { Vec::new() };
        Self { len, few: 0xfedc_ba98_7654_3210, many, biased }
    }

    /// The [`first`] arm has been chosen already.
    #[inline]
    pub(super) fn begin_with(&mut self, first: usize) {
        if self.len > 0 {
            self.swap(0, first);
        }
    }

    /// And another one as the second.
    #[inline]
    pub(super) fn go_on_with(&mut self, second: usize) {
        // The 0th is where the first one was; nothing else has moved.
        self.swap(1, if second == 0 { self.picked(0) } else { second });
    }

    #[inline]
    fn swap(&mut self, k: usize, other: usize) {
        if self.len > FEW {
            self.many.swap(k, other);
        } else {
            let difference = (self.few >> (4 * k) ^ self.few >> (4 * other)) & 0xf;
            self.few ^= difference << (4 * k);
            self.few ^= difference << (4 * other);
        }
    }

    /// Chooses the `k`th arm among those that were not chosen as 0th, .., `k-1`st (Fisher and Yates).
    #[inline]
    pub(super) fn pick(&mut self, k: usize) -> usize {
        let left = self.len - k;
        if !self.biased && left > 1 {
            self.swap(k, k + random(left));
        }
        self.picked(k)
    }

    /// The `k`th arm, once it was picked.
    #[inline]
    pub(super) fn picked(&self, k: usize) -> usize {
        if self.len > FEW { usize::from(self.many[k]) } else { (self.few >> (4 * k) & 0xf) as usize }
    }
}

/// The arm that comes first, of so many: each with the same probability, or the 0th for a biased select.
#[inline]
pub(super) fn first(len: usize, biased: bool) -> usize {
    if biased || len < 2 { 0 } else { random(len) }
}

/// One of a set of arms: each with the same probability.
#[inline]
pub(super) fn one_of(mut set: u32) -> Option<usize> {
    let len = set.count_ones() as usize;
    if len > 1 {
        (0..random(len)).for_each(|_| set &= set - 1);
    }
    (len > 0).then(|| set.trailing_zeros() as usize)
}

/// A number below `bound`, which is at most 2^16.
#[cfg(not(any(gochan_loom, gochan_shuttle)))]
#[inline]
fn random(bound: usize) -> usize {
    use std::cell::Cell;
    use std::hash::{BuildHasher, Hasher, RandomState};

    thread_local! {
        // Without a destructor, so that it can be used in others' destructors.
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    /// Entropy of the operating system's, another per thread.
    #[cold]
    #[inline(never)]
    fn seed() -> u64 {
        RandomState::new().build_hasher().finish() | 1
    }
    let mut state = STATE.get();
    if state == 0 {
        state = seed();
    }
    // SplitMix64.
    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (((z >> 32) * bound as u64) >> 32) as usize
}

/// A model explores one order; models name the orders that they mean by that of their arms.
#[cfg(gochan_loom)]
fn random(_: usize) -> usize {
    0
}

#[cfg(gochan_shuttle)]
fn random(bound: usize) -> usize {
    use shuttle::rand::Rng;
    shuttle::rand::thread_rng().gen_range(0..bound)
}

#[cfg(all(test, not(any(gochan_loom, gochan_shuttle))))]
mod tests {
    use super::{Order, first, one_of};

    /// Every permutation of four is as frequent as every other, also if the first arm, or the second as well, was chosen before the others.
    #[test]
    fn uniform() {
        let rounds = if cfg!(miri) { 240 } else { 240_000 };
        for before in 0..=2 {
            let mut counts = std::collections::HashMap::new();
            for _ in 0..rounds {
                let mut order = Order::new(4, false);
                if before > 0 {
                    order.begin_with(first(4, false));
                }
                if before > 1 {
                    order.go_on_with(one_of(0b1111 & !(1 << order.picked(0))).unwrap());
                }
                let permutation = [0, 1, 2, 3].map(|k| if k < before { order.picked(k) } else { order.pick(k) });
                *counts.entry(permutation).or_insert(0) += 1;
            }
            assert_eq!(counts.len(), 24);
            if !cfg!(miri) {
                // 10,000 each; six standard deviations are 600.
                assert!(counts.values().all(|&n: &i32| (9_400..10_600).contains(&n)), "{counts:?}");
            }
        }
    }

    /// Few or many, each is picked once.
    #[test]
    fn permutes() {
        for len in [1, 2, 15, 16, 17, 100] {
            let mut order = Order::new(len, false);
            let mut picked: Vec<_> = (0..len).map(|k| order.pick(k)).collect();
            assert_eq!(picked, (0..len).map(|k| order.picked(k)).collect::<Vec<_>>());
            picked.sort_unstable();
            assert!(picked.into_iter().eq(0..len));
        }
    }

    #[test]
    fn one_of_a_set() {
        assert_eq!((one_of(0), one_of(1), one_of(1 << 15)), (None, Some(0), Some(15)));
        let picked: std::collections::HashSet<_> = (0..1000).map(|_| one_of(0b1010_0100).unwrap()).collect();
        assert!(picked.is_subset(&[2, 5, 7].into()) && (cfg!(miri) || picked.len() == 3));
    }

    #[test]
    fn biased_is_in_order() {
        let mut order = Order::new(3, true);
        assert_eq!([0, 1, 2].map(|k| order.pick(k)), [0, 1, 2]);
    }
}
