//! What the tokens around the parser's place mean: where a clause or an item starts though something else should stand
//! here, and whether a mistake was told already.

use super::super::words::{ITEMS, clauses, items_with};
use super::{Cursor, Tok};
use crate::lex::TokenKind;
use crate::span::Span;

impl<'a> Cursor<'a> {
    /// What is meant as a regex where the lexer looks for none: from a `/` at the start of the next word to the
    /// one that closes it on that line. What stands between the two, and the span of it all.
    pub(in crate::parse) fn regex_here(&self) -> Option<(&'a str, Span)> {
        let token = self.peek().filter(|t| t.kind == TokenKind::Word && t.text.starts_with('/'))?;
        let rest = self.lexed.text.get(token.span.start as usize + 1..)?;
        let line = rest.lines().next().unwrap_or_default();
        let mut escaped = false;
        let close = line.char_indices().find_map(|(at, c)| {
            let closes = c == '/' && !escaped;
            escaped = c == '\\' && !escaped;
            closes.then_some(at)
        })?;
        let inner = line.get(..close).filter(|inner| !inner.is_empty())?;
        let end = token.span.start + 2 + u32::try_from(close).ok()?;
        Some((inner, Span { end, ..token.span }))
    }

    /// Whether the next token is an entry of a list, by its neighbour.
    pub(in crate::parse) fn in_list(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|i| self.places.get(i));
        let before = before.and_then(|p| self.lexed.tokens.get(*p as usize));
        before.is_some_and(|t| matches!(t.kind, TokenKind::OpenBracket | TokenKind::Comma))
    }

    /// Whether a list of this name begins in this file. Looks at the whole file, so only for the first mistakes.
    pub(in crate::parse) fn names_list(&self, name: &str) -> bool {
        const FIRST: usize = 100;
        let text = |place: &u32| self.lexed.tokens.get(*place as usize).map(|token| self.lexed.str(*token));
        let mut pairs = self.places.iter().zip(self.places.iter().skip(1));
        self.diagnostics.len() < FIRST && pairs.any(|(a, b)| text(a) == Some("list") && text(b) == Some(name))
    }

    /// Whether a mistake was reported from a place on: by the lexer up to the token taken last, by the
    /// parser up to now.
    pub(in crate::parse) fn broken_since(&self, start: Span) -> bool {
        let end = self.last_span().end;
        let lexed = self.diagnostics.get(..self.lexed.diagnostics.len()).unwrap_or_default();
        let from = lexed.partition_point(|d| d.span.start < start.start);
        let by_lexer = lexed.get(from).is_some_and(|d| d.span.start <= end);
        // Only a bounded number is kept.
        let own = self.diagnostics.iter().skip(lexed.len()).rev().any(|d| d.span.start >= start.start);
        by_lexer || own || self.unreported > 0
    }

    /// Whether something stands behind a clause, on its line, that is no clause of the item.
    pub(in crate::parse) fn junk(&self, item: &str) -> bool {
        let next = self.peek().filter(|_| !self.starts_line(0));
        next.is_some_and(|t| match t.kind {
            TokenKind::Word => !clauses(item).contains(&t.text),
            TokenKind::CloseBrace => false,
            _ => true,
        })
    }

    /// Whether a text or regex that was left open, or a comment, took along what closes something: that has been told.
    pub(in crate::parse) fn swallowed(&self, open: Span, closing: char) -> bool {
        let lexed = self.diagnostics.get(..self.lexed.diagnostics.len()).unwrap_or_default();
        let from = lexed.partition_point(|d| d.span.start < open.start);
        let now = self.peek().map_or(u32::MAX, |t| t.span.start);
        let open_texts = lexed.iter().skip(from).take_while(|d| d.span.start < now);
        let open_texts = open_texts.filter(|d| matches!(d.code, "E0005" | "E0007" | "E0008"));
        let text = |span: Span| self.lexed.text.get(span.start as usize..span.end as usize);
        open_texts.filter_map(|d| text(d.span)).any(|text| text.contains(closing))
    }

    /// Whether the next token opens a clause or an item, though a value should stand here: a keyword at the
    /// start of a line, with an operand of its own behind it. A line end alone means nothing.
    pub(in crate::parse) fn next_clause(&self) -> bool {
        let keyword = |w: &str| ITEMS.contains(&w) || items_with(w).next().is_some();
        let operand = |t: Tok<'_>| match t.kind {
            TokenKind::Text | TokenKind::Block | TokenKind::OpenBracket | TokenKind::Null => true,
            TokenKind::Word => !keyword(t.text) && !matches!(t.text, "and" | "or" | "is" | "via"),
            _ => false,
        };
        // These are no values anywhere.
        let always = self.word().is_some_and(|w| matches!(w, "when" | "unless" | "expect"));
        if always && self.starts_line(0) {
            return true;
        }
        self.starts_line(0)
            && self.word().is_some_and(keyword)
            && !self.starts_line(1)
            && self.nth(1).is_some_and(operand)
    }

    /// Whether another closing bracket stands where the `}` of a block should: at the very start of a line, or as the
    /// last of a file or before a new item.
    pub(in crate::parse) fn closes_block(&self) -> bool {
        let other = self.at_kind(TokenKind::CloseParen) || self.at_kind(TokenKind::CloseBracket);
        other && (self.flush_left() || self.nth(1).is_none() || self.item_ahead(1))
    }

    /// Whether an item starts so many tokens ahead, as it mostly does: flush left.
    pub(in crate::parse) fn item_ahead(&self, ahead: usize) -> bool {
        let keyword = self.nth(ahead).is_some_and(|t| t.kind == TokenKind::Word && ITEMS.contains(&t.text));
        keyword && self.starts_line(ahead) && !self.gap(ahead).ends_with([' ', '\t'])
    }

    /// An unclosed text swallowed the rest: what is missing at the end has been explained.
    pub(in crate::parse) fn cut(&self) -> bool {
        self.lexed.cut
    }
}
