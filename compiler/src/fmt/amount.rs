//! Amounts that were written as one word: `10KiB`, `90s`, `80%`. The layout parts number and unit.
//!
//! Only where an amount is meant: elsewhere `5d` may be a login or somebody's name, and two words are another.

use crate::lex::leaf;
use crate::lex::{Token, TokenKind};
use crate::parse::Parsed;
use crate::tree::NodeKind;
use edict_table::fact::{REGISTRY, Type};
use std::collections::HashSet;

/// Clauses and settings that take an amount, by their first word.
const CLAUSES: [&str; 6] = ["max-message-size", "max-attachment-size", "at", "warn", "size", "usage"];

/// Whether a clause or a test that begins so compares or sets an amount.
fn takes_one(kind: NodeKind, first: &str) -> bool {
    match kind {
        NodeKind::Clause => CLAUSES.contains(&first),
        NodeKind::Test => REGISTRY.iter().any(|row| row.name == first && row.ty == Type::Size),
        _ => false,
    }
}

/// The places of all tokens that are an amount in one word.
pub(super) fn glued<'a>(parsed: &Parsed, text: impl Fn(Token) -> &'a str) -> HashSet<usize> {
    let tree = &parsed.tree;
    let mut out = HashSet::new();
    for (at, node) in tree.nodes.iter().enumerate() {
        let word = |place: &usize| tree.tokens.get(*place).filter(|t| t.kind == TokenKind::Word);
        let range = tree.tokens_of(at);
        if word(&range.start).is_some_and(|first| takes_one(node.kind, text(*first))) {
            out.extend(range.filter(|place| word(place).is_some_and(|token| split(text(*token)).is_some())));
        }
    }
    out
}

/// A number and the unit that stands directly behind it.
pub(super) fn split(word: &str) -> Option<(&str, &str)> {
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = word.get(..word.len() - unit.len())?;
    (!number.is_empty() && (unit == "%" || leaf::is_unit(unit))).then_some((number, unit))
}
