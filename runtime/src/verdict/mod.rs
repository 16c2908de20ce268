//! Verdicts per recipient: one transaction, one table, one order of checks (`Transaction::at_rcpt`).
//!
//! [`transaction`] holds the envelope and decides at MAIL and RCPT, [`content`] at DATA and its end,
//! [`connect`] before the greeting. Must not know: sockets, clocks, the session.

pub mod audit;
pub mod authentic;
pub mod bounds;
pub(crate) mod connect;
mod content;
pub mod dns;
pub(crate) mod inside;
pub mod limits;
pub mod lookup;
pub(crate) mod peer;
pub(crate) mod ruling;
pub(crate) mod transaction;
