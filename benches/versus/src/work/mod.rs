//! The workloads, one file per kind of work.

pub mod goroutines;
pub mod growth;
pub mod guarantees;
pub mod latency;
pub mod limits;
pub mod memory;
pub mod tasks;
pub mod threads;
pub mod timers;
