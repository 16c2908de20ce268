//! Lines are torn at no place but the end of a file, and go into no file that is gone.

use super::*;
use crate::journal::Journal;
use crate::journal::tests::{entry, read, settings};

/// A disk with room for so many bytes.
#[derive(Default)]
struct Small {
    room: usize,
    bytes: Vec<u8>,
}

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= taken;
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn behind_a_torn_line_the_next_one_is_whole() {
    let line = |letter: u8, length: usize| {
        let mut line = vec![letter; length];
        line.push(b'\n');
        line
    };
    // Longer than what is held back, and shorter.
    for length in [20_000, 100] {
        for room in [0, 1, 5_000, 19_999, 20_000, 20_001, 25_000] {
            let mut lines = Lines::new(Small { room, ..Small::default() }, false);
            let mut added = Vec::new();
            for letter in b'a'..=b'f' {
                let line = line(letter, length);
                if lines.add(&[&line]).and_then(|()| lines.flush()).is_ok() {
                    added.push(line);
                }
            }
            lines.out.get_mut().room = usize::MAX;
            for letter in b'u'..=b'z' {
                let line = line(letter, length);
                lines.add(&[&line]).unwrap();
                added.push(line);
            }
            lines.flush().unwrap();
            let bytes = &lines.out.get_ref().bytes;
            let found: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            assert!(added.iter().all(|line| found.contains(&line.as_slice())), "{length} {room}");
        }
    }
}

/// Waits until a line with this stands in a file.
fn wait_for_line(file: &Path, text: &str) {
    for _ in 0..1000 {
        if std::fs::read_to_string(file).is_ok_and(|lines| lines.contains(text)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{text} is not in {}", file.display());
}

/// Nothing goes into a file that nobody can find: whether it or its folder was removed, moved away, or has another one in its place.
#[test]
fn a_file_that_was_taken_away_is_followed_by_another() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("journal");
    let journal = Journal::open(&Settings { file_bytes: 1 << 20, ..settings(&folder) }).unwrap();
    let mut number = 0;
    let mut add = |count: u64| {
        (number..number + count).for_each(|number| journal.add(entry(number, b"Subject: x\r\n\r\n", true)));
        number += count;
    };
    // In one step: the journal looks after its file at any moment.
    let take_away = |name: &str| {
        let newest = files(&folder).unwrap().pop().unwrap();
        std::fs::rename(if name == "folder" { &folder } else { &newest }, parent.path().join(name)).unwrap();
    };
    // The folder, before anything was written.
    take_away("folder");
    add(3);
    wait_for_line(&folder.join("journal-0000000001.jsonl"), r#""id":"2""#);
    // The file, as some do to rotate.
    take_away("file");
    add(3);
    wait_for_line(&folder.join("journal-0000000002.jsonl"), r#""id":"5""#);
    // Another one comes into its place, and there is one of a higher number.
    std::fs::write(folder.join("journal-0000000007.jsonl"), "").unwrap();
    std::fs::write(parent.path().join("other"), "").unwrap();
    std::fs::rename(parent.path().join("other"), folder.join("journal-0000000002.jsonl")).unwrap();
    add(3);
    wait_for_line(&folder.join("journal-0000000008.jsonl"), r#""id":"8""#);
    // The folder, and it cannot be made again: what comes then is lost, and what comes afterwards is not.
    while std::fs::write(&folder, "").is_err() {
        std::fs::remove_dir_all(&folder).unwrap_or_default();
    }
    add(3);
    journal.wait();
    assert_eq!(journal.lost(), 3);
    std::fs::remove_file(&folder).unwrap();
    add(3);
    journal.close();
    let (entries, strange) = read(&folder);
    let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!((ids, strange.len()), (vec!["12", "13", "14"], 0));
    assert_eq!(read(&parent.path().join("file")).0.len(), 3, "what was moved away is whole");
}

/// What was added before, and did not reach the file that was taken away, stands in the next one.
#[test]
fn what_is_held_back_goes_into_the_next_file() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("journal");
    std::fs::create_dir(&folder).unwrap();
    let mut open = Files::open(&settings(&folder)).unwrap();
    open.write(&[b"held back\n"]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    open.flush().unwrap();
    let all = files(&folder).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(std::fs::read_to_string(&all[0]).unwrap(), "held back\n");
}

/// Nothing is lost where others put files at the numbers that come next, whatever they are.
#[test]
fn files_of_others_are_stepped_over() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("journal");
    std::fs::create_dir(&folder).unwrap();
    let mut open = Files::open(&Settings { files: 100, ..settings(&folder) }).unwrap();
    std::fs::write(path(&folder, 1), "").unwrap();
    std::fs::create_dir(path(&folder, 2)).unwrap();
    std::os::unix::fs::symlink("/nowhere", path(&folder, 4)).unwrap();
    std::fs::write(path(&folder, u64::MAX), "").unwrap();
    let line = [b"x".repeat(3000), b"\n".to_vec()].concat();
    for _ in 0..4 {
        open.write(&[&line]).unwrap();
    }
    open.flush().unwrap();
    drop(open);
    let full = |number: u64| std::fs::metadata(path(&folder, number)).is_ok_and(|f| f.len() == 3001);
    assert!([0, 3, 5, 6].into_iter().all(full));
    // Nor does the last number of all stop the next start.
    let mut open = Files::open(&Settings { files: 100, ..settings(&folder) }).unwrap();
    open.write(&[&line]).unwrap();
    open.flush().unwrap();
    assert!(full(7));
}
