//! Clients that send while the daemon is killed and started again, and what they were promised.

use super::client::Client;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Sender and recipients of the message of a number.
pub type Envelope = fn(&str) -> (&'static str, &'static [&'static str]);

/// Clients at work. Each message has a number of its own, in `X-Number`.
pub struct KillLoad {
    address: SocketAddr,
    envelope: Envelope,
    stop: Arc<AtomicBool>,
    /// Whoever sends holds it, with others.
    at_work: Arc<RwLock<()>>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    clients: Vec<JoinHandle<()>>,
}

impl KillLoad {
    /// So many clients, each sending one message after the other; `envelope` gives sender and recipients of a number.
    pub fn start(address: SocketAddr, clients: usize, envelope: Envelope) -> Self {
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (acknowledged, at_work) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(RwLock::new(())));
        let clients = (0..clients).map(|_| {
            let (stop, next, acknowledged) =
                (Arc::clone(&stop), Arc::clone(&next), Arc::clone(&acknowledged));
            let at_work = Arc::clone(&at_work);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // The daemon is down for a moment after each kill; that is the test.
                    let Ok(mut client) = Client::hello(address) else {
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    };
                    while !stop.load(Ordering::Relaxed) {
                        let _turn = at_work.read().unwrap();
                        let number = next.fetch_add(1, Ordering::Relaxed).to_string();
                        match send(&mut client, envelope, &number) {
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
        Self { address, envelope, stop, at_work, acknowledged, clients }
    }

    /// Lets all clients hear what became of what they sent, has nobody send anything, and then this message alone; its number
    /// must be none that the clients use. `idle` is run before it is sent.
    pub fn send_alone(&self, number: &str, idle: impl FnOnce()) {
        let _alone = self.at_work.write().unwrap();
        idle();
        let reply = send(&mut Client::hello(self.address).unwrap(), self.envelope, number).unwrap();
        assert!(reply.starts_with("250"), "{number}: {reply}");
        self.acknowledged.lock().unwrap().insert(number.to_owned());
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

fn send(client: &mut Client, envelope: Envelope, number: &str) -> std::io::Result<String> {
    let message = format!("X-Number: {number}\nSubject: n\n\n{}", "body\n".repeat(200));
    let (from, to) = envelope(number);
    client.message(from, to, &message)
}
