//! Globs and regexes of conditions: whether they can be used, and what to write where they cannot.

use super::Context;
use super::condition::unfit;
use crate::ast::{FactTest, Text, Word};
use crate::diag::Diagnostic;
use crate::model::Op;
use edict_table::fact::{Row, Type};
use edict_table::value::fold_text;

/// The longest regex taken, in bytes.
const MAX_REGEX: usize = 1000;
/// The largest compiled regex taken, in bytes of its NFA.
const MAX_REGEX_SIZE: usize = 1 << 20;
/// The longest glob taken, in bytes.
const MAX_GLOB: usize = 1000;

fn patterned(ctx: &mut Context<'_>, row: &Row, test: &FactTest) -> Option<()> {
    if matches!(row.ty, Type::Text | Type::Address | Type::Domain) {
        return Some(());
    }
    unfit(ctx, row, test, "matches")
}

/// `matches "glob*"`.
pub(super) fn glob(ctx: &mut Context<'_>, row: &Row, text: &Text, test: &FactTest) -> Option<Op> {
    patterned(ctx, row, test)?;
    let glob = fold_text(&text.value).into_owned();
    let (problem, help) = if glob.is_empty() {
        (
            Some("matches the empty text only".to_owned()),
            "write what to match: `*` is any run, `?` one character",
        )
    } else if glob.len() > MAX_GLOB {
        (Some("too long".to_owned()), "use a list of texts and `contains any of`")
    } else if ends_in_escape(&glob) {
        (
            Some(format!(
                "without the quotes this is `{}`, and its last `\\` has nothing behind it",
                text.value
            )),
            "take the `\\` out; a backslash itself is written as four in a glob, two for the quotes and two for the glob: `\"50%\\\\\\\\\"`",
        )
    } else {
        (None, "")
    };
    if let Some(problem) = problem {
        ctx.report(
            Diagnostic::error("E1120", "this glob cannot be used", text.span).label(problem).help(help),
        );
        return None;
    }
    let plain = !glob.contains(['*', '?', '\\']);
    if plain {
        let name = &test.fact.name.value;
        let instead = if row.ty == Type::Text {
            format!(
                "write `{name} is \"{0}\"` for the whole, `{name} contains \"{0}\"` or `\"*{0}*\"` for a part",
                text.value
            )
        } else {
            format!("write `{name} is {0}` for the whole, or `\"*{0}*\"` for a part", text.value)
        };
        ctx.report(
            Diagnostic::warning("W0103", format!("`{}` is a glob without `*` or `?`", text.value), text.span)
                .label("globs match from end to end")
                .help(instead),
        );
    }
    Some(Op::Glob(glob))
}

fn ends_in_escape(glob: &str) -> bool {
    glob.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
}

/// `matches /regex/`.
pub(super) fn regex(ctx: &mut Context<'_>, row: &Row, word: &Word, test: &FactTest) -> Option<Op> {
    patterned(ctx, row, test)?;
    let text = word.value.as_str();
    let problem = if text.is_empty() {
        Some(("an empty regex is found in everything".to_owned(), "write what to look for"))
    } else if text.len() > MAX_REGEX {
        Some((format!("a regex has at most {MAX_REGEX} bytes"), "use a list of texts and `contains any of`"))
    } else {
        regex_problem(text)
    };
    if let Some((problem, help)) = problem {
        ctx.report(
            Diagnostic::error("E1121", "this regex cannot be used", word.span).label(problem).help(help),
        );
        return None;
    }
    Some(Op::Regex(text.to_owned()))
}

/// What is wrong with a regex, and what to do about it.
fn regex_problem(text: &str) -> Option<(String, &'static str)> {
    use regex_automata::nfa::thompson;
    use regex_automata::util::syntax;
    let parsed =
        regex_syntax::ParserBuilder::new().case_insensitive(true).nest_limit(100).build().parse(text);
    if let Err(error) = parsed {
        let kind = match &error {
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            _ => "not understood".to_owned(),
        };
        let help = if kind.contains("look-around") || kind.contains("backreference") {
            "write two tests joined with `and` or `and not`: these regexes run in one pass over the text"
        } else {
            "write `\\` before a character that is meant as it is"
        };
        return Some((kind, help));
    }
    if super::case::is_asked_for(text) {
        return Some((
            "capitals and small letters cannot be told apart".to_owned(),
            "take the `-i` out: text is folded before it is searched, and case never matters",
        ));
    }
    let built = thompson::Compiler::new()
        .syntax(syntax::Config::new().case_insensitive(true))
        .configure(thompson::Config::new().nfa_size_limit(Some(MAX_REGEX_SIZE)))
        .build(text);
    built.err().map(|_| {
        ("too large once its repetitions are written out".to_owned(), "lower the bounds of its repetitions")
    })
}
