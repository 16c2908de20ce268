//! More connections at once than are taken at once.

mod support;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use support::daemon::Daemon;

/// Connections that come at once.
const BURST: usize = 1500;

/// Connections that come while the daemon stands still are all there once it goes on: none has to be begun again by
/// TCP, which waits twice as long each time.
#[test]
fn a_burst_waits_for_its_greeting() {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let burst = BURST.min(most.trim().parse::<usize>().unwrap().saturating_sub(100));
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &[]);
    daemon.signal("STOP");
    let open: Vec<TcpStream> = (0..burst).map(|_| TcpStream::connect(daemon.address).unwrap()).collect();
    daemon.signal("CONT");
    for stream in &open {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert!(line.starts_with("220 "), "{line}");
    }
}
