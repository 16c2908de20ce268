//! Lines of which no message ever reaches the rule, as the compiler's own proofs find: they decide nothing in Postfix
//! either, and a rule for them would be an error.

use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use std::collections::BTreeMap;

/// Somebody's own domain, for rules that were written before there is a profile.
const PROFILE: &str = "\nprofile { hostname mx.invalid   local-domains [home.invalid] }\n";

/// The lines that rules come from which decide nothing, each with the reason.
pub fn lines(text: &str, made: &BTreeMap<String, Vec<u32>>) -> BTreeMap<u32, String> {
    let mut out = BTreeMap::new();
    if made.is_empty() {
        return out;
    }
    let mut sources = Sources::default();
    sources.insert("main.edict", format!("{text}{PROFILE}"));
    for found in compile(&sources, &Options { proofs: true }).diagnostics {
        if !matches!(found.code, "E2001" | "E2002") {
            continue;
        }
        let mut names = found.message.split('`').skip(1).step_by(2);
        let Some(own) = names.next().and_then(|name| made.get(name)) else { continue };
        let before: Vec<u32> = names.filter_map(|name| made.get(name)).flatten().copied().collect();
        for line in own {
            let before: Vec<String> = before.iter().filter(|b| *b < line).map(u32::to_string).collect();
            let why = match before.as_slice() {
                [] => "the lines before it and the `if` around it leave nothing to it, so it never matches"
                    .to_owned(),
                [one] => format!("line {one} matches whatever this does, so it never matches"),
                [all @ .., last] => {
                    format!(
                        "lines {} and {last} match whatever this does, so it never matches",
                        all.join(", ")
                    )
                }
            };
            out.insert(*line, why);
        }
    }
    out
}
