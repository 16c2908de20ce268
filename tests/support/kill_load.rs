//! Clients that send while the daemon is killed and started again, and what they were promised.

use super::client::Client;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Clients at work. Each message has a number of its own, in `X-Number`.
pub struct KillLoad {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    clients: Vec<JoinHandle<()>>,
}

impl KillLoad {
    /// So many clients, each sending one message after the other; `envelope` gives sender and recipient of a number.
    pub fn start(address: SocketAddr, clients: usize, envelope: fn(&str) -> (&str, &str)) -> Self {
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        let clients = (0..clients).map(|_| {
            let (stop, next, acknowledged) =
                (Arc::clone(&stop), Arc::clone(&next), Arc::clone(&acknowledged));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // The daemon is down for a moment after each kill; that is the test.
                    let Ok(mut client) = Client::hello(address) else {
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    };
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed).to_string();
                        let message = format!("X-Number: {number}\nSubject: n\n\n{}", "body\n".repeat(200));
                        let (from, to) = envelope(&number);
                        match client.message(from, &[to], &message) {
                            Ok(reply) if reply.starts_with("250") => {
                                acknowledged.lock().unwrap().insert(number);
                            }
                            Ok(reply) => panic!("refused: {reply}"),
                            Err(_) => break,
                        }
                    }
                }
            })
        });
        let clients = clients.collect();
        Self { stop, acknowledged, clients }
    }

    /// Ends the load: the numbers of all messages that got a 250.
    pub fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}
