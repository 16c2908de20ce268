//! A disk that fills up under a daemon, and one that cannot be written: mail is put off before it is taken, and
//! is taken again once there is room.
//!
//! The data folder is a small file system of its own, in a mount namespace that ends with the daemon.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::client::Client;
use support::{PATIENCE, build_table, counting_sink, free_port, wait_for};

/// An `edictd` whose data stands on a file system of its own.
struct Daemon {
    address: SocketAddr,
    child: Child,
    /// The data folder, as seen from here.
    data: PathBuf,
}

impl Daemon {
    /// `options` are those of mount.
    fn start(folder: &Path, options: &str) -> Self {
        let data = folder.join("data");
        std::fs::create_dir(&data).unwrap();
        let address = free_port();
        let script = format!(
            "mount -t tmpfs -o {options} none {data} && exec {edictd} run --listen {address} --data {data}",
            data = data.display(),
            edictd = env!("CARGO_BIN_EXE_edictd"),
        );
        let child = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let inside = data.strip_prefix("/").unwrap();
        let data = PathBuf::from(format!("/proc/{}/root", child.id())).join(inside);
        Self { address, child, data }
    }

    fn client(&self) -> Client {
        let mut found = None;
        wait_for("the daemon to listen", || {
            found = Client::hello(self.address).ok();
            found.is_some()
        });
        found.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file system for data that outlives the daemons on it.
struct Disk {
    holder: Child,
    data: PathBuf,
    /// The same folder, as seen from here.
    seen: PathBuf,
}

impl Disk {
    fn mount(folder: &Path) -> Self {
        let data = folder.join("data");
        std::fs::create_dir(&data).unwrap();
        let mount = format!("mount -t tmpfs -o size=320m none {} && exec sleep 3600", data.display());
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount])
            .spawn()
            .unwrap();
        let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
        let seen = root.join(data.strip_prefix("/").unwrap());
        wait_for("the file system", || {
            std::fs::read_to_string(format!("/proc/{}/mounts", holder.id()))
                .is_ok_and(|mounts| mounts.contains(data.to_str().unwrap()))
        });
        Self { holder, data, seen }
    }

    /// A command where the file system is.
    fn run(&self, command: &str) -> Command {
        let mut run = Command::new("nsenter");
        run.args(["--target", &self.holder.id().to_string(), "--user", "--mount", "--preserve-credentials"]);
        run.arg(command);
        run
    }

    /// Starts an `edictd` on it.
    fn daemon(&self, table: &Path, hop: SocketAddr) -> Daemon {
        let address = free_port();
        let child = self
            .run(env!("CARGO_BIN_EXE_edictd"))
            .args(["run", "--listen", &address.to_string(), "--relay", &hop.to_string()])
            .args(["--table", table.to_str().unwrap(), "--data", self.data.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Daemon { address, child, data: self.seen.clone() }
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        assert!(self.run("mount").args(["-o", &options]).arg(&self.data).status().unwrap().success());
    }

    /// All files below a folder of it, with their bytes.
    fn files(&self, below: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        fn add(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    add(&path, files);
                } else {
                    files.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        add(&self.seen.join(below), &mut files);
        files
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

const TEXT: &str = "Subject: x\n\nbody\n";

#[test]
fn a_full_disk_puts_mail_off_before_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), "size=320m");
    let mut client = daemon.client();
    let reply = client.message("bob@example.com", &["alice@example.com"], TEXT).unwrap();
    assert!(reply.starts_with("250"), "{reply}");

    // Somebody else fills the disk, up to what the spool keeps free.
    let filler = daemon.data.join("filler");
    std::fs::write(&filler, vec![1u8; 190 << 20]).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    assert!(client.command("MAIL FROM:<bob@example.com>").unwrap().starts_with("250"));
    assert!(client.command("RCPT TO:<alice@example.com>").unwrap().starts_with("250"));
    // Before DATA is taken: a client that has sent its message has sent it for nothing.
    let reply = client.command("DATA").unwrap();
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    assert!(client.command("RSET").unwrap().starts_with("250"));

    std::fs::remove_file(&filler).unwrap();
    let begun = Instant::now();
    loop {
        let reply = client.message("bob@example.com", &["alice@example.com"], TEXT).unwrap();
        if reply.starts_with("250") {
            break;
        }
        assert!(reply.starts_with("452 4.3.1"), "{reply}");
        assert!(begun.elapsed() < PATIENCE, "room again, and still {reply}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Mail that was accepted, and whose next hop is not there yet.
struct Waiting {
    disk: Disk,
    table: PathBuf,
    hop: SocketAddr,
    daemon: Daemon,
}

/// Ten of them, on a disk that outlives the daemon.
fn mail_that_waits(folder: &Path) -> Waiting {
    let table = folder.join("edict.table");
    build_table("every-kind", &table, |_| ());
    let disk = Disk::mount(folder);
    let hop = free_port();
    let daemon = disk.daemon(&table, hop);
    let mut client = daemon.client();
    for number in 0..10 {
        let text = format!("X-Number: {number}\nSubject: x\n\nbody\n");
        let reply = client.message("bob@example.com", &["u@out.example"], &text).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    Waiting { disk, table, hop, daemon }
}

/// A start on a disk without a byte left: nothing is taken, and what waits is delivered, which makes room.
#[test]
fn a_start_on_a_full_disk_delivers_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let Waiting { disk, table, hop, daemon } = mail_that_waits(folder.path());
    drop(daemon);
    let mut filler = std::fs::File::create(disk.seen.join("filler")).unwrap();
    while filler.write(&[1u8; 4096]).is_ok_and(|n| n > 0) {}
    drop(filler);

    let daemon = disk.daemon(&table, hop);
    let mut client = daemon.client();
    assert!(client.command("MAIL FROM:<bob@example.com>").unwrap().starts_with("250"));
    assert!(client.command("RCPT TO:<u@out.example>").unwrap().starts_with("250"));
    let reply = client.command("DATA").unwrap();
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    let counts = counting_sink::start_at(hop);
    wait_for("all mail to arrive", || counts.lock().unwrap().len() == 10);
    drop(daemon);
    assert!(counts.lock().unwrap().values().all(|count| *count == 1), "{counts:?}");
}

/// A disk that fails: a write of the log that is refused. Nobody is told anything, since the next start may find the message
/// and deliver it (RFC 5321 4.2.5), and the daemon ends with an error, so that whoever watches over it starts it again.
#[test]
fn a_write_that_fails_ends_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), "size=320m");
    let mut client = daemon.client();
    let reply = client.message("bob@example.com", &["alice@example.com"], TEXT).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    assert!(client.command("MAIL FROM:<bob@example.com>").unwrap().starts_with("250"));
    assert!(client.command("RCPT TO:<alice@example.com>").unwrap().starts_with("250"));
    assert!(client.command("DATA").unwrap().starts_with("354"));
    // The next segment is there, so that nothing else comes and goes on the disk.
    let log = daemon.data.join("spool/log");
    wait_for("a segment to spare", || {
        let names = std::fs::read_dir(&log).unwrap().map(|e| e.unwrap().path());
        let names: Vec<PathBuf> = names.collect();
        names.len() == 2 && names.iter().all(|name| name.extension().is_some_and(|e| e == "seg"))
    });
    // The segments lose their blocks, and the disk has no others.
    for file in std::fs::read_dir(&log).unwrap() {
        std::fs::File::options().write(true).open(file.unwrap().path()).unwrap().set_len(0).unwrap();
    }
    let mut filler = std::fs::File::create(daemon.data.join("filler")).unwrap();
    while filler.write(&[1u8; 4096]).is_ok_and(|n| n > 0) {}
    drop(filler);
    let reply = client.command("Subject: x\r\n\r\nbody\r\n.");
    assert!(reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof), "{reply:?}");
    let status = daemon.child.wait().unwrap();
    let mut said = String::new();
    daemon.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("the spool stopped: "), "{said}");
    assert!(said.contains("its client gets no reply"), "{said}");
}

#[test]
fn a_disk_that_cannot_be_written_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), "ro,size=1m");
    let status = daemon.child.wait().unwrap();
    let mut said = String::new();
    daemon.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
}

/// The same with mail on it: a start refuses, and leaves all as it is. Once the disk can be written all of it is delivered, once.
#[test]
fn mail_on_a_disk_that_cannot_be_written_waits_for_a_start_that_can() {
    let folder = tempfile::tempdir().unwrap();
    let Waiting { disk, table, hop, daemon } = mail_that_waits(folder.path());
    // It waits in the log, but for one that somebody holds.
    let ask = |words: &[&str]| {
        let out = disk
            .run(env!("CARGO_BIN_EXE_edictd"))
            .args(words)
            .arg("--data")
            .arg(&disk.data)
            .output()
            .unwrap();
        assert!(out.status.success(), "{words:?}: {out:?}");
        out.stdout
    };
    let list: serde_json::Value =
        serde_json::from_slice(&ask(&["queue", "list", "--format", "json"])).unwrap();
    let held = list[0]["id"].as_str().unwrap();
    ask(&["queue", "hold", held]);
    wait_for("a message in the deferred store", || !disk.files("spool/deferred").is_empty());
    drop(daemon);

    disk.remount("ro");
    let before = disk.files("spool");
    let mut daemon = disk.daemon(&table, hop);
    let status = daemon.child.wait().unwrap();
    let mut said = String::new();
    daemon.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(disk.files("spool") == before, "something was written");

    disk.remount("rw");
    let counts = counting_sink::start_at(hop);
    let daemon = disk.daemon(&table, hop);
    daemon.client();
    ask(&["queue", "release", held]);
    wait_for("all mail to arrive", || counts.lock().unwrap().len() == 10);
    drop(daemon);
    assert!(counts.lock().unwrap().values().all(|count| *count == 1), "{counts:?}");
}
