//! Entries of lists that stand in rules: what stands twice, and what another entry covers. Files have their own way, made
//! for a million lines.

use super::MAX_TOLD;
use crate::diag::Diagnostic;
use crate::span::Span;
use edict_table::value::domain::parents;
use ipnet::IpNet;
use std::collections::BTreeMap;

/// Sorts entries in normal form and takes out what stands twice. `shown` writes an entry as rules do; texts cover nothing.
pub fn repeats(
    entries: &mut Vec<(String, Span)>,
    texts: bool,
    shown: impl Fn(&str) -> String,
) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    // Sorting is stable, so that of two equal entries the first in the text comes first.
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for pair in entries.windows(2) {
        if let [(first, at), (second, again)] = pair
            && first == second
            && at != again
        {
            out.push(
                Diagnostic::warning("W0101", format!("`{}` is listed twice", shown(first)), *again)
                    .label("here a second time")
                    .also(*at, "listed here already")
                    .help("take one of the two out"),
            );
        }
    }
    entries.dedup_by(|a, b| a.0 == b.0);
    if texts {
        return out;
    }
    let places: BTreeMap<&str, Span> = entries.iter().map(|(entry, at)| (entry.as_str(), *at)).collect();
    let mut told = 0;
    for (inner, at) in entries.iter() {
        let found = covers(inner).into_iter().find_map(|outer| Some((places.get(outer.as_str())?, outer)));
        if let Some((by, outer)) = found.filter(|(by, _)| *by != at)
            && told < MAX_TOLD
        {
            told += 1;
            out.push(cover(&shown(inner), &shown(&outer), *at, *by));
        }
    }
    out
}

/// `inner` changes nothing beside `outer`.
pub(super) fn cover(inner: &str, outer: &str, at: Span, by: Span) -> Diagnostic {
    Diagnostic::warning("W0104", format!("`{inner}` is covered by `{outer}`"), at)
        .label("changes nothing")
        .also(by, "covers it")
        .help("take the narrower one out")
}

/// The entries, in normal form, that hold all that this one holds, nearest first.
#[must_use]
pub fn covers(entry: &str) -> Vec<String> {
    if let Ok(net) = entry.parse::<IpNet>() {
        let up = std::iter::successors(net.supernet(), IpNet::supernet);
        return up.map(|net| net.to_string()).collect();
    }
    match entry.rsplit_once('@') {
        None | Some((_, "")) => Vec::new(),
        Some((local, domain)) => {
            let exact = (!local.is_empty()).then(|| [format!("@{domain}"), format!("{local}@")]);
            let domain = domain.trim_start_matches('.');
            exact.into_iter().flatten().chain(parents(domain).map(|up| format!("@.{up}"))).collect()
        }
    }
}
