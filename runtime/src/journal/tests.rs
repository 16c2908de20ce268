//! What is written is read again; files stay bounded; a torn tail costs its own line.

use super::*;
use std::io::Write as _;
use std::path::Path;

pub(super) fn entry(number: u64, message: &[u8], bodies: bool) -> Entry {
    let client = Client {
        ip: "192.0.2.1".parse().unwrap(),
        name: Some("c.example".to_owned()),
        helo: "c".to_owned(),
        esmtp: true,
        tls: false,
        auth_user: None,
        trusted: false,
    };
    let mut entry = Entry {
        version: VERSION,
        time: 1_700_000_000_000,
        id: number.to_string(),
        stage: "accept".to_owned(),
        verdict: "allow".to_owned(),
        reply: "250 2.0.0 Ok".to_owned(),
        rule: Some(Rule { name: "r".to_owned(), file: "main.edict".to_owned(), line: 3 }),
        table: "digest".to_owned(),
        client,
        sender: Some(String::new()),
        recipients: vec![Recipient { address: "bob@x.example".to_owned(), verdict: "accept".to_owned() }],
        size: 0,
        header: None,
        body_left_out: false,
        body: None,
    };
    entry.put_message(message, bodies);
    entry
}

pub(super) fn settings(folder: &Path) -> Settings {
    Settings { folder: folder.to_owned(), bodies: true, file_bytes: 4000, files: 3 }
}

pub(super) fn read(folder: &Path) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut strange) = (Vec::new(), Vec::new());
    for found in Reader::open(folder).unwrap() {
        match found {
            Ok(entry) => entries.push(entry),
            Err(error) => strange.push(error.to_string()),
        }
    }
    (entries, strange)
}

/// Whoever takes the folder away loses what is in it, and nothing from the next file on.
#[test]
fn a_folder_that_was_taken_away_comes_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("journal");
    let journal = Journal::open(&settings(&folder)).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let body = [b"Subject: x\r\n\r\n".as_slice(), &[b'x'; 2000]].concat();
    (0..6).for_each(|number| journal.add(entry(number, &body, true)));
    journal.close();
    let (entries, strange) = read(&folder);
    assert!(!entries.is_empty() && strange.is_empty(), "{strange:?}");
    assert_eq!(entries.last().map(|entry| entry.id.as_str()), Some("5"));
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(folder.path())).unwrap();
    let messages: [&[u8]; 4] =
        [b"Subject: x\r\n\r\nbody\r\n", b"Subject: \xff\r\n\r\n\0\xfe", b"no end", b"\r\n\r\n"];
    let all: Vec<Entry> = (0..).zip(messages).map(|(n, m)| entry(n, m, true)).collect();
    all.iter().for_each(|entry| journal.add(entry.clone()));
    journal.close();
    let (entries, strange) = read(folder.path());
    assert_eq!((&entries, strange.len(), journal.dropped()), (&all, 0, 0));
    for (entry, message) in entries.iter().zip(messages) {
        assert_eq!(entry.message().as_deref(), Some(message));
        assert_eq!(entry.size, message.len() as u64);
    }
    // Without bodies the header alone is there, whatever the message's length.
    let short = entry(1, messages[0], false);
    assert_eq!(short.message().as_deref(), Some(&b"Subject: x\r\n\r\n"[..]));
    assert_eq!(short.size, 20);
    // What comes after the end is dropped, and counted.
    journal.add(short);
    assert_eq!(journal.dropped(), 1);
}

/// Also where it is larger than all that may wait: then its body is left out, and nothing else.
#[test]
fn a_large_message_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&Settings { file_bytes: 1 << 30, ..settings(folder.path()) }).unwrap();
    let message = |byte: u8, mib: usize| [b"Subject: x\r\n\r\n", vec![byte; mib << 20].as_slice()].concat();
    let mut add = {
        let mut number = 0;
        let journal = &journal;
        move |message: &[u8]| {
            number += 1;
            journal.finish(journal.draft(entry(number, b"", false), message).unwrap());
            journal.wait();
        }
    };
    // The default of `max-message-size`, in base64.
    let large = message(0xFF, 25);
    add(&large);
    let (left, size) = (journal.left_out(), large.len() as u64);
    assert_eq!((left, journal.dropped()), (0, 0));
    // A control character takes six bytes.
    add(&message(1, 11));
    add(b"Subject: last\r\n\r\nx");
    assert_eq!((journal.left_out(), journal.dropped()), (1, 0));
    // A message that is being taken counts: one that comes meanwhile has no body.
    let first = journal.draft(entry(4, b"", false), &message(b'x', 40)).unwrap();
    let second = journal.draft(entry(5, b"", false), &message(b'x', 40)).unwrap();
    assert_eq!(journal.left_out(), 2);
    journal.finish(second);
    drop(first);
    journal.wait();
    add(&message(b'x', 40));
    journal.close();
    let (entries, strange) = read(folder.path());
    assert!(strange.is_empty(), "{strange:?}");
    let told: Vec<(&str, bool, bool)> =
        entries.iter().map(|e| (e.id.as_str(), e.body_left_out, e.body.is_some())).collect();
    assert_eq!(
        told,
        [("1", false, true), ("2", true, false), ("3", false, true), ("5", true, false), ("4", false, true)]
    );
    assert!(entries[0].message().unwrap() == large && entries[0].size == size);
    assert_eq!(entries[1].message().as_deref(), Some(&b"Subject: x\r\n\r\n"[..]));
}

/// A line in pieces is what serde makes of the whole, and as long as was counted.
#[test]
fn bodies_stand_in_the_file_as_serde_writes_them() {
    let all: Vec<u8> = (0..=255).collect();
    let bodies =
        [b"".as_slice(), b"\xff", b"\xfe\xff", &all, &all[..128], "\u{7f}\u{80}\u{2028}\"\\".as_bytes()];
    for body in bodies {
        for octets in [Octets::new(body), Octets::Base64("AA+/".to_owned())] {
            let shape = draft::Shape::of(&octets);
            let whole = serde_json::to_string(&octets).unwrap() + "}\n";
            assert_eq!(String::from_utf8(shape.encode()).unwrap(), whole);
            assert_eq!(shape.length(), whole.len());
        }
        let shape = draft::Shape::new(body);
        assert_eq!(shape.encode(), draft::Shape::of(&Octets::new(body)).encode());
        assert_eq!(shape.encode().len(), shape.length());
    }
}

#[test]
fn files_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(folder.path())).unwrap();
    (0..100).for_each(|n| journal.add(entry(n, b"Subject: x\r\n\r\nbody", true)));
    journal.close();
    let files = files::files(folder.path()).unwrap();
    assert_eq!(files.len(), 3);
    for file in &files {
        assert!(std::fs::metadata(file).unwrap().len() <= 4000);
    }
    let (entries, strange) = read(folder.path());
    let numbers: Vec<u64> = entries.iter().map(|e| e.id.parse().unwrap()).collect();
    assert!(strange.is_empty() && *numbers.last().unwrap() == 99);
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "the newest ones, in order");
    // Another start goes on with another file.
    Journal::open(&settings(folder.path())).unwrap().close();
    assert_eq!(files::files(folder.path()).unwrap().len(), 3);
    assert_ne!(files::files(folder.path()).unwrap(), files);
}

#[test]
fn a_torn_tail_costs_its_own_line() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..2 {
        let journal = Journal::open(&settings(folder.path())).unwrap();
        (0..3).for_each(|n| journal.add(entry(10 * start + n, b"x\r\n\r\n", false)));
        journal.close();
    }
    let first = &files::files(folder.path()).unwrap()[0];
    let whole = std::fs::read(first).unwrap();
    for cut in [1, 20, 200] {
        std::fs::write(first, &whole[..whole.len() - cut]).unwrap();
        let (entries, strange) = read(folder.path());
        let ids: Vec<&str> = entries.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["0", "1", "10", "11", "12"]);
        assert_eq!(strange.len(), 1);
        assert!(strange[0].contains("journal-0000000000.jsonl:3: the line breaks off"), "{strange:?}");
    }
    // Lines of others are told one by one.
    let mut file = std::fs::File::create(first).unwrap();
    file.write_all(b"{}\nnonsense\n").unwrap();
    let newer = serde_json::to_string(&Entry { version: 2, ..entry(1, b"", false) }).unwrap();
    writeln!(file, "{newer}").unwrap();
    let (entries, strange) = read(folder.path());
    assert_eq!((entries.len(), strange.len()), (3, 3));
    assert!(strange[2].ends_with("version 2 is not known"));
}
