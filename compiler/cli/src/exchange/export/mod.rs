//! Edict to the maps of other systems. What a format cannot hold is refused by name.
//!
//! Reads the compiled table, so that groups, nested aliases and lists from files are what they mean.
//! A map holds rules about one thing; rules about other things are counted, not refused.

mod access;
mod aliases;
mod maps;
mod posix;
mod simple;
mod table;

use super::{Format, Of};
use edict_table::model::Table;

/// What an export came to.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// The map.
    pub text: String,
    /// What it cannot hold, one line each.
    pub refused: Vec<String>,
    /// Rules that are about something else.
    pub elsewhere: usize,
}

/// Exports a table.
///
/// # Errors
/// Says what is missing to know what is to be exported.
pub fn export(format: Format, of: Option<Of>, lists: bool, table: &Table) -> Result<Exported, String> {
    let need =
        || of.ok_or("say what the keys are: `--of client`, `sender`, `recipient` or `helo`".to_owned());
    Ok(match (format, of) {
        (Format::Csv, _) if lists => table::lists(table),
        (_, _) if lists => return Err("`--lists` is for `csv`".to_owned()),
        (Format::Aliases, _) => aliases::aliases(table),
        (Format::Virtual, _) => aliases::virtuals(table),
        (Format::Csv, None) => table::aliases(table),
        (Format::Csv, Some(of)) => table::verdicts(table, of),
        (Format::Access, _) => access::access(table, need()?),
        (Format::Cidr, _) => access::cidr(table),
        (Format::Pcre | Format::Regexp, _) => access::patterns(table, need()?, format == Format::Regexp),
        (Format::HeaderChecks, _) => access::header_checks(table),
        (Format::SenderBccMaps | Format::RecipientBccMaps, _) => maps::bcc(table, format),
        (Format::Transport, _) => maps::transport(table),
    })
}
