//! One statement (a clause, the head of an item, an item without a block) over one or several lines.
//!
//! Tried in turn until it fits: on one line, broken before connectives, with its lists broken too. A comment
//! breaks the line it stands in, whatever fits.

use super::{Comment, WIDTH};
use crate::lex::TokenKind;

/// A token on its way to the output.
pub(super) struct Atom {
    pub(super) kind: TokenKind,
    pub(super) text: String,
    /// Spaces before it where it does not begin a line.
    pub(super) space: usize,
    /// Outside of parentheses and brackets.
    pub(super) top: bool,
    /// What stands between it and the token before.
    pub(super) comments: Vec<Comment>,
}

pub(super) struct Statement {
    pub(super) atoms: Vec<Atom>,
}

/// A line and the comment behind it.
type Line = (String, Option<String>);

impl Statement {
    /// The lines of the statement. `indent` is where it starts, `column` where lines go on.
    pub(super) fn lines(&self, indent: usize, column: usize) -> Vec<Line> {
        let connective = ["or", "and"]
            .into_iter()
            .find(|word| self.atoms.iter().any(|a| a.top && a.text == *word && a.kind == TokenKind::Word));
        // A list that stays broken breaks its line before connectives too, or a second time would differ.
        let opens = |(at, atom): (usize, &Atom)| (atom.kind == TokenKind::OpenBracket).then_some(at);
        let open = self.atoms.iter().enumerate().filter_map(opens);
        let broken = open.filter_map(|at| self.atoms.get(at..)).any(stays_broken);
        let first = if broken { connective } else { None };
        let tries = [(first, false), (connective, false), (connective, true)];
        let mut lines = Vec::new();
        for (connective, lists) in tries {
            lines = Layout::new(indent, column, connective, lists).run(&self.atoms);
            let fits = |(line, _): &Line| line.lines().next().unwrap_or_default().chars().count() <= WIDTH;
            if lines.iter().all(fits) {
                break;
            }
        }
        lines
    }
}

/// What stands in the list that the first atom opens, and its closing bracket.
fn in_list(atoms: &[Atom]) -> &[Atom] {
    let close = atoms.iter().position(|a| a.kind == TokenKind::CloseBracket);
    close.and_then(|close| atoms.get(1..=close)).unwrap_or_default()
}

/// Whether the text asks for an entry a line: by a comment, or a comma behind the last entry.
fn stays_broken(atoms: &[Atom]) -> bool {
    let inner = in_list(atoms);
    let last = inner.len().checked_sub(2).and_then(|last| inner.get(last));
    last.is_some_and(|a| a.kind == TokenKind::Comma) || inner.iter().any(|a| !a.comments.is_empty())
}

struct Layout {
    /// Where lines go on.
    column: usize,
    /// The word before which lines break.
    connective: Option<&'static str>,
    /// Whether lists with several entries break though nothing in them asks for it.
    lists: bool,
    lines: Vec<Line>,
    current: String,
    /// Nothing but white space stands in the current line.
    fresh: bool,
    /// The comment behind the next token was written already.
    written: bool,
    /// The open list: the indentation of its line if it is broken.
    open: Option<Option<usize>>,
}

impl Layout {
    fn new(indent: usize, column: usize, connective: Option<&'static str>, lists: bool) -> Self {
        let current = " ".repeat(indent);
        Self {
            column,
            connective,
            lists,
            lines: Vec::new(),
            current,
            fresh: true,
            written: false,
            open: None,
        }
    }

    fn run(mut self, atoms: &[Atom]) -> Vec<Line> {
        for (at, atom) in atoms.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|i| atoms.get(i)).map(|a| a.kind);
            match atom.kind {
                TokenKind::Comma => self.comma(atom, atoms.get(at + 1)),
                TokenKind::OpenBracket => {
                    self.comments(&atom.comments);
                    self.put(atom);
                    let broken = self.breaks(atoms.get(at..).unwrap_or_default());
                    let indent = self.current.len() - self.current.trim_start().len();
                    self.open = Some(broken.then_some(indent));
                    if broken {
                        self.end_behind(atoms.get(at + 1));
                    }
                }
                TokenKind::CloseBracket => self.close(atom, before),
                _ => {
                    self.comments(&atom.comments);
                    let breaks = atom.top
                        && self.connective == Some(atom.text.as_str())
                        && atom.kind == TokenKind::Word;
                    if breaks && !self.fresh {
                        self.end(None);
                    }
                    self.put(atom);
                }
            }
        }
        if !self.fresh {
            self.end(None);
        }
        self.lines
    }

    /// Whether the list that the first atom opens is broken.
    fn breaks(&self, atoms: &[Atom]) -> bool {
        let several = || in_list(atoms).iter().any(|a| a.kind == TokenKind::Comma);
        stays_broken(atoms) || (self.lists && several())
    }

    /// Where the next line starts.
    fn next_column(&self) -> usize {
        match self.open {
            Some(Some(indent)) => indent + 4,
            _ => self.column,
        }
    }

    fn put(&mut self, atom: &Atom) {
        if !self.fresh {
            self.current.push_str(&" ".repeat(atom.space));
        }
        self.current.push_str(&atom.text);
        self.fresh = false;
    }

    fn end(&mut self, comment: Option<String>) {
        let column = self.next_column();
        let line = std::mem::replace(&mut self.current, " ".repeat(column));
        self.lines.push((line, comment));
        self.fresh = true;
    }

    /// Ends the line, with the comment that stands behind it in the text.
    fn end_behind(&mut self, next: Option<&Atom>) {
        let comment = next.and_then(|a| a.comments.first()).filter(|c| c.behind);
        self.written = comment.is_some();
        self.end(comment.map(|c| c.text.clone()));
    }

    /// Writes comments that stand here.
    fn comments(&mut self, comments: &[Comment]) {
        for comment in comments {
            if comment.behind && std::mem::take(&mut self.written) {
                continue;
            }
            if comment.behind && !self.fresh {
                self.end(Some(comment.text.clone()));
                continue;
            }
            if !self.fresh {
                self.end(None);
            }
            self.current.push_str(&comment.text);
            self.end(None);
        }
    }

    fn comma(&mut self, atom: &Atom, next: Option<&Atom>) {
        let broken = matches!(self.open, Some(Some(_)));
        // The comma goes before a comment that stood before it.
        self.put(atom);
        self.comments(&atom.comments);
        if broken && !self.fresh {
            self.end_behind(next);
        }
    }

    fn close(&mut self, atom: &Atom, before: Option<TokenKind>) {
        let open = self.open;
        if let Some(Some(indent)) = open {
            if !matches!(before, Some(TokenKind::Comma | TokenKind::OpenBracket)) {
                self.current.push(',');
            }
            self.comments(&atom.comments);
            self.open = None;
            if !self.fresh {
                self.end(None);
            }
            self.current = " ".repeat(indent);
            self.fresh = true;
        } else {
            self.comments(&atom.comments);
            self.open = None;
        }
        self.put(atom);
    }
}
