//! A disk that fills up under a daemon, and one that cannot be written: mail is put off before it is taken, and
//! is taken again once there is room.
//!
//! The data folder is a small file system of its own, in a mount namespace that ends with the daemon.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::client::Client;
use support::{PATIENCE, free_port, wait_for};

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
