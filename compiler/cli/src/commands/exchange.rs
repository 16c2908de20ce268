//! `edict import` and `edict export`: the rules or the map as result, the report as remarks.

use crate::args::{ExportArgs, ImportArgs, ResultFormat};
use crate::console::{Console, Failure};
use crate::exchange::{self, Fate, Wish};
use crate::files::read_whole;
use crate::table;
use serde_json::json;

/// Imports a file.
pub fn import(args: &ImportArgs, console: &mut Console) -> Result<bool, Failure> {
    let bytes = read_whole(&args.file)?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let line =
            e.as_bytes().iter().take(e.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count() + 1;
        Failure::Use(format!("`{}` is not UTF-8 on line {line}; convert it with iconv", args.file.display()))
    })?;
    let stem = args.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or(stem.filter(|stem| stem != "-")).unwrap_or_else(|| "imported".to_owned());
    let wish = Wish {
        format: args.format,
        of: args.of,
        name,
        domain: args.domain.clone(),
        priority: args.priority,
        dotted: args.dotted,
    };
    let done = exchange::import(&wish, &text).map_err(Failure::Use)?;
    let refused = done.count(Fate::Refused);
    let nothing = args.all_or_nothing && refused > 0;
    let rules = if nothing { "" } else { done.text.as_str() };
    match args.print {
        ResultFormat::Json => {
            let object = json!({ "rules": rules, "lines": done.remarks, "notes": done.notes });
            writeln!(console.out(), "{object}")?;
        }
        ResultFormat::Human => {
            console.out().write_all(rules.as_bytes())?;
            for remark in done.remarks.iter().filter(|remark| remark.fate != Fate::Taken) {
                let fate = if remark.fate == Fate::Refused { "refused" } else { "changed" };
                let file = args.file.display();
                console
                    .remark(&format!("{file}:{}: {fate}: `{}`: {}", remark.line, remark.entry, remark.why));
            }
            for note in &done.notes {
                console.remark(&format!("{}: note: {note}", args.file.display()));
            }
            let (taken, changed) = (done.count(Fate::Taken), done.count(Fate::Changed));
            let none = if nothing { "; nothing was imported" } else { "" };
            console.remark(&format!("{taken} taken, {changed} changed, {refused} refused{none}"));
        }
    }
    Ok(refused == 0)
}

/// Exports a table.
pub fn export(args: &ExportArgs, console: &mut Console) -> Result<bool, Failure> {
    let Some(loaded) = table::open(&args.rules, console)? else {
        return Ok(false);
    };
    let done =
        exchange::export(args.format, args.of, args.lists, &loaded.to_table()).map_err(Failure::Use)?;
    match args.print {
        ResultFormat::Json => {
            let object = json!({ "map": done.text, "refused": done.refused, "elsewhere": done.elsewhere });
            writeln!(console.out(), "{object}")?;
        }
        ResultFormat::Human => {
            console.out().write_all(done.text.as_bytes())?;
            for line in &done.refused {
                console.remark(&format!("refused: {line}"));
            }
            if done.elsewhere > 0 {
                console.remark(&format!("{} rules are about something else", done.elsewhere));
            }
        }
    }
    Ok(done.refused.is_empty())
}
