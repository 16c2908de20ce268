//! The parser's place among the tokens: looking ahead, taking, marking nodes, reporting.

mod expect;
mod judge;

use super::statement::{Settled, Start, settle};
use crate::diag::{Diagnostic, Severity};
use crate::lex::{Lexed, MAX_DIAGNOSTICS, TokenKind};
use crate::span::{FileId, Span};
use crate::tree::{Node, NodeKind, Tree};

/// A token that is no white space, no comment and not bad.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tok<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    pub(super) span: Span,
}

impl Tok<'_> {
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text == word
    }
}

/// The state of parsing one file.
pub(super) struct Cursor<'a> {
    lexed: &'a Lexed<'a>,
    file: FileId,
    /// Places of the tokens that count.
    places: Vec<u32>,
    at: usize,
    nodes: Vec<Node>,
    open: Vec<usize>,
    diagnostics: Vec<Diagnostic>,
    unreported: usize,
    /// The item at hand is of another kind than its keyword says, which was reported.
    wrong: bool,
    /// Items of which that was reported.
    wrong_items: Vec<Span>,
    /// How many blocks are open here.
    pub(super) blocks: i32,
    /// Where clauses and items start.
    starts: Vec<Start>,
    /// How deep conditions nest here.
    pub(super) depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: FileId, lexed: &'a Lexed<'a>) -> Self {
        let count = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let places = lexed
            .tokens
            .iter()
            .enumerate()
            .filter(|(_, t)| !t.kind.is_trivia())
            .map(|(i, _)| count(i))
            .collect();
        let nodes = vec![Node { kind: NodeKind::File, first: 0, end: count(lexed.tokens.len()), after: 0 }];
        Self {
            lexed,
            file,
            places,
            at: 0,
            nodes,
            open: Vec::new(),
            diagnostics: lexed.diagnostics.clone(),
            unreported: 0,
            wrong: false,
            wrong_items: Vec::new(),
            blocks: 0,
            starts: Vec::new(),
            depth: 0,
        }
    }

    /// The tree and what is told, in the order of the text.
    pub(super) fn finish(mut self) -> (Tree, Settled) {
        let all = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(file) = self.nodes.first_mut() {
            file.after = all;
        }
        self.diagnostics.sort_by_key(|d| (d.span.start, d.code));
        let mut settled =
            settle(self.file, &self.lexed.text, &self.starts, std::mem::take(&mut self.diagnostics));
        for item in &self.wrong_items {
            settled.damaged.retain(|span| span.end <= item.start || span.start >= item.end);
            settled.damaged.push(*item);
        }
        settled.damaged.sort_unstable();
        if self.unreported > 0 {
            let end = self.end();
            let message = format!("{} more mistakes in this file are not shown", self.unreported);
            let mut note = Diagnostic::error("E0029", message, Span { file: self.file, start: end, end });
            note.severity = Severity::Note;
            settled.diagnostics.push(note);
        }
        (Tree { tokens: self.lexed.tokens.clone(), nodes: self.nodes }, settled)
    }

    // Looking.

    /// The token so many behind the next one.
    pub(super) fn nth(&self, ahead: usize) -> Option<Tok<'a>> {
        let place = *self.places.get(self.at + ahead)?;
        let token = *self.lexed.tokens.get(place as usize)?;
        let span = Span { file: self.file, start: token.start, end: token.end };
        Some(Tok { kind: token.kind, text: self.lexed.str(token), span })
    }

    pub(super) fn peek(&self) -> Option<Tok<'a>> {
        self.nth(0)
    }

    pub(super) fn at_kind(&self, kind: TokenKind) -> bool {
        self.peek().is_some_and(|t| t.kind == kind)
    }

    pub(super) fn at_word(&self, word: &str) -> bool {
        self.peek().is_some_and(|t| t.is_word(word))
    }

    /// The next token's text, if it is a word.
    pub(super) fn word(&self) -> Option<&'a str> {
        self.peek().filter(|t| t.kind == TokenKind::Word).map(|t| t.text)
    }

    /// Whether the token so many ahead is the first on its line.
    pub(super) fn starts_line(&self, ahead: usize) -> bool {
        self.gap(ahead).contains('\n') || self.at + ahead == 0
    }

    /// Whether the next token stands at the very start of a line.
    pub(super) fn flush_left(&self) -> bool {
        self.starts_line(0) && (self.gap(0).ends_with('\n') || self.gap(0).is_empty())
    }

    /// What stands between a token and the one before: white space, comments, bad tokens.
    fn gap(&self, ahead: usize) -> &'a str {
        let start = match (self.at + ahead).checked_sub(1) {
            Some(before) => {
                self.places.get(before).and_then(|p| self.lexed.tokens.get(*p as usize)).map(|t| t.end)
            }
            None => Some(0),
        };
        let end = self.nth(ahead).map_or_else(|| self.end(), |t| t.span.start);
        self.lexed.text.get(start.unwrap_or(end) as usize..end as usize).unwrap_or_default()
    }

    /// Whether the next token stands directly behind the last one.
    pub(super) fn gap_is_empty(&self) -> bool {
        self.at > 0 && self.gap(0).is_empty()
    }

    /// The kind of the token taken last.
    pub(super) fn last_kind(&self) -> Option<TokenKind> {
        let place = self.at.checked_sub(1).and_then(|i| self.places.get(i))?;
        self.lexed.tokens.get(*place as usize).map(|t| t.kind)
    }

    fn end(&self) -> u32 {
        self.lexed.tokens.last().map_or(0, |t| t.end)
    }

    /// What stands at a span of the file.
    pub(super) fn text(&self, span: Span) -> &'a str {
        self.lexed.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The span of the token taken last; the file's start if there is none.
    pub(super) fn last_span(&self) -> Span {
        let token = self.at.checked_sub(1).and_then(|i| self.places.get(i));
        let token = token.and_then(|p| self.lexed.tokens.get(*p as usize));
        token.map_or(Span { file: self.file, start: 0, end: 0 }, |t| Span {
            file: self.file,
            start: t.start,
            end: t.end,
        })
    }

    /// From a place to the token taken last.
    pub(super) fn since(&self, start: Span) -> Span {
        start.to(self.last_span())
    }

    /// Marks that a clause starts at the next token, or an item.
    pub(super) fn starts_here(&mut self, item: bool) {
        if let Some(token) = self.peek() {
            self.starts.push(Start { at: token.span.start, item });
        }
    }

    /// How many tokens were taken: to see whether something was.
    pub(super) fn taken(&self) -> usize {
        self.at
    }

    // Taking.

    pub(super) fn bump(&mut self) -> Option<Tok<'a>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    pub(super) fn eat(&mut self, kind: TokenKind) -> Option<Span> {
        if self.at_kind(kind) { self.bump().map(|t| t.span) } else { None }
    }

    pub(super) fn eat_word(&mut self, word: &str) -> Option<Span> {
        if self.at_word(word) { self.bump().map(|t| t.span) } else { None }
    }

    // Reporting.

    /// Reports that the keyword of the item at hand is the mistake: whatever else is wrong in it comes from that.
    pub(super) fn wrong_kind(&mut self, diagnostic: Diagnostic) {
        self.report(diagnostic);
        self.wrong = true;
    }

    /// Ends an item.
    pub(super) fn item_ends(&mut self, keyword: Span) {
        if std::mem::take(&mut self.wrong) {
            self.wrong_items.push(self.since(keyword));
        }
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        if self.wrong {
            return;
        }
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        } else {
            self.unreported += 1;
        }
    }

    // Marking.

    pub(super) fn open(&mut self, kind: NodeKind) {
        let first = self.places.get(self.at).copied();
        let first = first.unwrap_or_else(|| u32::try_from(self.lexed.tokens.len()).unwrap_or(u32::MAX));
        self.open.push(self.nodes.len());
        self.nodes.push(Node { kind, first, end: first, after: 0 });
    }

    pub(super) fn close(&mut self) {
        let end = self.at.checked_sub(1).and_then(|i| self.places.get(i)).map_or(0, |p| p + 1);
        let after = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(node) = self.open.pop().and_then(|i| self.nodes.get_mut(i)) {
            node.end = end.max(node.first);
            node.after = after;
        }
    }

    /// Runs a part of the grammar inside a node.
    pub(super) fn node<T>(&mut self, kind: NodeKind, part: impl FnOnce(&mut Self) -> T) -> T {
        self.open(kind);
        let result = part(self);
        self.close();
        result
    }
}

/// A token as a message names it.
pub(super) fn named(token: Tok<'_>) -> String {
    match token.kind {
        TokenKind::Text | TokenKind::Block => "a text".to_owned(),
        TokenKind::Regex => "a regex".to_owned(),
        _ => format!("`{}`", short(token.text)),
    }
}

/// A word cut to what a message can hold.
pub(super) fn short(word: &str) -> String {
    const LONGEST: usize = 40;
    let mut chars = word.chars();
    let head: String = chars.by_ref().take(LONGEST).filter(|c| !c.is_control()).collect();
    if chars.next().is_some() { format!("{head}…") } else { head }
}
