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
    // Twenty starts go on in the newest one: nothing is lost to them.
    for number in 100..120 {
        let journal = Journal::open(&settings(folder.path())).unwrap();
        if number % 2 == 0 {
            journal.add(entry(number, b"Subject: x\r\n\r\nbody", true));
        }
        journal.close();
    }
    let (entries, strange) = read(folder.path());
    let numbers: Vec<u64> = entries.iter().map(|e| e.id.parse().unwrap()).collect();
    assert!(strange.is_empty() && numbers.ends_with(&[99, 100, 102, 104, 106, 108, 110, 112, 114, 116, 118]));
    let files = files::files(folder.path()).unwrap();
    assert_eq!(files.len(), 3);
    for file in &files {
        assert!(
            (3000..=4000).contains(&std::fs::metadata(file).unwrap().len()) || Some(file) == files.last()
        );
    }
}

/// Starts without mail, and starts in a row that are killed at once: the old files stay.
#[test]
fn starts_use_up_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Journal::open(&settings(folder.path())).unwrap();
    let journal = start();
    (0..3).for_each(|n| journal.add(entry(n, b"Subject: x\r\n\r\nbody", true)));
    journal.close();
    (0..20).for_each(|_| start().close());
    assert_eq!(read(folder.path()).0.len(), 3);
    assert_eq!(files::files(folder.path()).unwrap().len(), 1);
    // What others may read, and what is no file, is none of ours: it goes on behind them.
    use std::os::unix::fs::PermissionsExt;
    let newest = files::files(folder.path()).unwrap().remove(0);
    std::fs::set_permissions(&newest, std::fs::Permissions::from_mode(0o644)).unwrap();
    start().close();
    let link = folder.path().join("journal-0000000002.jsonl");
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
    start().close();
    let all = files::files(folder.path()).unwrap();
    assert_eq!(all.len(), 3);
    assert!(all[2].ends_with("journal-0000000003.jsonl"));
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn a_torn_tail_costs_its_own_line() {
    // One line end alone costs nothing.
    for (cut, lost) in [(0, 0), (1, 0), (20, 1), (200, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let add = |first: u64| {
            let journal = Journal::open(&settings(folder.path())).unwrap();
            (first..first + 3).for_each(|n| journal.add(entry(n, b"x\r\n\r\n", false)));
            journal.close();
        };
        add(0);
        let file = &files::files(folder.path()).unwrap()[0];
        let whole = std::fs::read(file).unwrap();
        std::fs::write(file, &whole[..whole.len() - cut]).unwrap();
        let (entries, strange) = read(folder.path());
        assert_eq!((entries.len(), strange.len()), (if cut == 0 { 3 } else { 2 }, cut.min(1)));
        if let Some(strange) = strange.first() {
            assert!(strange.contains("journal-0000000000.jsonl:3: the line breaks off"), "{strange}");
        }
        // The next start goes on behind it.
        add(10);
        let (entries, strange) = read(folder.path());
        let ids: Vec<&str> = entries.iter().map(|e| e.id.as_str()).collect();
        let expected =
            if lost == 0 { vec!["0", "1", "2", "10", "11", "12"] } else { vec!["0", "1", "10", "11", "12"] };
        assert_eq!((ids, strange.len()), (expected, lost));
        assert_eq!(files::files(folder.path()).unwrap().len(), 1);
    }
    let folder = tempfile::tempdir().unwrap();
    let first = &folder.path().join("journal-0000000000.jsonl");
    // Lines of others are told one by one.
    let mut file = std::fs::File::create(first).unwrap();
    file.write_all(b"{}\nnonsense\n").unwrap();
    let newer = serde_json::to_string(&Entry { version: 2, ..entry(1, b"", false) }).unwrap();
    writeln!(file, "{newer}").unwrap();
    let (entries, strange) = read(folder.path());
    assert_eq!((entries.len(), strange.len()), (0, 3));
    assert!(strange[2].ends_with("version 2 is not known"));
}
