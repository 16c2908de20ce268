//! Allows on content that keep refusals waiting: which are named, and that many of them stay few messages.

use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use std::fmt::Write as _;

/// What is told of so many allows on content before so many refusals by sender.
fn told(allows: usize, refusals: usize) -> Vec<(String, usize)> {
    let mut text = "edict 1\nprofile { hostname mx.c.example local-domains [c.example] }\n".to_owned();
    for at in 0..allows {
        writeln!(text, "allow \"allow {at:03}\" {{ priority 10 when subject contains \"word{at:03}x\" }}")
            .unwrap();
    }
    for at in 0..refusals {
        writeln!(text, "reject \"r{at:03}\" {{ when sender is u{at:03}@x.example }}").unwrap();
    }
    let mut sources = Sources::default();
    sources.insert("main.edict", text.as_bytes());
    let compilation = compile(&sources, &Options::default());
    let delays = compilation.diagnostics.into_iter().filter(|d| d.code == "W0207");
    delays.map(|d| (d.message, d.labels.len())).collect()
}

#[test]
fn refusals_that_wait_are_named() {
    let end = "cannot refuse before the whole message has come";
    for (refusals, named, labels) in [
        (1, "rule `r000`", 1),
        (2, "rules `r000` and `r001`", 2),
        (3, "rules `r000`, `r001` and `r002`", 3),
        (9, "rules `r000`, `r001`, `r002`, `r003`, `r004`, `r005`, `r006`, `r007` and 1 more", 8),
        (40, "rules `r008`, `r009`, `r010`, `r011`, `r012`, `r013`, `r014`, `r015` and 24 more at least", 8),
    ] {
        assert_eq!(told(1, refusals), [(format!("{named} {end}"), labels)]);
    }
}

/// Each allow has its message, and all of them together a bounded number of questions.
#[test]
fn many_allows_before_many_refusals() {
    let all = told(60, 40);
    assert_eq!(all.len(), 60);
    assert!(all[0].0.contains(" and 24 more at least "), "{}", all[0].0);
    assert!(all[59].0.starts_with("rules `r039` and perhaps more cannot"), "{}", all[59].0);
}
