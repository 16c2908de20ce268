//! Lists, inline and from files, and the files that rules name.

use super::Context;
use super::named::Place;
use super::names::Sort;
use super::value::Bare;
use crate::ast::{self, Entry, List, ListBody, Text};
use crate::data::{parse_list, repeats, shown_network};
use crate::diag::Diagnostic;
use crate::gather::join;
use crate::model::{ListDef, ListType};
use crate::span::FileId;
use edict_table::model::Entries;

impl Context<'_> {
    /// Finds a data file that a file names, or tells that it is not there.
    pub(super) fn data_file(&mut self, from: FileId, path: &Text) -> Option<FileId> {
        let sources = self.sources;
        let Some(full) = join(sources.path(from), &path.value) else {
            self.report(
                Diagnostic::error(
                    "E1004",
                    format!("`{}` leads out of the rule folder", path.value),
                    path.span,
                )
                .label("not below the folder of `main.edict`")
                .help("copy the file into the rule folder, and write its path from this file on: `\"lists/name.txt\"`"),
            );
            return None;
        };
        if let Some(file) = sources.find(&full) {
            self.files.insert(file);
            return Some(file);
        }
        if let Some(what) = sources.other(&full) {
            let first = sources
                .iter()
                .map(|(p, _)| p)
                .find(|p| p.starts_with(&format!("{}/", full.trim_end_matches('/'))));
            let help = match first {
                Some(first) if what == "a folder" => {
                    format!("name one file, as `{first}`; a list is read from one")
                }
                _ => "name a regular file: what is read must be the same each time".to_owned(),
            };
            self.report(
                Diagnostic::error("E1002", format!("`{full}` is {what}, not a file"), path.span)
                    .label("a file is expected here")
                    .help(help),
            );
            return None;
        }
        let name = |p: &str| p.rsplit('/').next().unwrap_or(p).to_owned();
        let paths: Vec<&str> = sources.iter().map(|(p, _)| p).filter(|p| !p.ends_with(".edict")).collect();
        let elsewhere = paths.iter().find(|p| name(p) == name(&full)).copied();
        let meant = elsewhere.or_else(|| crate::parse::words::nearest(&full, paths));
        let mut diagnostic = Diagnostic::error("E1002", format!("file `{full}` is not there"), path.span)
            .label("paths are relative to the file that names them");
        diagnostic = match meant {
            Some(meant) => diagnostic.help(format!("there is `{meant}`")),
            None if path.value.contains(' ') => diagnostic.help(format!(
                "one pair of quotes names a file; to write the text here, use three: `\"\"\"{}\"\"\"`",
                path.value
            )),
            None => diagnostic.help("create the file, or correct the path"),
        };
        self.report(diagnostic);
        None
    }
}

pub(super) fn list_type(ty: ast::ListType) -> ListType {
    match ty {
        ast::ListType::Address => ListType::Address,
        ast::ListType::Domain => ListType::Domain,
        ast::ListType::Network => ListType::Network,
        ast::ListType::Text => ListType::Text,
    }
}

/// Resolves a list.
pub fn list(ctx: &mut Context<'_>, file: FileId, list: &List) {
    let place = ctx.model.lists.len();
    let fresh = ctx.define(Sort::List, &list.name.value, list.name.span, place);
    let before = ctx.errors();
    let entries = match (&list.ty, &list.body) {
        (Some(ty), Some(ListBody::Inline(entries))) => Some(inline(ctx, ty.value, &entries.entries)),
        (Some(ty), Some(ListBody::From(path))) => from_file(ctx, file, ty.value, path),
        _ => None,
    };
    // Of a second list of one name nothing is kept; its mistakes were told.
    if !fresh {
        return;
    }
    let ty = list.ty.as_ref().map_or(ListType::Text, |ty| list_type(ty.value));
    if list.broken || entries.is_none() || ctx.errors() > before {
        // The name stays known, so that its uses do not look like mistakes.
        ctx.poison(Sort::List, &list.name.value);
    }
    ctx.model.lists.push(ListDef {
        name: list.name.value.clone(),
        ty,
        entries: entries.unwrap_or_default(),
        span: list.name.span,
        used: false,
    });
}

/// One value of a list or set, as the entry that an index holds.
pub fn entry(ctx: &mut Context<'_>, ty: ast::ListType, value: &ast::Value) -> Option<String> {
    match ty {
        ast::ListType::Address => ctx.pattern(value, Bare::Entry).map(|p| p.key()),
        ast::ListType::Domain => ctx.domain(value, true).map(|p| p.key()),
        ast::ListType::Network => ctx.network(value, false).map(|n| n.to_string()),
        ast::ListType::Text => ctx.text(value, false),
    }
}

fn inline(ctx: &mut Context<'_>, ty: ast::ListType, entries: &[Entry]) -> Entries {
    let mut out: Vec<(String, crate::span::Span)> = Vec::new();
    for one in entries {
        match one {
            Entry::Value(value) if ctx.names_set(value, Place::List(list_type(ty))) => {}
            Entry::Value(value) => out.extend(entry(ctx, ty, value).map(|e| (e, value.span))),
            Entry::Group(name) if ty == ast::ListType::Address => {
                if let Some(place) = ctx.find(Sort::Group, name)
                    && let Some(group) = ctx.model.groups.get_mut(place)
                {
                    group.used = true;
                    out.extend(group.members.iter().map(|m| (m.address.as_str().to_owned(), name.span)));
                }
            }
            Entry::Group(name) => ctx.report(
                Diagnostic::error("E1124", format!("group `{}` cannot stand here", name.value), name.span)
                    .label(format!("a group holds addresses, this is a list of {}s", ty.name()))
                    .help("define the list as one of addresses"),
            ),
        }
    }
    ctx.extend(repeats(&mut out, ty == ast::ListType::Text, |entry| shown(ty, entry).to_owned()));
    out.iter().map(|(entry, _)| entry).collect()
}

/// An entry as rules write it.
fn shown(ty: ast::ListType, entry: &str) -> &str {
    match ty {
        ast::ListType::Domain => entry.trim_start_matches('@'),
        ast::ListType::Network => shown_network(entry),
        _ => entry,
    }
}

fn from_file(ctx: &mut Context<'_>, file: FileId, ty: ast::ListType, path: &Text) -> Option<Entries> {
    let file = ctx.data_file(file, path)?;
    let (entries, diagnostics) = parse_list(ty, ctx.sources.bytes(file), file);
    let sound = !diagnostics.iter().any(|d| d.severity == crate::diag::Severity::Error);
    ctx.extend(diagnostics);
    sound.then_some(entries)
}
