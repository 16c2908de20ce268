//! What systemd sees: readiness, reloads and the stop over NOTIFY_SOCKET, and sockets that it passes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::client::Client;
use support::{PATIENCE, build_table, free_port, wait_for};

const EDICTD: &str = env!("CARGO_BIN_EXE_edictd");

/// A daemon that some other program starts; killed when it goes out of scope.
struct Started(Child);

impl Started {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The time that systemd compares: microseconds of the machine's monotonic clock.
fn monotonic() -> u64 {
    let clock = "import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)";
    let out = Command::new("python3").args(["-c", clock]).output().unwrap();
    String::from_utf8_lossy(&out.stdout).trim().parse().unwrap()
}

fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).unwrap();
    String::from_utf8_lossy(bytes.get(..length).unwrap()).lines().map(str::to_owned).collect()
}

/// `Type=notify-reload` of systemd.service(5).
#[test]
fn systemd_is_told_of_start_reload_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("edict.table");
    build_table("every-kind", &table, |_| ());
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = free_port();
    let child = Command::new(EDICTD)
        .args(["--listen", &address.to_string(), "--table", table.to_str().unwrap()])
        .args(["--data", folder.path().join("data").to_str().unwrap()])
        .env("NOTIFY_SOCKET", &path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut daemon = Started(child);
    let ready = told(&socket);
    assert!(ready.contains(&"READY=1".to_owned()), "{ready:?}");
    assert!(TcpStream::connect(address).is_ok(), "it serves by then");

    let reload = |good: bool| {
        let before = monotonic();
        daemon.signal("HUP");
        let begun = told(&socket);
        assert!(begun.contains(&"RELOADING=1".to_owned()), "{begun:?}");
        let at: u64 = begun.iter().find_map(|l| l.strip_prefix("MONOTONIC_USEC=")).unwrap().parse().unwrap();
        assert!(before <= at && at <= monotonic(), "the time is of this reload");
        let ended = told(&socket);
        assert!(ended.contains(&"READY=1".to_owned()), "{ended:?}");
        let refused = ended.iter().any(|l| l.starts_with("STATUS=") && l.contains("refused"));
        assert_eq!(refused, !good, "{ended:?}");
    };
    reload(true);
    std::fs::write(&table, "no table").unwrap();
    reload(false);
    daemon.signal("TERM");
    assert_eq!(told(&socket), ["STOPPING=1", "STATUS=stopping"]);
    assert!(daemon.0.wait().unwrap().success());
}

fn activated(folder: &Path, sockets: &[String], config: &str) -> (Started, PathBuf) {
    std::fs::write(folder.join("edictd.ron"), config).unwrap();
    let log = folder.join("log");
    let child = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/activate.py"))
        .args(sockets)
        .args(["--", EDICTD, "--config", folder.join("edictd.ron").to_str().unwrap()])
        .env("NO_COLOR", "1")
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    (Started(child), log)
}

#[test]
fn sockets_of_systemd_are_served_by_name_and_by_address() {
    let folder = tempfile::tempdir().unwrap();
    build_table("every-kind", &folder.path().join("edict.table"), |_| ());
    let (named, twin, by_address, unused) = (free_port(), free_port(), free_port(), free_port());
    let sockets = [
        format!("smtp={named}"),
        format!("smtp={twin}"),
        format!("other={by_address}"),
        format!("spare={unused}"),
    ];
    let config = |listeners: &str| format!("(table: \"edict.table\", listeners: [{listeners}])");
    let both = format!("(address: \"systemd:smtp\"), (address: \"{by_address}\")");
    let (mut daemon, log) = activated(folder.path(), &sockets, &config(&both));
    let logged = |text: &str| std::fs::read_to_string(&log).unwrap_or_default().contains(text);
    wait_for("the daemon", || logged("ready table="));
    for address in [named, twin, by_address] {
        let mut client = Client::hello(address).unwrap();
        let reply = client.message("x@elsewhere.example", &["alice@example.com"], "Subject: x\n\nx").unwrap();
        assert!(reply.starts_with("250"), "{address}: {reply}");
    }
    assert!(logged("name=spare"), "a socket that nobody uses is told of");

    // A listener goes and comes back with the socket that was passed.
    std::fs::write(folder.path().join("edictd.ron"), config(&format!("(address: \"{by_address}\")")))
        .unwrap();
    daemon.signal("HUP");
    wait_for("the reload", || logged("no longer listening address=systemd:smtp"));
    std::fs::write(folder.path().join("edictd.ron"), config(&both)).unwrap();
    daemon.signal("HUP");
    wait_for("the second reload", || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.matches(&format!("listening address={named}")).count() == 2
    });
    assert!(Client::hello(named).is_ok());
    daemon.signal("TERM");
    assert!(daemon.0.wait().unwrap().success());
}

#[test]
fn a_name_that_was_not_passed_keeps_the_daemon_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let config = "(listeners: [(address: \"systemd:smtp\")])";
    let (mut daemon, log) = activated(folder.path(), &[format!("other={}", free_port())], config);
    assert_eq!(daemon.0.wait().unwrap().code(), Some(2));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("cannot listen on systemd:smtp"), "{log}");
}
