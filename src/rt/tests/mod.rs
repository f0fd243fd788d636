//! Tests of what has no public face.

mod block;
mod stack;
