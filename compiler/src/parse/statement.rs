//! One mistake, one message: what is told of a statement that a mistake has damaged.
//!
//! A statement is a clause with all that belongs to it, or the head of an item. Behind a mistake its words no longer
//! mean what they say, so all that is told of it is one diagnostic: the first, or the one that explains the others. On
//! the line of a mistake nothing begins anew, since a clause that seems to start there may be any word of a text.

use crate::diag::Diagnostic;
use crate::span::{FileId, Span};

/// Where a statement starts, and whether it is the head of an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) at: u32,
    pub(super) item: bool,
}

/// What is told, and what hangs on it.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The statements that something was wrong with, in the order of the text.
    pub(super) damaged: Vec<Span>,
    /// The head of an item is among them: a name may have been lost.
    pub(super) heads: bool,
}

/// Encoding, what cannot be seen, and quotes without a partner: whatever else is wrong there comes from them.
const EXPLAINS: &[&str] = &["E0002", "E0003", "E0031"];

/// Slips of single characters and comments, each with its own edit: several in one statement are several mistakes.
const CHARACTERS: &[&str] = &["E0003", "E0004", "E0006", "E0008"];

/// Heads with these mistakes are read on as they were meant, name and all.
const HEAD_READ: &[&str] = &["E0004", "E0008", "E0012", "E0014", "E0016", "E0018", "E0030"];

/// Keeps what is to be told. The diagnostics come in the order of the text.
pub(super) fn settle(file: FileId, text: &str, starts: &[Start], all: Vec<Diagnostic>) -> Settled {
    let mut out = Settled::default();
    let mut cluster: Vec<Diagnostic> = Vec::new();
    let mut end = 0;
    for diagnostic in all {
        if !cluster.is_empty() && diagnostic.span.start >= end {
            close(file, starts, std::mem::take(&mut cluster), end, &mut out);
            end = 0;
        }
        end = end.max(damage(text, starts, diagnostic.span));
        cluster.push(diagnostic);
    }
    if !cluster.is_empty() {
        close(file, starts, cluster, end, &mut out);
    }
    out
}

/// Where the statement ends that a mistake stands in: at the first one that starts on a later line.
fn damage(text: &str, starts: &[Start], span: Span) -> u32 {
    let behind = text.get(span.end as usize..).unwrap_or_default();
    let Some(line) = behind.find('\n').and_then(|at| u32::try_from(at).ok()) else { return u32::MAX };
    let line_end = span.end.saturating_add(line);
    starts.get(starts.partition_point(|s| s.at <= line_end)).map_or(u32::MAX, |s| s.at)
}

fn close(file: FileId, starts: &[Start], cluster: Vec<Diagnostic>, end: u32, out: &mut Settled) {
    let Some(first) = cluster.first().map(|d| d.span.start) else { return };
    let explains = cluster.iter().find(|d| EXPLAINS.contains(&d.code));
    let Some(best) = explains.or(cluster.first()).map(|d| d.code) else { return };
    let before = starts.partition_point(|s| s.at <= first).checked_sub(1).and_then(|at| starts.get(at));
    let start = before.map_or(first, |s| s.at);
    out.heads |= before.is_none_or(|s| s.item) && (cluster.len() > 1 || !HEAD_READ.contains(&best));
    out.damaged.push(Span { file, start, end });
    let several = CHARACTERS.contains(&best);
    let mut told = 0;
    for diagnostic in cluster {
        if diagnostic.code == best && (told == 0 || (several && !diagnostic.fixes.is_empty())) {
            told += 1;
            out.diagnostics.push(diagnostic);
        }
    }
}
