//! The ways back after a mistake: to the next clause, to the block, to the next item.

use crate::lex::TokenKind;
use crate::parse::cursor::Cursor;
use crate::parse::words::{ITEMS, meant};
use crate::tree::NodeKind;

/// Clauses that nothing else is called, so that a one-line block can be picked up at them.
const STRONG: &[&str] = &["when", "unless", "reply", "via", "priority", "mode", "note", "active", "expect"];

/// Whether an item starts here: a keyword of items that is the first word of its line, with its head
/// behind it or flush left.
pub(in crate::parse) fn starts_item(c: &Cursor<'_>) -> bool {
    let Some(word) = c.word() else { return false };
    if !ITEMS.contains(&word) || !c.starts_line(0) {
        return false;
    }
    let head = c.nth(1).is_some_and(|t| match word {
        "profile" => t.kind == TokenKind::OpenBrace,
        "list" | "group" | "alias" | "aliases" | "relay" => t.kind == TokenKind::Word,
        _ => matches!(t.kind, TokenKind::Text | TokenKind::Block),
    });
    c.flush_left() || head
}

/// Passes over the rest of a clause, up to where the next one starts, the block ends or an item starts.
pub(super) fn recover(c: &mut Cursor<'_>, known: &[&str], mut one_at_least: bool) {
    c.open(NodeKind::Error);
    let mut depth = 0_usize;
    while let Some(token) = c.peek() {
        let here = token.kind == TokenKind::Word && {
            let line = c.starts_line(0);
            (line && (starts_item(c) && (depth == 0 || c.flush_left())))
                || (depth == 0 && line && (known.contains(&token.text) || meant(token.text, known).is_some()))
                || (depth == 0 && STRONG.contains(&token.text) && known.contains(&token.text))
        };
        if (here || (depth == 0 && token.kind == TokenKind::CloseBrace)) && !one_at_least {
            break;
        }
        if token.kind == TokenKind::CloseBrace && depth == 0 {
            break;
        }
        one_at_least = false;
        match token.kind {
            TokenKind::OpenBrace => depth += 1,
            TokenKind::CloseBrace => depth = depth.saturating_sub(1),
            _ if depth == 0 && c.closes_block() => break,
            _ => {}
        }
        c.bump();
    }
    c.close();
}

/// Passes over what stands before a block, unless an item starts first.
pub(super) fn to_brace(c: &mut Cursor<'_>) {
    c.open(NodeKind::Error);
    while let Some(token) = c.peek() {
        if token.kind == TokenKind::OpenBrace || starts_item(c) {
            break;
        }
        c.bump();
        if token.kind == TokenKind::CloseBrace {
            break;
        }
    }
    c.close();
}

/// Passes over tokens up to the start of the next item: one at least, and a block in one piece.
pub(in crate::parse) fn to_item(c: &mut Cursor<'_>) {
    c.open(NodeKind::Error);
    let mut depth = 0_usize;
    let mut first = true;
    while let Some(token) = c.peek() {
        let starts = starts_item(c) && (depth == 0 || c.flush_left());
        if starts && !first {
            break;
        }
        first = false;
        c.bump();
        match token.kind {
            TokenKind::OpenBrace => depth += 1,
            TokenKind::CloseBrace => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    c.close();
}
