//! access(5) as `hash:` and other indexed tables have it: the most specific key wins.
//!
//! An entry that rules cannot say is an exception to the broader ones all the same: they spare it, so that a table
//! that was taken in part never decides about more mail than it did.

use super::action::{self, Outcome};
use super::extensions;
use super::keys::{self, Key, NULL, above, covers};
use super::lines::{key_value, logical};
use super::rank::{Entry, rank};
use super::write::{Values, VerdictRule, Writer, address};
use super::{Of, Report, Wish};
use edict_table::model::Verb;
use edict_table::value::parse_network;
use std::collections::{BTreeMap, BTreeSet};

/// Why a line is left out.
pub const SECOND: &str = "a second entry for this key; the first one counts";
/// What an `unless` stands for, in reports.
pub const SPARED: &str = "; the other rules spare it";
/// What becomes of an OK for what any client can claim.
pub const CLAIMED: &str = "the other rules spare it; past rules of other files it goes only where `spf is pass`, since \
                           any client can write this sender";
/// The same where nothing proves the claim.
pub const CLAIMED_HELO: &str =
    "the other rules of this map spare it; that is all, since any client can say this name";

/// One entry, before it is understood.
pub struct Row<'a> {
    /// Where it stands.
    pub line: u32,
    /// As the report shows it.
    pub text: &'a str,
    /// What stands before the action.
    pub key: Result<Key, String>,
    /// The action, or why it is none.
    pub value: Result<&'a str, String>,
}

/// Imports a table.
pub fn access(wish: &Wish, text: &str, report: &mut Report) -> Result<String, String> {
    let of = wish.of.ok_or("say what the keys are: `--of client`, `sender`, `recipient` or `helo`")?;
    let mut table = Table::new(wish, of);
    for line in logical(text) {
        match key_value(&line.text) {
            Some((key, value)) => {
                let key = keys::postfix(wish, of, &key);
                table.take(Row { line: line.number, text: &line.text, key, value: Ok(value) }, report);
            }
            None => report.refused(line.number, &line.text, "there is no action; Postfix ignores this line"),
        }
    }
    Ok(table.finish(report))
}

/// Entries on their way into rules.
pub struct Table<'a> {
    wish: &'a Wish,
    of: Of,
    seen: BTreeMap<String, u32>,
    entries: Vec<Entry>,
}

impl<'a> Table<'a> {
    /// An empty one.
    pub fn new(wish: &'a Wish, of: Of) -> Self {
        Self { wish, of, seen: BTreeMap::new(), entries: Vec::new() }
    }

    /// Takes an entry, and reports on it.
    pub fn take(&mut self, row: Row<'_>, report: &mut Report) {
        let key = match row.key {
            Ok(key) => key,
            Err(why) => return report.refused(row.line, row.text, &why),
        };
        if self.seen.contains_key(&key.text) {
            return report.refused(row.line, row.text, SECOND);
        }
        self.seen.insert(key.text.clone(), row.line);
        let mut notes = Vec::new();
        let outcome = match row.value.and_then(|value| action::parse(value, &mut notes)) {
            Ok(outcome) => {
                if !key.note.is_empty() {
                    notes.push(key.note.to_owned());
                }
                notes.extend(changed(self.of, &key.text, &outcome));
                report.done(row.line, row.text, &notes);
                outcome
            }
            Err(why) => {
                report.refused(row.line, row.text, &format!("{why}{SPARED}"));
                Outcome::Dunno
            }
        };
        let Key { text, class, depth, .. } = key;
        self.entries.push(Entry { key: text, outcome, class, depth, rank: 0 });
    }

    /// The rules.
    pub fn finish(self, report: &mut Report) -> String {
        extensions::tell(self.wish, &self.seen, self.of == Of::Sender, report);
        rules(self.wish, self.of, self.entries)
    }
}

/// What an entry means in Edict beside what it says.
fn changed(of: Of, key: &str, outcome: &Outcome) -> Option<String> {
    match (of, outcome) {
        (Of::Sender, Outcome::Verdict(action::Word(Verb::Allow), _)) => Some(CLAIMED.to_owned()),
        (Of::Helo, Outcome::Verdict(action::Word(Verb::Allow), _)) => Some(CLAIMED_HELO.to_owned()),
        (Of::Client, _) if spares_our_own(key, outcome) => {
            Some("`unless submitted`: mail programs of our own users have no name either".to_owned())
        }
        _ => None,
    }
}

/// A refusal of clients without a name, which mail programs are.
fn spares_our_own(key: &str, outcome: &Outcome) -> bool {
    key == NULL && matches!(outcome, Outcome::Verdict(word, _) if !matches!(word.0, Verb::Allow | Verb::Hold))
}

/// Whether an OK is only what a client claims.
pub fn claimed(of: Of, outcome: &Outcome) -> bool {
    matches!(of, Of::Sender | Of::Helo)
        && matches!(outcome, Outcome::Verdict(word, _) if word.0 == Verb::Allow)
}

/// Ranks entries and writes them as rules.
pub fn rules(wish: &Wish, of: Of, mut entries: Vec<Entry>) -> String {
    rank(&mut entries, |key| above(wish.dotted, key));
    write(wish, of, &entries)
}

/// The values that a key stands for, as a list holds them.
fn values_of(wish: &Wish, of: Of, key: &str) -> Vec<String> {
    let at = if matches!(of, Of::Sender | Of::Recipient) { "@" } else { "" };
    if let Ok(net) = parse_network(key) {
        let host = net.prefix_len() == net.max_prefix_len();
        return vec![if host { net.addr().to_string() } else { key.to_owned() }];
    }
    if key.contains('@') {
        return vec![address(key)];
    }
    match key.strip_prefix('.') {
        Some(domain) => vec![format!("{at}.{domain}")],
        None if wish.dotted => vec![format!("{at}{key}")],
        None => vec![format!("{at}{key}"), format!("{at}.{key}")],
    }
}

/// Entries of one rank and outcome: names and addresses apart for clients. What another of them covers
/// is left out: had anything between the two decided otherwise, their ranks would differ.
fn gather(wish: &Wish, of: Of, entries: &[&Entry]) -> Vec<Values> {
    let all: BTreeSet<&str> = entries.iter().map(|e| e.key.as_str()).collect();
    let covered = |key: &str| covers(wish.dotted, key).iter().any(|up| all.contains(up.as_str()));
    let fact = |class: u8| match (of, class) {
        (Of::Client, 0) => ("client.name", "domain"),
        (Of::Client, _) => ("client.ip", "network"),
        (Of::Helo, _) => ("helo", "domain"),
        (Of::Sender, _) => ("sender", "address"),
        (Of::Recipient, _) => ("recipient", "address"),
    };
    let mut out: Vec<Values> = Vec::new();
    for entry in entries.iter().filter(|e| !covered(&e.key)) {
        let (fact, ty) = fact(entry.class);
        let place = out.iter().position(|values| values.fact == fact).unwrap_or_else(|| {
            out.push(Values { fact, ty, entries: Vec::new(), absent: false });
            out.len() - 1
        });
        let Some(values) = out.get_mut(place) else { continue };
        if entry.key == NULL {
            values.absent = true;
        } else {
            values.entries.extend(values_of(wish, of, &entry.key));
        }
    }
    for values in &mut out {
        values.entries.sort();
    }
    out
}

fn write(wish: &Wish, of: Of, entries: &[Entry]) -> String {
    let mut writer = Writer::default();
    // Clients without a name have a rule of their own, since it has an exception of its own.
    let apart = |e: &Entry| of == Of::Client && spares_our_own(&e.key, &e.outcome);
    let mut groups: Vec<(u32, &Outcome, bool)> = entries
        .iter()
        .filter(|e| e.outcome != Outcome::Dunno)
        .map(|e| (e.rank, &e.outcome, apart(e)))
        .collect();
    groups.sort();
    groups.dedup();
    for (rank, outcome, alone) in groups {
        let Outcome::Verdict(verb, _) = outcome else { continue };
        let claim = claimed(of, outcome);
        if claim && of == Of::Helo {
            continue;
        }
        let members: Vec<&Entry> =
            entries.iter().filter(|e| e.rank == rank && e.outcome == *outcome && apart(e) == alone).collect();
        let names: BTreeSet<&str> = members.iter().map(|e| e.key.as_str()).collect();
        let last = members.iter().map(|e| e.class).max().unwrap_or(0);
        let spared: Vec<&Entry> = entries
            .iter()
            .filter(|e| e.outcome == Outcome::Dunno || (!claim && claimed(of, &e.outcome)))
            .filter(|e| e.rank <= rank)
            .filter(|e| {
                e.class < last || above(wish.dotted, &e.key).iter().any(|up| names.contains(up.as_str()))
            })
            .collect();
        let mut unless: Vec<String> = gather(wish, of, &spared)
            .iter()
            .map(|values| writer.among(values, &format!("{}-spared", wish.name)))
            .collect();
        if alone {
            unless.push("submitted".to_owned());
        }
        for values in gather(wish, of, &members) {
            let mut when = vec![writer.among(&values, &format!("{}-{}", wish.name, verb.0.name()))];
            if claim {
                when.push("spf is pass".to_owned());
            }
            writer.verdict(&VerdictRule {
                name: &format!("{} {}", wish.name, verb.0.name()),
                priority: wish.priority.saturating_add(rank),
                outcome,
                when: &when,
                unless: &unless,
                watched: None,
            });
        }
    }
    writer.finish()
}
