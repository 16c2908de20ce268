//! For generated alias, copy and transport maps Postfix and Edict send mail to the same places.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use crate::kit::edict;
use crate::postfix::{
    Dice, base, decided, domains, everyone, first, folder, import_some, inside, postmap, stranger, table,
};
use edict_table::decide::{Scratch, matching};
use edict_table::facts::{Direction, Facts, Slot};
use edict_table::load::Loaded;
use edict_table::model::{Action, Kind, Via};
use edict_table::value::Address;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The actions of the rules of a kind that match, best first.
fn actions(table: &Loaded, kind: Kind, facts: &Facts<'_>) -> Vec<Action> {
    let mut scratch = Scratch::new();
    scratch.begin(table);
    let mut found = Vec::new();
    matching(table, kind, facts, &mut scratch, &mut found);
    found.into_iter().map(|id| table.rule(id).unwrap().action.clone()).collect()
}

/// Whom a copy goes to.
pub fn copies(table: &Loaded, facts: &Facts<'_>) -> BTreeSet<String> {
    let facts = Facts { direction: Slot::Known(Direction::Inbound), ..facts.clone() };
    let to = |action| match action {
        Action::Bcc(bcc) => bcc.to,
        other => panic!("{other:?}"),
    };
    actions(table, Kind::Bcc, &facts).into_iter().flat_map(to).collect()
}

/// Every key of the answers that is needed.
fn ask(kind: &str, map: &str, keys: impl Iterator<Item = Vec<String>>) -> BTreeMap<String, String> {
    let keys: BTreeSet<String> = keys.flatten().collect();
    postmap(kind, map, &keys.into_iter().collect::<Vec<_>>())
}

/// The keys of copies: whole addresses, bare names at our domain, `@domain` (postconf(5), sender_bcc_maps).
fn copy_keys(address: &str) -> Vec<String> {
    let (local, domain) = address.rsplit_once('@').unwrap();
    let short = base(local);
    let mut keys = vec![address.to_owned()];
    keys.extend(short.map(|short| format!("{short}@{domain}")));
    if domain == "home.example" {
        keys.push(local.to_owned());
        keys.extend(short.map(str::to_owned));
    }
    keys.push(format!("@{domain}"));
    keys
}

#[test]
fn copies_of_senders_and_recipients() {
    let keys = [
        "ann@home.example",
        "ann+x@home.example",
        "bob@home.example",
        "bob+y+z@home.example",
        "@home.example",
        "ann@a.example",
        "@a.example",
        "@second.example",
        "spam@second.example",
        "ann",
        "bob+y+z",
        "spam",
    ];
    let targets = ["one@x.example", "two@x.example", "three@x.example", "a@x.example, b@x.example"];
    let mut dice = Dice(11);
    let mut sent = 0;
    for round in 0..80 {
        let format = ["sender_bcc_maps", "recipient_bcc_maps"][round % 2];
        // What cannot be said: two addresses.
        let targets = if round % 4 < 2 { &targets[..3] } else { &targets };
        let map: BTreeMap<&str, &str> = (0..7).map(|_| (dice.roll(&keys), dice.roll(targets))).collect();
        let text: String = map.iter().map(|(key, target)| format!("{key} {target}\n")).collect();
        let done = import_some(&[format, "-", "--name", "old", "--domain", "home.example"], &text);
        let table = table(&done.out);
        let all = everyone();
        let answers = ask("texthash", &text, all.iter().map(|who| copy_keys(who)));
        for who in &all {
            let want = first(&answers, &copy_keys(who)).filter(|target| !target.contains(','));
            let address = Address::parse(who).unwrap();
            let mut facts = Facts { direction: Slot::Known(Direction::Inbound), ..stranger() };
            match format {
                "sender_bcc_maps" => facts.sender = Slot::Known(&address),
                _ => facts.recipient = Slot::Known(&address),
            }
            let got = copies(&table, &facts);
            sent += usize::from(want.is_some());
            assert_eq!(got, want.into_iter().collect(), "{format} {who}\n{text}\n{}", done.out);
        }
    }
    assert!(sent > 500, "{sent}");
}

/// The keys of transport(5), TABLE SEARCH ORDER.
fn transport_keys(address: &str) -> Vec<String> {
    let (local, domain) = address.rsplit_once('@').unwrap();
    let mut keys = vec![address.to_owned()];
    keys.extend(base(local).map(|short| format!("{short}@{domain}")));
    keys.extend(domains(domain, true));
    keys.push("*".to_owned());
    keys
}

/// Where Edict sends mail: the best route that may claim it, or the reply of the verdict before.
fn route(table: &Loaded, who: &str) -> String {
    let address = Address::parse(who).unwrap();
    let direction = Slot::Known(Direction::Outbound);
    let facts = Facts { recipient: Slot::Known(&address), direction, ..stranger() };
    if let Some(verdict) = decided(table, &facts) {
        return match (verdict.verb.name(), verdict.reply) {
            ("reject", Some(reply)) => format!("error:{}", reply.text),
            (other, _) => format!("{other}:"),
        };
    }
    let mut routes = actions(table, Kind::Route, &facts).into_iter().filter_map(|action| match action {
        Action::Route(route) if route.local || !inside(address.domain()) => Some(route.via),
        _ => None,
    });
    match routes.next() {
        None => ":".to_owned(),
        Some(Via::Mx) => "smtp:".to_owned(),
        Some(Via::Local) => "local:".to_owned(),
        Some(Via::Relay(name)) => {
            let relays = table.to_table().relays;
            let relay = relays.iter().find(|relay| relay.name == name).unwrap();
            let hosts = relay.hosts.iter().map(|host| format!("[{}]:{}", host.name, host.port));
            format!("smtp:{}", hosts.collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn transports() {
    let keys = [
        "*",
        "example",
        ".example",
        "a.example",
        ".a.example",
        "b.a.example",
        "home.example",
        ".test",
        "test",
        "ann@a.example",
        "ann@home.example",
        "ann+x@home.example",
        "bob@d.test",
        "second.example",
    ];
    let hops = [
        "smtp:",
        ":",
        "local:",
        "smtp:[one.example]:25",
        "smtp:[two.example]:2525",
        "error:gone",
        "smtp:[one.example]:25, [two.example]:587",
        "discard:",
        "error:5.1.6 moved",
        "uucp:x",
    ];
    let mut dice = Dice(12);
    let mut routed = 0;
    for round in 0..100 {
        let hops = if round % 2 == 0 { &hops[..9] } else { &hops };
        let map: BTreeMap<&str, &str> = (0..8).map(|_| (dice.roll(&keys), dice.roll(hops))).collect();
        let text: String = map.iter().map(|(key, hop)| format!("{key} {hop}\n")).collect();
        let done = import_some(&["transport", "-", "--name", "old"], &text);
        let table = table(&done.out);
        let all = everyone();
        let answers = ask("texthash", &text, all.iter().map(|who| transport_keys(who)));
        for who in &all {
            let want = first(&answers, &transport_keys(who)).unwrap_or(":".to_owned());
            // What rules cannot say is left to what is there without the map.
            let want = match want.as_str() {
                "uucp:x" => ":",
                "error:5.1.6 moved" => "error:moved",
                want => want,
            };
            routed += usize::from(want.starts_with("smtp:["));
            assert_eq!(route(&table, who), want, "{who}\n{text}\n{}", done.out);
        }
    }
    assert!(routed > 500, "{routed}");
}

/// The keys of virtual(5), TABLE SEARCH ORDER.
pub fn virtual_keys(address: &str) -> Vec<String> {
    let (local, domain) = address.rsplit_once('@').unwrap();
    let short = base(local);
    let mut keys = vec![address.to_owned()];
    keys.extend(short.map(|short| format!("{short}@{domain}")));
    if inside(domain) {
        keys.push(local.to_owned());
        keys.extend(short.map(str::to_owned));
    }
    keys.push(format!("@{domain}"));
    keys
}

/// The keys of aliases(5): names of local users.
pub fn alias_keys(address: &str) -> Vec<String> {
    let (local, domain) = address.rsplit_once('@').unwrap();
    let names = [Some(local), base(local)];
    if inside(domain) { names.into_iter().flatten().map(str::to_owned).collect() } else { Vec::new() }
}

/// Follows a map to its end; an address that leads to itself ends there. None where it never ends.
pub fn follow(
    answers: &BTreeMap<String, String>,
    keys: fn(&str) -> Vec<String>,
    address: &str,
    depth: usize,
) -> Option<BTreeSet<String>> {
    let own = || BTreeSet::from([address.to_owned()]);
    let Some(found) = first(answers, &keys(address)) else { return Some(own()) };
    let mut out = BTreeSet::new();
    for member in found.split(',').map(str::trim) {
        let plain = member.trim_start_matches('\\');
        let whole = if plain.contains('@') { plain.to_owned() } else { format!("{plain}@home.example") };
        let itself = whole == address || member.starts_with('\\');
        let more = match (itself, depth) {
            (true, _) => BTreeSet::from([whole]),
            (false, 0) => return None,
            (false, depth) => follow(answers, keys, &whole, depth - 1)?,
        };
        out.extend(more);
    }
    Some(out)
}

/// Who gets mail for these recipients, as `edict explain` tells it.
pub fn explained(rules: &str, all: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    explained_in(folder(rules).path(), all)
}

/// The same for a folder of rules. Who is refused gets nothing.
pub fn explained_in(dir: &Path, all: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    // One by one: an address that two of them lead to would be told of one alone.
    let one = |who: &String| {
        let args = ["explain", ".", "--format", "json", "--sender", "x@out.example", "--recipient", who];
        let done = edict(dir, &args);
        let object: serde_json::Value =
            serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("{e}{}", done.err));
        let finals = object["recipients"][0]["final"].as_array().into_iter().flatten();
        (who.clone(), finals.map(|value| value["address"].as_str().unwrap().to_owned()).collect())
    };
    all.iter().map(one).collect()
}

/// One map of either kind: what is said of it, and how many addresses it led somewhere else.
fn agree(format: &str, text: &str, keys: fn(&str) -> Vec<String>, circles: &mut usize) -> usize {
    let done = import_some(&[format, "-", "--name", "old"], text);
    let rules = table(&done.out);
    let locals = ["ann", "bob", "carl", "dora", "ann+x", "list+a"];
    let all: Vec<String> =
        locals.iter().flat_map(|l| ["home.example", "second.example"].map(|d| format!("{l}@{d}"))).collect();
    let mut asked: BTreeSet<String> = all.iter().flat_map(|who| keys(who)).collect();
    // Members are looked up too.
    asked.extend(text.split([' ', ',', '\n', ':', '\t']).flat_map(
        |word| match word.trim_start_matches('\\') {
            whole if whole.contains('@') && !whole.starts_with('@') => keys(whole),
            "" => Vec::new(),
            bare => keys(&format!("{}@home.example", bare.trim_start_matches('@'))),
        },
    ));
    let kind = if format == "aliases" { "aliases" } else { "texthash" };
    let answers = postmap(kind, text, &asked.into_iter().collect::<Vec<_>>());
    let finals = explained(&done.out, &all);
    let mut moved = 0;
    for who in &all {
        let address = Address::parse(who).unwrap();
        let verdict = decided(&rules, &Facts { recipient: Slot::Known(&address), ..stranger() });
        let put_off = verdict.map(|v| v.reply.unwrap().code);
        // A circle is put off in Postfix, and so it is by what the import writes, whatever the catch-all takes. local(8)
        // bounces it.
        let Some(want) = follow(&answers, keys, who, 40) else {
            assert!(
                done.err.contains("in a circle") || done.err.contains("leads back to itself"),
                "{text}\n{}",
                done.err
            );
            if format == "virtual" {
                assert_eq!(put_off, Some(451), "{who}\n{text}\n{}", done.out);
                *circles += 1;
            }
            continue;
        };
        assert_eq!(put_off, None, "{who}\n{text}\n{}", done.out);
        moved += usize::from(want != BTreeSet::from([who.clone()]));
        assert_eq!(finals[who], want, "{format} {who}\n{text}\n{}\n{}", done.out, done.err);
    }
    moved
}

#[test]
fn virtual_aliases() {
    let keys = [
        "ann@home.example",
        "bob@home.example",
        "ann+x@home.example",
        "list@home.example",
        "list@second.example",
        "carl@second.example",
        "@second.example",
        "ann",
        "dora",
        "list+a",
        "fay@else.example",
        "fay+a@else.example",
    ];
    let members = [
        "ann@home.example",
        "bob@home.example",
        "fay+a@else.example",
        "fay+b@else.example",
        "carl@second.example",
        "dora@second.example",
        "x@out.example",
        "y@out.example",
        "list@home.example",
        "bob",
        "z@out.example",
    ];
    let mut dice = Dice(13);
    let (mut moved, mut circles) = (0, 0);
    for _ in 0..60 {
        let mut map: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for _ in 0..7 {
            let list: BTreeSet<&str> = (0..2).map(|_| dice.roll(&members)).collect();
            let key = dice.roll(&keys);
            // A catch-all leads out: see `a_catch_all_of_several` for one that leads in.
            let out = ["x@out.example", "y@out.example", "bob@home.example"];
            let list = if key.starts_with('@') { vec![dice.roll(&out)] } else { list.into_iter().collect() };
            map.insert(key, list);
        }
        let text: String = map.iter().map(|(key, list)| format!("{key} {}\n", list.join(", "))).collect();
        moved += agree("virtual", &text, virtual_keys, &mut circles);
    }
    assert!(moved > 150 && circles > 10, "{moved} {circles}");
}

#[test]
fn local_aliases() {
    let names = ["ann", "bob", "list", "carl", "ann+x", "Dora"];
    let members = [
        "ann",
        "bob",
        "carl",
        "dora",
        "x@out.example",
        "list",
        "y@out.example",
        "\\ann",
        "list@second.example",
    ];
    let mut dice = Dice(14);
    let mut moved = 0;
    for _ in 0..40 {
        let mut map: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for _ in 0..5 {
            let name = dice.roll(&names);
            let list =
                (0..2).map(|_| dice.roll(&members)).filter(|m| *m != "\\ann" || name == "ann").collect();
            map.insert(name, list);
        }
        map.retain(|_, list| !list.is_empty());
        let lines = map
            .iter()
            .map(|(name, list)| format!("{name}: {}\n", list.iter().copied().collect::<Vec<_>>().join(", ")));
        moved += agree("aliases", &lines.collect::<String>(), alias_keys, &mut 0);
    }
    assert!(moved > 150, "{moved}");
}

/// What catch-alls mean in Postfix and not in Edict is told.
#[test]
fn a_catch_all_of_several() {
    let map = "@second.example x@out.example\nlist@home.example dora@second.example, y@out.example\n";
    let done = import_some(&["virtual", "-", "--name", "old"], map);
    assert!(
        done.err.contains("-:1: changed: `@second.example x@out.example`: takes what nobody has"),
        "{}",
        done.err
    );
    assert!(done.err.contains("dora@second.example: written as what the catch-all"), "{}", done.err);
    assert!(done.out.contains("alias list@home.example = [x@out.example, y@out.example]"), "{}", done.out);
    // An entry that cannot be said would fall to the catch-all.
    let map = "ann@second.example :include:/etc/list\n@second.example x@out.example\n";
    let done = import_some(&["virtual", "-", "--name", "old"], map);
    assert!(done.err.contains("-:2: refused") && !done.out.contains("alias"), "{}{}", done.out, done.err);
    // Circles.
    let map = "ann: bob\nbob: ann\ncarl: ann, x@out.example\n";
    let done = import_some(&["aliases", "-"], map);
    assert_eq!(done.err.matches("it leads back to itself").count(), 2, "{}", done.err);
}
