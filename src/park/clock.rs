//! Since when does somebody sleep? Read on every wait, so what counts is that it costs next to nothing.
//!
//! On Linux the kernel's own count of its ticks is read: 5 ns where an exact moment takes 40, and right to a tick, which is
//! 1 to 10 ms. Elsewhere the moment is exact. A goroutine's is what its worker saw when it last looked, which it does every 16 to 64
//! turns and when it has slept: who has computed meanwhile seems to have waited for as long.

/// Nanoseconds since some moment in the past, never 0; right to a tick of the kernel's clock.
pub(super) fn now() -> u64 {
    if cfg!(any(gochan_loom, gochan_shuttle)) { 1 } else { read().max(1) }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
fn read() -> u64 {
    /// What the C library, which std links anyway, calls `struct timespec` on 64-bit Linux.
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanoseconds: i64,
    }

    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    }

    const MONOTONIC_COARSE: i32 = 6;
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: `time` may be written, and has the layout that the C library expects. Should the call fail, it stays as it is.
    unsafe { clock_gettime(MONOTONIC_COARSE, &raw mut time) };
    (time.seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(time.nanoseconds as u64)
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", not(miri))))]
fn read() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static EPOCH: OnceLock<Instant> = OnceLock::new();
    u64::try_from(EPOCH.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}
