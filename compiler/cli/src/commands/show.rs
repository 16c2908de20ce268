//! `edict show`: what is inside a table.

use crate::args::{ShowArgs, ShowFormat};
use crate::console::{Console, Failure, clean};
use crate::{stages, table};
use edict_table::fact::Stage;
use edict_table::model::{Action, Kind, Mode, Rule, Table};
use serde::Serialize;
use std::io::Write;

/// Shows a table.
pub fn run(args: &ShowArgs, console: &mut Console) -> Result<bool, Failure> {
    let Some(loaded) = table::open(&args.table, console)? else {
        return Ok(false);
    };
    let table = loaded.to_table();
    let out = console.out();
    match args.format {
        ShowFormat::Ron => {
            let pretty = ron::ser::PrettyConfig::new().struct_names(true);
            let text = ron::ser::to_string_pretty(&table, pretty)
                .map_err(|e| Failure::Use(format!("the table cannot be written as RON: {e}")))?;
            writeln!(out, "{text}")?;
        }
        ShowFormat::Json => {
            let summary = summary(&table, loaded.digest());
            serde_json::to_writer(&mut *out, &summary).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        ShowFormat::Human => human(out, &summary(&table, loaded.digest()))?,
    }
    Ok(true)
}

#[derive(Serialize)]
struct Summary<'a> {
    digest: &'a str,
    source_digest: &'a str,
    compiler: &'a str,
    files: usize,
    hostname: Option<&'a str>,
    local_domains: &'a [String],
    rules: Vec<Row<'a>>,
    aliases: usize,
    groups: usize,
    relays: Vec<&'a str>,
    lists: Vec<List<'a>>,
    predicates: usize,
    conditions: usize,
}

#[derive(Serialize)]
struct Row<'a> {
    kind: &'static str,
    name: &'a str,
    priority: u32,
    audit: bool,
    stage: &'static str,
    waits_for: Option<&'a str>,
    file: &'a str,
    line: u32,
    #[serde(skip)]
    order: Stage,
}

#[derive(Serialize)]
struct List<'a> {
    name: Option<&'a str>,
    entries: usize,
}

fn summary<'a>(table: &'a Table, digest: &'a str) -> Summary<'a> {
    let decided = stages::decided(table);
    let name = |place: usize| table.rules.get(place).map(|rule| rule.name.as_str());
    let origins = table.provenance.rules.iter().copied().chain(std::iter::repeat(Default::default()));
    let rules = table.rules.iter().zip(decided).zip(origins).map(|((rule, decided), origin)| Row {
        kind: word(rule),
        name: &rule.name,
        priority: rule.priority,
        audit: rule.mode == Mode::Audit,
        stage: decided.stage.name(),
        waits_for: decided.waits_for.and_then(name),
        file: table.provenance.files.get(origin.file as usize).map_or("", String::as_str),
        line: origin.line,
        order: decided.stage,
    });
    Summary {
        digest,
        source_digest: &table.provenance.source_digest,
        compiler: &table.provenance.compiler,
        files: table.provenance.files.len(),
        hostname: table.profile.hostname.as_deref(),
        local_domains: &table.profile.local_domains,
        rules: rules.collect(),
        aliases: table.aliases.len(),
        groups: table.groups.len(),
        relays: table.relays.iter().map(|relay| relay.name.as_str()).collect(),
        lists: table
            .lists
            .iter()
            .map(|list| List { name: list.name.as_deref(), entries: list.entries.len() })
            .collect(),
        predicates: table.predicates.len(),
        conditions: table.conditions.len(),
    }
}

/// The word that opens the rule in the language.
pub fn word(rule: &Rule) -> &'static str {
    match (&rule.action, rule.kind()) {
        (Action::Verdict(verdict), _) => verdict.verb.name(),
        (_, Kind::Limit) => "limit",
        (_, Kind::Bcc) => "bcc",
        (_, Kind::Quota) => "quota",
        (_, Kind::Disclaimer) => "disclaimer",
        (_, Kind::Route | Kind::Verdict) => "route",
    }
}

fn human(out: &mut dyn Write, s: &Summary<'_>) -> std::io::Result<()> {
    writeln!(out, "digest         {}", s.digest)?;
    writeln!(out, "sources        {} files, digest {}", s.files, s.source_digest)?;
    writeln!(out, "made by        {}", clean(s.compiler))?;
    if let Some(hostname) = s.hostname {
        writeln!(out, "hostname       {hostname}")?;
    }
    writeln!(
        out,
        "local domains  {}",
        if s.local_domains.is_empty() { "none".to_owned() } else { s.local_domains.join(", ") }
    )?;
    for stage in Stage::ALL {
        let mut rows = s.rules.iter().filter(|row| row.order == stage).peekable();
        if rows.peek().is_some() {
            let part = match stage {
                Stage::Header => " (header)",
                Stage::Body => " (body)",
                _ => "",
            };
            writeln!(out, "\nrules decided at {}{part}", stage.name())?;
        }
        for row in rows {
            let audit = if row.audit { ", audit" } else { "" };
            write!(out, "  {} \"{}\"  priority {}{audit}", row.kind, clean(row.name), row.priority)?;
            if !row.file.is_empty() {
                write!(out, "  {}:{}", clean(row.file), row.line)?;
            }
            match row.waits_for {
                Some(other) => writeln!(out, "  (waits for \"{}\")", clean(other))?,
                None => writeln!(out)?,
            }
        }
    }
    let entries: usize = s.lists.iter().map(|list| list.entries).sum();
    writeln!(out, "\nlists          {} with {entries} entries", s.lists.len())?;
    for list in s.lists.iter().filter(|list| list.name.is_some()) {
        writeln!(out, "  {}  {}", clean(list.name.unwrap_or_default()), list.entries)?;
    }
    writeln!(out, "tests          {} distinct, in {} conditions", s.predicates, s.conditions)?;
    writeln!(out, "aliases        {}", s.aliases)?;
    writeln!(out, "groups         {}", s.groups)?;
    if !s.relays.is_empty() {
        writeln!(out, "relays         {}", clean(&s.relays.join(", ")))?;
    }
    Ok(())
}
