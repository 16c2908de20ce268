//! Ports for servers that are started later: nobody else gets them in between.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Mutex;

/// Below those that systems give to whoever asks for any port and to outgoing connections: a client that connects in a
/// loop to a server that is not up yet can neither take its port nor meet itself there.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// The same port over UDP tells the other tests of this machine that it is taken: each is held until the program ends.
static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port on which nobody listens, for this program alone.
pub fn free_port() -> SocketAddr {
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let start = std::process::id().wrapping_mul(131).wrapping_add(u32::try_from(taken.len()).unwrap());
    for step in 0..u32::from(COUNT) {
        let offset = u16::try_from(start.wrapping_add(step) % u32::from(COUNT)).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset));
        // Somebody who is no test may listen there.
        if let Ok(mark) = UdpSocket::bind(address)
            && TcpListener::bind(address).is_ok()
        {
            taken.push(mark);
            return address;
        }
    }
    panic!("no port is free");
}
