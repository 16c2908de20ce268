//! Local delivery into Maildirs: `<mail>/<domain>/<local>/{tmp,new,cur}`.
//!
//! A message is written in `tmp`, synced, renamed into `new`, and the folder synced before it counts as
//! delivered. Names come from the message and the recipient, so that a delivery made again after a
//! crash finds the first one. Lines end with LF as mail readers expect. Blocks; called off the runtime.
//! Limits: no quota, no locking (Maildir needs none), one folder per mailbox.

use super::{Hand, Letter, Outcome, Reason};
use crate::files::is_full;
use crate::spool::disk::{Disk, Mode, RealDisk};
use edict_table::value::Address;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// The longest folder name made, in bytes; file systems take 255.
const MAX_NAME: usize = 200;

/// Delivers some letters, and syncs each folder once for all of them. One outcome per target of each.
pub fn deliver(mail: &Path, hostname: &str, letters: &[Letter<'_>]) -> Vec<Vec<Outcome>> {
    deliver_on(&RealDisk, mail, hostname, letters)
}

/// [`deliver`] on any disk.
fn deliver_on(disk: &dyn Disk, mail: &Path, hostname: &str, letters: &[Letter<'_>]) -> Vec<Vec<Outcome>> {
    let mut folders = BTreeSet::new();
    let mut placed: Vec<Vec<io::Result<Option<PathBuf>>>> = Vec::with_capacity(letters.len());
    for letter in letters {
        let content = content(letter);
        placed.push(
            letter
                .targets
                .iter()
                .zip(letter.recipients())
                .map(|(place, target)| {
                    let Some(folder) = folder(&target.address) else { return Ok(None) };
                    let folder = mail.join(folder);
                    let name = name(letter, *place, hostname);
                    let front = format!(
                        "Return-Path: <{}>\nDelivered-To: {}\n",
                        printable(&letter.dispatch.sender),
                        printable(&target.address)
                    );
                    let parts = [front.as_bytes(), &content];
                    let put = place_one(disk, mail, &folder, &name, &parts, letter.again);
                    put.inspect_err(|error| {
                        let (id, to) = (letter.id, &target.address);
                        tracing::warn!(%id, to, folder = %folder.display(), %error, "cannot deliver into a Maildir");
                    })?;
                    folders.insert(folder.join("new"));
                    Ok(Some(folder))
                })
                .collect(),
        );
    }
    let unsynced: BTreeSet<PathBuf> =
        folders.into_iter().filter(|folder| disk.sync_dir(folder).is_err()).collect();
    let judge = |result: io::Result<Option<PathBuf>>| match result {
        Ok(Some(folder)) if unsynced.contains(&folder.join("new")) => {
            Outcome::Deferred(Reason::new((4, 3, 0), "the mailbox could not be synced"))
        }
        Ok(Some(_)) => Outcome::Delivered { by_hop: Hand::Mailbox },
        Ok(None) => Outcome::Failed(Reason::new((5, 1, 3), "the address names no mailbox")),
        Err(error) if is_full(&error) => {
            Outcome::Deferred(Reason::new((4, 3, 1), "the mail storage is full"))
        }
        // Told where it happened.
        Err(_) => Outcome::Deferred(Reason::new((4, 3, 0), "the mailbox cannot be written")),
    };
    placed.into_iter().map(|letter| letter.into_iter().map(judge).collect()).collect()
}

/// The folder of an address below the mail folder: domain, local part without extension.
#[must_use]
pub fn folder(address: &str) -> Option<PathBuf> {
    let address = Address::parse(address).ok()?;
    let base = address.without_extension().unwrap_or(address);
    Some(Path::new(&encode(base.domain())).join(encode(base.local())))
}

/// A name as one safe, visible path component; different names give different components. Letters,
/// digits and `-_.+=~^#&'!{}` stand for themselves (a dot not in front), other bytes as `%XX`; what is
/// too long is cut and ends with `%~` and its hash.
fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || (b"-_+=~^#&'!{}".contains(&byte))
            || (byte == b'.' && place > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    if out.len() > MAX_NAME {
        // All ASCII: any place is a boundary.
        out.truncate(100);
        out.push_str("%~");
        out.push_str(&blake3::hash(name.as_bytes()).to_hex());
    }
    out
}

/// The file's name: seconds, message, recipient, host. Unique by the message's name.
fn name(letter: &Letter<'_>, place: u16, hostname: &str) -> String {
    let seconds = letter.received / 1000;
    let host: String = hostname
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' })
        .collect();
    format!("{seconds}.{}_{}_{place}.{host}", letter.id, letter.place)
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The message with LF line ends, and without Return-Path fields that came with it: the one of this delivery is to be the only
/// one (RFC 5321 4.4), and no signature should cover them (RFC 6376 5.4.1).
fn content(letter: &Letter<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(letter.bytes.len() + 1);
    let mut rest = letter.bytes;
    let mut dropped = false;
    while let Some(at) = memchr::memmem::find(rest, b"\r\n").filter(|at| *at > 0) {
        let line = rest.get(..at).unwrap_or_default();
        dropped = if matches!(line.first(), Some(b' ' | b'\t')) { dropped } else { is_return_path(line) };
        if !dropped {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.push(b'\n');
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    out
}

fn is_return_path(line: &[u8]) -> bool {
    let name = b"return-path";
    line.get(..name.len()).is_some_and(|front| front.eq_ignore_ascii_case(name))
        && line.get(name.len()..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"))
}

fn place_one(
    disk: &dyn Disk,
    mail: &Path,
    folder: &Path,
    name: &str,
    parts: &[&[u8]],
    again: bool,
) -> io::Result<()> {
    let new = folder.join("new").join(name);
    if again && (disk.open(&new, Mode::Read).is_ok() || was_read(disk, &folder.join("cur"), name)) {
        return Ok(());
    }
    let tmp = folder.join("tmp").join(name);
    let file = match disk.open(&tmp, Mode::Create) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_maildir(disk, mail, folder)?;
            disk.open(&tmp, Mode::Create)?
        }
        other => other?,
    };
    let mut at = 0;
    let written = parts.iter().try_for_each(|part| {
        file.write_at(part, at)?;
        at += part.len() as u64;
        Ok(())
    });
    let written = written.and_then(|()| file.sync());
    let moved = || match disk.rename(&tmp, &new) {
        // Somebody took away `new` alone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_maildir(disk, mail, folder)?;
            disk.rename(&tmp, &new)
        }
        other => other,
    };
    let written = written.and_then(|()| moved());
    if written.is_err() {
        // Gives the space back; the error that counts is the first.
        let _ = disk.remove(&tmp);
    }
    written
}

/// Whether a mail reader moved the message already; it may have added flags behind a colon.
fn was_read(disk: &dyn Disk, cur: &Path, name: &str) -> bool {
    let is_it = |entry: &String| {
        entry.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    disk.list(cur).is_ok_and(|entries| entries.iter().any(is_it))
}

/// Makes a Maildir and what is above it, durably. `tmp` comes last, and says that all else outlasts a power cut: whoever was
/// killed before that left none, and a Maildir without it is made again.
fn make_maildir(disk: &dyn Disk, mail: &Path, folder: &Path) -> io::Result<()> {
    for sub in ["cur", "new"] {
        disk.make_dir(&folder.join(sub))?;
    }
    for above in folder.ancestors() {
        disk.sync_dir(above)?;
        if above == mail {
            break;
        }
    }
    if let Some(above) = mail.parent().filter(|p| !p.as_os_str().is_empty()) {
        disk.sync_dir(above)?;
    }
    disk.make_dir(&folder.join("tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::TestDisk;
    use proptest::prelude::*;

    /// Command or string execution from addresses (CVE-2019-10149 Exim, CVE-2020-7247 OpenSMTPD): nothing is ever run,
    /// and whatever a local part holds, it becomes one component of a path.
    #[test]
    fn folders() {
        for (address, want) in [
            ("Bob+list@Example.COM", "example.com/bob"),
            ("\"../../etc\"@example.com", "example.com/%2E.%2F..%2Fetc"),
            ("\".\"@example.com", "example.com/%2E"),
            ("\"a\\\\b c\"@[192.0.2.1]", "%5B192.0.2.1%5D/a%5Cb%20c"),
            ("JÖ@bücher.example", "xn--bcher-kva.example/j%C3%B6"),
            ("+x@example.com", "example.com/+x"),
            ("100%@example.com", "example.com/100%25"),
        ] {
            assert_eq!(folder(address).unwrap(), PathBuf::from(want), "{address}");
        }
        for address in ["", "bob", "bob@", "@x", "\"a\0b\"@x", "a@b/c", "a@.."] {
            assert_eq!(folder(address), None, "{address}");
        }
    }

    proptest! {
        #[test]
        fn components_are_safe_and_differ(a in "\\PC{1,80}", b in "\\PC{1,80}") {
            let (x, y) = (encode(&a), encode(&b));
            prop_assert!(x.len() <= 200 && !x.starts_with('.') && !x.contains(['/', '\0']) && x.is_ascii());
            prop_assert_eq!(a == b, x == y);
        }
    }

    fn letter_for<'a>(record: &'a crate::envelope::Record, again: bool) -> Letter<'a> {
        let dispatch = &record.dispatches[0];
        Letter {
            id: record.id,
            received: record.received,
            place: 0,
            dispatch,
            targets: &[0, 1],
            bytes: &record.bytes,
            again,
            pace: crate::deliver::Pace::Whole,
        }
    }

    /// RFC 5321 4.4: Return-Path at final delivery.
    #[test]
    fn delivery_twice_is_one() {
        let mail = tempfile::tempdir().unwrap();
        let record = crate::spool::test_record(5, b"Subject: x\r\n\r\nhi\r\n.dot".to_vec());
        let letter = letter_for(&record, false);
        let outcomes = deliver(mail.path(), "mx.example", &[letter, Letter { targets: &[], ..letter }]);
        assert_eq!(outcomes, [vec![Outcome::Delivered { by_hop: Hand::Mailbox }; 2], vec![]]);
        let list = |sub: &str| -> Vec<String> {
            let entries = std::fs::read_dir(mail.path().join("example.com/bob").join(sub)).unwrap();
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
        };
        let names = list("new");
        assert_eq!((names.len(), list("tmp").len()), (1, 0));
        let text = std::fs::read_to_string(mail.path().join("example.com/bob/new").join(&names[0])).unwrap();
        assert_eq!(
            text,
            "Return-Path: <ann@example.org>\nDelivered-To: bob@example.com\nSubject: x\n\nhi\n.dot\n"
        );
        // A reader takes it up; the same delivery again changes nothing.
        let base = mail.path().join("example.com/bob");
        std::fs::rename(base.join("new").join(&names[0]), base.join("cur").join(format!("{}:2,S", names[0])))
            .unwrap();
        deliver(mail.path(), "mx.example", &[letter_for(&record, true)]);
        assert_eq!((list("new").len(), list("cur").len()), (0, 1));
    }

    #[test]
    fn folders_that_were_taken_away_come_again() {
        let mail = tempfile::tempdir().unwrap();
        let record = crate::spool::test_record(5, b"x".to_vec());
        let base = mail.path().join("example.com/bob");
        for gone in ["new", "tmp", "cur"] {
            let outcomes = deliver(mail.path(), "mx.example", &[letter_for(&record, false)]);
            assert_eq!(outcomes, [vec![Outcome::Delivered { by_hop: Hand::Mailbox }; 2]], "{gone}");
            assert_eq!(std::fs::read_dir(base.join("new")).unwrap().count(), 1);
            std::fs::remove_dir_all(base.join(gone)).unwrap();
        }
    }

    /// RFC 5321 4.4: exactly one Return-Path, ours; what looks like one in the body stays.
    #[test]
    fn one_return_path_is_delivered() {
        for (message, want) in [
            (
                "A: 1\r\nRETURN-path : <x@y>\r\n\tmore\r\nB: 2\r\n\r\nReturn-Path: <z>\r\n",
                "A: 1\nB: 2\n\nReturn-Path: <z>\n",
            ),
            (
                "Return-Path: <x>\r\nReturn-Path: <y>\r\nReturn-Paths: 1\r\n z\r\n\r\n",
                "Return-Paths: 1\n z\n\n",
            ),
            ("Return-Path: <x>\r\n\r\nhi", "\nhi\n"),
            ("\r\nReturn-Path: <x>\r\n", "\nReturn-Path: <x>\n"),
            ("", "\n"),
        ] {
            let record = crate::spool::test_record(5, message.as_bytes().to_vec());
            let got = content(&letter_for(&record, false));
            assert_eq!(String::from_utf8(got).unwrap(), want, "{message:?}");
        }
    }

    #[test]
    fn trouble_is_told() {
        let mail = tempfile::tempdir().unwrap();
        std::fs::write(mail.path().join("example.com"), "in the way").unwrap();
        let record = crate::spool::test_record(5, b"x".to_vec());
        let outcomes = deliver(mail.path(), "mx.example", &[letter_for(&record, false)]);
        assert!(matches!(outcomes[0][..], [Outcome::Deferred(_), Outcome::Deferred(_)]));
        let mut record = record;
        record.dispatches[0].recipients[1].address = "no mailbox".to_owned();
        let outcomes = deliver(mail.path(), "mx.example", &[letter_for(&record, false)]);
        assert!(matches!(outcomes[0][..], [Outcome::Deferred(_), Outcome::Failed(_)]));
    }

    /// What counts as delivered is there, whole, when the power comes back; what does not is there whole or not at all.
    #[test]
    fn a_power_cut_takes_nothing_that_was_delivered() {
        let text = format!("Subject: x\r\n\r\n{}", "a line of it\r\n".repeat(500));
        let record = crate::spool::test_record(5, text.into_bytes());
        let (mail, new) = (Path::new("/data/mail"), Path::new("/data/mail/example.com/bob/new"));
        // The data folder is the spool's to make.
        let fresh = || {
            let disk = TestDisk::default();
            disk.make_dir(Path::new("/data")).and_then(|()| disk.sync_dir(Path::new("/"))).unwrap();
            disk
        };
        let whole = fresh();
        let begun = whole.operations();
        let deliver = |disk: &TestDisk, again: bool| {
            let letter = Letter { targets: &[0], ..letter_for(&record, again) };
            deliver_on(disk, mail, "mx.example", &[letter])[0]
                == [Outcome::Delivered { by_hop: Hand::Mailbox }]
        };
        let found = |disk: &TestDisk| -> Vec<usize> {
            let names = disk.list(new).unwrap_or_default();
            let length = |name: &String| disk.bytes(&new.join(name)).unwrap();
            let whole =
                |name: &String| length(name).ends_with(b"a line of it\n") && !length(name).contains(&0);
            assert!(names.iter().all(whole), "half a message is in `new`");
            names.iter().map(|name| length(name).len()).collect()
        };
        assert!(deliver(&whole, false));
        let want = found(&whole);
        assert!(want.len() == 1 && want[0] > 6500, "{want:?}");
        for seed in 0..64 {
            assert_eq!(found(&whole.after_cut(seed)), want, "delivered, and lost by the cut");
        }
        // At each step: it is there where the daemon says so, and is so, too, where it cannot say so any more.
        for step in begun + 1..=whole.operations() {
            let disk = fresh();
            disk.cut_at(step);
            let delivered = deliver(&disk, false);
            for seed in 0..64 {
                let found = found(&disk.after_cut(seed));
                assert!(found == want || (found.is_empty() && !delivered), "step {step}: {found:?}");
            }
            // Where a kill came there, and it is delivered by the next life of the daemon.
            let disk = disk.after_kill();
            assert!(deliver(&disk, true), "step {step}");
            for seed in 0..64 {
                assert_eq!(
                    found(&disk.after_cut(seed)),
                    want,
                    "delivered after a kill at step {step}, and lost"
                );
            }
        }
    }
}
