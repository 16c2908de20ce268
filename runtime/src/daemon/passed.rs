//! Sockets that systemd opened and passed on (sd_listen_fds(3)).
//!
//! They stay open as long as the daemon lives: a listener that a reload takes away and another brings back
//! finds its socket again.

use crate::config::Place;
use listenfd::ListenFd;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// The sockets that were passed.
#[derive(Debug, Default)]
pub struct Passed(Vec<Socket>);

#[derive(Debug)]
struct Socket {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

impl Passed {
    /// Takes those that were passed to this process, if any.
    ///
    /// # Errors
    /// One of them is no TCP listener.
    pub fn take() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut sockets = Vec::new();
        for place in 0..passed.len() {
            let name = names.next().unwrap_or_default().to_owned();
            if let Some(listener) = passed.take_tcp_listener(place)? {
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                sockets.push(Socket { name, address, listener });
            }
        }
        Ok(Self(sockets))
    }

    /// Those for a place: all of its name, or the one with its address.
    ///
    /// # Errors
    /// No socket of this name was passed, or the system has no descriptor left.
    pub fn of(&self, place: &Place) -> io::Result<Vec<TcpListener>> {
        let found: Vec<&Socket> = match place {
            Place::Passed(name) => self.0.iter().filter(|socket| socket.name == *name).collect(),
            Place::Address(address) => {
                self.0.iter().filter(|socket| socket.address == *address).take(1).collect()
            }
        };
        if let (Place::Passed(_), true) = (place, found.is_empty()) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "systemd passed no socket of this name"));
        }
        found.into_iter().map(|socket| socket.listener.try_clone()).collect()
    }

    /// Names and addresses of those that no listener uses.
    pub fn unused<'a>(&'a self, used: &'a [Place]) -> impl Iterator<Item = (&'a str, SocketAddr)> {
        self.0
            .iter()
            .filter(|socket| {
                !used.iter().any(|place| match place {
                    Place::Passed(name) => socket.name == *name,
                    Place::Address(address) => socket.address == *address,
                })
            })
            .map(|socket| (socket.name.as_str(), socket.address))
    }
}
