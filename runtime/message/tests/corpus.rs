//! The corpus: what a disclaimer does to messages as mail programs write them. See `corpus/README.md`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may say what they mean"
)]

use edict_message::edit::{Order, Untouched, apply, disclaim};
use edict_table::model::{OnSigned, Replies};
use mail_parser::{Message, MessageParser, PartType};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

const LEGAL: &str = "Confidential. Grüße from Example Corp, registered in Berlin under number 4711.";
const LEGAL_HTML: &str =
    "<p>Confidential. Grüße from <b>Example Corp</b>, registered in Berlin under number 4711.</p>";

/// The disclaimers that `.expect` files name: plain text, HTML.
fn texts(name: &str) -> (Option<String>, Option<String>) {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    match name {
        "legal" => (owned(Some(LEGAL)), owned(Some(LEGAL_HTML))),
        "ascii" => {
            let text = "This message is meant for its recipient alone. Example Corp, Berlin.";
            (owned(Some(text)), Some(format!("<p>{text}</p>")))
        }
        "euro" => {
            let text = "Example Corp, capital 25.000 €, registered in Berlin.";
            (owned(Some(text)), Some(format!("<p>{text}</p>")))
        }
        "long" => {
            let text = "every word of this very long legal text is meant in earnest ".repeat(40);
            (Some(text.trim().to_owned()), Some(format!("<p>{}</p>", text.trim())))
        }
        "word" => (owned(Some("one word")), Some(format!("<p>{}</p>", "w".repeat(1200)))),
        "text-only" => (owned(Some(LEGAL)), None),
        "html-only" => (None, owned(Some(LEGAL_HTML))),
        other => panic!("no disclaimer {other}"),
    }
}

struct Case {
    name: String,
    message: Vec<u8>,
    lines: Vec<(String, String)>,
}

impl Case {
    fn get(&self, key: &str) -> Option<&str> {
        self.lines.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Paths of the parts that change.
    fn changes(&self) -> Vec<&str> {
        let changes = self.lines.iter().filter(|(k, _)| k == "change");
        changes.map(|(_, v)| v.split(' ').next().unwrap()).collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "eml") {
            continue;
        }
        let expect = fs::read_to_string(path.with_extension("expect")).unwrap();
        let lines = expect.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
        let lines = lines.map(|l| l.split_once(": ").unwrap_or_else(|| panic!("{}: {l}", path.display())));
        out.push(Case {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            message: fs::read(&path).unwrap(),
            lines: lines.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// Where the parts of a message lie, as mail-parser sees them, by path.
fn ranges(message: &Message<'_>) -> BTreeMap<String, Range<usize>> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(String::new(), 0_u32)];
    while let Some((path, id)) = todo.pop() {
        let part = &message.parts[id as usize];
        let name = if path.is_empty() { "0".to_owned() } else { path.clone() };
        out.insert(name, part.offset_header as usize..part.offset_end as usize);
        if let PartType::Multipart(children) = &part.body {
            for (n, child) in children.iter().enumerate() {
                let path = if path.is_empty() { format!("{}", n + 1) } else { format!("{path}.{}", n + 1) };
                todo.push((path, *child));
            }
        }
    }
    out
}

/// Runs one case; the result of an edit where there is one.
fn run(case: &Case, faults: &mut Vec<String>) -> Option<(Vec<u8>, String)> {
    let (text, html) = texts(case.get("order").unwrap());
    let order = Order {
        text: text.as_deref(),
        html: html.as_deref(),
        marker: "legal",
        above_quote: case.get("place") == Some("above-quote"),
        replies: match case.get("replies") {
            Some("always") => Replies::Always,
            Some("never") => Replies::Never,
            _ => Replies::Once,
        },
        signed: match case.get("signed") {
            Some("wrap") => OnSigned::Wrap,
            Some("reject") => OnSigned::Reject,
            _ => OnSigned::Skip,
        },
    };
    let expected = case.get("result").unwrap();
    let outcome = disclaim(&case.message, &order);
    let got = match &outcome {
        Ok(_) => "edited or wrapped".to_owned(),
        Err(reason) => format!("untouched {reason:?}"),
    };
    if outcome.is_ok() != matches!(expected, "edited" | "wrapped") || outcome.is_err() && got != expected {
        faults.push(format!("{}: {expected} was expected, got {got}", case.name));
        return None;
    }
    let Ok(edits) = outcome else {
        let reason = outcome.err().unwrap();
        let refused = order.signed == OnSigned::Reject;
        assert_eq!(reason.refuses(order.signed), refused, "{}", case.name);
        return None;
    };
    let result = apply(&case.message, &edits);
    let old = MessageParser::default().parse(&case.message).unwrap();
    let new = MessageParser::default().parse(&result).unwrap();
    if expected == "wrapped" {
        let body = old.parts[0].offset_body as usize;
        if memchr::memmem::find(&result, &case.message[body..]).is_none() {
            faults.push(format!("{}: the wrapped body changed", case.name));
        }
    } else {
        // What mail-parser takes for a delimiter, the start of a line being enough, no other reader does.
        let apart = case.get("parsers") == Some("differ");
        let places = if apart { BTreeMap::new() } else { ranges(&old) };
        for edit in edits.iter().filter(|_| !apart) {
            let inside = |path: &&str| {
                let place = &places[*path];
                // A message's own part ends where the message does.
                let end = if *path == "0" { case.message.len() } else { place.end };
                place.start <= edit.range.start && edit.range.end <= end
            };
            if !case.changes().iter().any(inside) {
                faults.push(format!("{}: an edit at {:?} lies outside", case.name, edit.range));
            }
        }
        let after = if apart { BTreeMap::new() } else { ranges(&new) };
        if places.keys().ne(after.keys()) {
            faults.push(format!("{}: mail-parser sees other parts", case.name));
        }
        for (path, place) in &places {
            let multipart = places.keys().any(|p| p.starts_with(&format!("{path}."))) || path == "0";
            let changed = case.changes().contains(&path.as_str());
            if !multipart && !changed && case.message[place.clone()] != result[after[path].clone()] {
                faults.push(format!("{}: part {path} changed", case.name));
            }
        }
        if order.replies == Replies::Once && disclaim(&result, &order) != Err(Untouched::AlreadyThere) {
            faults.push(format!("{}: the disclaimer is not known again", case.name));
        }
    }
    let words = order.text.map_or_else(|| LEGAL.to_owned(), str::to_owned);
    // Where the HTML differs from the text, the reader sees the HTML's words.
    let words = if case.get("order") == Some("word") { "w".repeat(1200) } else { words };
    Some((result, words))
}

#[test]
fn every_message_reads_as_expected_by_three_parsers() {
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus");
    fs::remove_dir_all(&results).ok();
    fs::create_dir_all(&results).unwrap();
    let cases = cases();
    assert!(cases.len() >= 80);
    let mut faults = Vec::new();
    for case in &cases {
        if let Some((result, words)) = run(case, &mut faults) {
            fs::write(results.join(&case.name).with_extension("eml"), result).unwrap();
            fs::write(results.join(&case.name).with_extension("words"), words).unwrap();
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let python =
        Command::new("python3").arg(folder().join("read.py")).arg(folder()).arg(&results).output().unwrap();
    assert!(
        python.status.success(),
        "{}{}",
        String::from_utf8_lossy(&python.stdout),
        String::from_utf8_lossy(&python.stderr)
    );
}
