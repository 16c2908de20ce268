//! Edict text. `edict fmt` brings it into its layout afterwards.

use super::action::Outcome;
use edict_compiler::data::covers;
use edict_table::value::{Pattern, parse_network};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// More entries than this go to a list of their own.
const INLINE: usize = 4;
/// The widest line.
const WIDTH: usize = 96;

/// A text as rules write it.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A local part as rules write it: in quotes, where it holds more than a word does.
pub fn local(text: &str) -> String {
    let atom = |c: char| c.is_alphanumeric() || "+-_.=&'!$%*?^`|~".contains(c);
    let plain = text.starts_with(char::is_alphanumeric)
        && text.chars().all(atom)
        && !text.split('.').any(str::is_empty);
    if plain { text.to_owned() } else { quoted(text) }
}

/// An address, `@domain`, `local@` as rules write it, out of the form in which values are compared.
pub fn address(key: &str) -> String {
    match key.rsplit_once('@') {
        Some((name, domain)) if !name.is_empty() => format!("{}@{domain}", local(name)),
        _ => key.to_owned(),
    }
}

/// `[a, b]` on one line where it fits, else one entry a line.
pub fn bracketed(entries: &[String], before: usize, indent: usize) -> String {
    let line = format!("[{}]", entries.join(", "));
    if before + line.chars().count() <= WIDTH {
        return line;
    }
    let pad = " ".repeat(indent);
    let mut out = "[\n".to_owned();
    for entry in entries {
        let _ = writeln!(out, "{pad}    {entry},");
    }
    let _ = write!(out, "{pad}]");
    out
}

/// A name for lists and relays out of anything: lower-case letters, digits and hyphens.
pub fn name(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    let out = out.trim_end_matches('-');
    match out.chars().next() {
        Some(c) if c.is_ascii_alphabetic() => out.to_owned(),
        Some(_) => format!("x-{out}"),
        None => "imported".to_owned(),
    }
}

/// Gives names once each.
#[derive(Debug, Default)]
pub struct Names {
    used: BTreeMap<String, u32>,
}

impl Names {
    /// The name, with a number from the second time on.
    pub fn fresh(&mut self, base: &str) -> String {
        let count = self.used.entry(base.to_owned()).or_default();
        *count += 1;
        if *count == 1 { base.to_owned() } else { format!("{base} {count}") }
    }
}

/// A set of values of one fact.
#[derive(Clone, Debug)]
pub struct Values {
    /// `sender`, `client.ip`
    pub fact: &'static str,
    /// The type of a list of them.
    pub ty: &'static str,
    /// As rules write them, sorted.
    pub entries: Vec<String>,
    /// Also where the fact is absent.
    pub absent: bool,
}

/// Writes rules and the lists they use.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    names: Names,
    /// Lists written so far, by what they hold.
    lists: BTreeMap<Vec<String>, String>,
}

impl Writer {
    /// What was written.
    pub fn finish(self) -> String {
        self.out
    }

    /// A name that was not given before.
    pub fn fresh(&mut self, base: &str) -> String {
        self.names.fresh(base)
    }

    /// Anything.
    pub fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A condition on values; a long list gets a name and stands before the rule.
    pub fn among(&mut self, values: &Values, list: &str) -> String {
        let entries = without_covered(&values.entries, values.ty);
        let absent = values.absent.then(|| format!("{} is absent", values.fact));
        let among = match entries.as_slice() {
            [] => None,
            [only] if !only.contains(' ') && is_exact(only, values.ty) => {
                Some(format!("{} is {only}", values.fact))
            }
            few if few.len() <= INLINE => Some(format!("{} in {}", values.fact, bracketed(few, 24, 4))),
            many if self.lists.contains_key(many) => {
                self.lists.get(many).map(|name| format!("{} in {name}", values.fact))
            }
            many => {
                let name = name(&self.fresh(&name(list)));
                let head = format!("\nlist {name}: {} = ", values.ty);
                let body = bracketed(many, head.chars().count(), 0);
                let _ = writeln!(self.out, "{head}{body}");
                self.lists.insert(many.to_vec(), name.clone());
                Some(format!("{} in {name}", values.fact))
            }
        };
        match (among, absent) {
            (Some(a), Some(b)) => format!("{a} or {b}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => String::new(),
        }
    }

    /// A verdict rule. Returns the name that it got.
    pub fn verdict(&mut self, rule: &VerdictRule<'_>) -> String {
        let Outcome::Verdict(verb, reply) = rule.outcome else { return String::new() };
        let name = self.fresh(rule.name);
        let _ = writeln!(self.out, "\n{} {} {{", verb.0.name(), quoted(&name));
        if rule.priority != 100 {
            let _ = writeln!(self.out, "    priority {}", rule.priority);
        }
        clauses(&mut self.out, "when", rule.when);
        clauses(&mut self.out, "unless", rule.unless);
        if let Some(reply) = reply {
            let _ = writeln!(self.out, "    reply {reply}");
        }
        if let Some(why) = rule.watched {
            let _ = writeln!(self.out, "    mode audit\n    note {}", quoted(why));
        }
        self.out.push_str("}\n");
        name
    }
}

/// `when C` and `unless C` lines.
pub fn clauses(out: &mut String, word: &str, conditions: &[String]) {
    for condition in conditions.iter().filter(|c| !c.is_empty()) {
        let _ = writeln!(out, "    {word} {condition}");
    }
}

/// A verdict rule as it is written.
#[derive(Clone, Copy, Debug)]
pub struct VerdictRule<'a> {
    /// Made unique where it must be.
    pub name: &'a str,
    /// 100 is not written.
    pub priority: u32,
    /// What happens.
    pub outcome: &'a Outcome,
    /// All must hold.
    pub when: &'a [String],
    /// None may hold.
    pub unless: &'a [String],
    /// Why it is only watched (`mode audit`), where it is.
    pub watched: Option<&'a str>,
}

/// The entries without those that others cover, which say nothing.
fn without_covered(entries: &[String], ty: &str) -> Vec<String> {
    let key = |entry: &String| match ty {
        "network" => parse_network(entry).map(|net| net.to_string()).ok(),
        "domain" => Some(format!("@{entry}")),
        _ => Pattern::parse(entry).map(|pattern| pattern.key()).ok(),
    };
    let keys: BTreeSet<String> = entries.iter().filter_map(key).collect();
    let covered =
        |entry: &&String| key(entry).is_some_and(|key| covers(&key).iter().any(|up| keys.contains(up)));
    entries.iter().filter(|entry| !covered(entry)).cloned().collect()
}

/// Whether `is` says it as well as `in` with a list.
fn is_exact(entry: &str, ty: &str) -> bool {
    match ty {
        "address" => !entry.starts_with('@') && !entry.ends_with('@'),
        "domain" => !entry.starts_with('.'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts() {
        assert_eq!(name("Access.db v2"), "access-db-v2");
        assert_eq!(name("9x"), "x-9x");
        assert_eq!(name("…"), "imported");
        assert_eq!(quoted("a\"\\\u{1}"), "\"a\\\"\\\\\\u{1}\"");
        let mut names = Names::default();
        assert_eq!([names.fresh("a"), names.fresh("a"), names.fresh("b")], ["a", "a 2", "b"]);
    }
}
