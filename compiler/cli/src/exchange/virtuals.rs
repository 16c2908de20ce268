//! Postfix virtual(5).
//!
//! Postfix looks a member up again, under a catch-all too; in Edict who is named is that mailbox. So a member that a
//! catch-all would take is written as what the catch-all leads to. What leads in a circle is refused, and its mail is
//! put off by a rule, as Postfix does: else it would fall to a catch-all.

use super::action::{Outcome, Word};
use super::aliases::{Aliases, Name};
use super::extensions;
use super::keys::base;
use super::lines::{key_value, logical, split_list};
use super::write::{self, Values, VerdictRule, Writer};
use super::{Report, Wish};
use edict_table::model::Verb;
use edict_table::value::Domain;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How deep catch-alls may lead to others.
const MAX_DEPTH: usize = 20;

/// Imports virtual(5).
pub fn virtuals(wish: &Wish, text: &str, report: &mut Report) -> String {
    let mut out = Aliases::default();
    let lines = logical(text);
    let mut pairs = Vec::new();
    for line in &lines {
        match key_value(&line.text) {
            Some(pair) => pairs.push((line, pair)),
            None => report.refused(
                line.number,
                &line.text,
                "there is no address behind the key; Postfix ignores it",
            ),
        }
    }
    // Postfix asks with whole addresses before it asks with bare names.
    let (whole, bare): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(_, (name, _))| name.contains('@'));
    for (line, (name, value)) in whole.into_iter().chain(bare) {
        let members = split_list(value, true);
        if let (Some(from), [only]) = (name.strip_prefix('@'), members.as_slice())
            && let Some(to) = only.strip_prefix('@')
        {
            let why = match (Domain::parse(from), Domain::parse(to)) {
                (Ok(from), Ok(to)) => format!("write `domain-aliases [{from} is {to}]` into the profile"),
                _ => "it is no domain".to_owned(),
            };
            report.refused(line.number, &line.text, &why);
            continue;
        }
        if !name.contains('@') && Domain::parse(&name).is_ok() && name.contains('.') {
            let why = format!("write `{name}` into `local-domains` of the profile");
            report.refused(line.number, &line.text, &why);
            continue;
        }
        // `@domain` as a member is the same user there.
        let same = |member: &String| match (member.strip_prefix('@'), name.split_once('@')) {
            (Some(domain), Some((user, _))) if !user.is_empty() => format!("{user}@{domain}"),
            (Some(domain), None) => format!("{name}@{domain}"),
            _ => member.clone(),
        };
        let members: Vec<String> = members.iter().map(same).collect();
        let known = out.all.len();
        out.take(wish, line, &name, &members, report);
        if let Some(alias) = out.all.get_mut(known)
            && alias.name.key.ends_with('@')
        {
            alias.notes.push("at every local domain".to_owned());
        }
    }
    out.all.sort_by_key(|alias| alias.line.number);
    out.places = out.all.iter().enumerate().map(|(place, alias)| (alias.name.key.clone(), place)).collect();
    out.take_extensions_off();
    catch_alls(&mut out);
    out.break_circles(", and Postfix puts off such mail");
    spread(&mut out);
    out.name_gaps();
    let mut rules = deferred(wish, &out);
    let keys = out.all.iter().filter(|alias| alias.refused.is_none());
    let keys = keys.map(|alias| (alias.name.key.clone(), alias.line.number)).collect();
    rules.push_str(&out.write(report));
    extensions::tell(wish, &keys, false, report);
    rules
}

/// What catch-alls mean in Postfix, where rules would say less or more.
fn catch_alls(out: &mut Aliases) {
    let expanded: Vec<Result<Vec<Name>, String>> = out
        .all
        .iter()
        .map(|alias| {
            let (mut path, mut members) = (vec![alias.name.key.clone()], Vec::new());
            for member in &alias.members {
                reach(out, &mut path, member, &mut members)?;
            }
            Ok(members)
        })
        .collect();
    let unsaid = out.unsaid.clone();
    for (alias, expanded) in out.all.iter_mut().zip(expanded) {
        match expanded {
            Ok(members) if members != alias.members => {
                let was = alias.members.iter().filter(|m| !members.contains(m));
                let was: Vec<&str> = was.map(|m| m.shown.as_str()).collect();
                let was = was.join(", ");
                alias.notes.push(format!("{was}: written as what the catch-all of its domain leads to"));
                alias.members = members;
            }
            Ok(_) => {}
            Err(way) => {
                alias.refused = Some(format!(
                    "it leads in a circle by a catch-all ({way}), and Postfix puts off such mail"
                ));
                alias.circle = true;
                continue;
            }
        }
        if !alias.name.key.starts_with('@') {
            continue;
        }
        alias.notes.push("takes what nobody has, and not users as in Postfix".to_owned());
        let exception = unsaid.iter().find(|(key, _)| key.ends_with(&alias.name.key));
        if let Some((key, line)) = exception {
            alias.refused = Some(format!("{key} on line {line} is an exception to it, and cannot be said"));
        }
    }
}

/// A member, or what the catch-all that would take it leads to.
///
/// # Errors
/// Tells the circle that catch-alls lead in.
fn reach(out: &Aliases, path: &mut Vec<String>, member: &Name, to: &mut Vec<Name>) -> Result<(), String> {
    let domain = member.key.rsplit_once('@').map_or("", |(_, domain)| domain);
    let catch_all = format!("@{domain}");
    let place = out.places.get(&catch_all).filter(|_| !domain.is_empty());
    match place.and_then(|place| out.all.get(*place)) {
        Some(all) if path.last() != Some(&catch_all) && out.find(&member.key).is_none() => {
            let round = path.iter().position(|before| *before == catch_all);
            path.push(catch_all);
            if let Some(round) = round {
                let names: Vec<String> = path.iter().skip(round).map(|name| format!("`{name}`")).collect();
                return Err(names.join(" to "));
            }
            if path.len() > MAX_DEPTH {
                return Err(format!("a way of more than {MAX_DEPTH} catch-alls"));
            }
            for next in &all.members {
                reach(out, path, next, to)?;
            }
            path.pop();
        }
        _ => {
            // Back at the entry that the way began with, by another name: it is opened again, and for ever.
            let own = out.find(&member.key).and_then(|own| out.all.get(own));
            if path.len() > 1 && own.is_some_and(|own| path.first() == Some(&own.name.key)) {
                let names = path.iter().chain(path.first()).map(|name| format!("`{name}`"));
                return Err(names.collect::<Vec<_>>().join(" to "));
            }
            if !to.iter().any(|have| have.key == member.key) {
                to.push(member.clone());
            }
        }
    }
    Ok(())
}

/// Refuses what leads to a circle too: Postfix puts off its mail for all members.
fn spread(out: &mut Aliases) {
    let mut from: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, alias) in out.all.iter().enumerate().filter(|(_, alias)| alias.refused.is_none()) {
        for next in alias.members.iter().filter_map(|member| out.find(&member.key)) {
            from.entry(next).or_default().push(place);
        }
    }
    let circles = out.all.iter().enumerate().filter(|(_, alias)| alias.circle);
    let mut waiting: VecDeque<usize> = circles.map(|(place, _)| place).collect();
    while let Some(to) = waiting.pop_front() {
        let Some(shown) = out.all.get(to).map(|alias| alias.name.shown.clone()) else { continue };
        for place in from.get(&to).into_iter().flatten() {
            let Some(alias) = out.all.get_mut(*place).filter(|alias| alias.refused.is_none()) else {
                continue;
            };
            let why =
                format!("it leads to `{shown}`, whose mail leads in a circle and is put off by Postfix");
            alias.refused = Some(why);
            alias.circle = true;
            waiting.push_back(*place);
        }
    }
}

/// What a key of an alias is: the nearer it is, the sooner it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Whole,
    Bare,
    CatchAll,
}

fn kind(key: &str) -> Kind {
    match (key.starts_with('@'), key.ends_with('@')) {
        (true, _) => Kind::CatchAll,
        (_, true) => Kind::Bare,
        _ => Kind::Whole,
    }
}

/// The rules that put off what leads in a circle, and would be taken by a catch-all or a mailbox otherwise.
fn deferred(wish: &Wish, out: &Aliases) -> String {
    let mut writer = Writer::default();
    let reply = format!("451 4.6.0 {}", write::quoted("This address leads in a circle"));
    let outcome = Outcome::Verdict(Word(Verb::Defer), Some(reply));
    for own in [Kind::Whole, Kind::Bare, Kind::CatchAll] {
        let circles = out.all.iter().filter(|alias| alias.circle && kind(&alias.name.key) == own);
        let keys: BTreeSet<&str> = circles.map(|alias| alias.name.key.as_str()).collect();
        if keys.is_empty() {
            continue;
        }
        let names: BTreeSet<&str> = keys.iter().map(|key| key.trim_end_matches('@')).collect();
        let bases: BTreeSet<&str> = names.iter().filter_map(|name| base(name)).collect();
        // What has a nearer entry of its own.
        let nearer = out.all.iter().filter(|alias| !alias.circle).map(|alias| alias.name.key.as_str());
        let nearer = nearer.filter(|key| {
            let Some((local, domain)) = key.rsplit_once('@') else { return false };
            let whole = |domain: &str| {
                let short = base(local).map(|base| format!("{base}@{domain}"));
                short.is_some_and(|short| keys.contains(short.as_str()))
            };
            match (own, kind(key)) {
                (Kind::Whole, Kind::Whole) => whole(domain),
                (Kind::Bare, Kind::Bare) => whole(""),
                // Whole addresses are asked for without their extension before bare names are with it.
                (Kind::Bare, Kind::Whole) => whole("") || names.contains(local) || bases.contains(local),
                (Kind::CatchAll, Kind::Whole) => keys.contains(format!("@{domain}").as_str()),
                (Kind::CatchAll, Kind::Bare) => true,
                _ => false,
            }
        });
        let nearer: Vec<String> = nearer.map(write::address).collect();
        let list = format!("{}-circles", wish.name);
        let values = |entries| Values { fact: "recipient", ty: "address", entries, absent: false };
        let unless = writer.among(&values(nearer), &format!("{list}-spared"));
        let mut when = vec![writer.among(&values(keys.into_iter().map(write::address).collect()), &list)];
        // Bare names are at local domains.
        when.extend((own == Kind::Bare).then(|| "recipient.domain in local-domains".to_owned()));
        let rule = VerdictRule {
            name: &format!("{} circles", wish.name),
            priority: wish.priority,
            outcome: &outcome,
            when: &when,
            unless: &[unless],
            watched: None,
        };
        writer.verdict(&rule);
    }
    writer.finish()
}
