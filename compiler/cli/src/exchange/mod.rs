//! Lists and maps of other mail systems, to Edict and back.
//!
//! Import makes idiomatic rules and says of every line what became of it: taken, changed, or not sayable.
//! Export refuses what a format cannot hold. Neither knows the file system.

mod access;
mod action;
mod aliases;
mod asked;
mod bcc;
mod cidr;
mod circles;
mod export;
mod extensions;
mod headers;
mod keys;
mod lines;
mod ordered;
mod pattern;
mod rank;
mod regex;
mod table;
mod transport;
mod unreached;
mod virtuals;
mod write;

#[cfg(test)]
mod tests;

pub use export::export;

use clap::ValueEnum;
use serde::Serialize;
use std::collections::BTreeMap;

/// The formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// aliases(5)
    Aliases,
    /// Postfix virtual(5)
    Virtual,
    /// Postfix access(5), as `hash:` tables have it
    Access,
    /// Postfix cidr_table(5) of client addresses
    Cidr,
    /// Postfix pcre_table(5) with access(5) actions
    Pcre,
    /// Postfix regexp_table(5) with access(5) actions
    Regexp,
    /// Postfix header_checks(5)
    HeaderChecks,
    /// Postfix sender_bcc_maps
    SenderBccMaps,
    /// Postfix recipient_bcc_maps
    RecipientBccMaps,
    /// Postfix transport(5)
    Transport,
    /// Comma-separated values with a header line
    Csv,
}

/// What the keys of an access table are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Of {
    /// Client names, addresses and networks (check_client_access)
    Client,
    /// Envelope senders (check_sender_access)
    Sender,
    /// Recipients (check_recipient_access)
    Recipient,
    /// HELO names (check_helo_access)
    Helo,
}

impl Of {
    /// The word in names of rules.
    fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Helo => "helo",
        }
    }
}

/// How to import.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The format of the text.
    pub format: Format,
    /// What the keys of an access table are; guessed where absent.
    pub of: Option<Of>,
    /// What names of rules and lists begin with.
    pub name: String,
    /// Stands in for the domain that bare names lack.
    pub domain: Option<String>,
    /// The priority of the first rules.
    pub priority: u32,
    /// Domains match themselves only, `.domain` matches subdomains.
    pub dotted: bool,
}

/// What became of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is in the rules, with its meaning.
    Taken,
    /// It is in the rules; something about it is different.
    Changed,
    /// Edict cannot say it.
    Refused,
}

/// The report on one line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Remark {
    /// From 1; the first where an entry has several.
    pub line: u32,
    /// What became of it.
    pub fate: Fate,
    /// The entry, shortened.
    pub entry: String,
    /// Why, or what is different; empty where taken.
    pub why: String,
}

/// What an import came to.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// A rule file.
    pub text: String,
    /// Line by line, in order.
    pub remarks: Vec<Remark>,
    /// What is to be known of the map as a whole.
    pub notes: Vec<String>,
}

impl Imported {
    /// How many lines have this fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.remarks.iter().filter(|remark| remark.fate == fate).count()
    }
}

/// Imports a text.
///
/// # Errors
/// Says what is wrong with the text or the wish as a whole.
pub fn import(wish: &Wish, text: &str) -> Result<Imported, String> {
    let mut left_out = BTreeMap::new();
    loop {
        let mut report = Report { left_out, ..Report::default() };
        let done = once(wish, text, &mut report)?;
        let dead = unreached::lines(&done.text, &report.made);
        let known = report.left_out.len();
        left_out = report.left_out;
        left_out.extend(dead);
        // Each round leaves out more, so that it ends.
        if left_out.len() == known {
            return Ok(done);
        }
    }
}

fn once(wish: &Wish, text: &str, report: &mut Report) -> Result<Imported, String> {
    let body = match wish.format {
        Format::Aliases => aliases::aliases(wish, text, report),
        Format::Virtual => virtuals::virtuals(wish, text, report),
        Format::Access => access::access(wish, text, report)?,
        Format::Cidr => cidr::cidr(wish, text, report),
        Format::Pcre | Format::Regexp => pattern::access(wish, text, report)?,
        Format::HeaderChecks => pattern::header_checks(wish, text, report),
        Format::SenderBccMaps | Format::RecipientBccMaps => bcc::bcc(wish, text, report),
        Format::Transport => transport::transport(wish, text, report),
        Format::Csv => table::csv(wish, text, report)?,
    };
    let mut remarks = std::mem::take(&mut report.remarks);
    remarks.sort_by_key(|remark| remark.line);
    let text = format!("edict 1\n{body}");
    // What is written here parses; the suite holds it to that.
    let text = edict_compiler::fmt::format(&text).unwrap_or(text);
    Ok(Imported { text, remarks, notes: std::mem::take(&mut report.notes) })
}

/// Gathers remarks.
#[derive(Debug, Default)]
struct Report {
    remarks: Vec<Remark>,
    notes: Vec<String>,
    /// Lines that decide nothing, as an earlier look found out, and why.
    left_out: BTreeMap<u32, String>,
    /// Rules by name, and the lines they come from.
    made: BTreeMap<String, Vec<u32>>,
}

impl Report {
    fn taken(&mut self, line: u32, entry: &str) {
        self.add(line, Fate::Taken, entry, "");
    }

    fn changed(&mut self, line: u32, entry: &str, why: &str) {
        self.add(line, Fate::Changed, entry, why);
    }

    fn refused(&mut self, line: u32, entry: &str, why: &str) {
        self.add(line, Fate::Refused, entry, why);
    }

    /// Taken, or changed where there is something to say.
    fn done(&mut self, line: u32, entry: &str, notes: &[String]) {
        if notes.is_empty() {
            self.taken(line, entry);
        } else {
            self.changed(line, entry, &notes.join("; "));
        }
    }

    /// Says more of a line that was taken.
    fn amend(&mut self, line: u32, why: &str) {
        let taken = |remark: &&mut Remark| remark.line == line && remark.fate != Fate::Refused;
        let Some(remark) = self.remarks.iter_mut().find(taken) else { return };
        remark.fate = Fate::Changed;
        if remark.why.contains(why) {
            return;
        }
        remark.why.push_str(if remark.why.is_empty() { "" } else { "; " });
        remark.why.push_str(why);
    }

    /// Whether a line is known to decide nothing; says so.
    fn leaves_out(&mut self, line: u32, entry: &str) -> bool {
        let Some(why) = self.left_out.get(&line).cloned() else { return false };
        self.refused(line, entry, &why);
        true
    }

    /// A rule comes from these lines.
    fn made(&mut self, rule: String, lines: Vec<u32>) {
        self.made.insert(rule, lines);
    }

    fn add(&mut self, line: u32, fate: Fate, entry: &str, why: &str) {
        let entry: String = entry.chars().take(120).collect();
        self.remarks.push(Remark { line, fate, entry, why: why.to_owned() });
    }
}
