//! Texts that mean something else than they say: signs of other pattern languages, beginnings and ends where the whole is
//! asked, a second code in a reply.

use crate::diag::Diagnostic;
use crate::model::{Op, RuleDef, Set, Test};
use edict_table::fact::{Fact, Type};
use edict_table::model::{Action, Reply};

/// Looks at the texts of one rule.
pub(super) fn check(rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    rule.condition.visit(&mut |test, _| {
        let found = foreign_glob(test).or_else(|| starred(test)).or_else(|| partial(test));
        diagnostics.extend(found);
    });
    let reply = match &rule.action {
        Action::Verdict(verdict) => verdict.reply.as_ref(),
        Action::Limit(limit) => limit.reply.as_ref(),
        Action::Quota(quota) => Some(&quota.reply),
        _ => None,
    };
    if let Some(reply) = reply {
        diagnostics.extend(coded(rule, reply));
    }
}

/// `*.{exe,scr}`, `[a-z]*`: signs of other globs, which stand for themselves here.
fn foreign_glob(test: &Test) -> Option<Diagnostic> {
    let Op::Glob(glob) = &test.op else { return None };
    let fact = test.written();
    let diagnostic = |sign: &str| {
        let text = format!("`{sign}` stands for itself in this glob");
        Diagnostic::warning("W0212", text, test.span).label("globs know `*`, `?` and `\\`")
    };
    if let Some((before, inner, after)) = between(glob, '{', '}')
        && inner.contains(',')
    {
        let each: Vec<String> =
            inner.split(',').map(|part| format!("{fact} matches \"{before}{part}{after}\"")).collect();
        return Some(diagnostic("{…}").help(format!("write `{}`", each.join(" or "))));
    }
    let (_, inner, _) = between(glob, '[', ']')?;
    // `[SPAM]` is a text that people look for; a range or a choice of signs is none.
    let range = inner.as_bytes().windows(3).any(
        |w| matches!(w, [a, b'-', b] if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() && a <= b),
    );
    let short = inner.starts_with(['!', '^']) || (range && inner.len() <= 12 && !inner.contains(' '));
    short.then(|| {
        let regex = regex(glob);
        diagnostic("[…]").help(format!(
            "write `{fact} matches /{regex}/`; a bracket that is meant as it is goes into `contains`"
        ))
    })
}

/// A glob with brackets as a regex; what any text may stand before or behind needs no anchor there.
fn regex(glob: &str) -> String {
    let (start, rest) = match glob.strip_prefix('*') {
        Some(rest) => ("", rest),
        None => ("^", glob),
    };
    let (rest, end) = match rest.strip_suffix('*') {
        Some(rest) => (rest, ""),
        None => (rest, "$"),
    };
    let mut out = start.to_owned();
    let mut inside = false;
    for c in rest.chars() {
        match c {
            '[' | ']' => {
                inside = c == '[';
                out.push(c);
            }
            c if inside => out.push(if c == '!' { '^' } else { c }),
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '/' => out.push_str("\\/"),
            c if ".+^$(){}|".contains(c) => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out + end
}

/// What stands before, between and after the first pair of brackets that no backslash stands before.
fn between(text: &str, open: char, close: char) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(open)?;
    let (inner, after) = rest.split_once(close)?;
    (!before.ends_with('\\')).then_some((before, inner, after))
}

/// `contains "*spam*"`: a star is a star there.
fn starred(test: &Test) -> Option<Diagnostic> {
    let (word, values): (&str, Vec<&String>) = match &test.op {
        Op::Contains(values) => ("contains", values.iter().collect()),
        Op::StartsWith(values) => ("starts with", values.iter().collect()),
        Op::EndsWith(values) => ("ends with", values.iter().collect()),
        Op::In(Set::Values(_, values)) if test.fact.row().ty == Type::Text => ("is", values.iter().collect()),
        _ => return None,
    };
    let plain = |text: &str| text.trim_matches('*').to_owned();
    let found = values.into_iter().find(|value| {
        let inner = plain(value);
        inner.len() < value.len() && !inner.trim().is_empty() && !value.contains("**")
    })?;
    let (fact, inner) = (test.written(), plain(found));
    let help = match word {
        "is" => format!("write `{fact} matches \"{found}\"`"),
        // Emphasis in a subject looks the same: it is what the text then says.
        _ => format!("write `{fact} {word} \"{inner}\"`, or `{fact} matches \"{found}\"` for a pattern"),
    };
    Some(
        Diagnostic::warning("W0214", format!("the `*` in `{found}` is looked for as it is"), test.span)
            .label(format!("`{word}` knows no wildcards"))
            .help(help),
    )
}

/// `attachment.name is ".exe"`, `attachment.type is "exe"`: no attachment is called so, and no type is.
fn partial(test: &Test) -> Option<Diagnostic> {
    let Op::In(Set::Values(_, values)) = &test.op else { return None };
    let warning = |text: String| Diagnostic::warning("W0213", text, test.span);
    match test.fact {
        Fact::AttachmentName => {
            let found = values.iter().find(|value| {
                let rest = value.strip_prefix('.').unwrap_or_default();
                (2..=5).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
            })?;
            Some(
                warning(format!("hardly any attachment has the whole name `{found}`"))
                    .label("`is` and `in` ask for the whole name")
                    .help(format!("write `attachment.name ends with \"{found}\"`")),
            )
        }
        Fact::AttachmentType => {
            let found = values.iter().find(|value| !value.contains('/'))?;
            let name = found.trim_start_matches('.');
            Some(
                warning(format!("no attachment has the type `{found}`"))
                    .label("a type is written `application/pdf` (RFC 2046)")
                    .help(format!("write the whole type, or `attachment.name ends with \".{name}\"`")),
            )
        }
        _ => None,
    }
}

/// A reply whose text begins with codes again, or names another reply's.
fn coded(rule: &RuleDef, reply: &Reply) -> Option<Diagnostic> {
    let span = rule.clauses.get("reply").copied()?;
    let basic = |word: &str| {
        word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|b| b.is_ascii_digit())
    };
    let enhanced = |word: &str| {
        let parts: Vec<&str> = word.split('.').collect();
        parts.len() == 3
            && matches!(parts.first(), Some(&("2" | "4" | "5")))
            && parts.iter().all(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    let words: Vec<&str> = reply.text.split_whitespace().collect();
    let first = words.first().copied().unwrap_or_default();
    let begins = basic(first) || enhanced(first);
    let inside = words.windows(2).any(|two| matches!(two, [a, b] if basic(a) && enhanced(b)));
    if !begins && !inside {
        return None;
    }
    let rest: Vec<&str> = words.iter().copied().filter(|word| !basic(word) && !enhanced(word)).collect();
    let line = Reply { text: rest.join(" "), ..reply.clone() };
    let (code, (class, subject, detail)) = (line.code, line.enhanced);
    Some(
        Diagnostic::warning(
            "W0215",
            format!("the text of the reply of `{}` holds a code of its own", rule.name),
            span,
        )
        .label(format!("the client is told `{}`", reply.line()))
        .help(format!(
            "the codes stand in front of the text: `reply {code} {class}.{subject}.{detail} \"{}\"`",
            line.text
        )),
    )
}
