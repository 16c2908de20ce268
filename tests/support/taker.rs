//! A next hop that keeps each message byte for byte, with its envelope as it was said.
//!
//! Takes everybody but those whose address begins with `refuse`: 550 at RCPT.

use super::{free_port, wait_for};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A message that it took.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// What stood behind `MAIL FROM:`.
    pub mail: String,
    /// What stood behind each `RCPT TO:`.
    pub recipients: Vec<String>,
    /// The message, dots unstuffed.
    pub bytes: Vec<u8>,
}

impl Taken {
    /// The message as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Whether it went to this address.
    pub fn is_to(&self, address: &str) -> bool {
        self.recipients.iter().any(|r| r.starts_with(&format!("<{address}>")))
    }
}

/// The next hop; it lives as long as the test program.
pub struct Taker {
    /// Where it listens.
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Taker {
    /// Starts one that offers these extensions.
    pub fn start(extensions: &'static [&'static str]) -> Self {
        Self::start_at(free_port(), extensions)
    }

    /// Starts one at an address where nobody listened so far.
    pub fn start_at(address: SocketAddr, extensions: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // A connection that breaks off leaves no message behind.
                    let _ = serve(stream, extensions, &taken);
                });
            }
        });
        Self { address, taken }
    }

    /// All messages so far.
    pub fn messages(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// Waits for the message to an address.
    pub fn wait_for(&self, address: &str) -> Taken {
        self.wait_for_one(address, |_| true)
    }

    /// Waits for one of the messages to an address.
    pub fn wait_for_one(&self, address: &str, which: impl Fn(&Taken) -> bool) -> Taken {
        let mut found = None;
        wait_for(&format!("a message to {address} at the next hop"), || {
            found = self.messages().into_iter().find(|taken| taken.is_to(address) && which(taken));
            found.is_some()
        });
        found.unwrap()
    }
}

fn serve(stream: TcpStream, extensions: &[&str], taken: &Mutex<Vec<Taken>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    out.write_all(b"220 taker.example ESMTP\r\n")?;
    let mut now = Taken::default();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = text.to_ascii_uppercase();
        if verb.starts_with("EHLO") {
            let mut all = vec!["taker.example"];
            all.extend(extensions);
            for (place, name) in all.iter().enumerate() {
                let dash = if place + 1 == all.len() { ' ' } else { '-' };
                out.write_all(format!("250{dash}{name}\r\n").as_bytes())?;
            }
        } else if verb.starts_with("MAIL FROM:") {
            now = Taken { mail: text["MAIL FROM:".len()..].to_owned(), ..Taken::default() };
            out.write_all(b"250 2.1.0 fine\r\n")?;
        } else if verb.starts_with("RCPT TO:<REFUSE") {
            // As Postfix says it: with the address in it.
            let address = text["RCPT TO:".len()..].split_inclusive('>').next().unwrap_or_default();
            out.write_all(format!("550 5.1.1 {address}: Recipient address rejected\r\n").as_bytes())?;
        } else if verb.starts_with("RCPT TO:") {
            now.recipients.push(text["RCPT TO:".len()..].to_owned());
            out.write_all(b"250 2.1.5 fine\r\n")?;
        } else if verb == "DATA" && now.recipients.is_empty() {
            out.write_all(b"503 5.5.1 nobody to send it to\r\n")?;
        } else if verb == "DATA" {
            out.write_all(b"354 go on\r\n")?;
            loop {
                let mut line = Vec::new();
                if reader.read_until(b'\n', &mut line)? == 0 {
                    return Ok(());
                }
                if line == b".\r\n" {
                    break;
                }
                now.bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            }
            taken.lock().unwrap().push(std::mem::take(&mut now));
            out.write_all(b"250 2.0.0 taken\r\n")?;
        } else {
            out.write_all(b"250 2.0.0 fine\r\n")?;
        }
    }
}
