//! Texts of disclaimers, with the variables in them.

use super::{Context, braces};
use crate::ast::Text;
use crate::data::MAX_TOLD;
use crate::diag::Diagnostic;
use crate::parse::opposite::Likely as _;
use crate::parse::words::nearest;
use crate::span::{FileId, Span};
use edict_table::template;

/// The largest disclaimer, in bytes.
const MAX_DISCLAIMER: usize = 1 << 20;

/// The text of a disclaimer: what a `"""` block says, or what is in the file of that name.
pub(super) fn body(ctx: &mut Context<'_>, file: FileId, text: &Text, html: bool) -> Option<String> {
    // Where the text stands, for places in it.
    let mut place = text.span;
    let raw = if text.block {
        text.value.clone()
    } else {
        let found = ctx.data_file(file, text)?;
        let whole = ctx.sources.bytes(found);
        let bytes = whole.strip_prefix(b"\xef\xbb\xbf").unwrap_or(whole);
        place = Span { file: found, start: if bytes.len() < whole.len() { 3 } else { 0 }, end: 0 };
        match std::str::from_utf8(bytes) {
            Ok(raw) => raw.to_owned(),
            Err(error) => {
                let line = bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
                ctx.report(
                    Diagnostic::error(
                        "E1318",
                        format!("line {line} of `{}` is not UTF-8", text.value),
                        text.span,
                    )
                    .label("texts are UTF-8")
                    .help("save the file as UTF-8; for messages in another charset it is converted"),
                );
                return None;
            }
        }
    };
    let bare = raw.replace("\r\n", "\n").replace('\r', "\n");
    let clean = bare.trim_end_matches('\n');
    let bad = clean.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    let problem = if clean.trim().is_empty() {
        Some("empty")
    } else if clean.len() > MAX_DISCLAIMER {
        Some("larger than 1 MiB")
    } else if bad.is_some() {
        Some("holds a control character")
    } else {
        None
    };
    if let Some(problem) = problem {
        ctx.report(
            Diagnostic::error("E1319", "this text cannot be added to mail", text.span)
                .label(problem)
                .help("write a text of a few lines; a text of several lines can stand here between `\"\"\"`"),
        );
        return None;
    }
    let written = if text.block { without_escapes(&ctx.sources.text(place)) } else { raw };
    let named = variables(ctx, &written, place);
    if !braces::check(ctx, &written, place, html) {
        return None;
    }
    named?;
    Some(format!("{clean}\n"))
}

/// The same text with blanks in place of its escapes, byte for byte: the braces of `\u{20AC}` name nothing.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.find('\\').map(|at| rest.split_at(at)) {
        out.push_str(before);
        let end = match escape.strip_prefix("\\u{").and_then(|code| code.find('}')) {
            Some(end) => end + 4,
            None if escape.starts_with("\\\\") => 2,
            None => 1,
        };
        out.extend(std::iter::repeat_n(' ', end));
        rest = escape.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Tells of names in braces that are no variables. `written` is the text as it stands in its file, from `place` on.
fn variables(ctx: &mut Context<'_>, written: &str, place: Span) -> Option<()> {
    let unknown = template::unknown(written);
    for (name, at) in unknown.iter().take(MAX_TOLD) {
        let offset = |n: usize| place.start + u32::try_from(n).unwrap_or(0);
        let span = Span { file: place.file, start: offset(*at), end: offset(at + name.len() + 2) };
        let mut diagnostic = Diagnostic::error("E1320", format!("there is no variable `{{{name}}}`"), span);
        diagnostic = match nearest(name, template::VARIABLES.iter().copied()) {
            Some(meant) => diagnostic
                .label("taken for a variable")
                .help(format!("did you mean `{{{meant}}}`? A brace of the text is written `{{{{`"))
                .nearest(name, meant, span, &format!("{{{meant}}}")),
            None => diagnostic.label("taken for a variable").help(format!(
                "there are `{{{}}}` and `{{user.NAME}}`, an attribute from `edictd.ron`; a brace of the text is written `{{{{`",
                template::VARIABLES.join("}`, `{")
            )),
        };
        ctx.report(diagnostic);
    }
    unknown.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_name_no_variables() {
        for (text, want) in [
            ("Price \\u{20AC} 5 {sender}", "Price          5 {sender}"),
            ("a \\\\u{sender} \\\"{x}", "a   u{sender}  \"{x}"),
            ("ü \\u{", "ü  u{"),
            ("\\", " "),
        ] {
            assert_eq!(without_escapes(text), want);
            assert_eq!(without_escapes(text).len(), text.len(), "places stay");
        }
    }
}
