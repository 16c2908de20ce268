//! The admin server: HTTP over a unix socket, for `edictd status`, `reload`, `queue` and `usage`, and pages for
//! browsers on the same socket and, where configured, on a TCP port of this machine.
//!
//! Who may open the socket may do everything: it is made with mode 0600. Commands answer JSON; the client
//! turns it into text for people, and their bodies are not read. [`guard`] stands before every request.

pub mod client;
pub mod guard;
mod html;
mod pages;
mod render;
pub mod server;
pub mod web;
