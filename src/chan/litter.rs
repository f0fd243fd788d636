//! What a locked section no longer needs: emptied blocks and nodes, which are freed behind it.
//!
//! It is a field of what the lock protects, so that the section itself is nothing but two pointers.
//!
//! Invariant: empty whenever nobody has the lock.

use super::returned::Node;
use super::ring::Block;

pub(super) struct Litter<T> {
    blocks: Option<Block<T>>,
    nodes: Option<Box<Node<T>>>,
}

impl<T> Litter<T> {
    pub(super) const fn new() -> Self {
        Self { blocks: None, nodes: None }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_none() && self.nodes.is_none()
    }

    pub(super) fn add_block(&mut self, mut block: Block<T>) {
        block.chain(self.blocks.take());
        self.blocks = Some(block);
    }

    pub(super) fn add_node(&mut self, mut node: Box<Node<T>>) {
        node.chain(self.nodes.take());
        self.nodes = Some(node);
    }

    /// Everything, to be dropped without the lock.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new())
    }
}
