//! Tests of what has no public face.

mod block;
mod budget;
mod stack;
