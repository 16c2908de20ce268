//! The admin socket: HTTP over a unix socket, for `edictd status`, `reload`, `queue` and `usage`.
//!
//! Who may open the socket may do everything: it is made with mode 0600. Answers are JSON; the client
//! turns them into text for people. Bodies of requests are not read.

pub mod client;
mod render;
pub mod server;
