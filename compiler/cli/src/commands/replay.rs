//! `edict replay`: recorded mail through a table, or only what changes against another.

use crate::args::{ReplayArgs, ResultFormat};
use crate::console::{Console, Failure, clean};
use crate::explained::Shown;
use crate::flow;
use crate::recorded::{self, Before, Found, Missing, Recorded};
use crate::replayed::Told;
use crate::table;
use edict_table::load::Loaded;
use edict_table::model::Table;
use serde_json::{Value, json};
use std::sync::Arc;

/// More of what could not be replayed is counted only.
const MOST_NAMED: usize = 20;

/// A table, loaded and read back.
struct Opened {
    loaded: Arc<Loaded>,
    model: Table,
}

impl Opened {
    fn new(loaded: Loaded) -> Self {
        Self { model: loaded.to_table(), loaded: Arc::new(loaded) }
    }

    fn told(&self, recorded: &Recorded) -> Result<Told, String> {
        let (happening, known) =
            flow::happen(&self.loaded, &recorded.mail).map_err(|e| format!("{}: {e}", recorded.place))?;
        let shown = Shown { table: &self.loaded, model: &self.model, all: false };
        Ok(Told::new(&shown, &happening, &known))
    }
}

/// What was seen.
#[derive(Default)]
struct Counts {
    mails: u64,
    /// Of which there is something to compare with.
    compared: u64,
    changed: u64,
    early: u64,
    unfit: usize,
}

/// Replays everything.
pub fn run(args: &ReplayArgs, console: &mut Console) -> Result<bool, Failure> {
    let Some(new) = table::open(&args.table, console)?.map(Opened::new) else { return Ok(false) };
    let old = match &args.against {
        None => None,
        Some(path) => match table::open(path, console)?.map(Opened::new) {
            None => return Ok(false),
            old => old,
        },
    };
    let missing = Missing { recipients: args.recipient.clone() };
    let mut counts = Counts::default();
    for path in &args.mail {
        for found in recorded::open(path, &missing)? {
            match found {
                Found::Mail(recorded) => match one(args, &new, old.as_ref(), &recorded, console)? {
                    Ok(changed) => {
                        counts.mails += 1;
                        counts.compared += u64::from(old.is_some() || recorded.before.is_some());
                        counts.changed += u64::from(changed);
                    }
                    Err(why) => unfit(&mut counts, &why, console),
                },
                Found::Early => counts.early += 1,
                Found::Unfit(why) => unfit(&mut counts, &why, console),
            }
        }
    }
    console.remark(&summary(&counts, old.is_some()));
    if counts.unfit > 0 && counts.mails == 0 {
        return Err(Failure::Use("nothing could be replayed".to_owned()));
    }
    Ok(old.is_none() || counts.changed == 0)
}

fn unfit(counts: &mut Counts, why: &str, console: &mut Console) {
    counts.unfit += 1;
    if counts.unfit <= MOST_NAMED {
        console.remark(&format!("not replayed: {why}"));
    }
}

fn summary(counts: &Counts, against: bool) -> String {
    let mut line = format!("{} {}", counts.mails, if counts.mails == 1 { "mail" } else { "mails" });
    if counts.compared > 0 {
        let than = if against { "by the old table" } else { "was recorded" };
        line += &format!(", {} treated differently than {than}", counts.changed);
    }
    if counts.early > 0 {
        line += &format!(", {} refused before there was a recipient", counts.early);
    }
    if counts.unfit > 0 {
        line += &format!(", {} not replayed", counts.unfit);
    }
    line
}

/// Replays a mail. Whether it is treated differently, or why it cannot be looked at.
fn one(
    args: &ReplayArgs,
    new: &Opened,
    old: Option<&Opened>,
    recorded: &Recorded,
    console: &mut Console,
) -> Result<Result<bool, String>, Failure> {
    let both = new.told(recorded).and_then(|now| Ok((now, old.map(|old| old.told(recorded)).transpose()?)));
    let (now, was) = match both {
        Ok(both) => both,
        Err(why) => return Ok(Err(why)),
    };
    let changed = match (&was, &recorded.before) {
        (Some(was), _) => !was.is_like(&now),
        (None, Some(before)) => before.verdicts != now.verdicts,
        (None, None) => false,
    };
    if was.is_some() && !changed {
        return Ok(Ok(false));
    }
    match args.format {
        ResultFormat::Json => {
            let line = json!({
                "mail": recorded.place,
                "time": recorded.mail.time,
                "sender": recorded.mail.sender,
                "recorded": recorded.before.as_ref().map(before_json),
                "changed": changed,
                "before": was.map(|was| was.json),
                "now": now.json,
            });
            writeln!(console.out(), "{line}")?;
        }
        ResultFormat::Human => {
            let text = human(recorded, &now, was.as_ref(), changed);
            console.out().write_all(clean(&text).as_bytes())?;
        }
    }
    Ok(Ok(changed))
}

fn before_json(before: &Before) -> Value {
    let rule = before.rule.as_ref();
    let rule = rule.map(|(name, file, line)| json!({ "name": name, "file": file, "line": line }));
    json!({ "verdicts": before.verdicts, "rule": rule })
}

/// The mail, and a line for each recipient; of two tables, what is gone with `-` and what is new with `+`.
fn human(recorded: &Recorded, now: &Told, was: Option<&Told>, changed: bool) -> String {
    let mut out = format!("{} <{}>\n", recorded.place, recorded.mail.sender);
    match was {
        Some(was) => {
            let gone = was.lines.iter().filter(|line| !now.lines.contains(line)).map(|line| ("-", line));
            let come = now.lines.iter().filter(|line| !was.lines.contains(line)).map(|line| ("+", line));
            gone.chain(come).for_each(|(sign, line)| out += &format!("  {sign} {line}\n"));
        }
        None => now.lines.iter().for_each(|line| out += &format!("    {line}\n")),
    }
    if let (true, None, Some(before)) = (changed, was, &recorded.before) {
        let by = before.rule.as_ref().map(|(name, file, line)| format!(", by \"{name}\" ({file}:{line})"));
        out += &format!("    recorded: {}{}\n", before.verdicts.join(", "), by.unwrap_or_default());
    }
    out
}
