//! Power series as goroutines, after Doug McIlroy's "Squinting at power series" and Go's test of that: a series is what
//! computes its coefficients, one at a time and only when asked; sums, products and exponentials of series are goroutines
//! that ask others. Thousands of them, short of life, which wait by select, split and feed back into themselves.

mod common;

use common::{wait_until, watchdog};
use gochan::rt::Runtime;
use gochan::{Receiver, SendError, Sender, bounded, go, select};
use std::collections::VecDeque;
use std::ops::{Add, Mul};

/// A fraction in its lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rat(i128, i128);

impl Rat {
    fn new(num: i128, den: i128) -> Self {
        let (mut a, mut b) = (num.abs(), den.abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let sign = den.signum();
        Self(sign * num / a.max(1), sign * den / a.max(1))
    }
}

impl Add for Rat {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
    }
}

impl Mul for Rat {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::new(self.0 * other.0, self.1 * other.1)
    }
}

/// One is asked for, and one comes.
struct Series {
    requests: Sender<()>,
    terms: Receiver<Rat>,
}

/// Where a series comes from.
struct Source {
    requests: Receiver<()>,
    terms: Sender<Rat>,
}

/// Nobody wants more; or, at the end of the runtime, nobody has more.
#[derive(Debug)]
struct Unwanted;

impl From<SendError<Rat>> for Unwanted {
    fn from(_: SendError<Rat>) -> Self {
        Self
    }
}

impl Source {
    fn put(&self, term: Rat) -> Result<(), Unwanted> {
        self.requests.recv().map_err(|_| Unwanted)?;
        Ok(self.terms.send(term)?)
    }

    /// The rest is another's.
    fn copy(&self, from: &Series) -> Result<(), Unwanted> {
        loop {
            self.requests.recv().map_err(|_| Unwanted)?;
            self.terms.send(from.get()?)?;
        }
    }
}

fn channel() -> (Source, Series) {
    let ((requests, asked), (tx, terms)) = (bounded(0), bounded(0));
    (Source { requests: asked, terms: tx }, Series { requests, terms })
}

impl Series {
    /// The series that `f` puts, in a goroutine of its own.
    fn of(f: impl FnOnce(&Source) -> Result<(), Unwanted> + Send + 'static) -> Self {
        let (source, series) = channel();
        go(move || _ = f(&source));
        series
    }

    fn get(&self) -> Result<Rat, Unwanted> {
        self.requests.send(()).map_err(|_| Unwanted)?;
        self.terms.recv().map_err(|_| Unwanted)
    }

    /// 1 / (1 - x).
    fn ones() -> Self {
        Self::of(|to| {
            loop {
                to.put(Rat(1, 1))?;
            }
        })
    }

    fn plus(self, other: Self) -> Self {
        Self::of(move |to| {
            loop {
                to.requests.recv().map_err(|_| Unwanted)?;
                to.terms.send(self.get()? + other.get()?)?;
            }
        })
    }

    fn scaled(self, by: Rat) -> Self {
        Self::of(move |to| {
            loop {
                to.requests.recv().map_err(|_| Unwanted)?;
                to.terms.send(by * self.get()?)?;
            }
        })
    }

    /// Two that go on independently: whoever is asked first asks, and keeps the term for the other.
    fn split(self) -> (Self, Self) {
        let ((left, one), (right, other)) = (channel(), channel());
        go(move || {
            let mut requests = [left.requests.clone(), right.requests.clone()];
            let (mut kept, mut asked) = ([VecDeque::new(), VecDeque::new()], [false, false]);
            let (mut open, mut asking) = (2, false);
            'wanted: while open > 0 {
                for (who, to) in [&left, &right].into_iter().enumerate() {
                    if asked[who] {
                        if let Some(term) = kept[who].pop_front() {
                            asked[who] = false;
                            let _ = to.terms.send(term);
                        }
                    }
                }
                if !asking && asked != [false, false] {
                    asking = self.requests.send(()).is_ok();
                }
                // While one waits for a new term, the other may need an old one for it to come.
                let who = select! {
                    recv(self.terms) -> term => {
                        let Ok(term) = term else { break 'wanted };
                        asking = false;
                        kept.iter_mut().for_each(|kept| kept.push_back(term));
                        continue;
                    }
                    recv(requests[0]) -> request => request.map_or(Err(0), |()| Ok(0)),
                    recv(requests[1]) -> request => request.map_or(Err(1), |()| Ok(1)),
                };
                match who {
                    Ok(who) => asked[who] = true,
                    Err(who) => {
                        (requests[who], asked[who]) = (gochan::never(), false);
                        open -= 1;
                    }
                }
            }
        });
        (one, other)
    }

    /// (u + xU)(v + xV) = uv + x(uV + vU) + xx UV.
    fn times(self, other: Self) -> Self {
        Self::of(move |to| {
            to.requests.recv().map_err(|_| Unwanted)?;
            let (u, v) = (self.get()?, other.get()?);
            to.terms.send(u * v)?;
            let ((u1, u2), (v1, v2)) = (self.split(), other.split());
            let linear = u1.scaled(v).plus(v1.scaled(u));
            to.put(linear.get()?)?;
            to.copy(&linear.plus(u2.times(v2)))
        })
    }

    fn derived(self) -> Self {
        Self::of(move |to| {
            to.requests.recv().map_err(|_| Unwanted)?;
            self.get()?;
            for i in 1.. {
                to.terms.send(Rat(i, 1) * self.get()?)?;
                to.requests.recv().map_err(|_| Unwanted)?;
            }
            Ok(())
        })
    }

    fn integrated(self, first: Rat) -> Self {
        Self::of(move |to| {
            to.put(first)?;
            for i in 1.. {
                to.requests.recv().map_err(|_| Unwanted)?;
                to.terms.send(Rat(1, i) * self.get()?)?;
            }
            Ok(())
        })
    }

    /// Z = 1 + the integral of Z U', with Z fed back.
    fn exponential(self) -> Self {
        let (source, feedback) = channel();
        let (z, again) = feedback.times(self.derived()).integrated(Rat(1, 1)).split();
        go(move || _ = source.copy(&again));
        z
    }

    fn first<const N: usize>(&self) -> [Rat; N] {
        [(); N].map(|()| self.get().unwrap())
    }
}

#[test]
fn power_series() {
    watchdog(|| {
        for workers in [1, 2, 3] {
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            runtime.run(|| {
                let counts: [Rat; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(|n| Rat(n, 1));
                // 1 / (1 - x)^2, as a product and as a derivative.
                assert_eq!(Series::ones().times(Series::ones()).first(), counts);
                assert_eq!(Series::ones().derived().first(), counts);
                // -log(1 - x), whose exponential is 1 / (1 - x).
                let log = Series::ones().integrated(Rat(0, 1));
                let (log, another) = log.split();
                assert_eq!(log.first(), [Rat(0, 1), Rat(1, 1), Rat(1, 2), Rat(1, 3), Rat(1, 4)]);
                assert_eq!(another.exponential().first(), [Rat(1, 1); 10]);
                // exp(x) exp(-x) = 1.
                let x = |a| {
                    Series::of(move |to| {
                        to.put(Rat(0, 1))?;
                        to.put(Rat(a, 1))?;
                        loop {
                            to.put(Rat(0, 1))?;
                        }
                    })
                };
                let one = x(1).exponential().times(x(-1).exponential());
                assert_eq!(one.first(), [Rat(1, 1), Rat(0, 1), Rat(0, 1), Rat(0, 1), Rat(0, 1), Rat(0, 1)]);
            });
            // When nobody asks any more all ends, but for the feedbacks, which wait for themselves.
            wait_until(|| runtime.num_goroutines() < 200);
        }
    });
}
