//! A next hop that does one thing out of the ordinary when it is told to.

use crate::support::free_port;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a next hop does once, at the first command that its mode names; from then on it takes everything.
#[derive(Default)]
pub struct Hop {
    /// `die dot`, `refuse rcpt`; `leave data`: it says 421 behind its reply to DATA; empty: nothing out of the ordinary. `silent rcpt`: from that command on it says nothing, over all
    /// connections, until it is told something else; then it hangs up. `silent body`: it takes nothing of a message.
    pub mode: Mutex<String>,
    /// Whole messages that it said 250 to.
    pub messages: Mutex<Vec<String>>,
    /// Bytes of a message whose end has not come.
    pub so_far: AtomicUsize,
    /// Messages that broke off before their end.
    pub cut: AtomicUsize,
    /// How often DATA came along with RCPT.
    pub along: AtomicUsize,
    /// Whether connections are kept after a message.
    pub keeps: AtomicBool,
    /// How many connections there were.
    pub connections: AtomicUsize,
}

impl Hop {
    /// Starts one; it lives as long as the test program.
    pub fn start() -> (SocketAddr, Arc<Self>) {
        let address = free_port();
        let listener = TcpListener::bind(address).unwrap();
        let hop = Arc::new(Self::default());
        let shared = Arc::clone(&hop);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hop = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // Breaking off is what it is for.
                    let _ = hop.serve(&stream);
                });
            }
        });
        (address, hop)
    }

    /// Whether it does something at this point; it does so once.
    fn is_time(&self, what: &str) -> bool {
        let mut mode = self.mode.lock().unwrap();
        let now = *mode == what;
        if now {
            mode.clear();
        }
        now
    }

    /// Whether it said nothing at this point for as long as it was told so.
    fn was_silent(&self, what: &str) -> bool {
        let silent = || *self.mode.lock().unwrap() == format!("silent {what}");
        let any = silent();
        while silent() {
            std::thread::sleep(Duration::from_millis(20));
        }
        any
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut out = stream;
        let mut reader = BufReader::new(stream);
        self.connections.fetch_add(1, Ordering::SeqCst);
        let mut body: Option<String> = None;
        if self.was_silent("greeting") || self.is_time("die greeting") {
            return Ok(());
        }
        out.write_all(b"220 hop\r\n")?;
        loop {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            if let Some(text) = &mut body {
                if self.is_time("die body") {
                    return Ok(());
                }
                if line != "." {
                    text.push_str(&line);
                    text.push('\n');
                    self.so_far.store(text.len(), Ordering::SeqCst);
                    if text.len() > 150_000 && self.is_time("die late") {
                        return Ok(());
                    }
                    continue;
                }
                self.so_far.store(0, Ordering::SeqCst);
                let text = body.take().unwrap_or_default();
                if self.is_time("die dot") {
                    return Ok(());
                }
                if self.is_time("leave dot") {
                    return out.write_all(b"421 4.3.2 not now\r\n");
                }
                if self.is_time("refuse dot") {
                    out.write_all(b"554 5.6.0 not like this\r\n")?;
                    continue;
                }
                self.messages.lock().unwrap().push(text);
                out.write_all(b"250 2.0.0 taken\r\n")?;
                if self.keeps.load(Ordering::SeqCst) {
                    continue;
                }
                // Each message finds the kept connection closed; that is no reason to lose one.
                return Ok(());
            }
            let along = line.starts_with("RCPT") && reader.buffer() == b"DATA\r\n";
            self.along.fetch_add(usize::from(along), Ordering::SeqCst);
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_lowercase();
            if self.was_silent(&verb) || self.is_time(&format!("die {verb}")) {
                return Ok(());
            }
            if self.is_time(&format!("refuse {verb}")) {
                out.write_all(b"550 5.7.9 not this\r\n")?;
                continue;
            }
            match verb.as_str() {
                "ehlo" => out.write_all(b"250-hop\r\n250-PIPELINING\r\n250 8BITMIME\r\n")?,
                "data" => {
                    if self.is_time("leave data") {
                        return out.write_all(b"354 go on\r\n421 4.4.2 took too long\r\n");
                    }
                    body = Some(String::new());
                    out.write_all(b"354 go on\r\n")?;
                    if self.was_silent("body") {
                        return Ok(());
                    }
                }
                _ => out.write_all(b"250 2.0.0 fine\r\n")?,
            }
        }
        self.cut.fetch_add(usize::from(body.is_some()), Ordering::SeqCst);
        Ok(())
    }

    /// How many messages with this in them it took.
    pub fn count(&self, token: &str) -> usize {
        self.messages.lock().unwrap().iter().filter(|m| m.contains(token)).count()
    }
}
