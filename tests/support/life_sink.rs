//! A next hop that counts a message only once it has said 250 to its end.
//!
//! Postfix's sink also writes down what was cut off half way; after a SIGKILL of the daemon that would
//! look like a message delivered twice.

use super::{free_port, wait_for};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Each message's copies.
pub type Arrivals = BTreeMap<String, Vec<(u64, Instant)>>;

/// A sink. Cheap to clone.
#[derive(Clone)]
pub struct LifeSink {
    /// Where it listens.
    pub address: SocketAddr,
    /// Messages by the value of their `X-Number` field, with the life of the daemon in which each came, and when.
    pub arrived: Arc<Mutex<Arrivals>>,
    open: Arc<AtomicUsize>,
    life: Arc<AtomicU64>,
}

/// Starts one; it lives as long as the test program.
pub fn start() -> LifeSink {
    let address = free_port();
    let listener = TcpListener::bind(address).unwrap();
    let sink = LifeSink { address, arrived: Arc::default(), open: Arc::default(), life: Arc::default() };
    let shared = sink.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sink = shared.clone();
            sink.open.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                // A connection that breaks off is what the test makes happen.
                let _ = serve(stream, &sink);
                sink.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    sink
}

impl LifeSink {
    /// The daemon was killed and is not started again yet: everything that it sent is taken before its next life.
    pub fn next_life(&self) {
        // Connections are taken in order: once this one is greeted, all before it were taken.
        let mut greeting = String::new();
        let mut last = BufReader::new(TcpStream::connect(self.address).unwrap());
        last.read_line(&mut greeting).unwrap();
        drop(last);
        wait_for("the sink to be left alone", || self.open.load(Ordering::SeqCst) == 0);
        self.life.fetch_add(1, Ordering::SeqCst);
    }
}

fn serve(stream: TcpStream, sink: &LifeSink) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).split(b'\n');
    out.write_all(b"220 sink\r\n")?;
    let mut number: Option<String> = None;
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
                out.write_all(b"250 2.0.0 taken\r\n")?;
                if let Some(number) = number.take() {
                    let life = sink.life.load(Ordering::SeqCst);
                    sink.arrived.lock().unwrap().entry(number).or_default().push((life, Instant::now()));
                }
            }
        } else if verb.starts_with("EHLO") {
            out.write_all(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")?;
        } else if verb == "DATA" {
            in_data = true;
            out.write_all(b"354 go on\r\n")?;
        } else {
            out.write_all(b"250 2.0.0 fine\r\n")?;
        }
    }
    Ok(())
}
