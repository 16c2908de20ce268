//! The daemon's parts: SMTP, verdicts, actions, spool, queue, delivery, reload.
//!
//! Must never know: the parser of rules. Data flows one way: bytes on a socket, a session's steps, a
//! verdict per recipient, actions, a record in the spool, the queue, the next hop.

pub mod acceptor;
pub mod actions;
pub mod admin;
pub mod config;
pub mod daemon;
pub mod deliver;
pub mod directory;
pub mod dkim;
pub mod dovecot;
pub mod envelope;
mod files;
pub mod journal;
pub mod live;
pub mod queue;
pub mod quota;
pub mod smtp;
pub mod spool;
#[cfg(test)]
mod tame;
pub mod users;
pub mod verdict;
mod within;
