//! Braces in disclaimers that are no variables though they look so: `{ sender.name }`, `{sender.name` without its end,
//! `{{sender.name}}` of other template languages. The daemon takes all of them for text and sends them to readers as they stand.
//!
//! Bounds: what stands within `<style>` and `<script>` of an HTML text is not looked at; braces are its own there.

use super::Context;
use crate::data::MAX_TOLD;
use crate::diag::Diagnostic;
use crate::span::Span;
use edict_table::template;

/// A brace of the text, by the offsets of what is told of it.
enum Found {
    /// A variable that is written otherwise: what is written and what is meant.
    Meant(usize, usize, String),
    /// A `{` that begins no name.
    Lone(usize, usize),
    /// `{{name}}`.
    Doubled(usize, usize),
}

/// Tells of braces in a text. `written` is the text as it stands in its file, from `place` on. False where one is an error.
pub(super) fn check(ctx: &mut Context<'_>, written: &str, place: Span, html: bool) -> bool {
    let span = |start: usize, end: usize| {
        let offset = |n: usize| place.start + u32::try_from(n).unwrap_or(0);
        Span { file: place.file, start: offset(start), end: offset(end) }
    };
    let shown = |start: usize, end: usize| written.get(start..end).unwrap_or_default();
    let (mut errors, mut lone, mut doubled) = (0, false, false);
    braces(written, html, |found| {
        match found {
            Found::Meant(start, end, meant) => {
                errors += 1;
                if errors <= MAX_TOLD {
                    let text = format!("`{}` is no variable", shown(start, end));
                    ctx.report(
                        Diagnostic::error("E1320", text, span(start, end))
                            .label("a name alone stands in the braces, without white space")
                            .help(format!("write `{{{meant}}}`; a brace of the text is written `{{{{`")),
                    );
                }
            }
            // Whoever does not know the one rule breaks it often: once is enough for a text.
            Found::Lone(start, end) if !std::mem::replace(&mut lone, true) => ctx.report(
                Diagnostic::warning("W0219", "a `{` in this text begins no variable", span(start, end))
                    .label("goes to readers as it stands")
                    .help("write `{{` where a brace is meant; a variable is a name in braces, as `{sender.name}`"),
            ),
            Found::Doubled(start, end) if !std::mem::replace(&mut doubled, true) => {
                let inner = shown(start + 2, end - 2).trim();
                let out = shown(start + 1, end);
                let text = format!("`{}` goes to readers as `{out}`", shown(start, end));
                let one = if template::is_variable(inner) { inner } else { "sender.name" };
                ctx.report(
                    Diagnostic::warning("W0219", text, span(start, end))
                        .label("`{{` is a brace of the text, `}}` are two")
                        .help(format!(
                            "a variable stands in one pair of braces, as `{{{one}}}`; for braces of the text write `{{{{{inner}}}`"
                        )),
                );
            }
            Found::Lone(..) | Found::Doubled(..) => {}
        }
    });
    errors == 0
}

/// All braces of a text that need a word, in their order.
fn braces(text: &str, html: bool, mut each: impl FnMut(Found)) {
    // Tags are ASCII, and so keep their places.
    let lower = if html { text.to_ascii_lowercase() } else { String::new() };
    let mut at = 0;
    while let Some(open) = text.get(at..).and_then(|rest| rest.find('{')).map(|found| at + found) {
        if let Some(end) = code(&lower, at, open) {
            at = end;
            continue;
        }
        let rest = text.get(open + 1..).unwrap_or_default();
        if let Some(inner) = rest.strip_prefix('{') {
            let length = inner.find(['{', '}', '\n']).unwrap_or(inner.len());
            if inner.get(length..).is_some_and(|tail| tail.starts_with("}}")) {
                each(Found::Doubled(open, open + 2 + length + 2));
            }
            at = open + 2;
            continue;
        }
        let length = rest.find(['{', '}', '\n']).unwrap_or(rest.len());
        let inner = rest.get(..length).unwrap_or_default();
        let closed = rest.get(length..).is_some_and(|tail| tail.starts_with('}'));
        let end = open + 1 + length + usize::from(closed);
        let name = inner.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        // A name in braces is a variable, or told by its name.
        if !(closed && name && !inner.is_empty()) {
            each(match meant(inner) {
                Some((meant, taken)) => {
                    let end = if closed { end } else { open + 1 + taken };
                    Found::Meant(open, end, meant)
                }
                None => Found::Lone(open, if closed && end - open < 60 { end } else { open + 1 }),
            });
        }
        at = open + 1;
    }
}

/// The end of the code that a place stands in: a tag between the last place and it opens one that is not closed before.
fn code(lower: &str, from: usize, place: usize) -> Option<usize> {
    let before = lower.get(from..place)?;
    ["style", "script"].iter().find_map(|tag| {
        let opens = before.rfind(&format!("<{tag}"))?;
        let close = format!("</{tag}");
        if before.get(opens..)?.contains(&close) {
            return None;
        }
        Some(lower.get(place..)?.find(&close).map_or(lower.len(), |found| place + found))
    })
}

/// The variable that is meant with what stands behind a `{`, and how much of it is its name.
fn meant(inner: &str) -> Option<(String, usize)> {
    let white = inner.len() - inner.trim_start().len();
    let words: Vec<&str> = inner.split_whitespace().collect();
    let first = words.first()?;
    let name: String =
        first.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).collect();
    let lower = name.to_ascii_lowercase();
    if template::is_variable(&lower) {
        let attribute = lower.starts_with(template::USER);
        return Some((if attribute { name.clone() } else { lower }, white + name.len()));
    }
    // `{sender name}`
    let [_, second] = words.as_slice() else { return None };
    let both = format!("{lower}.{}", second.trim_end_matches(['.', ',', ';', ':']));
    template::is_variable(&both.to_ascii_lowercase()).then(|| (both, inner.trim_end().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_has_braces_of_its_own() {
        let html = "<STYLE>p {color: red} a {}</STYLE><p>{ x }</p><style>{ y }";
        let places = |html_too: bool| {
            let mut found = Vec::new();
            braces(html, html_too, |one| match one {
                Found::Meant(at, ..) | Found::Lone(at, _) | Found::Doubled(at, _) => found.push(at),
            });
            found
        };
        assert_eq!(places(true), [37]);
        assert_eq!(places(false), [9, 24, 37, 53]);
    }

    #[test]
    fn what_is_meant_is_told_from_prose() {
        assert_eq!(meant(" sender.name "), Some(("sender.name".to_owned(), 12)));
        assert_eq!(meant("Sender.Name now "), Some(("sender.name".to_owned(), 11)));
        assert_eq!(meant("sender name"), Some(("sender.name".to_owned(), 11)));
        assert_eq!(meant("user phone "), Some(("user.phone".to_owned(), 10)));
        assert_eq!(meant("color: red"), None);
        assert_eq!(meant("user"), None);
        assert_eq!(meant(""), None);
    }
}
