//! Postfix's `smtp-sink` as the next hop: takes all mail and writes it to one file.

use super::{free_port, wait_for};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running sink; killed when it goes out of scope.
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    dump: PathBuf,
    child: Child,
}

/// A message as the sink wrote it.
#[derive(Clone, Debug)]
pub struct Sunk {
    /// Envelope sender.
    pub sender: String,
    /// Envelope recipients.
    pub recipients: Vec<String>,
    /// The whole, trace lines of the sink included.
    pub text: String,
}

impl Sink {
    /// Starts one that dumps below `folder`.
    pub fn start(folder: &Path) -> Self {
        let address = free_port();
        let dump = folder.join("sink.dump");
        let child = Command::new("/usr/sbin/smtp-sink")
            // As root it wants a user to become; the dump file is made by root before.
            .args(["-u", &whoami(), "-D"])
            .arg(&dump)
            .args([&address.to_string(), "512"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("smtp-sink of Postfix is installed by tests/run");
        wait_for("smtp-sink to listen", || TcpStream::connect(address).is_ok());
        Self { address, dump, child }
    }

    /// All messages so far. One that is being written may be among them, cut: the sink says 250 once a message is written,
    /// so that with an empty queue all are whole.
    pub fn messages(&self) -> Vec<Sunk> {
        let bytes = std::fs::read(&self.dump).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let mut all = Vec::new();
        // Each begins with X-Client-Addr, which edictd never writes.
        for part in text.split("X-Client-Addr: ").skip(1) {
            let argument = |name: &str| {
                part.lines()
                    .filter(|line| line.starts_with(name))
                    .filter_map(|line| Some(line.split_once('<')?.1.split_once('>')?.0.to_owned()))
                    .collect::<Vec<String>>()
            };
            all.push(Sunk {
                sender: argument("X-Mail-Args: ").concat(),
                recipients: argument("X-Rcpt-Args: "),
                text: part.to_owned(),
            });
        }
        all
    }
}

fn whoami() -> String {
    let out = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
