//! Gathers the rule files of a rule set: `main.edict`, and what it and its imports name.
//!
//! A file counts once however often it is imported, so circles of imports end by themselves. `*` and
//! `?` stand within one name of a path; a path that matches nothing is an error.

use crate::ast::{Ast, Import, Item};
use crate::diag::Diagnostic;
use crate::parse::parse;
use crate::source::{ABSENT_MAIN, MAIN, Sources};
use crate::span::{FileId, Span, within};
use std::collections::{BTreeMap, BTreeSet};

/// The rule files of a rule set.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Each file once, in the order of their paths.
    pub asts: Vec<Ast>,
    /// Syntax errors, and imports of what is not there.
    pub diagnostics: Vec<Diagnostic>,
}

/// The path of a file that another file names: relative to that one's folder, within the rule folder.
/// None where it leads out of the folder.
#[must_use]
pub fn join(of: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = of.split('/').collect();
    parts.pop();
    if path.starts_with('/') || path.contains('\\') || path.contains('\0') {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Parses `main.edict` and everything that is imported from there.
#[must_use]
pub fn gather(sources: &Sources) -> Gathered {
    let mut out = Gathered::default();
    let Some(main) = sources.find(MAIN) else {
        if let Some(what) = sources.other(MAIN) {
            let nowhere = Span { file: ABSENT_MAIN, ..Span::default() };
            out.diagnostics.push(
                Diagnostic::error("E1003", format!("`main.edict` is {what}, not a file"), nowhere)
                    .label("every rule set begins with this file")
                    .help("put a regular file of this name there"),
            );
            return out;
        }
        let others: Vec<&str> = sources.iter().map(|(p, _)| p).filter(|p| p.ends_with(".edict")).collect();
        let nowhere = Span { file: ABSENT_MAIN, ..Span::default() };
        let mut diagnostic = Diagnostic::error("E1003", "there is no `main.edict`", nowhere)
            .label("every rule set begins with this file");
        let below = others.iter().find_map(|path| path.strip_suffix("/main.edict"));
        diagnostic = match (below, others.first()) {
            (Some(folder), _) => diagnostic.help(format!("there is one in `{folder}`: name that folder")),
            (None, Some(other)) => {
                diagnostic.help(format!("rename `{other}`, or import it from a new `main.edict`"))
            }
            (None, None) => diagnostic
                .help("create it; its first line is `edict 1`. `edict new DIR` makes a whole rule set"),
        };
        out.diagnostics.push(diagnostic);
        return out;
    };
    let mut asts: BTreeMap<FileId, Ast> = BTreeMap::new();
    let mut waiting = vec![main];
    let mut known = BTreeSet::from([main]);
    while let Some(file) = waiting.pop() {
        let parsed = parse(file, sources.bytes(file));
        out.diagnostics.extend(parsed.diagnostics);
        let mut ast = parsed.ast;
        let told = out.diagnostics.len();
        for item in &ast.items {
            if let Item::Import(import) = item {
                let mut told = Vec::new();
                let files = import_files(sources, file, import, &mut told);
                if !within(&ast.damaged, import.path.span) {
                    out.diagnostics.append(&mut told);
                }
                for found in files {
                    if known.insert(found) {
                        waiting.push(found);
                    }
                }
            }
        }
        ast.partial |= out.diagnostics.len() > told;
        asts.insert(file, ast);
    }
    out.asts = asts.into_values().collect();
    out
}

fn import_files(
    sources: &Sources,
    from: FileId,
    import: &Import,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<FileId> {
    let written = &import.path.value;
    let Some(path) = join(sources.path(from), written) else {
        diagnostics.push(
            Diagnostic::error("E1004", format!("`{written}` leads out of the rule folder"), import.path.span)
                .label("not below the folder of `main.edict`")
                .help("move the files into the rule folder, and write their path from this file on: `\"access/*.edict\"`"),
        );
        return Vec::new();
    };
    if !path.contains(['*', '?']) {
        if let Some(file) = sources.find(&path) {
            return vec![file];
        }
        if let Some(what) = sources.other(&path) {
            let help = if what == "a folder" {
                format!("write `\"{}/*.edict\"` for the rule files in it", written.trim_end_matches('/'))
            } else {
                "name a regular file".to_owned()
            };
            diagnostics.push(
                Diagnostic::error("E1001", format!("`{path}` is {what}, not a file"), import.path.span)
                    .label("a rule file is expected here")
                    .help(help),
            );
            return Vec::new();
        }
        let files: Vec<&str> = sources.iter().map(|(p, _)| p).filter(|p| p.ends_with(".edict")).collect();
        let meant = crate::parse::words::nearest(&path, files.iter().copied());
        let with_ending = format!("{path}.edict");
        let meant = if files.contains(&with_ending.as_str()) { Some(with_ending.as_str()) } else { meant };
        let mut diagnostic =
            Diagnostic::error("E1001", format!("file `{path}` is not there"), import.path.span)
                .label("paths are relative to the file that imports");
        diagnostic = match meant {
            Some(meant) => diagnostic.help(format!("there is `{meant}`")),
            None => diagnostic.help("create the file, or correct the path"),
        };
        diagnostics.push(diagnostic);
        return Vec::new();
    }
    let found: Vec<FileId> = sources
        .iter()
        .filter(|(candidate, _)| matches(&path, candidate))
        .filter_map(|(candidate, _)| sources.find(candidate))
        // A file that its own glob covers is not imported again.
        .filter(|file| *file != from)
        .collect();
    if found.is_empty() {
        let wild = path.find(['*', '?']).unwrap_or(path.len());
        let folder = path.get(..wild).and_then(|head| head.rsplit_once('/')).map_or("", |(folder, _)| folder);
        let there = sources.iter().any(|(p, _)| p.strip_prefix(folder).is_some_and(|r| r.starts_with('/')));
        let label = match folder {
            "" => "no rule file here has such a name".to_owned(),
            folder if there => format!("the folder `{folder}` holds no such file"),
            folder => format!("there is no folder `{folder}`, or nothing is in it"),
        };
        let folders: BTreeSet<&str> =
            sources.iter().filter_map(|(p, _)| p.rsplit_once('/')).map(|(folder, _)| folder).collect();
        let meant = crate::parse::words::nearest(folder, folders).filter(|_| !there && !folder.is_empty());
        diagnostics.push(
            Diagnostic::error("E1001", format!("no file matches `{path}`"), import.path.span)
                .label(label)
                .help(match meant {
                    Some(meant) => format!("there is a folder `{meant}`"),
                    None => "correct the path, or take the line out; `*` does not cross a `/`".to_owned(),
                }),
        );
    }
    found
}

/// Whether a path matches a glob, name by name. A leading dot is matched by a dot only.
#[must_use]
pub fn matches(glob: &str, path: &str) -> bool {
    let (globs, names): (Vec<&str>, Vec<&str>) = (glob.split('/').collect(), path.split('/').collect());
    globs.len() == names.len()
        && globs.iter().zip(&names).all(|(glob, name)| {
            let hidden = name.starts_with('.') && !glob.starts_with('.');
            !hidden && name_matches(glob.as_bytes(), name.as_bytes())
        })
}

/// Linear in the name for each star: on a mismatch only the last star takes one byte more.
fn name_matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(b'?') => {
                g += 1;
                n += 1;
            }
            Some(byte) if Some(byte) == name.get(n) => {
                g += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                g = at + 1;
                n = taken + 1;
            }
        }
    }
    glob.get(g..).is_none_or(|rest| rest.iter().all(|b| *b == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join() {
        assert_eq!(join("main.edict", "a/b.txt").as_deref(), Some("a/b.txt"));
        assert_eq!(join("access/x.edict", "../lists/b.txt").as_deref(), Some("lists/b.txt"));
        assert_eq!(join("main.edict", "../b.txt"), None);
        assert_eq!(join("main.edict", "/etc/passwd"), None);
    }

    #[test]
    fn globs() {
        for (glob, path, want) in [
            ("access/*.edict", "access/a.edict", true),
            ("access/*.edict", "access/b/a.edict", false),
            ("access/*.edict", "access/.a.edict", false),
            ("*/x?.edict", "a/x1.edict", true),
            ("a*b*c", "aXXbYYbc", true),
            ("a*b*c", "aXXbYY", false),
        ] {
            assert_eq!(matches(glob, path), want, "{glob} {path}");
        }
    }
}
