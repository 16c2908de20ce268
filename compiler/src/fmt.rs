//! One canonical layout for rule files.
//!
//! Works on the lossless tree: tokens stay as they are (a trailing comma comes and goes with the layout of its
//! list, and an amount in one word, `10KiB`, becomes two), comments stay behind or before what they stood at. Only
//! white space, and so the layout, changes; formatting twice changes nothing more.
//!
//! The layout: four spaces inside a block, a clause a line, operands in one column; a block that was written on
//! one line stays there if it fits; lists on one line if they fit and have no trailing comma, else an entry a
//! line; long conditions break before `or`, else before `and`; at most one empty line, and one around
//! blocks; comments behind code two spaces off, in one column where lines follow each other.
//!
//! Limits: a file with a syntax error is not touched. Texts are never changed, so a long one may stand out.

mod amount;
mod layout;

#[cfg(test)]
mod tests;

use crate::diag::{Diagnostic, Severity};
use crate::lex::{Token, TokenKind};
use crate::parse::{Parsed, parse};
use crate::span::FileId;
use crate::tree::NodeKind;
use layout::{Atom, Statement};
use std::collections::HashSet;
use std::ops::Range;

/// The widest line that the layout makes where it has a choice, in characters.
pub const WIDTH: usize = 100;

/// Formats one rule file.
///
/// # Errors
/// The syntax errors of the file, if it has any; their spans are in file 0.
pub fn format(source: &str) -> Result<String, Vec<Diagnostic>> {
    format_bytes(FileId(0), source.as_bytes())
}

/// Formats one rule file as read from disk.
///
/// # Errors
/// The syntax errors of the file, if it has any.
pub fn format_bytes(file: FileId, bytes: &[u8]) -> Result<String, Vec<Diagnostic>> {
    let parsed = parse(file, bytes);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if parsed.diagnostics.iter().any(|d| d.severity == Severity::Error) {
        return Err(parsed.diagnostics);
    }
    let word = |token: Token| text.get(token.start as usize..token.end as usize).unwrap_or_default();
    let glued = amount::glued(&parsed, word);
    let mut printer = Printer { text, parsed: &parsed, glued, out: Lines::default() };
    printer.file();
    Ok(printer.out.finish())
}

/// A comment between two tokens.
#[derive(Clone, Debug)]
struct Comment {
    text: String,
    /// On the line of the token before it.
    behind: bool,
    /// An empty line stands before it.
    parted: bool,
}

/// What stands between a token and the one before.
#[derive(Clone, Debug, Default)]
struct Gap {
    comments: Vec<Comment>,
    /// An empty line stands directly before the token.
    parted: bool,
    /// A line ends somewhere in it.
    broken: bool,
}

/// Lines of output: code, and a comment behind it.
#[derive(Default)]
struct Lines {
    lines: Vec<(String, Option<String>)>,
}

impl Lines {
    fn push(&mut self, line: String) {
        self.lines.push((line, None));
    }

    /// An empty line, unless one is there or nothing is.
    fn part(&mut self) {
        if self.lines.last().is_some_and(|(line, comment)| !line.is_empty() || comment.is_some()) {
            self.push(String::new());
        }
    }

    /// Puts a comment behind the last line, or below it if one stands there.
    fn comment(&mut self, text: &str, indent: usize) {
        match self.lines.last_mut() {
            Some((line, slot @ None)) if !line.is_empty() && !line.trim_start().starts_with('#') => {
                *slot = Some(text.to_owned());
            }
            _ => self.push(format!("{}{text}", " ".repeat(indent))),
        }
    }

    /// The text, with comments of lines that follow each other in one column.
    fn finish(mut self) -> String {
        /// Lines longer than this do not push the comments of others out.
        const FAR: usize = 72;
        while self.lines.last().is_some_and(|(line, comment)| line.is_empty() && comment.is_none()) {
            self.lines.pop();
        }
        // A text over several lines ends in its last one.
        let width = |line: &str| line.rsplit('\n').next().unwrap_or_default().chars().count();
        let mut out = String::new();
        let mut rest = self.lines.as_slice();
        while let Some((line, comment)) = rest.first() {
            if comment.is_none() {
                out.push_str(line);
                out.push('\n');
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let run = rest.iter().take_while(|(_, comment)| comment.is_some()).count();
            let (lines, behind) = rest.split_at_checked(run).unwrap_or((rest, &[]));
            let column = lines.iter().map(|(line, _)| width(line)).filter(|w| *w <= FAR).max().unwrap_or(0);
            for (line, comment) in lines {
                let pad = column.saturating_sub(width(line)) + 2;
                out.push_str(line);
                out.push_str(&" ".repeat(pad));
                out.push_str(comment.as_deref().unwrap_or_default());
                out.push('\n');
            }
            rest = behind;
        }
        out
    }
}

struct Printer<'a> {
    text: &'a str,
    parsed: &'a Parsed,
    /// Places of amounts that were written as one word.
    glued: HashSet<usize>,
    out: Lines,
}

impl<'a> Printer<'a> {
    fn token(&self, place: usize) -> Option<Token> {
        self.parsed.tree.tokens.get(place).copied()
    }

    fn str(&self, token: Token) -> &'a str {
        self.text.get(token.start as usize..token.end as usize).unwrap_or_default()
    }

    /// The tokens of a range that are no trivia.
    fn counting(&self, range: Range<usize>) -> Vec<usize> {
        range.filter(|place| self.token(*place).is_some_and(|t| !t.kind.is_trivia())).collect()
    }

    /// What stands before a token; before the end if there is none at that place.
    fn gap(&self, place: usize) -> Gap {
        let tokens = self.parsed.tree.tokens.get(..place).unwrap_or_default();
        let from = tokens.iter().rposition(|t| !t.kind.is_trivia()).map_or(0, |before| before + 1);
        let mut gap = Gap::default();
        let mut ends = 0;
        for token in tokens.get(from..).unwrap_or_default() {
            let text = self.str(*token);
            if token.kind == TokenKind::Comment {
                gap.comments.push(Comment {
                    text: text.trim_end().to_owned(),
                    behind: ends == 0 && from > 0 && gap.comments.is_empty(),
                    parted: ends > 1,
                });
                ends = 0;
            } else {
                let found = text.bytes().filter(|b| *b == b'\n').count();
                ends += found;
                gap.broken |= found > 0;
            }
        }
        gap.parted = ends > 1;
        gap
    }

    /// Writes the comments of a gap between two statements, and its empty line. `must` asks for an
    /// empty line where there is none; `may` allows one at all.
    fn between(&mut self, gap: &Gap, indent: usize, must: bool, mut may: bool) {
        let has_one = gap.parted || gap.comments.iter().any(|c| c.parted);
        let mut must = must && !has_one;
        for comment in &gap.comments {
            if comment.behind {
                self.out.comment(&comment.text, indent);
                continue;
            }
            if (comment.parted && may) || std::mem::take(&mut must) {
                self.out.part();
            }
            self.out.push(format!("{}{}", " ".repeat(indent), comment.text));
            may = true;
        }
        if must || (gap.parted && may) {
            self.out.part();
        }
    }

    fn file(&mut self) {
        let tree = &self.parsed.tree;
        // Whether what was printed last is set off by empty lines.
        let mut apart = false;
        let mut first = true;
        for node in tree.children(0) {
            let Some(kind) = tree.nodes.get(node).map(|n| n.kind) else { continue };
            let range = tree.tokens_of(node);
            let gap = self.gap(range.start);
            let block = tree
                .children(node)
                .find(|child| tree.nodes.get(*child).map(|n| n.kind) == Some(NodeKind::Block));
            let one_line = block.and_then(|block| self.one_line(range.clone(), block));
            let sets_apart = kind == NodeKind::Edition || (block.is_some() && one_line.is_none());
            self.between(&gap, 0, !first && (apart || sets_apart), true);
            match (block, one_line) {
                (_, Some(line)) => self.out.push(line),
                (Some(block), None) => self.item(range, block),
                (None, None) => self.statement(range, 0, None),
            }
            apart = sets_apart;
            first = false;
        }
        let end = self.gap(tree.tokens.len());
        self.between(&Gap { parted: false, ..end }, 0, false, true);
    }

    /// The item on one line, if it was written so, fits, and holds no comment.
    fn one_line(&self, range: Range<usize>, block: usize) -> Option<String> {
        let tree = &self.parsed.tree;
        let braces = tree.tokens_of(block);
        let all = self.counting(range.clone());
        let commented = all.iter().skip(1).any(|place| !self.gap(*place).comments.is_empty());
        let broken = self.counting(braces.clone()).iter().skip(1).any(|place| self.gap(*place).broken);
        if commented || broken {
            return None;
        }
        let head = self.statement_of(range.start..braces.start, None);
        let mut parts = vec![];
        for clause in tree.children(block) {
            let lines = self.statement_of(tree.tokens_of(clause), None).lines(0, 0);
            let [(line, None)] = lines.as_slice() else { return None };
            parts.push(line.clone());
        }
        let head = head.lines(0, 0);
        let [(head, None)] = head.as_slice() else { return None };
        let line = if parts.is_empty() {
            format!("{head} {{}}")
        } else {
            format!("{head} {{ {} }}", parts.join("   "))
        };
        (line.chars().count() <= WIDTH && !line.contains('\n')).then_some(line)
    }

    /// An item with its block over several lines.
    fn item(&mut self, range: Range<usize>, block: usize) {
        let tree = &self.parsed.tree;
        let braces = tree.tokens_of(block);
        self.statement(range.start..braces.start, 0, None);
        let empty = tree.children(block).next().is_none();
        let Some(close) = braces.end.checked_sub(1) else { return };
        let end = self.gap(close);
        let before = self.gap(braces.start);
        if let Some((line, _)) = self.out.lines.last_mut() {
            line.push_str(if empty && end.comments.is_empty() && before.comments.is_empty() {
                " {}"
            } else {
                " {"
            });
        }
        // A comment between head and brace goes behind the brace.
        for comment in &before.comments {
            self.out.comment(&comment.text, 4);
        }
        if empty && end.comments.is_empty() && before.comments.is_empty() {
            return;
        }
        let column = self.column(block);
        for (at, clause) in tree.children(block).enumerate() {
            let range = tree.tokens_of(clause);
            let gap = self.gap(range.start);
            self.between(&gap, 4, false, at > 0);
            self.statement(range, 4, Some(column));
        }
        self.between(&Gap { parted: false, ..end }, 4, false, !empty);
        self.out.push("}".to_owned());
    }

    /// The keyword of a clause: how many tokens, and how wide.
    fn keyword(&self, counting: &[usize]) -> (usize, usize) {
        let word = |at: usize| counting.get(at).and_then(|p| self.token(*p)).map_or("", |t| self.str(t));
        let count = if matches!((word(0), word(1)), ("at", "most") | ("warn", "at")) { 2 } else { 1 };
        let width: usize = (0..count).map(|at| word(at).chars().count()).sum();
        (count, width + count - 1)
    }

    /// The column of operands in a block, from the start of its clauses.
    fn column(&self, block: usize) -> usize {
        let tree = &self.parsed.tree;
        let width = |clause| {
            let counting = self.counting(tree.tokens_of(clause));
            let (count, width) = self.keyword(&counting);
            (counting.len() > count).then_some(width)
        };
        tree.children(block).filter_map(width).max().unwrap_or(0) + 1
    }

    fn statement(&mut self, range: Range<usize>, indent: usize, column: Option<usize>) {
        let lines = self.statement_of(range, column).lines(indent, indent + column.unwrap_or(4));
        self.out.lines.extend(lines);
    }

    /// The tokens of a statement with what stands between them.
    fn statement_of(&self, range: Range<usize>, column: Option<usize>) -> Statement {
        let counting = self.counting(range);
        let (keyword, width) = self.keyword(&counting);
        let mut atoms: Vec<Atom> = Vec::new();
        let mut before: Option<Token> = None;
        let (mut parens, mut lists) = (0_usize, 0_usize);
        for (at, place) in counting.iter().enumerate() {
            let Some(token) = self.token(*place) else { continue };
            let text = self.str(token);
            let space = match (before.map(|t| t.kind), token.kind) {
                (None, _) => 0,
                (
                    _,
                    TokenKind::Comma | TokenKind::CloseParen | TokenKind::CloseBracket | TokenKind::Colon,
                ) => 0,
                (Some(TokenKind::OpenParen | TokenKind::OpenBracket), _) => 0,
                (Some(TokenKind::Word), TokenKind::OpenParen) => {
                    let word = before.map_or("", |t| self.str(t));
                    usize::from(matches!(word, "and" | "or" | "not" | "when" | "unless"))
                }
                _ => 1,
            };
            let space = match column {
                Some(column) if at == keyword => column.saturating_sub(width).max(1),
                _ => space,
            };
            match token.kind {
                TokenKind::OpenParen => parens += 1,
                TokenKind::CloseParen => parens = parens.saturating_sub(1),
                TokenKind::OpenBracket => lists += 1,
                TokenKind::CloseBracket => lists = lists.saturating_sub(1),
                _ => {}
            }
            let text =
                if token.kind == TokenKind::Block { text.replace("\r\n", "\n") } else { text.to_owned() };
            let comments = if at == 0 { Vec::new() } else { self.gap(*place).comments };
            let top = parens == 0 && lists == 0;
            let atom = |text: &str, space, comments| Atom {
                kind: token.kind,
                text: text.to_owned(),
                space,
                top,
                comments,
            };
            match amount::split(&text).filter(|_| self.glued.contains(place)) {
                Some((number, unit)) => {
                    atoms.extend([atom(number, space, comments), atom(unit, 1, Vec::new())])
                }
                None => atoms.push(atom(&text, space, comments)),
            }
            before = Some(token);
        }
        Statement { atoms }
    }
}
