//! What rule sets become: the table of a rule set as a snapshot, and the same policy whatever the order
//! and the files of its text.

#![expect(clippy::panic, reason = "a test")]

use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use edict_table::emit::emit;
use edict_table::load::Loaded;
use edict_table::model::{Provenance, Table};
use proptest::prelude::*;
use std::sync::Arc;

/// Data files that the items name, each from the folder of `main.edict` and from the one of the imports.
const DATA: &[(&str, &str)] = &[
    ("lists/spammers.txt", "\u{feff}@spam.example\r\nann@bulk.example # why\r\n\r\n@.spam.example\r\n"),
    ("lists/nets.txt", "192.0.2.0/24\n# remark\n2001:db8:1::/48\n"),
    ("aliases.txt", "# team\nsupport: dora, erik@example.com\n  carol@example.com\nhelp: support\n"),
    ("legal.txt", "Example Ltd.\n"),
    ("mail.eml", "Subject: hello\n\nGood morning\n"),
];

fn table(files: &[(&str, &str)]) -> Table {
    let mut sources = Sources::default();
    for (path, text) in DATA {
        sources.insert(*path, text.as_bytes());
        sources.insert(format!("parts/{path}"), text.as_bytes());
    }
    for (path, text) in files {
        sources.insert(*path, text.as_bytes());
    }
    let compilation = compile(&sources, &Options { proofs: false });
    compilation.table.unwrap_or_else(|| panic!("{:#?}", compilation.diagnostics))
}

/// The digest by which people tell policies apart, which says nothing of where the text stands.
fn digest(table: &Table) -> String {
    Loaded::new(Arc::new(emit(table))).map_or_else(|e| panic!("{e}"), |loaded| loaded.digest().to_owned())
}

/// One of everything, each item by itself.
const ITEMS: &[&str] = &[
    "list partners: domain = [partner.example, .partner.example]",
    "list bad-nets: network = [198.51.100.0/24, 2001:db8:bad::/48]",
    "list shouting: text = [\"act now\", \"urgent wire\"]",
    "group marketing = [Alice@example.com, bob]",
    "group all = [group marketing, carol@example.com]",
    "alias sales@example.com = [alice@example.com, group marketing, Ext@other.example]",
    "alias info@example.com = [sales@example.com, info@example.com] { owner boss@example.com may-send [group all] }",
    "allow \"partners\" { when sender in partners }",
    "reject \"bad networks\" {\n when client.ip in bad-nets\n unless auth.user is present or recipient is abuse@example.com\n reply 554 5.7.1 \"Your network is on our block list\"\n}",
    "discard \"known noise\" { when header(\"X-Campaign\") matches \"spring-*\" and size < 50 KiB }",
    "reject \"shouting\" { priority 90 when subject contains any of shouting and not (sender in partners or auth.user in group all) }",
    "defer \"large\" { when size > 5 MiB and attachment.size >= 2 MB mode audit }",
    "hold \"off\" { when subject is \"x\" mode off }",
    "reject \"season\" { when direction in [inbound, internal] and subject matches /win (a|the) prize/ active from 2026-12-01 until 2027-01-15 }",
    "limit \"per client\" { per client.ip at most 30 connections per minute at most 10 connections at once unless client.ip in trusted }",
    "bcc \"archive\" { when direction is outbound to [archive@example.com, Boss@example.com] record envelope }",
    "quota \"everyone\" { per user at most 500 messages per day at most 200 MiB per day warn at 80 % }",
    "disclaimer \"legal\" { when direction is outbound unless subject contains \"[no-disclaimer]\" text \"\"\"\nLegal.\n\"\"\" }",
    "relay smarthost { host [smtp.provider.example:587] tls required credentials \"provider\" }",
    "route \"newsletters\" { priority 10 when sender.domain is news.example.com via smarthost }",
    "route \"everything\" { via mx }",
    "list spammers: address from \"lists/spammers.txt\"",
    "list far: network from \"lists/nets.txt\"",
    "reject \"spammers\" { when sender in spammers or client.ip in far }",
    "aliases from \"aliases.txt\"",
    "disclaimer \"company\" { priority 50 when direction is internal text \"legal.txt\" continue }",
    "test \"a spammer\" { sender ann@bulk.example recipient [dora@example.com, support@example.com] message \"mail.eml\" expect reject 550 by \"spammers\" at mail for dora@example.com }",
    "test \"a partner\" { client 203.0.113.9 sender bob@partner.example recipient sales@example.com dns \"partner.example\" answers [mx mail.partner.example, 203.0.113.9] expect allow by \"partners\" expect recipients [alice@example.com, group marketing, ext@other.example] no bcc }",
    "profile { hostname mx.example.com local-domains [example.com, bücher.example] time-zone \"Europe/Berlin\" }",
];

#[test]
fn one_of_everything() {
    let text = format!("edict 1\n{}\n", ITEMS.join("\n"));
    let mut table = table(&[("main.edict", &text)]);
    // Zones of text files carry hashes of their own.
    table.provenance.source_digest.clear();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tables"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_debug_snapshot!("one-of-everything", table));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The order of the text never matters, nor which file an item stands in.
    #[test]
    fn shuffled_text_is_the_same_policy(order in Just((0..ITEMS.len()).collect::<Vec<_>>()).prop_shuffle(), files in proptest::collection::vec(0usize..4, ITEMS.len())) {
        let straight = format!("edict 1\n{}\n", ITEMS.join("\n"));
        let mut want = table(&[("main.edict", &straight)]);
        let mut texts = vec!["edict 1\nimport \"parts/*.edict\"\n".to_owned()];
        texts.extend(std::iter::repeat_n("edict 1\n".to_owned(), 3));
        for (item, file) in order.iter().zip(&files) {
            texts[*file].push_str(ITEMS[*item]);
            texts[*file].push('\n');
        }
        let named = ["main.edict", "parts/a.edict", "parts/b.edict", "parts/c.edict"];
        let files: Vec<(&str, &str)> = named.iter().copied().zip(texts.iter().map(String::as_str)).collect();
        let mut got = table(&files);
        prop_assert_eq!(digest(&want), digest(&got));
        want.provenance = Provenance::default();
        got.provenance = Provenance::default();
        prop_assert_eq!(want, got);
    }

    /// Whatever is left out, doubled or put elsewhere: the compiler says so and lives.
    #[test]
    fn damaged_text_never_panics(cuts in proptest::collection::vec((0usize..4000, 0usize..40, 0usize..4000), 1..12)) {
        let mut text: Vec<char> = format!("edict 1\n{}\n", ITEMS.join("\n")).chars().collect();
        for (at, length, to) in cuts {
            let at = at % text.len();
            let end = (at + length).min(text.len());
            let piece: Vec<char> = text.drain(at..end).collect();
            let to = to % (text.len() + 1);
            // Half of the pieces are moved, half are lost.
            if length % 2 == 0 {
                text.splice(to..to, piece);
            }
        }
        let mut sources = Sources::default();
        sources.insert("main.edict", text.into_iter().collect::<String>());
        let compilation = compile(&sources, &Options::default());
        prop_assert_eq!(compilation.failed(), compilation.table.is_none());
    }
}
