//! A thousand idle connections and a hundred slow ones: everybody else is still served, and memory stays small.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use support::client::Client;
use support::daemon::Daemon;
use support::wait_for;

const IDLE: usize = 1000;
const SLOW: usize = 100;
/// Of an idle connection in the clear, in bytes.
const MOST: u64 = 30 << 10;

/// Memory that the daemon alone holds, in bytes.
fn memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let of = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (of("Private_Dirty:") + of("Private_Clean:") + of("Swap:")) * 1024
}

#[test]
fn idle_and_slow_clients_hold_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &[]);
    // Once through, so that what is made at the first use is there.
    let mut client = Client::hello(daemon.address).unwrap();
    let reply = client.message("x@elsewhere.example", &["alice@example.com"], "Subject: x\n\nx").unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    daemon.wait_for_mail("alice@example.com", 1);
    let before = memory(daemon.pid());

    let connect = || {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert!(line.starts_with("220 "), "{line}");
        stream.write_all(b"EHLO idle.example\r\n").unwrap();
        while !line.starts_with("250 ") {
            line.clear();
            assert!(BufReader::with_capacity(1, &stream).read_line(&mut line).unwrap() > 0);
        }
        stream
    };
    let idle: Vec<TcpStream> = (0..IDLE).map(|_| connect()).collect();
    wait_for("the connections", || daemon.counter("sessions") > IDLE as u64);
    let each = memory(daemon.pid()).saturating_sub(before) / IDLE as u64;
    assert!(each <= MOST, "{each} bytes for each idle connection");
    eprintln!("{each} bytes for each idle connection");

    // Half of the slow ones are within a command, half within a message; each says a byte now and then.
    let mut slow: Vec<TcpStream> = (0..SLOW).map(|_| connect()).collect();
    for stream in slow.iter_mut().skip(SLOW / 2) {
        for line in ["MAIL FROM:<x@elsewhere.example>\r\n", "RCPT TO:<alice@example.com>\r\n", "DATA\r\n"] {
            stream.write_all(line.as_bytes()).unwrap();
            let mut reply = String::new();
            BufReader::with_capacity(1, &*stream).read_line(&mut reply).unwrap();
            assert!(reply.starts_with(['2', '3']), "{reply}");
        }
    }
    for turn in 0..50 {
        for stream in &mut slow {
            stream.write_all(b"x").unwrap();
        }
        let mut client = Client::hello(daemon.address).unwrap();
        let text = format!("Subject: turn {turn}\n\nx");
        let reply = client.message("x@elsewhere.example", &["alice@example.com"], &text).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    daemon.wait_for_mail("alice@example.com", 51);
    // None of them was thrown out for the others.
    assert!(daemon.counter("sessions") >= (IDLE + SLOW) as u64);
    drop((idle, slow));
    wait_for("the connections to be gone", || daemon.counter("sessions") <= 1);
}
