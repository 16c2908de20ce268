//! An artifact back to a [`Table`]. Slow; for `show`, `explain` and `diff`.

use super::Loaded;
use super::view::{Cold, View, piece, range};
use crate::format::{NONE, PredicateRec, op, pattern_key, tag};
use crate::index::keys::Keys;
use crate::model::{
    Condition, Entries, List, ListKind, Mode, Origin, Predicate, Provenance, Rule, Table, Test,
};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The whole table. None where the image is no longer what was checked.
pub(super) fn table(loaded: &Loaded) -> Option<Table> {
    let bytes = loaded.bytes();
    let view = loaded.view();
    let cold = Cold::new(bytes, &loaded.places)?;
    let mut back = vec![0u32; view.predicates.len()];
    for (old, place) in cold.order.iter().zip(0u32..) {
        *back.get_mut(old.get() as usize)? = place;
    }
    let mut predicates = Vec::with_capacity(view.predicates.len());
    for place in cold.order {
        predicates.push(predicate(loaded, view, &cold, view.predicates.get(place.get() as usize)?)?);
    }
    let mut conditions = Vec::with_capacity(view.nodes.len());
    for node in view.nodes {
        let children = || range(cold.written, node.a, node.b).iter().map(|c| c.get()).collect();
        conditions.push(match node.op.get() {
            op::TRUE => Condition::True,
            op::TEST => Condition::Test(*back.get(node.a.get() as usize)?),
            op::NOT => Condition::Not(node.a.get()),
            op::ALL => Condition::All(children()),
            _ => Condition::Any(children()),
        });
    }
    let mut rules = Vec::with_capacity(view.rules.len());
    let mut origins = Vec::with_capacity(view.rules.len());
    for (rule, origin) in view.rules.iter().zip(cold.origins) {
        rules.push(Rule {
            name: view.text(rule.name)?.to_owned(),
            priority: rule.priority.get(),
            mode: if rule.mode == 0 { Mode::Enforce } else { Mode::Audit },
            condition: rule.condition.get(),
            action: loaded.actions.get(rule.action.get() as usize)?.clone(),
        });
        origins.push(Origin {
            file: origin.file.get(),
            line: origin.line.get(),
            column: origin.column.get(),
        });
    }
    Some(Table {
        profile: loaded.profile.clone(),
        lists: lists(view, &cold)?,
        predicates,
        conditions,
        rules,
        aliases: loaded.aliases.clone(),
        relays: loaded.relays.clone(),
        groups: loaded.groups.clone(),
        provenance: Provenance {
            source_digest: loaded.source_digest.clone(),
            files: loaded.files.clone(),
            rules: origins,
            compiler: loaded.compiler.clone(),
        },
    })
}

fn predicate(loaded: &Loaded, view: &View<'_>, cold: &Cold<'_>, record: &PredicateRec) -> Option<Predicate> {
    let column = loaded.columns.get(record.column.get() as usize)?;
    let literals = || -> Option<Vec<String>> {
        range(cold.literals, record.a, record.b).iter().map(|l| view.text(*l).map(str::to_owned)).collect()
    };
    let one = || literals()?.pop();
    let test = match record.tag.get() {
        tag::PRESENT => Test::Present,
        tag::SET => Test::Set,
        tag::IN_LIST => Test::InList(record.a.get()),
        tag::CONTAINS => Test::Contains(literals()?),
        tag::STARTS => Test::StartsWith(literals()?),
        tag::ENDS => Test::EndsWith(literals()?),
        tag::GLOB => Test::Glob(one()?),
        tag::REGEX => Test::Regex(one()?),
        tag::LESS => Test::Less(record.number()),
        tag::AT_MOST => Test::AtMost(record.number()),
        tag::EQUAL => Test::Equal(record.number()),
        tag::MORE => Test::More(record.number()),
        _ => Test::OneOf(u8::try_from(record.a.get()).ok()?),
    };
    Some(Predicate { fact: column.fact, parameter: column.parameter.clone(), test })
}

fn lists(view: &View<'_>, cold: &Cold<'_>) -> Option<Vec<List>> {
    let mut entries: Vec<Vec<String>> = vec![Vec::new(); cold.lists.len()];
    let mut spread = |keys: &Keys<'_>, form: fn(&str) -> String| {
        for (key, set) in keys.iter() {
            for list in piece(cold.set_list_ends, cold.set_lists, set) {
                if let Some(of_list) = entries.get_mut(list.get() as usize) {
                    of_list.push(form(key));
                }
            }
        }
    };
    spread(&view.mailboxes, pattern_key);
    spread(&view.texts_index, str::to_owned);
    for network in cold.networks {
        let address = network.address.get();
        let ip = if network.family == 4 {
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(address).ok()?))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(address))
        };
        entries.get_mut(network.list.get() as usize)?.push(IpNet::new(ip, network.prefix).ok()?.to_string());
    }
    let mut out = Vec::with_capacity(entries.len());
    for (record, mut entries) in cold.lists.iter().zip(entries) {
        entries.sort_unstable();
        out.push(List {
            name: if record.name.offset.get() == NONE {
                None
            } else {
                Some(view.text(record.name)?.to_owned())
            },
            kind: match record.kind.get() {
                0 => ListKind::Mailbox,
                1 => ListKind::Network,
                _ => ListKind::Text,
            },
            entries: entries.into_iter().collect::<Entries>(),
        });
    }
    Some(out)
}

impl Loaded {
    /// For each test of the artifact its place in [`Table::predicates`].
    pub(crate) fn predicate_order(&self) -> Vec<u32> {
        let Some(cold) = Cold::new(self.bytes(), &self.places) else { return Vec::new() };
        let mut back = vec![0u32; cold.order.len()];
        for (old, place) in cold.order.iter().zip(0u32..) {
            if let Some(slot) = back.get_mut(old.get() as usize) {
                *slot = place;
            }
        }
        back
    }

    /// The children of conditions in the order in which they were written.
    pub(crate) fn children_as_written(&self) -> Option<&[zerocopy::little_endian::U32]> {
        Some(Cold::new(self.bytes(), &self.places)?.written)
    }
}
