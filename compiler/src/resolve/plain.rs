//! Texts, numbers and sizes as values, and what other languages call a value that is there or not.

use super::Context;
use super::value::shape;
use crate::ast::{Class, Value};
use crate::diag::Diagnostic;
use edict_table::value::fold_text;

impl Context<'_> {
    /// A text in quotes, folded; where `words` says so, a bare word too.
    pub(super) fn text(&mut self, value: &Value, words: bool) -> Option<String> {
        let fine = match value.class {
            Class::Text => true,
            Class::Word | Class::Number(_) => words,
            _ => false,
        };
        let text = value.text.as_str();
        // Meant for all at a domain, or for a name at all of them: as a text it is nobody's.
        let part = match value.class {
            Class::Text => None,
            _ if text.starts_with('@') => Some("ends"),
            _ if text.ends_with('@') => Some("starts"),
            _ => None,
        };
        if let (true, Some(part)) = (fine, part) {
            self.report(
                Diagnostic::error(
                    "E1114",
                    format!("`{text}` stands for many, and a text is one"),
                    value.span,
                )
                .label("no text is this")
                .help(format!("ask for a part of it in a test of its own: `{part} with \"{text}\"`")),
            );
            return None;
        }
        if !fine {
            if text.len() > 2 && text.starts_with('/') && text.ends_with('/') {
                self.report(
                    Diagnostic::error("E1114", format!("`{text}` is a regex, not a text"), value.span)
                        .label("a text is expected here")
                        .help(format!(
                            "a regex stands behind `matches`, one in each test: `subject matches {text}`"
                        )),
                );
                return None;
            }
            let diagnostic =
                Diagnostic::error("E1114", format!("`{text}` is {}, not a text", shape(value)), value.span)
                    .label("a text is expected here");
            self.report(if is_nothing(text) {
                diagnostic.help(format!(
                    "write `is absent` for what is not there, or the text itself in quotes: `\"{text}\"`"
                ))
            } else if text.starts_with(['!', '~', '^']) {
                // The sign may be a `not` of another language.
                diagnostic.help(format!("put it in quotes: `\"{text}\"`; the opposite is asked with `not`"))
            } else if self.partial {
                // What could not be read may define a list of that name.
                diagnostic.help(format!("put it in quotes: `\"{text}\"`"))
            } else {
                diagnostic.help(format!("put it in quotes: `\"{text}\"`")).fix(
                    "put it in quotes",
                    value.span,
                    format!("\"{text}\""),
                )
            });
            return None;
        }
        Some(fold_text(&value.text).into_owned())
    }

    /// A plain number.
    pub(super) fn count(&mut self, value: &Value) -> Option<u64> {
        if let Class::Number(number) = value.class {
            return Some(number);
        }
        // `1.000` is a thousand to one writer, and one to another.
        let parts: Vec<&str> = value.text.split(['.', '_', '\'']).collect();
        let grouped = value.class == Class::Word
            && parts.len() > 1
            && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        let (what, help) = match value.class {
            Class::Size(_) => (shape(value), "write the number without a unit".to_owned()),
            _ if grouped => {
                ("no whole number in digits alone", format!("write digits alone, as `{}`", parts.concat()))
            }
            _ => (shape(value), "write a number, as `100`".to_owned()),
        };
        let not = if grouped { "" } else { ", not a number" };
        self.report(
            Diagnostic::error("E1115", format!("`{}` is {what}{not}", value.text), value.span)
                .label("a number is expected here")
                .help(help),
        );
        None
    }

    /// A size in bytes.
    pub(super) fn size(&mut self, value: &Value) -> Option<u64> {
        if let Class::Size(bytes) = value.class {
            return Some(bytes);
        }
        let text = value.text.as_str();
        let mut diagnostic =
            Diagnostic::error("E1116", format!("`{text}` is {}, not a size", shape(value)), value.span)
                .label("a size is expected here");
        diagnostic = if matches!(value.class, Class::Number(_)) {
            diagnostic.help(format!("add a unit: `{text} KiB`, `{text} MiB`, or `{text} B` for bytes"))
        } else {
            diagnostic.help("write `50 KiB` or `25 MB`")
        };
        self.report(diagnostic);
        None
    }
}

/// What other languages call a value that is not there.
pub(super) fn is_nothing(word: &str) -> bool {
    ["empty", "null", "none", "nil", "blank", "undefined", "missing", "unset"].contains(&word)
}

/// What they call one that is.
pub(super) fn is_something(word: &str) -> bool {
    ["exists", "existing", "existent", "defined", "nonempty", "non-empty"].contains(&word)
}
