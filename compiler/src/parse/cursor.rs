//! The parser's place among the tokens: looking ahead, taking, marking nodes, reporting.

use super::statement::{Settled, Start, settle};
use super::words::{ITEMS, items_with, nearest};
use crate::ast::{Spanned, Text};
use crate::diag::{Diagnostic, Severity};
use crate::lex::{Lexed, MAX_DIAGNOSTICS, TokenKind, leaf};
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

    /// What is meant as a regex where the lexer looks for none: from a `/` at the start of the next word to the
    /// one that closes it on that line. What stands between the two, and the span of it all.
    pub(super) fn regex_here(&self) -> Option<(&'a str, Span)> {
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

    /// What stands at a span of the file.
    pub(super) fn text(&self, span: Span) -> &'a str {
        self.lexed.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Whether the next token is an entry of a list, by its neighbour.
    pub(super) fn in_list(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|i| self.places.get(i));
        let before = before.and_then(|p| self.lexed.tokens.get(*p as usize));
        before.is_some_and(|t| matches!(t.kind, TokenKind::OpenBracket | TokenKind::Comma))
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

    /// Whether a mistake was reported from a place on: by the lexer up to the token taken last, by the
    /// parser up to now.
    pub(super) fn broken_since(&self, start: Span) -> bool {
        let end = self.last_span().end;
        let lexed = self.diagnostics.get(..self.lexed.diagnostics.len()).unwrap_or_default();
        let from = lexed.partition_point(|d| d.span.start < start.start);
        let by_lexer = lexed.get(from).is_some_and(|d| d.span.start <= end);
        // Only a bounded number is kept.
        let own = self.diagnostics.iter().skip(lexed.len()).rev().any(|d| d.span.start >= start.start);
        by_lexer || own || self.unreported > 0
    }

    /// Whether something stands behind a clause, on its line, that is no clause of the item.
    pub(super) fn junk(&self, item: &str) -> bool {
        let next = self.peek().filter(|_| !self.starts_line(0));
        next.is_some_and(|t| match t.kind {
            TokenKind::Word => !super::words::clauses(item).contains(&t.text),
            TokenKind::CloseBrace => false,
            _ => true,
        })
    }

    /// Whether a text or regex that was left open took along what closes something: that has been told.
    pub(super) fn swallowed(&self, open: Span, closing: char) -> bool {
        let lexed = self.diagnostics.get(..self.lexed.diagnostics.len()).unwrap_or_default();
        let from = lexed.partition_point(|d| d.span.start < open.start);
        let open_texts = lexed.iter().skip(from).filter(|d| matches!(d.code, "E0005" | "E0007"));
        let text = |span: Span| self.lexed.text.get(span.start as usize..span.end as usize);
        open_texts.filter_map(|d| text(d.span)).any(|text| text.contains(closing))
    }

    /// Whether the next token opens a clause or an item, though a value should stand here: a keyword at the
    /// start of a line, with an operand of its own behind it. A line end alone means nothing.
    pub(super) fn next_clause(&self) -> bool {
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
    pub(super) fn closes_block(&self) -> bool {
        let other = self.at_kind(TokenKind::CloseParen) || self.at_kind(TokenKind::CloseBracket);
        other && (self.flush_left() || self.nth(1).is_none() || self.item_ahead(1))
    }

    /// Whether an item starts so many tokens ahead, as it mostly does: flush left.
    pub(super) fn item_ahead(&self, ahead: usize) -> bool {
        let keyword = self.nth(ahead).is_some_and(|t| t.kind == TokenKind::Word && ITEMS.contains(&t.text));
        keyword && self.starts_line(ahead) && !self.gap(ahead).ends_with([' ', '\t'])
    }

    /// Reports a bracket that is of another kind than the one that belongs here, and takes it.
    pub(super) fn other_bracket(&mut self, wanted: &'static str, why: &str) {
        if let Some(token) = self.bump() {
            let message = format!("expected `{wanted}`, found `{}`", token.text);
            let diagnostic = Diagnostic::error("E0017", message, token.span)
                .label("another kind of bracket")
                .help(format!("{why}: write `{wanted}`"))
                .fix(format!("write `{wanted}`"), token.span, wanted);
            self.report(diagnostic);
        }
    }

    /// Reports a keyword that was written twice in a row, and takes the second one.
    pub(super) fn doubled(&mut self, keyword: &str) {
        if let Some(next) = self.peek().filter(|t| t.is_word(keyword) && !self.starts_line(0)) {
            let diagnostic = Diagnostic::error("E0017", format!("`{keyword}` stands twice"), next.span)
                .label("the second one")
                .help("keep one of them")
                .fix("remove it", next.span, "");
            self.report(diagnostic);
            self.at += 1;
        }
    }

    /// An unclosed text swallowed the rest: what is missing at the end has been explained.
    pub(super) fn cut(&self) -> bool {
        self.lexed.cut
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

    /// Takes a bare word, or reports that `what` is missing.
    pub(super) fn expect_word(&mut self, what: &str) -> Option<Spanned<String>> {
        match self.peek() {
            Some(t) if t.kind == TokenKind::Word && !self.next_clause() => {
                self.at += 1;
                Some(Spanned::new(t.text.to_owned(), t.span))
            }
            Some(t) if matches!(t.kind, TokenKind::Text | TokenKind::Block) => {
                let bare = leaf::text(t.text);
                let diagnostic =
                    Diagnostic::error("E0017", format!("expected {what} without quotes"), t.span);
                let plain = !bare.is_empty() && bare.len() < 80 && !bare.contains(char::is_whitespace);
                self.report(if plain {
                    diagnostic.help(format!("write `{bare}`")).fix("remove the quotes", t.span, bare)
                } else {
                    diagnostic.help(format!("write {what} here, as one bare word"))
                });
                self.at += 1;
                None
            }
            _ => {
                self.expected(what);
                None
            }
        }
    }

    /// Takes a keyword, or reports that it is missing.
    pub(super) fn expect_keyword(&mut self, word: &str) -> Option<Span> {
        let found = self.eat_word(word);
        if found.is_none() {
            self.expected(&format!("`{word}`"));
        }
        found
    }

    /// Takes a quoted text, or reports that `what` is missing.
    pub(super) fn expect_text(&mut self, what: &str) -> Option<Text> {
        match self.peek() {
            Some(t) if matches!(t.kind, TokenKind::Text | TokenKind::Block) => {
                self.at += 1;
                Some(Text { value: leaf::text(t.text), block: t.kind == TokenKind::Block, span: t.span })
            }
            Some(t) if t.kind == TokenKind::Word && !self.starts_line(0) => {
                let quoted = leaf::quote(t.text);
                let message = format!("expected {what}, found the bare word `{}`", short(t.text));
                let help =
                    match self.nth(1).filter(|next| next.kind == TokenKind::Word && !self.starts_line(1)) {
                        _ if t.text == "not" => {
                            "`not` stands before the whole test, in front of its fact".to_owned()
                        }
                        _ if matches!(t.text, "regex" | "glob") => {
                            "a regex stands between slashes, as `/^free/`, a glob in quotes, as `\"*.exe\"`"
                                .to_owned()
                        }
                        Some(next) => format!(
                            "a text stands in quotes, all of it: `\"{} {} …\"`",
                            short(t.text),
                            short(next.text)
                        ),
                        None => format!("a text stands in quotes: `{}`", short(&quoted)),
                    };
                let diagnostic = Diagnostic::error("E0017", message, t.span).help(help);
                // Several words may be one text, and some are operators elsewhere: no edit is certain then.
                let goes_on = !self.starts_line(1)
                    && self.nth(1).is_some_and(|next| match next.kind {
                        TokenKind::Text | TokenKind::Block | TokenKind::Regex => true,
                        TokenKind::Word => !matches!(next.text, "and" | "or"),
                        _ => false,
                    });
                let certain = !goes_on && !matches!(t.text, "not" | "regex" | "glob" | "any" | "all" | "of");
                self.report(if certain {
                    diagnostic.fix("put it in quotes", t.span, quoted)
                } else {
                    diagnostic
                });
                self.at += 1;
                Some(Text { value: t.text.to_owned(), block: false, span: t.span })
            }
            _ => {
                self.expected(what);
                None
            }
        }
    }

    /// Takes one of a closed set of words, or reports what they are.
    pub(super) fn choice<T: Copy + PartialEq>(
        &mut self,
        of: &str,
        words: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        let listed = || {
            // Words of the same meaning are named by the first.
            let first = |at: usize, value: &T| words.iter().take(at).all(|(_, other)| other != value);
            let named = words.iter().enumerate().filter(|(at, (_, value))| first(*at, value));
            let words: Vec<String> = named.map(|(_, (word, _))| format!("`{word}`")).collect();
            match words.split_last() {
                Some((last, [])) => last.clone(),
                Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
                None => String::new(),
            }
        };
        let Some(token) = self.peek().filter(|t| t.kind == TokenKind::Word) else {
            self.expected(&listed());
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == token.text) {
            self.at += 1;
            return Some(Spanned::new(*value, token.span));
        }
        if self.starts_line(0) {
            self.expected(&listed());
            return None;
        }
        let message = format!("`{}` is no {of}", short(token.text));
        let mut diagnostic =
            Diagnostic::error("E0022", message, token.span).help(format!("write {}", listed()));
        if let Some(meant) = nearest(token.text, words.iter().map(|(word, _)| *word)) {
            diagnostic = diagnostic.label(format!("did you mean `{meant}`?")).fix(
                format!("write `{meant}`"),
                token.span,
                meant,
            );
        }
        self.report(diagnostic);
        self.at += 1;
        None
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

    /// Reports that something is missing here.
    pub(super) fn expected(&mut self, what: &str) {
        let diagnostic = self.missing(what);
        if let Some(diagnostic) = diagnostic {
            self.report(diagnostic);
        }
    }

    /// The report that something is missing here; none where an unclosed text explains it.
    pub(super) fn missing(&self, what: &str) -> Option<Diagnostic> {
        let next = self.peek().filter(|_| !self.starts_line(0) || self.at == 0);
        match next {
            Some(t) => Some(
                Diagnostic::error("E0017", format!("expected {what}, found {}", named(t)), t.span)
                    .help(format!("write {what} here")),
            ),
            None if self.peek().is_none() && self.cut() => None,
            None => {
                let last = self.last_span();
                let end = Span { start: last.start, ..last };
                Some(
                    Diagnostic::error("E0017", format!("expected {what}"), end)
                        .label(format!("{what} should follow this"))
                        .help(format!("write {what} behind it")),
                )
            }
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
