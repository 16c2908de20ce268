//! What `edict export` writes of generated aliases sends mail where the rules send it, when a real Postfix is asked.

use crate::agreement_maps::{alias_keys, explained_in, follow, virtual_keys};
use crate::kit::edict;
use crate::postfix::{Dice, postmap};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const DOMAINS: [&str; 2] = ["home.example", "second.example"];
const LOCALS: [&str; 7] = ["ann", "bob", "carl", "dora", "list", "ann+x", "nobody"];

fn everybody() -> Vec<String> {
    LOCALS.iter().flat_map(|local| DOMAINS.map(|domain| format!("{local}@{domain}"))).collect()
}

/// The aliases that are named in what was refused.
fn refused(err: &str) -> BTreeSet<&str> {
    err.lines()
        .filter_map(|line| line.strip_prefix("refused: alias ")?.split_once(": ").map(|(key, _)| key))
        .collect()
}

/// Where Postfix sends mail for these people by an exported map.
fn sent(
    kind: &str,
    map: &str,
    keys: fn(&str) -> Vec<String>,
    all: &[String],
) -> BTreeMap<String, Option<BTreeSet<String>>> {
    let mut asked: BTreeSet<String> = all.iter().flat_map(|who| keys(who)).collect();
    let words = map.split([' ', ',', '\n', ':', '\t']).map(|word| word.trim_start_matches('\\'));
    asked.extend(words.filter(|word| word.contains('@') && !word.starts_with('@')).flat_map(keys));
    let answers = postmap(kind, map, &asked.into_iter().collect::<Vec<_>>());
    all.iter().map(|who| (who.clone(), follow(&answers, keys, who, 40))).collect()
}

/// A catch-all takes users too in Postfix, and not in Edict.
#[test]
fn catch_alls_spare_whom_a_list_knows() {
    let known =
        ["ann@home.example", "bob@home.example", "carl@", "dora@second.example", "list@second.example"];
    let names =
        ["list@home.example", "bob@home.example", "list@second.example", "ann+x@second.example", "carl"];
    let catch_alls = ["@home.example", "@second.example"];
    let targets = ["ann@home.example", "bob@second.example", "nobody@home.example", "x@out.example", "carl"];
    let mut dice = Dice(21);
    let (mut spared, mut kept_out) = (0, 0);
    for round in 0..40 {
        let mut rules = String::from(
            "edict 1\nprofile { local-domains [home.example, second.example]\n  recipients known in people\n",
        );
        if round % 2 == 0 {
            rules.push_str("  postmaster [ann@home.example]\n");
        }
        let people: BTreeSet<&str> = (0..5).map(|_| dice.roll(&known)).collect();
        let people: Vec<&str> = people.into_iter().collect();
        rules.push_str(&format!("}}\nlist people: address = [{}]\n", people.join(", ")));
        let mut made: BTreeMap<&str, &str> =
            (0..2).map(|_| (dice.roll(&names), dice.roll(&targets))).collect();
        made.insert(
            dice.roll(&catch_alls),
            dice.roll(&["nobody@home.example", "x@out.example", "dora@second.example"]),
        );
        for (name, target) in &made {
            rules.push_str(&format!("alias {name} = [{target}]\n"));
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("main.edict"), &rules).unwrap();
        let done = edict(dir.path(), &["export", "virtual", "."]);
        if done.code == 2 || done.err.contains("error[") {
            continue; // A circle: no rule set.
        }
        let mut all = everybody();
        all.extend(DOMAINS.map(|domain| format!("postmaster@{domain}")));
        let want = explained_in(dir.path(), &all);
        let out = refused(&done.err);
        for (who, got) in sent("texthash", &done.out, virtual_keys, &all) {
            let domain = who.split_once('@').map(|(_, domain)| format!("@{domain}")).unwrap();
            // The profile's postmaster stands in the map where it must not be caught.
            let unsaid =
                out.contains(domain.as_str()) || (who.starts_with("postmaster") && !done.out.contains(&who));
            if unsaid {
                kept_out += 1;
                continue;
            }
            let got = got.unwrap_or_else(|| panic!("{who} goes in a circle\n{rules}\n{}", done.out));
            // Whom nobody knows has no mailbox: explain takes him for a user of the daemon, and so does the map.
            // Who stands beside it as himself keeps an extension (propagate_unmatched_extensions).
            let plain = |all: &BTreeSet<String>| -> BTreeSet<String> {
                all.iter().map(|one| one.replace("+x@", "@")).collect()
            };
            assert_eq!(plain(&got), plain(&want[&who]), "{who}\n{rules}\n{}{}", done.out, done.err);
            spared += usize::from(made.contains_key(domain.as_str()) && got == BTreeSet::from([who.clone()]));
        }
    }
    assert!(spared > 40 && kept_out > 20, "{spared} {kept_out}");
}

/// A name of aliases(5) holds at all of mydestination.
#[test]
fn names_hold_at_every_local_domain() {
    let names =
        ["ann", "bob", "list", "ann@home.example", "list@home.example", "list@second.example", "ann+x"];
    let targets = ["carl", "x@out.example", "dora@second.example", "ann", "bob, y@out.example", "list, carl"];
    let mut dice = Dice(22);
    let (mut moved, mut kept_out) = (0, 0);
    for _ in 0..40 {
        // The first is not the first of the alphabet.
        let mut rules = String::from("edict 1\nprofile { local-domains [second.example, home.example] }\n");
        let made: BTreeMap<&str, &str> = (0..3).map(|_| (dice.roll(&names), dice.roll(&targets))).collect();
        for (name, target) in &made {
            rules.push_str(&format!("alias {name} = [{target}]\n"));
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("main.edict"), &rules).unwrap();
        let done = edict(dir.path(), &["export", "aliases", "."]);
        if done.code == 2 || done.err.contains("error[") {
            continue;
        }
        let all = everybody();
        let want = explained_in(dir.path(), &all);
        let out = refused(&done.err);
        for (who, got) in sent("aliases", &done.out, alias_keys, &all) {
            let short = who.replace("+x@", "@");
            if out.contains(who.as_str()) || out.contains(short.as_str()) {
                kept_out += 1;
                continue;
            }
            // A mailbox is the same at all of mydestination.
            let plain = |all: BTreeSet<String>| -> BTreeSet<String> {
                all.into_iter().map(|one| one.replace("@second.example", "@home.example")).collect()
            };
            let got = plain(got.unwrap_or_else(|| panic!("{who} goes in a circle\n{rules}\n{}", done.out)));
            let want = plain(want[&who].clone());
            assert_eq!(got, want, "{who}\n{rules}\n{}{}", done.out, done.err);
            moved += usize::from(got != plain(BTreeSet::from([who.clone()])));
        }
    }
    assert!(moved > 60 && kept_out > 20, "{moved} {kept_out}");
}

/// The sets in which both were lost without a word.
#[test]
fn what_a_map_says_otherwise_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let write = |rules: &str| fs::write(dir.path().join("main.edict"), format!("edict 1\n{rules}")).unwrap();
    write(
        "profile { local-domains [example.com] recipients known in people }\n\
         list people: address = [ann@example.com, bob@example.com]\n\
         alias @example.com = [catch@example.com]\nalias sales@example.com = [bob@example.com, sales@example.com]\n",
    );
    let done = edict(dir.path(), &["export", "virtual", "."]);
    let map: Vec<&str> = done.out.lines().filter(|line| !line.starts_with('#')).collect();
    let want = [
        "@example.com\tcatch@example.com",
        "ann@example.com\tann@example.com",
        "bob@example.com\tbob@example.com",
        "sales@example.com\tbob@example.com, sales@example.com",
    ];
    assert_eq!((done.code, map.as_slice()), (0, &want[..]), "{}", done.err);
    assert!(done.out.starts_with("# a catch-all takes the mail of users too"), "{}", done.out);
    // Nobody says who the users are; or everybody is one; or somebody is named that no list knows.
    for (setting, rest, why) in [
        ("", "", "no list says who they are"),
        ("recipients any", "", "no list says who they are"),
        ("recipients known in people", "list people: address = [@example.com]", "knows every address there"),
        ("recipients known in people", "list people: address = [@.com]", "knows every address there"),
        (
            "recipients known in people",
            "list people: address = [ann@example.com]\nalias a@example.com = [b@example.com]",
            "what a@example.com sends to b@example.com too",
        ),
        (
            "recipients known in people",
            "list people: address = [ann@example.com]\nbcc \"copies\" { to [b@example.com] }",
            "what rule \"copies\" sends to b@example.com too",
        ),
    ] {
        write(&format!(
            "profile {{ local-domains [example.com] {setting} }}\n{rest}\nalias @example.com = [x@out.example]\n"
        ));
        let done = edict(dir.path(), &["export", "virtual", "."]);
        assert!(done.code == 1 && done.err.contains(why), "{why}: {}", done.err);
        assert!(!done.out.contains("\n@example.com") && !done.out.starts_with('@'), "{}", done.out);
    }
    // A relay domain has no users.
    write(
        "profile { local-domains [example.com] relay-domains [b.example] recipients ask }\nalias @b.example = [x@out.example]\n",
    );
    let done = edict(dir.path(), &["export", "virtual", "."]);
    assert_eq!((done.code, done.out.as_str()), (0, "@b.example\tx@out.example\n"), "{}", done.err);
    write(
        "profile { local-domains [b.example, a.example] }\nalias sales = [ann, zoe@a.example]\n\
         alias info@a.example = [ann@a.example, bob@b.example]\nalias own = [own, ann]\n",
    );
    let done = edict(dir.path(), &["export", "aliases", "."]);
    assert_eq!(done.out, "own: \\own, ann@b.example\nsales: ann@b.example, zoe@a.example\n", "{}", done.err);
    assert!(
        done.err.contains(
            "alias info@a.example: a name in aliases(5) holds at every local domain, and there is none for info@b.example"
        ),
        "{}",
        done.err
    );
}
