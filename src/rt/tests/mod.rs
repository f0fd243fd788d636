//! Tests of what has no public face.

mod stack;
