//! `edict show`: what is inside a table.

use crate::args::{ShowArgs, ShowFormat};
use crate::console::{Console, Failure, clean};
use crate::explained::word;
use crate::table;
use edict_compiler::prove::stages::stages;
use edict_table::fact::Stage;
use edict_table::load::Loaded;
use edict_table::model::{Kind, Mode, Table};
use serde::Serialize;
use std::io::Write;

/// The word that opens a limit.
const LIMIT: &str = "limit";

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
            serde_json::to_writer(&mut *out, &summary(&loaded, &table)).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        ShowFormat::Human => human(out, &summary(&loaded, &table))?,
    }
    Ok(true)
}

#[derive(Serialize)]
struct Summary<'a> {
    digest: &'a str,
    signer: Option<String>,
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
    tests: usize,
    conditions: usize,
    bytes: usize,
    indexes: Vec<Index>,
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
    #[serde(skip)]
    verdict: bool,
}

#[derive(Serialize)]
struct List<'a> {
    name: Option<&'a str>,
    entries: usize,
}

#[derive(Serialize)]
struct Index {
    name: String,
    bytes: usize,
    stored: bool,
    entries: Option<usize>,
}

fn summary<'a>(loaded: &'a Loaded, table: &'a Table) -> Summary<'a> {
    let rows = stages(table, loaded).into_iter().filter_map(|decided| {
        let rule = loaded.rule(decided.rule)?;
        Some(Row {
            kind: word(&rule),
            name: rule.name,
            priority: rule.priority,
            audit: rule.mode == Mode::Audit,
            stage: decided.decides.name(),
            waits_for: decided.waits_for.and_then(|id| loaded.rule(id)).map(|rule| rule.name),
            file: rule.file,
            line: rule.line,
            order: decided.decides,
            verdict: rule.kind == Kind::Verdict,
        })
    });
    let lists =
        table.lists.iter().map(|list| List { name: list.name.as_deref(), entries: list.entries.len() });
    Summary {
        digest: loaded.digest(),
        signer: loaded.signer().map(|key| key.to_string()),
        source_digest: loaded.source_digest(),
        compiler: loaded.compiler(),
        files: table.provenance.files.len(),
        hostname: table.profile.hostname.as_deref(),
        local_domains: &table.profile.local_domains,
        rules: rows.collect(),
        aliases: table.aliases.len(),
        groups: table.groups.len(),
        relays: table.relays.iter().map(|relay| relay.name.as_str()).collect(),
        lists: lists.collect(),
        tests: table.predicates.len(),
        conditions: table.conditions.len(),
        bytes: loaded.file_bytes(),
        indexes: loaded
            .sections()
            .into_iter()
            .map(|part| Index {
                name: part.name,
                bytes: part.bytes,
                stored: part.stored,
                entries: part.entries,
            })
            .collect(),
    }
}

fn human(out: &mut dyn Write, s: &Summary<'_>) -> std::io::Result<()> {
    let local = if s.local_domains.is_empty() { "none".to_owned() } else { s.local_domains.join(", ") };
    writeln!(out, "digest         {}", s.digest)?;
    writeln!(out, "signed by      {}", s.signer.as_deref().unwrap_or("nobody"))?;
    let files = if s.files == 1 { "file" } else { "files" };
    writeln!(out, "sources        {} {files}, digest {}", s.files, s.source_digest)?;
    writeln!(out, "made by        {}", clean(s.compiler))?;
    if let Some(hostname) = s.hostname {
        writeln!(out, "hostname       {hostname}")?;
    }
    writeln!(out, "local domains  {local}")?;
    for stage in Stage::ALL {
        let part = match stage {
            Stage::Header => " (header)",
            Stage::Body => " (body)",
            _ => "",
        };
        let title = format!("verdicts at {}{part}", stage.name());
        rows(out, &title, s.rules.iter().filter(|row| row.verdict && row.order == stage))?;
    }
    rows(out, "limits", s.rules.iter().filter(|row| row.kind == LIMIT))?;
    rows(out, "done to accepted mail", s.rules.iter().filter(|row| !row.verdict && row.kind != LIMIT))?;
    let entries: usize = s.lists.iter().map(|list| list.entries).sum();
    writeln!(out, "\nlists          {} with {entries} entries", s.lists.len())?;
    for list in s.lists.iter().filter(|list| list.name.is_some()) {
        writeln!(out, "  {}  {}", clean(list.name.unwrap_or_default()), list.entries)?;
    }
    writeln!(out, "tests          {} distinct, in {} conditions", s.tests, s.conditions)?;
    writeln!(out, "aliases        {}", s.aliases)?;
    writeln!(out, "groups         {}", s.groups)?;
    if !s.relays.is_empty() {
        writeln!(out, "relays         {}", clean(&s.relays.join(", ")))?;
    }
    writeln!(out, "\n{} bytes", s.bytes)?;
    for index in s.indexes.iter().filter(|index| index.bytes > 0) {
        let entries = index.entries.map(|n| format!("  {n} entries")).unwrap_or_default();
        let built = if index.stored { "" } else { "  built when loaded" };
        writeln!(out, "  {:<30} {:>10}{entries}{built}", clean(&index.name), index.bytes)?;
    }
    Ok(())
}

fn rows<'a>(
    out: &mut dyn Write,
    title: &str,
    rows: impl Iterator<Item = &'a Row<'a>>,
) -> std::io::Result<()> {
    let mut rows = rows.peekable();
    if rows.peek().is_some() {
        writeln!(out, "\n{title}")?;
    }
    for row in rows {
        let audit = if row.audit { ", audit" } else { "" };
        write!(out, "  {} \"{}\"  priority {}{audit}", row.kind, clean(row.name), row.priority)?;
        if !row.file.is_empty() {
            write!(out, "  {}:{}", clean(row.file), row.line)?;
        }
        match row.waits_for {
            // Verdicts stand under their stage; the others are carried out once the mail is accepted.
            _ if !row.verdict => writeln!(out, "  (known at {})", row.stage)?,
            Some(other) => writeln!(out, "  (waits for \"{}\")", clean(other))?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}
