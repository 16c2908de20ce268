//! What becomes of a recorded mail, in a line for each recipient, and whether two tables treat it alike.

use crate::explained::{Shown, copied};
use crate::flow::{Happening, Known};
use serde_json::Value;

/// Names of rules and where they stand: a rule that moved treats nobody differently. Nor do rules on trial.
const NOT_TREATMENT: [&str; 8] = ["rule", "also", "setting", "audit", "tests", "table", "quotas", "notes"];

/// A mail under one table.
#[derive(Debug)]
pub struct Told {
    /// A line for each recipient, and one for each blind copy.
    pub lines: Vec<String>,
    /// `accept`, `hold`, `discard`, `reject` or `defer`, for each recipient.
    pub verdicts: Vec<&'static str>,
    /// Everything, as machines read it.
    pub json: Value,
    treatment: Value,
}

impl Told {
    /// Of a mail that has happened.
    pub fn new(shown: &Shown<'_>, happening: &Happening, known: &Known) -> Self {
        let json = shown.json(happening, known);
        let refused = happening.sent.is_none();
        let verdicts = happening.people.iter().map(|person| {
            // A message that is refused as a whole is refused for those whom no rule minds.
            if refused && !person.decided.is_refused() {
                happening.whole.name()
            } else {
                person.decided.word()
            }
        });
        let mut told = Self {
            lines: lines(shown, happening, known),
            verdicts: verdicts.collect(),
            treatment: Value::Null,
            json,
        };
        told.treatment = treatment(&told.json);
        told
    }

    /// Whether two tables do the same with a mail, whichever of their rules say so.
    pub fn is_like(&self, other: &Self) -> bool {
        self.treatment == other.treatment
    }
}

fn lines(shown: &Shown<'_>, happening: &Happening, known: &Known) -> Vec<String> {
    let mut out = Vec::new();
    for person in &happening.people {
        let Some(who) = known.people.get(person.place) else { continue };
        let decided = &person.decided;
        let mut line = format!("{}: {} at {}", who.wire, decided.word(), decided.stage.name());
        if let Some(reply) = &decided.reply {
            line += &format!(": {reply}");
        }
        line += &format!(", {}", shown.by(decided));
        if happening.sent.is_none() && !decided.is_refused() {
            let reply = happening.reply.as_deref().unwrap_or_default();
            line += &format!("; but the whole is refused: {reply}");
        }
        let reaches = happening.sent.iter().flat_map(|sent| &sent.reaches).filter(|r| r.serves(person.place));
        for reach in reaches {
            line += &format!("; to {} via {}", reach.wire, reach.via);
            if let Some(owner) = &reach.owner {
                line += &format!(" from {owner}");
            }
            for name in &reach.disclaimers {
                line += &format!(" with disclaimer \"{name}\"");
            }
        }
        out.push(line);
    }
    for copy in happening.sent.iter().flat_map(|sent| &sent.copies) {
        out.push(format!("blind copy to {}, by bcc {}", copy.wire, copied(copy)));
    }
    out
}

/// Whether mail is taken, whatever becomes of it.
fn is_taken(fields: &serde_json::Map<String, Value>) -> bool {
    let verdict = fields.get("verdict").and_then(Value::as_str);
    matches!(verdict, Some("accept" | "hold" | "discard"))
}

/// The same without what does not change how mail is treated. When a client hears of a refusal is part of that; at which stage it
/// was known that mail is taken is not: a rule on texts that does not match it moves that to the end.
fn treatment(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !NOT_TREATMENT.contains(&name.as_str()))
            .filter(|(name, _)| *name != "stage" || !is_taken(fields))
            .map(|(name, value)| (name.clone(), treatment(value)))
            .collect(),
        Value::Array(values) => values.iter().map(treatment).collect(),
        other => other.clone(),
    }
}
