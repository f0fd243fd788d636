//! Measuring inside one process: calibration, percentiles, CPU time, resident memory.

use std::time::{Duration, Instant};

/// What a cell reports, each by its name (see [`crate::metric`]); less is better in all of them.
pub type Metrics = Vec<(&'static str, f64)>;

/// No run is given more operations than crossbeam's own suite uses.
pub const MOST_OPERATIONS: usize = 5_000_000;

/// Finds the number of operations that takes about a target, a multiple of a step; the runs that calibrate are the warm-up.
pub struct Calibration {
    target: Duration,
    step: usize,
    /// How many operations the next run is to do.
    pub n: usize,
    last: bool,
}

impl Calibration {
    pub fn new(target: Duration, step: usize) -> Self {
        Calibration { target, step, n: in_steps(1000.0, step), last: false }
    }

    /// Told how long `n` operations took: whether that was the run that counts. If not, `n` is the next run's.
    pub fn is_done(&mut self, took: Duration) -> bool {
        if self.last {
            return true;
        }
        let scale = self.target.as_secs_f64() / took.max(Duration::from_nanos(1)).as_secs_f64();
        self.last = scale < 10.0 || self.n >= MOST_OPERATIONS;
        // Small counts mislead (thread starts, cold caches), so grow by a factor of ten at most.
        let factor = if self.last { scale } else { 10.0 };
        self.n = in_steps(self.n as f64 * factor, self.step).max(self.step);
        false
    }
}

fn in_steps(n: f64, step: usize) -> usize {
    (n as usize).min(MOST_OPERATIONS).div_ceil(step) * step
}

/// Calibrates and measures: `run` takes a number of operations and returns how long they took.
pub fn calibrated(
    target: Duration,
    step: usize,
    mut run: impl FnMut(usize) -> Option<Duration>,
) -> Option<(usize, Duration)> {
    let mut calibration = Calibration::new(target, step);
    loop {
        let n = calibration.n;
        let took = run(n)?;
        if calibration.is_done(took) {
            return Some((n, took));
        }
    }
}

pub fn ns_per_op(target: Duration, step: usize, run: impl FnMut(usize) -> Option<Duration>) -> Option<Metrics> {
    let (n, took) = calibrated(target, step, run)?;
    Some(vec![("ns/op", took.as_nanos() as f64 / n as f64)])
}

/// The value below which `quantile` of the sorted samples lie.
pub fn percentile<T: Copy>(sorted: &[T], quantile: f64) -> T {
    sorted[((sorted.len() - 1) as f64 * quantile).round() as usize]
}

/// User and system time of this process so far, all threads.
pub fn cpu_time() -> Duration {
    // SAFETY: `rusage` is plain data for which all zeroes is a value, and getrusage only writes to it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Resident and virtual size of this process, bytes.
pub fn memory() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) * 1024.0
    };
    (field("VmRSS:"), field("VmSize:"))
}

/// Confines this thread, and those it starts from now on, to one core.
pub fn pin_to(core: usize) {
    // SAFETY: `cpu_set_t` is plain data for which all zeroes is the empty set.
    let done = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    assert_eq!(done, 0, "cannot pin to core {core}");
}

/// Nanoseconds since the first call, for stamps that travel in messages.
pub fn now_ns() -> usize {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_reaches_its_target_in_whole_steps() {
        // An operation of 10 µs.
        let (n, took) = calibrated(Duration::from_millis(400), 7, |n| {
            assert_eq!(n % 7, 0);
            Some(Duration::from_micros(10) * n as u32)
        })
        .unwrap();
        assert!((39_900..=40_100).contains(&n), "{n}");
        assert_eq!(took, Duration::from_micros(10) * n as u32);
        // One that takes no time ends at the most.
        assert_eq!(calibrated(Duration::from_millis(400), 1, |_| Some(Duration::ZERO)).unwrap().0, MOST_OPERATIONS);
        assert!(calibrated(Duration::from_millis(400), 1, |_| None).is_none());
    }

    #[test]
    fn percentiles() {
        let sorted: Vec<_> = (0..=1000).collect();
        assert_eq!([0.5, 0.99, 0.999, 1.0].map(|q| percentile(&sorted, q)), [500, 990, 999, 1000]);
    }
}
