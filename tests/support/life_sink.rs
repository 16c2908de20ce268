//! [`counting_sink`], which also tells in which life of a daemon each message came. Of recipients it never takes `never@…`, and
//! puts `later@…` off where it is told to.

use super::{counting_sink, free_port, wait_for};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// How often each message came for each of its recipients.
pub type Arrivals = BTreeMap<(String, String), Vec<(u64, Instant)>>;

/// A sink. Cheap to clone.
#[derive(Clone)]
pub struct LifeSink {
    /// Where it listens.
    pub address: SocketAddr,
    /// By the value of a message's `X-Number` field and a recipient: the lives of the daemon in which it came, and when.
    pub arrived: Arc<Mutex<Arrivals>>,
    /// Whether `later@…` is put off.
    pub puts_off: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
    life: Arc<AtomicU64>,
}

/// Starts one; it lives as long as the test program.
pub fn start() -> LifeSink {
    let address = free_port();
    let listener = TcpListener::bind(address).unwrap();
    let sink = LifeSink {
        address,
        arrived: Arc::default(),
        puts_off: Arc::default(),
        open: Arc::default(),
        life: Arc::default(),
    };
    let shared = sink.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sink = shared.clone();
            sink.open.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                // A connection that breaks off is what the test makes happen.
                let refused = |to: &str| {
                    let later = is_later(to) && sink.puts_off.load(Ordering::SeqCst);
                    let later = later.then_some("450 4.2.0 later");
                    if to.starts_with("never@") { Some("550 5.1.1 never") } else { later }
                };
                let _ = counting_sink::serve(stream, refused, |number, recipients| {
                    let came = (sink.life.load(Ordering::SeqCst), Instant::now());
                    let mut arrived = sink.arrived.lock().unwrap();
                    for recipient in recipients {
                        arrived.entry((number.clone(), recipient.clone())).or_default().push(came);
                    }
                });
                sink.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    sink
}

/// Whether this recipient is put off where the sink is told to.
pub fn is_later(to: &str) -> bool {
    to.starts_with("later@")
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
