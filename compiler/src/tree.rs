//! The lossless tree: every token of a file, and over them nodes for what the grammar saw there.
//!
//! Flat and in preorder: a node is a range of tokens, its children are the nodes behind it up to `after`.
//! Nothing is nested by pointers, so that depth costs no stack. White space and comments between two nodes
//! belong to the node around both.

use crate::lex::Token;
use std::ops::Range;

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NodeKind {
    /// The whole file.
    File,
    /// `edict 1`
    Edition,
    /// An item, head and block.
    Item,
    /// `{ … }`
    Block,
    /// A keyword and what belongs to it, or a setting.
    Clause,
    /// `[ … ]`
    Entries,
    /// One entry between brackets.
    Entry,
    /// What stands behind `when` or `unless`, or in parentheses.
    Condition,
    /// A fact and what is asked of it.
    Test,
    /// Tokens that the grammar passed over; a diagnostic tells why.
    Error,
}

/// A node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Place of its first token.
    pub first: u32,
    /// Place behind its last token.
    pub end: u32,
    /// Place of the node behind its last descendant.
    pub after: u32,
}

/// A file as parsed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree {
    /// Every token, without gaps.
    pub tokens: Vec<Token>,
    /// Preorder; the first is the file.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// The children of a node, as places in [`Tree::nodes`].
    pub fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        let after = self.nodes.get(node).map_or(0, |n| n.after as usize);
        let mut next = node + 1;
        std::iter::from_fn(move || {
            let this = next;
            if this >= after {
                return None;
            }
            // A node's own place is below its `after`; a step of one keeps a broken tree finite.
            next = self.nodes.get(this).map_or(after, |n| (n.after as usize).max(this + 1));
            Some(this)
        })
    }

    /// The tokens of a node, as places in [`Tree::tokens`].
    #[must_use]
    pub fn tokens_of(&self, node: usize) -> Range<usize> {
        self.nodes.get(node).map_or(0..0, |n| n.first as usize..n.end as usize)
    }
}
