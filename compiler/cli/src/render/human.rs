//! Diagnostics with the source line and a caret, for people.
//!
//! Only the lines that matter are handed to the drawing library: a list of a million lines costs no more
//! than a file of ten. Invalid UTF-8 is shown as replacement characters. A span of more than
//! [`MAX_LINES`] lines is cut to its first; lines longer than [`MAX_BYTES`] are named, not shown.

use super::Places;
use crate::console::clean;
use annotate_snippets::{Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use edict_compiler::diag::{Diagnostic, Severity};
use edict_compiler::span::Span;
use std::io::{self, Write};
use std::ops::Range;

/// The most lines of one excerpt.
const MAX_LINES: usize = 40;
/// The most bytes of one excerpt.
const MAX_BYTES: usize = 16 << 10;

/// Each diagnostic, with an empty line behind it.
pub fn render(out: &mut dyn Write, places: &Places<'_>, all: &[Diagnostic], styled: bool) -> io::Result<()> {
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    for d in all {
        writeln!(out, "{}\n", one(places, d, &renderer))?;
    }
    Ok(())
}

fn one(places: &Places<'_>, d: &Diagnostic, renderer: &Renderer) -> String {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group = Group::with_title(level.primary_title(d.message.as_str()).id(d.code));
    for excerpt in excerpts(places, d) {
        group = group.element(excerpt.element(places));
    }
    if !d.example.is_empty() {
        group = group.element(Level::NOTE.message(clean(&example(&d.example)).into_owned()));
    }
    if let Some(help) = &d.help {
        group = group.element(Level::HELP.message(clean(help).into_owned()));
    }
    renderer.render(&[group])
}

fn example(lines: &[String]) -> String {
    let mut text = "this mail shows it".to_owned();
    for line in lines {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text
}

/// Some lines of a file, with marks in them.
struct Excerpt<'d> {
    marks: Vec<(Span, &'d str, AnnotationKind)>,
    /// Number of the first line, from 0.
    first: usize,
    /// Number of the last line.
    last: usize,
    /// Their bytes.
    bytes: Range<usize>,
}

/// One excerpt for the place itself and what stands near it, and one for each other place.
fn excerpts<'d>(places: &Places<'_>, d: &'d Diagnostic) -> Vec<Excerpt<'d>> {
    let mut out: Vec<Excerpt<'d>> = Vec::new();
    let primary = std::iter::once((d.span, d.label.as_str(), AnnotationKind::Primary));
    let others = d.labels.iter().map(|(span, label)| (*span, label.as_str(), AnnotationKind::Context));
    for (mut span, label, kind) in primary.chain(others) {
        let (first, head) = places.line(span.file, span.start);
        let (mut last, mut tail) = places.line(span.file, span.end.saturating_sub(1).max(span.start));
        if last - first >= MAX_LINES {
            span.end = u32::try_from(head.end).unwrap_or(u32::MAX).max(span.start);
            (last, tail) = (first, head.clone());
        }
        let near = out.iter_mut().find(|e| {
            let (low, high) = (e.first.min(first), e.last.max(last));
            e.marks.first().is_some_and(|(s, ..)| s.file == span.file) && high - low < MAX_LINES
        });
        match near {
            Some(excerpt) => {
                (excerpt.first, excerpt.last) = (excerpt.first.min(first), excerpt.last.max(last));
                excerpt.bytes = excerpt.bytes.start.min(head.start)..excerpt.bytes.end.max(tail.end);
                excerpt.marks.push((span, label, kind));
            }
            None => {
                out.push(Excerpt {
                    marks: vec![(span, label, kind)],
                    first,
                    last,
                    bytes: head.start..tail.end,
                });
            }
        }
    }
    out
}

impl<'d> Excerpt<'d> {
    fn element(&self, places: &Places<'_>) -> Element<'d> {
        let Some((head, ..)) = self.marks.first() else {
            return Element::Padding(annotate_snippets::Padding);
        };
        let path = places.shown(head.file);
        let start = self.bytes.start;
        let bytes = places.bytes(head.file).get(self.bytes.clone()).unwrap_or_default();
        if bytes.len() > MAX_BYTES {
            let place = places.region(*head).start;
            return Origin::path(path).line(place.line as usize).char_column(place.column as usize).into();
        }
        let text = Lossy::new(bytes);
        let marks = self.marks.iter().map(|(span, label, kind)| {
            let range =
                (span.start as usize).saturating_sub(start)..(span.end as usize).saturating_sub(start);
            let mark: Annotation<'d> = kind.span(text.range(range));
            if label.is_empty() { mark } else { mark.label(*label) }
        });
        let marks: Vec<Annotation<'d>> = marks.collect();
        Snippet::source(text.text).line_start(self.first + 1).path(path).annotations(marks).into()
    }
}

/// Text with invalid UTF-8 replaced, and offsets into it.
struct Lossy {
    text: String,
    /// Where each stretch begins: in the bytes, in the text.
    stretches: Vec<(usize, usize)>,
}

impl Lossy {
    fn new(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len());
        let mut stretches = vec![(0, 0)];
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            at += chunk.valid().len();
            for _ in chunk.invalid() {
                stretches.push((at, text.len()));
                text.push('\u{fffd}');
                at += 1;
                stretches.push((at, text.len()));
            }
        }
        Self { text, stretches }
    }

    fn range(&self, bytes: Range<usize>) -> Range<usize> {
        let start = self.offset(bytes.start);
        let end = self.offset(bytes.end.max(bytes.start));
        start..end.max(start)
    }

    /// An offset in the text, on a character boundary and within it.
    fn offset(&self, at: usize) -> usize {
        let place = self.stretches.partition_point(|(from, _)| *from <= at).saturating_sub(1);
        let (from, to) = self.stretches.get(place).copied().unwrap_or((0, 0));
        let mut offset = (to + (at - from)).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}
