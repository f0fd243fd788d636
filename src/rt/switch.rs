//! The switch between a worker and the goroutine that it runs.
//!
//! A few functions, and two ways to do them: corosensei's, and on Linux on x86-64 one of our own, which differs in a single
//! point. corosensei enters a coroutine by `call` and leaves it by `ret`, which suits generators, that suspend in the frame
//! which was resumed. A goroutine suspends deep below, in some `recv`, so each return that follows a switch would be predicted
//! to lead elsewhere: 35 to 48 ns a hop. With a jump both ways the calls and returns of either stack stay balanced: 7 to 10.
//!
//! **Hops.** With the jump a goroutine that stops may also switch to the next one of its worker, and not by way of the worker's
//! loop; whoever stops with nobody next goes back to the loop, which finds by itself who that was.
//!
//! Nothing unwinds across a switch: whatever a goroutine's body raises is caught in its first frame. With the jump a backtrace
//! ends there.

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64", target_os = "linux", not(gochan_corosensei)))]
#[path = "switch/jump.rs"]
mod way;

#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", target_os = "linux", not(gochan_corosensei))))]
#[path = "switch/coroutine.rs"]
mod way;

pub(super) use way::{Context, Outside, forget_registers};
