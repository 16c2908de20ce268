//! Comma-separated values, in the words that rules use.

use super::super::{Of, write};
use super::access::{Held, action, closure, decisions, domain_facts, fact_of, held, networks, postfix};
use super::simple::facts;
use super::{Exported, aliases::unheld};
use edict_table::fact::Fact;
use edict_table::model::{Kind, List, ListKind, Rule, Table};
use edict_table::value::parse_network;
use std::collections::BTreeMap;

/// `alias,member`, one row a member, with the meaning that they have in rules.
pub fn aliases(table: &Table) -> Exported {
    let mut out = Exported::default();
    let mut rows = vec![vec!["alias".to_owned(), "member".to_owned()]];
    for alias in &table.aliases {
        unheld(alias, true, &mut out);
        rows.extend(alias.all().map(|(member, _)| vec![alias.key.clone(), member.to_owned()]));
    }
    out.text = written(&rows);
    out
}

/// `list,entry`, one row an entry: every list with a name that a table has, which is those that rules ask for as a whole.
pub fn lists(table: &Table) -> Exported {
    let mut out = Exported::default();
    let mut rows = vec![vec!["list".to_owned(), "entry".to_owned()]];
    for list in &table.lists {
        let Some(name) = &list.name else { continue };
        if let Some(group) = name.strip_prefix("group ") {
            out.refused
                .push(format!("group {group}: a table holds lists, and rules ask for `group {group}`"));
            continue;
        }
        if list.kind == ListKind::Text {
            out.refused
                .push(format!("list {name}: it holds texts, and a table addresses, domains and networks"));
            continue;
        }
        rows.extend(list.entries.iter().map(|entry| vec![name.clone(), shown(list, entry)]));
    }
    out.text = written(&rows);
    out
}

/// An entry as a list has it. Where all are domains it is a list of domains, which does for senders too.
fn shown(list: &List, entry: &str) -> String {
    if list.kind == ListKind::Network {
        return parse_network(entry).map_or_else(|_| entry.to_owned(), network);
    }
    let domains = list.kind == ListKind::Mailbox && list.entries.iter().all(|entry| entry.starts_with('@'));
    match entry.strip_prefix('@').filter(|_| domains) {
        Some(domain) => domain.to_owned(),
        None => write::address(entry),
    }
}

/// A network as people write it: of one address, that address.
fn network(net: ipnet::IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// `sender,action,reply` and the like.
pub fn verdicts(table: &Table, of: Of) -> Exported {
    let mut out = Exported::default();
    let names = held(table, &domain_facts(fact_of(of)), &mut out);
    let all = decisions(&names, &mut out);
    let mut rows = vec![vec![of.word().to_owned(), "action".to_owned(), "reply".to_owned()]];
    rows.extend(all.iter().map(|(key, action)| row(postfix(of, key), action)));
    if of == Of::Client {
        let mut about = Exported::default();
        let nets = held(table, &[Fact::ClientIp], &mut about);
        out.refused
            .extend(about.refused.into_iter().filter(|line| !out.refused.contains(line)).collect::<Vec<_>>());
        out.elsewhere = table.rules.iter().filter(|rule| is_elsewhere(table, rule)).count();
        rows.extend(networks(&nets).into_iter().map(|(net, around)| {
            row(
                network(net),
                &first(&nets, &around).map_or_else(|| "DUNNO".to_owned(), |held| action(held.rule)),
            )
        }));
        compare(table, (&names, all.keys()), &nets, &mut out);
    }
    out.text = written(&rows);
    out
}

fn is_elsewhere(table: &Table, rule: &Rule) -> bool {
    let about = |fact: &Fact| matches!(fact, Fact::ClientName | Fact::ClientIp);
    rule.kind() == Kind::Verdict && !facts(table, rule.condition).iter().any(about)
}

fn first<'h, 'a>(rules: &'h [Held<'a>], keys: &[String]) -> Option<&'h Held<'a>> {
    rules.iter().find(|held| held.matches(keys))
}

/// A table asks for the name of a client before it asks for its address, and rules go by rank.
fn compare<'k>(
    table: &Table,
    (names, keys): (&[Held<'_>], impl Iterator<Item = &'k String>),
    nets: &[Held<'_>],
    out: &mut Exported,
) {
    let rank = |held: Option<&Held<'_>>| {
        held.and_then(|held| table.rules.iter().position(|rule| std::ptr::eq(rule, held.rule)))
    };
    // One example for each rule that decides will do.
    let mut by_name: BTreeMap<Option<usize>, &str> = BTreeMap::new();
    for key in keys {
        let closure = if key == "<>" { vec![key.clone()] } else { closure(key) };
        by_name.entry(rank(first(names, &closure))).or_insert(key);
    }
    let mut by_net: BTreeMap<Option<usize>, String> = BTreeMap::new();
    for (net, around) in networks(nets) {
        by_net.entry(rank(first(nets, &around))).or_insert_with(|| net.to_string());
    }
    let says =
        |rank: Option<usize>| rank.and_then(|rank| table.rules.get(rank)).map_or("DUNNO".to_owned(), action);
    for ((name, key), (net, range)) in
        by_name.iter().flat_map(|name| by_net.iter().map(move |net| (name, net)))
    {
        let best = [*name, *net].into_iter().flatten().min();
        let (edict, csv) = (says(best), says(*name));
        if edict != csv {
            out.refused.push(format!(
                "{} from {range}: {edict} here, but a table asks for the name first and says {csv}",
                postfix(Of::Client, key)
            ));
        }
    }
}

/// A row in the words of rules; a refusal's reply has its code.
fn row(key: String, action: &str) -> Vec<String> {
    let (word, reply) = match action {
        "OK" => ("allow", ""),
        "DUNNO" => ("dunno", ""),
        "DISCARD" => ("discard", ""),
        "HOLD" => ("hold", ""),
        "REJECT" => ("reject", ""),
        "DEFER" => ("defer", ""),
        reply if reply.starts_with('4') => ("defer", reply),
        reply => ("reject", reply),
    };
    vec![key, word.to_owned(), reply.to_owned()]
}

fn written(rows: &[Vec<String>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        // Writing to memory does not fail.
        let _ = writer.write_record(row);
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}
