//! A real Postfix of its own: configuration, queue and log below one folder, one port on loopback.

use super::{free_port, wait_for};
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MASTER: &str = "
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
";

/// A running Postfix; stopped when it goes out of scope.
pub struct Postfix {
    /// Where it listens.
    pub address: SocketAddr,
    folder: PathBuf,
}

impl Postfix {
    /// Starts one with these further lines of main.cf. Postfix runs as root alone.
    pub fn start(folder: &Path, main: &str) -> Self {
        let folder = folder.join("postfix");
        let address = free_port();
        for sub in ["conf", "queue", "data", "mail"] {
            std::fs::create_dir_all(folder.join(sub)).unwrap();
        }
        // Its own users get at what is theirs.
        for open in [folder.parent().unwrap(), &folder] {
            std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::set_permissions(folder.join("mail"), std::fs::Permissions::from_mode(0o777)).unwrap();
        run("chown", &["postfix", folder.join("data").to_str().unwrap()]);
        let here = folder.display();
        let text = format!(
            "compatibility_level = 3.6\nqueue_directory = {here}/queue\ndata_directory = {here}/data\n\
             mail_owner = postfix\nmyhostname = postfix.example\nmydestination =\nlocal_recipient_maps =\n\
             alias_maps =\nalias_database =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             maillog_file = {here}/log\nmaillog_file_prefixes = {here}\nsmtp_host_lookup = native\n\
             service_throttle_time = 1s\n{main}"
        );
        std::fs::write(folder.join("conf/main.cf"), once(&text)).unwrap();
        let master = format!("{address} inet n - n - - smtpd\n{MASTER}");
        std::fs::write(folder.join("conf/master.cf"), master).unwrap();
        let postfix = Self { address, folder };
        postfix.control("start");
        wait_for("Postfix to listen", || TcpStream::connect(address).is_ok());
        // Seen once: postlogd did not come up, and every other process of Postfix waited for room in its socket.
        // A master that failed to start it tries again after the throttle time; a second start mends the rest.
        for _ in 0..2 {
            if postfix.logs_within(Duration::from_secs(30)) {
                return postfix;
            }
            postfix.stop();
            postfix.control("start");
            wait_for("Postfix to listen again", || TcpStream::connect(address).is_ok());
        }
        wait_for("Postfix to log its start", || postfix.has_logged());
        postfix
    }

    /// Whether postlogd has written anything: the master's first line comes through it.
    fn has_logged(&self) -> bool {
        self.log().contains("daemon started")
    }

    fn logs_within(&self, limit: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < limit {
            if self.has_logged() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn control(&self, verb: &str) {
        let conf = self.folder.join("conf");
        // The master keeps what it is given as its output: a pipe would never end.
        let said = self.folder.join("said");
        // What waits for room in the socket of a postlogd that reads nothing would wait for ever.
        let status = Command::new("timeout")
            .args(["--kill-after=5", "60", "postfix", "-c"])
            .arg(conf)
            .arg(verb)
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .status()
            .unwrap();
        let said = std::fs::read_to_string(said).unwrap();
        assert!(status.success(), "postfix {verb}, which must be run as root: {said}\n{}", self.log());
    }

    fn stop(&self) {
        let conf = self.folder.join("conf");
        let master = std::fs::read_to_string(self.folder.join("queue/pid/master.pid")).unwrap_or_default();
        // A stop that hangs must not hang the tests with it.
        let stop = ["--kill-after=5", "60", "postfix", "-c"];
        let stopped = Command::new("timeout").args(stop).arg(conf).arg("stop").output();
        if !stopped.is_ok_and(|stopped| stopped.status.success()) && !master.is_empty() {
            let _ = Command::new("kill").args(["-9", master.trim()]).status();
        }
        // All that it started is of its session. A postlogd that lives on holds the socket of the next one.
        if !master.is_empty() {
            let _ = Command::new("pkill").args(["-KILL", "-s", master.trim()]).status();
        }
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The messages in a mailbox below its mail folder.
    pub fn mailbox(&self, name: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder.join("mail").join(name).join("new")) else {
            return Vec::new();
        };
        entries.map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap()).collect()
    }

    /// Waits until a mailbox holds so many messages.
    pub fn wait_for_mail(&self, name: &str, count: usize) -> Vec<String> {
        wait_for(&format!("{count} messages for {name} in Postfix"), || self.mailbox(name).len() >= count);
        self.mailbox(name)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Postfix's log ---\n{}", self.log());
        }
        self.stop();
    }
}

/// Each setting once, the last one: every process of Postfix warns of an entry that overrides another, postlogd too, whose
/// socket is full of such lines before it reads the first, so that it waits for itself.
fn once(text: &str) -> String {
    let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let lines: Vec<&str> = text.lines().collect();
    let last = |at: usize, line: &str| !lines.iter().skip(at + 1).any(|later| name(later) == name(line));
    let kept = lines.iter().enumerate().filter(|(at, line)| !line.contains('=') || last(*at, line));
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
}
