//! An `edictd` in a folder of its own.

use super::{free_port, wait_for};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running daemon; killed when it goes out of scope.
pub struct Daemon {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its data folder.
    pub data: PathBuf,
    /// Its log.
    pub log: PathBuf,
    arguments: Vec<String>,
    /// The configuration says where to listen.
    configured: bool,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Daemon {
    /// Starts one below `folder` with these further arguments and waits until it answers.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[])
    }

    /// The same, with more in its environment.
    pub fn start_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut daemon = Self {
            address: free_port(),
            data: folder.join("edict-data"),
            log: folder.join("edictd.log"),
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            configured: false,
            environment: environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            child: None,
        };
        daemon.restart();
        daemon
    }

    /// Starts one with this configuration, which must have a listener at `address`.
    pub fn configured(folder: &Path, address: SocketAddr, config: &str) -> Self {
        Self::configured_with(folder, address, config, &[])
    }

    /// The same, with more in its environment.
    pub fn configured_with(
        folder: &Path,
        address: SocketAddr,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let path = folder.join("edictd.ron");
        std::fs::write(&path, config).unwrap();
        let mut daemon = Self {
            address,
            data: folder.join("edict-data"),
            log: folder.join("edictd.log"),
            arguments: vec!["--config".to_owned(), path.to_str().unwrap().to_owned()],
            configured: true,
            environment: environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            child: None,
        };
        daemon.restart();
        daemon
    }

    /// Starts it again after [`Daemon::kill`] or [`Daemon::stop`], on the same address and data, and waits until it answers.
    pub fn restart(&mut self) {
        self.spawn();
        let (address, admin) = (self.address, self.data.join("admin.sock"));
        // The admin socket is there once all listeners are; each of them answers before the next one is open.
        wait_for("the daemon to listen", || {
            self.assert_runs();
            TcpStream::connect(address).is_ok() && UnixStream::connect(&admin).is_ok()
        });
    }

    /// Asserts that it did not end by itself.
    pub fn assert_runs(&mut self) {
        if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().unwrap()) {
            panic!("edictd ended with {status}:\n{}", self.read_log());
        }
    }

    /// Starts it again, and waits for nothing.
    pub fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_edictd"))
            .arg("run")
            .args(if self.configured {
                vec![]
            } else {
                vec!["--listen".to_owned(), self.address.to_string()]
            })
            .arg("--data")
            .arg(&self.data)
            .args(&self.arguments)
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and waits for the end; true if it ended well.
    pub fn stop(&mut self) -> bool {
        self.signal("TERM");
        self.child.take().unwrap().wait().unwrap().success()
    }

    /// Waits for the end of one that was told to stop.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        wait_for("the daemon to end", || {
            status = self.child.as_mut().unwrap().try_wait().unwrap();
            status.is_some()
        });
        self.child = None;
        status.unwrap()
    }

    /// Runs `edictd WORDS --data DIR` against it: its exit code, and what it printed on either side.
    pub fn ask(&self, words: &[&str]) -> (i32, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_edictd"))
            .args(words)
            .arg("--data")
            .arg(&self.data)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    }

    /// A number of `edictd status --format json`.
    pub fn counter(&self, name: &str) -> u64 {
        let (code, text) = self.ask(&["status", "--format", "json"]);
        assert_eq!(code, 0, "{text}");
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        status[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {text}"))
    }

    /// Waits until nothing is left to deliver: all that was taken is where it goes, and whoever is told of it was told.
    pub fn wait_for_empty_queue(&self) {
        wait_for("an empty queue", || self.counter("queued") == 0);
    }

    /// All that it has logged.
    pub fn read_log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line in the log that holds all of these.
    pub fn wait_for_log(&self, parts: &[&str]) -> String {
        let mut found = String::new();
        wait_for(&format!("{parts:?} in the log"), || {
            let log = self.read_log();
            // A line that is being written has no end yet.
            let mut lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let line = lines.find(|line| parts.iter().all(|part| line.contains(part))).map(str::trim_end);
            found = line.unwrap_or_default().to_owned();
            line.is_some()
        });
        found
    }

    /// The messages delivered to a mailbox, in no order.
    pub fn mailbox(&self, address: &str) -> Vec<String> {
        let (local, domain) = address.rsplit_once('@').unwrap();
        let new = self.data.join("mail").join(domain).join(local).join("new");
        let Ok(entries) = std::fs::read_dir(new) else { return Vec::new() };
        entries
            .map(|e| String::from_utf8_lossy(&std::fs::read(e.unwrap().path()).unwrap()).into_owned())
            .collect()
    }

    /// Waits until a mailbox holds so many messages.
    pub fn wait_for_mail(&self, address: &str, count: usize) -> Vec<String> {
        let mut mail = Vec::new();
        wait_for(&format!("{count} messages for {address}"), || {
            mail = self.mailbox(address);
            mail.len() >= count
        });
        assert_eq!(mail.len(), count, "too many messages for {address}");
        mail
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.read_log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of edictd's log ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
