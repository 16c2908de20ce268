//! Comma-separated values with a header line, which says what they are.
//!
//! `alias,member` (one row a member; further members in further rows) or `sender,action`,
//! `recipient,action`, `client,action`, `helo,action`, each with an optional column `reply`, or
//! `list,entry` for plain lists. Actions are the verbs of rules, `dunno`, or what access(5) has.

use super::action::is_word;
use super::aliases::{self, Aliases, Name};
use super::lines::{Line, split_list};
use super::write::{bracketed, name};
use super::{Of, Report, Wish, access, keys};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Imports a table.
pub fn csv(wish: &Wish, text: &str, report: &mut Report) -> Result<String, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let header: Vec<String> =
        reader.headers().map_err(|e| e.to_string())?.iter().map(str::to_ascii_lowercase).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| e.to_string())?;
        let line = record.position().map_or(0, |p| u32::try_from(p.line()).unwrap_or(u32::MAX));
        rows.push((line, record.iter().map(str::to_owned).collect::<Vec<String>>()));
    }
    let words: Vec<&str> = header.iter().map(String::as_str).collect();
    let of = match words.as_slice() {
        ["alias", "member" | "members"] => return Ok(alias_rows(wish, &rows, report)),
        ["list", "entry"] => return Ok(list_rows(&rows, report)),
        ["sender", "action"] | ["sender", "action", "reply"] => Of::Sender,
        ["recipient", "action"] | ["recipient", "action", "reply"] => Of::Recipient,
        ["client", "action"] | ["client", "action", "reply"] => Of::Client,
        ["helo", "action"] | ["helo", "action", "reply"] => Of::Helo,
        _ => {
            return Err(
                "the first line must be `alias,member`, `list,entry`, or `sender,action` (also recipient, client, helo) with an optional `,reply`"
                    .to_owned(),
            );
        }
    };
    // `.domain` is written out, as in the language.
    let wish = Wish { of: Some(of), dotted: true, ..wish.clone() };
    let mut table = access::Table::new(&wish, of);
    for (line, row) in rows {
        let text = row.join(",");
        let [key, action, rest @ ..] = row.as_slice() else {
            report.refused(line, &text, "there is no action");
            continue;
        };
        let flat = |text: &str| text.replace(['\n', '\r'], " ");
        let reply = rest.iter().map(|part| flat(part)).collect::<Vec<_>>().join(", ");
        let value = action_of(&flat(action), reply.trim());
        let value = value.as_deref().map_err(Clone::clone);
        let key = keys::plain(&wish, of, key);
        table.take(access::Row { line, text: &text, key, value }, report);
    }
    Ok(table.finish(report))
}

/// The action as access(5) has it: a reply may begin with its code.
fn action_of(action: &str, reply: &str) -> Result<String, String> {
    let (code, text) = reply.split_once(' ').unwrap_or((reply, ""));
    let has_code = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    let class = match action.to_ascii_lowercase().as_str() {
        "allow" => return Ok("OK".to_owned()),
        "reject" => '5',
        "defer" => '4',
        word if !is_word(word) => {
            return Err(format!(
                "`{action}` is no action; a table takes `allow`, `reject`, `defer`, `hold`, `discard`, `dunno`, and those of access(5)"
            ));
        }
        _ => return Ok(format!("{action} {reply}").trim().to_owned()),
    };
    match has_code {
        // A number alone lets mail through in access(5); here the word before it says what is meant.
        true if code.starts_with(class) && text.trim().is_empty() => Ok(format!("{code} Access denied")),
        true if code.starts_with(class) => Ok(format!("{code} {text}").trim().to_owned()),
        true => Err(format!(
            "the code of a {} begins with {class}, and this one is {code}",
            action.to_lowercase()
        )),
        false => Ok(format!("{action} {reply}").trim().to_owned()),
    }
}

/// Rows of aliases. Circles are refused, with every row of the aliases in them.
fn alias_rows(wish: &Wish, rows: &[(u32, Vec<String>)], report: &mut Report) -> String {
    let mut out = Aliases::default();
    let mut own: Vec<Vec<(u32, String)>> = Vec::new();
    for (line, row) in rows {
        let text = row.join(",");
        let [key, list] = row.as_slice() else {
            report.refused(*line, &text, "a row has an alias and a member");
            continue;
        };
        let read = aliases::key(wish, key).and_then(|key| {
            let parts = split_list(list, true);
            let parts = parts.iter().flat_map(|p| p.split(';')).filter(|p| !p.is_empty());
            let all: Result<Vec<Name>, String> = parts.map(|p| aliases::member(wish, p)).collect();
            Ok((key, all?))
        });
        match read {
            Ok((_, all)) if all.is_empty() => report.refused(*line, &text, "there is no member"),
            Ok((key, all)) => {
                let line = Line { number: *line, text };
                let place = out.join(key, all, &line);
                own.resize_with(out.all.len(), Vec::new);
                if let Some(rows) = own.get_mut(place) {
                    rows.push((line.number, line.text));
                }
            }
            Err(why) => report.refused(*line, &text, &why),
        }
    }
    out.break_circles("");
    out.name_gaps();
    for (alias, rows) in out.all.iter().zip(own) {
        for (line, text) in rows {
            match &alias.refused {
                Some(why) => report.refused(line, &text, why),
                None => report.done(line, &text, &alias.notes),
            }
        }
    }
    out.rules()
}

fn list_rows(rows: &[(u32, Vec<String>)], report: &mut Report) -> String {
    let mut lists: BTreeMap<String, (&'static str, Vec<String>)> = BTreeMap::new();
    for (line, row) in rows {
        let text = row.join(",");
        let [list, entry] = row.as_slice() else {
            report.refused(*line, &text, "a row has a list and an entry");
            continue;
        };
        let ty = if edict_table::value::parse_network(entry).is_ok() {
            "network"
        } else if entry.contains('@') {
            "address"
        } else {
            "domain"
        };
        if ty != "network"
            && let Err(error) = edict_table::value::Pattern::parse(entry)
        {
            report.refused(*line, &text, &error.to_string());
            continue;
        }
        let (have, entries) = lists.entry(name(list)).or_insert_with(|| (ty, Vec::new()));
        // A list of addresses holds domains as `@domain`.
        let (entry, fits) = match (*have, ty) {
            (a, b) if a == b => (entry.clone(), true),
            ("address", "domain") => (format!("@{entry}"), true),
            _ => (String::new(), false),
        };
        if !fits {
            report.refused(*line, &text, &format!("the list holds {have} entries, this is {ty}"));
            continue;
        }
        entries.push(entry);
        report.taken(*line, &text);
    }
    let mut out = String::new();
    for (list, (ty, entries)) in lists {
        let head = format!("list {list}: {ty} = ");
        let _ = writeln!(out, "\n{head}{}", bracketed(&entries, head.chars().count(), 0));
    }
    out
}
