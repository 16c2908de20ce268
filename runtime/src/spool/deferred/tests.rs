//! What the store does with its folders, on a real disk.

use super::*;
use crate::spool::disk::{Handle, RealDisk, Space};
use crate::spool::{TestDisk, test_record};
use std::sync::atomic::AtomicU64;

/// Counts what is asked about folders, and knows which files were made.
#[derive(Default)]
struct Counting(AtomicU64, Mutex<Vec<PathBuf>>);

impl Disk for Counting {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        RealDisk.make_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        RealDisk.list(path)
    }
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn Handle>> {
        if mode == Mode::Create {
            self.1.lock().unwrap().push(path.to_owned());
        }
        RealDisk.open(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        RealDisk.space(path)
    }
}

fn record(id: u64) -> Record {
    Record {
        id: MessageId(id),
        received: 0,
        dispatches: Vec::new(),
        variants: Vec::new(),
        usage: Vec::new(),
        table: String::new(),
        bytes: b"hello".to_vec(),
    }
}

fn on_disk(folder: &Path) -> Deferred {
    Deferred::open(Arc::new(RealDisk), folder).unwrap()
}

/// Storing one more costs the same however many wait, and a folder that somebody took away comes again.
#[test]
fn a_folder_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Counting::default());
    let deferred = Deferred::open(Arc::clone(&disk) as Arc<dyn Disk>, folder.path()).unwrap();
    let same: Vec<u64> = (7..).filter(|id| home(MessageId(*id)) == home(MessageId(7))).take(50).collect();
    let before = disk.0.load(Ordering::Relaxed);
    for id in same {
        deferred.put(&record(id), &State::default()).unwrap();
    }
    assert_eq!(disk.0.load(Ordering::Relaxed) - before, 1, "one folder");
    std::fs::remove_dir_all(folder.path().join(format!("{:02x}", home(MessageId(7))))).unwrap();
    assert!(deferred.put(&record(7), &State::default()).is_err(), "nothing is promised");
    deferred.put(&record(7), &State::default()).unwrap();
    assert_eq!(deferred.load(MessageId(7)).unwrap().id, MessageId(7));
}

/// Names count messages within a millisecond, and there are few in one.
#[test]
fn messages_spread_over_the_folders() {
    for in_one in [1, 4] {
        let mut counts = [0; FANS];
        for id in
            (0..2560 / in_one).flat_map(|ms| (0..in_one).map(move |n| (1_700_000_000_000 + ms) << 16 | n))
        {
            counts[usize::from(home(MessageId(id)))] += 1;
        }
        assert!(counts.iter().all(|count| (1..30).contains(count)), "{counts:?}");
    }
}

/// A store of an older version: its files stay where they are until their messages are gone.
#[test]
fn messages_in_the_folders_of_older_versions_are_served_there() {
    let folder = tempfile::tempdir().unwrap();
    let ids = [0x300, 0x500, 0x701, 0x900];
    let state = State { attempts: 3, due: 7, settled: vec![(0, 1)], ..State::default() };
    let before = on_disk(folder.path());
    let old = |id: u64| folder.path().join(format!("{:02x}", id % 256));
    let file = |id: u64, suffix: &str| format!("{}{suffix}", MessageId(id));
    for id in ids {
        before.put(&record(id), &state).unwrap();
        let new = folder.path().join(format!("{:02x}", home(MessageId(id))));
        assert_ne!(new, old(id));
        std::fs::create_dir_all(old(id)).unwrap();
        for suffix in ["", ".s"] {
            std::fs::rename(new.join(file(id, suffix)), old(id).join(file(id, suffix))).unwrap();
        }
    }
    // One whose frame in the log was not known to be durable.
    let (large, _) =
        (0x900, std::fs::rename(old(0x900).join(file(0x900, "")), old(0x900).join(file(0x900, ".new"))));
    let store = on_disk(folder.path());
    let found = store.scan().unwrap();
    assert_eq!(found, (vec![MessageId(0x300), MessageId(0x500), MessageId(0x701)], vec![MessageId(large)]));
    store.adopt(MessageId(large)).unwrap();
    for id in ids {
        assert_eq!(store.load(MessageId(id)).unwrap().id, MessageId(id));
        assert_eq!(store.state(MessageId(id)).unwrap(), state);
        store.update(MessageId(id), &State { attempts: 4, ..state.clone() }).unwrap();
        assert_eq!(store.state(MessageId(id)).unwrap().attempts, 4);
        assert!(old(id).join(file(id, ".s")).exists());
    }
    store.set_aside(MessageId(0x500)).unwrap();
    assert!(old(0x500).join(file(0x500, ".bad")).exists());
    store.remove(MessageId(0x300)).unwrap();
    // What comes now goes into the folder of its hash.
    store.put(&record(0x100), &State::default()).unwrap();
    let left = on_disk(folder.path()).scan().unwrap().0;
    assert_eq!(left, [0x100, 0x701, 0x900].map(MessageId));
    assert_eq!(on_disk(folder.path()).load(MessageId(0x100)).unwrap().id, MessageId(0x100));
}

/// What a kill leaves in the middle of storing or removing a message goes at the next start; what belongs to somebody stays.
#[test]
fn states_of_messages_that_are_gone_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = on_disk(folder.path());
    let file = |id: u64, suffix: &str| {
        folder.path().join(format!("{:02x}/{}{suffix}", home(MessageId(id)), MessageId(id)))
    };
    for id in 1..=5 {
        store.put(&record(id), &State { attempts: 9, ..State::default() }).unwrap();
    }
    std::fs::remove_file(file(1, "")).unwrap();
    store.set_aside(MessageId(2)).unwrap();
    std::fs::rename(file(3, ""), file(3, ".new")).unwrap();
    // In the folder of another version.
    let old = folder.path().join("zz");
    std::fs::create_dir(&old).unwrap();
    std::fs::rename(file(4, ".s"), old.join("kept")).unwrap();
    let stray = folder.path().join(format!("{:02x}", home(MessageId(4)).wrapping_add(1)));
    std::fs::create_dir_all(&stray).unwrap();
    std::fs::write(stray.join(format!("{}.s", MessageId(4))), "").unwrap();
    let store = on_disk(folder.path());
    assert_eq!(store.scan().unwrap(), (vec![MessageId(4), MessageId(5)], vec![MessageId(3)]));
    assert!(!file(1, ".s").exists() && !stray.join(format!("{}.s", MessageId(4))).exists());
    assert!([2, 3, 5].iter().all(|id| file(*id, ".s").exists()) && old.join("kept").exists());
    // One that the log has still, and that is put off again, has none of the state that was left.
    store.put(&record(1), &State::default()).unwrap();
    assert_eq!(on_disk(folder.path()).state(MessageId(1)).unwrap(), State::default());
}

/// What several change at a time is all there in the end.
#[test]
fn changes_of_a_state_do_not_undo_each_other() {
    let store = Deferred::open(Arc::new(TestDisk::default()), Path::new("/deferred")).unwrap();
    let id = MessageId(1);
    store.put(&test_record(1, b"x\r\n".to_vec()), &State::default()).unwrap();
    std::thread::scope(|scope| {
        let store = &store;
        for dispatch in 0..4 {
            scope.spawn(move || {
                (0..50).for_each(|target| store.merge(id, &[(dispatch, target)], &[]).unwrap());
            });
        }
        scope.spawn(move || store.change(id, |state| state.held = true).unwrap());
    });
    let state = store.state(id).unwrap();
    assert_eq!((state.settled.len(), state.held), (200, true));
}

/// The same on a disk that takes its time, where one is in the middle of a change when the next one begins.
#[test]
fn changes_of_a_state_do_not_undo_each_other_on_a_slow_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Slow::default());
    let store = Deferred::open(Arc::clone(&disk) as Arc<dyn Disk>, folder.path()).unwrap();
    let ids: Vec<MessageId> =
        (1..).map(MessageId).filter(|id| home(*id) == home(MessageId(1))).take(2).collect();
    for id in &ids {
        store.put(&record(id.0), &State { attempts: 3, ..State::default() }).unwrap();
    }
    std::thread::scope(|scope| {
        for dispatch in 0..12 {
            let (store, ids) = (&store, &ids);
            scope.spawn(move || {
                for (id, target) in (0..6).flat_map(|target| ids.iter().map(move |id| (*id, target))) {
                    store.merge(id, &[(dispatch, target)], &[]).unwrap();
                    let state = store.state(id).unwrap();
                    assert!(!state.held && state.settled.contains(&(dispatch, target)), "{state:?}");
                }
            });
        }
    });
    let all: Vec<(u16, u16)> =
        (0..12).flat_map(|dispatch| (0..6).map(move |target| (dispatch, target))).collect();
    for store in [store, on_disk(folder.path())] {
        for id in &ids {
            assert_eq!(
                store.state(*id).unwrap(),
                State { attempts: 3, settled: all.clone(), ..State::default() }
            );
        }
    }
}

/// A disk that waits before it does something.
#[derive(Default)]
struct Slow(Counting);

impl Slow {
    fn disk(&self) -> &Counting {
        std::thread::sleep(std::time::Duration::from_micros(50));
        &self.0
    }
}

impl Disk for Slow {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.disk().make_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk().list(path)
    }
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn Handle>> {
        self.disk().open(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk().rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk().remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk().sync_dir(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk().space(path)
    }
}

/// Half-written states have a name each; none stays where it cannot be written, nor over a start.
#[test]
fn half_written_states_are_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Counting::default());
    let store = Deferred::open(Arc::clone(&disk) as Arc<dyn Disk>, folder.path()).unwrap();
    store.put(&record(1), &State::default()).unwrap();
    for attempts in 1..=3 {
        store.update(MessageId(1), &State { attempts, ..State::default() }).unwrap();
    }
    let mut names = disk.1.lock().unwrap().clone();
    let made = names.len();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), made), (5, 5), "a record and four states");
    let fan = folder.path().join(format!("{:02x}", home(MessageId(1))));
    // The names of this version, and of the one before.
    for suffix in [".7.t", ".1f.t", ".t", ".part"] {
        std::fs::write(fan.join(format!("{}{suffix}", MessageId(1))), "half").unwrap();
    }
    assert_eq!(on_disk(folder.path()).scan().unwrap(), (vec![MessageId(1)], Vec::new()));
    let left = |disk: &dyn Disk, fan: &Path| {
        let mut names = disk.list(fan).unwrap();
        names.sort();
        names
    };
    let whole = [MessageId(1).to_string(), format!("{}.s", MessageId(1))];
    assert_eq!(left(&RealDisk, &fan), whole);
    assert_eq!(on_disk(folder.path()).state(MessageId(1)).unwrap().attempts, 3);

    let disk = TestDisk::default();
    let store = Deferred::open(Arc::new(disk.clone()), Path::new("/deferred")).unwrap();
    store.put(&record(1), &State::default()).unwrap();
    disk.set_capacity(0);
    let settled = State { settled: vec![(0, 0); 1000], ..State::default() };
    assert!(store.update(MessageId(1), &settled).is_err());
    let fan = Path::new("/deferred").join(format!("{:02x}", home(MessageId(1))));
    assert_eq!(left(&disk, &fan), whole);
    assert_eq!(store.state(MessageId(1)).unwrap(), State::default());
}

/// Also a large message whose name is provisional still: a restart would deliver it once more.
#[test]
fn what_is_removed_is_gone_by_any_name() {
    let store = Deferred::open(Arc::new(TestDisk::default()), Path::new("/deferred")).unwrap();
    store.put_new(&record(1)).unwrap();
    store.update(MessageId(1), &State::default()).unwrap();
    assert_eq!(store.load(MessageId(1)).unwrap().id, MessageId(1));
    store.remove(MessageId(1)).unwrap();
    assert_eq!(store.load(MessageId(1)), Err(SpoolError::Gone));
    assert_eq!(store.scan().unwrap(), (Vec::new(), Vec::new()));
    // Fine when it is gone.
    store.remove(MessageId(1)).unwrap();
}

/// So is one that is damaged: a start would find it once more, and its author would be told again.
#[test]
fn what_is_set_aside_is_gone_by_any_name() {
    let disk = TestDisk::default();
    let store = Deferred::open(Arc::new(disk.clone()), Path::new("/deferred")).unwrap();
    store.put_new(&record(1)).unwrap();
    store.set_aside(MessageId(1)).unwrap();
    assert_eq!(store.load(MessageId(1)), Err(SpoolError::Gone));
    assert_eq!(store.scan().unwrap(), (Vec::new(), Vec::new()));
    assert!(disk.bytes(&store.path(MessageId(1), ".bad")).is_some());
    assert!(store.set_aside(MessageId(1)).is_err(), "there is nothing left");
}

/// A list of very many members at a server that says much to each: what is known of them is kept, and some of what it said.
#[test]
fn a_state_of_very_many_recipients_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = on_disk(folder.path());
    let id = MessageId(1);
    let reasons = (0..40_000).map(|target| (0, target, "x".repeat(480))).collect();
    let state = State { attempts: 3, settled: vec![(1, 1)], reasons, ..State::default() };
    store.put(&record(1), &state).unwrap();
    let found = store.state(id).unwrap();
    assert_eq!((found.attempts, found.held, &found.settled), (3, false, &state.settled));
    assert!(!found.reasons.is_empty() && state.reasons.starts_with(&found.reasons));
}

/// States grew at their end: each form of before is read.
#[test]
fn states_of_older_versions_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = on_disk(folder.path());
    let id = MessageId(1);
    let plain = State { attempts: 3, settled: vec![(0, 1)], warned: true, ..State::default() };
    let words = vec![(0, 1, Word::Told), (0, 2, Word::Delay)];
    store.put(&record(1), &State { words: words.clone(), ..plain.clone() }).unwrap();
    assert_eq!(store.state(id).unwrap().words, words);
    let first = postcard::to_allocvec(&plain).unwrap();
    let second = postcard::to_extend(&1_700_000_000_000_i64, first.clone()).unwrap();
    for (body, since) in [(first, 0), (second, 1_700_000_000_000)] {
        let mut bytes = xxh3_64(&body).to_le_bytes().to_vec();
        bytes.extend(body);
        std::fs::write(store.path(id, ".s"), bytes).unwrap();
        assert_eq!(store.state(id).unwrap(), State { since, ..plain.clone() });
    }
    store.merge(id, &[(0, 2)], &[(0, 2, Word::Delivered), (0, 1, Word::Delivered)]).unwrap();
    let state = store.state(id).unwrap();
    assert_eq!(state.settled, [(0, 1), (0, 2)]);
    assert_eq!(state.words, [(0, 1, Word::Delivered), (0, 2, Word::Delivered)]);
    store.merge(id, &[], &[(0, 2, Word::Delay), (0, 1, Word::Told)]).unwrap();
    assert_eq!(store.state(id).unwrap().words, [(0, 1, Word::Told), (0, 2, Word::Delivered)]);
}

/// A large message gets its name while it is looked for.
#[test]
fn a_name_that_comes_meanwhile_is_found() {
    let disk = TestDisk::default();
    let store = Deferred::open(Arc::new(Naming(disk)), Path::new("/deferred")).unwrap();
    store.put_new(&record(1)).unwrap();
    assert_eq!(store.load(MessageId(1)).unwrap(), record(1));
    store.put_new(&record(2)).unwrap();
    assert_eq!(store.load_head(MessageId(2)).unwrap().1, 5);
    assert_eq!(store.load(MessageId(3)), Err(SpoolError::Gone));
}

/// A disk that gives a file its name just before it is opened by its provisional one.
struct Naming(TestDisk);

impl Disk for Naming {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.0.make_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.list(path)
    }
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn Handle>> {
        if mode == Mode::Read && path.extension().is_some_and(|suffix| suffix == "new") {
            let _ = self.0.rename(path, &path.with_extension(""));
        }
        self.0.open(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.0.space(path)
    }
}

/// A message of which no folder was ever made is gone like any other.
#[test]
fn what_was_never_there_can_be_removed() {
    let data = tempfile::tempdir().unwrap();
    let real = Deferred::open(Arc::new(RealDisk), &data.path().join("deferred")).unwrap();
    let sim = Deferred::open(Arc::new(TestDisk::default()), Path::new("/deferred")).unwrap();
    for store in [real, sim] {
        store.remove(MessageId(7)).unwrap();
    }
}

/// A kill leaves names that no sync went over: what a start reads by them outlasts a power cut that comes next.
#[test]
fn what_a_scan_found_outlasts_a_power_cut() {
    let who = vec![(0, 1)];
    for seed in 0..8 {
        let disk = TestDisk::default();
        let open = |disk: &TestDisk| {
            crate::spool::disk::make_dirs_durably(disk, &[Path::new("/deferred")]).unwrap();
            Deferred::open(Arc::new(disk.clone()), Path::new("/deferred")).unwrap()
        };
        let store = open(&disk);
        store.put(&record(1), &State::default()).unwrap();
        // The file is made, written, synced and renamed.
        disk.cut_at(disk.operations() + 5);
        store.merge(MessageId(1), &who, &[]).unwrap_err();
        let disk = disk.after_kill();
        let store = open(&disk);
        assert_eq!(store.scan().unwrap(), (vec![MessageId(1)], vec![]));
        assert_eq!(store.state(MessageId(1)).unwrap().settled, who);
        let store = open(&disk.after_cut(seed));
        assert_eq!(store.state(MessageId(1)).unwrap().settled, who, "it is forgotten");
    }
}
