//! A next hop that counts a message once its end is there, before it says 250: whoever heard that is counted.
//!
//! Postfix's sink also writes down what was cut off half way; after a SIGKILL of the daemon that would
//! look like a message delivered twice.

use super::free_port;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Messages by the value of their `X-Number` field, with how often each came.
pub type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

/// Starts one; it lives as long as the test program.
pub fn start() -> (SocketAddr, Counts) {
    let address = free_port();
    (address, start_at(address))
}

/// Starts one at this address.
pub fn start_at(address: SocketAddr) -> Counts {
    let listener = TcpListener::bind(address).unwrap();
    let counts = Counts::default();
    let shared = Arc::clone(&counts);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counts = Arc::clone(&shared);
            std::thread::spawn(move || {
                // A connection that breaks off is what the test makes happen.
                let count = |number, _: &[String]| *counts.lock().unwrap().entry(number).or_default() += 1;
                let _ = serve(stream, |_| None, count);
            });
        }
    });
    counts
}

/// One connection: asks for each recipient whether something else than 250 is said, and tells the number of each message, and
/// whom it is for, before 250 is said to its end.
pub fn serve(
    stream: TcpStream,
    refused: impl Fn(&str) -> Option<&'static str>,
    taken: impl Fn(String, &[String]),
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).split(b'\n');
    out.write_all(b"220 sink\r\n")?;
    let mut number: Option<String> = None;
    let mut recipients = Vec::new();
    let mut in_data = false;
    while let Some(line) = lines.next().transpose()? {
        let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        let verb = line.to_ascii_uppercase();
        if in_data {
            if let Some(value) = line.strip_prefix("X-Number: ") {
                number = Some(value.to_owned());
            }
            if line == "." {
                in_data = false;
                if let Some(number) = number.take() {
                    taken(number, &recipients);
                }
                out.write_all(b"250 2.0.0 taken\r\n")?;
            }
        } else if verb.starts_with("EHLO") {
            out.write_all(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")?;
        } else if verb == "DATA" && recipients.is_empty() {
            // It came together with recipients that are all refused.
            out.write_all(b"503 5.5.1 for whom\r\n")?;
        } else if verb == "DATA" {
            in_data = true;
            out.write_all(b"354 go on\r\n")?;
        } else {
            if verb.starts_with("MAIL") {
                recipients.clear();
            }
            if let Some((recipient, _)) = line.split_once('<').and_then(|(_, path)| path.split_once('>'))
                && verb.starts_with("RCPT")
            {
                if let Some(reply) = refused(recipient) {
                    out.write_all(format!("{reply}\r\n").as_bytes())?;
                    continue;
                }
                recipients.push(recipient.to_owned());
            }
            out.write_all(b"250 2.0.0 fine\r\n")?;
        }
    }
    Ok(())
}
