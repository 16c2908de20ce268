//! Verdicts per recipient: one transaction, one table, the order of checks that mail-flow states.
//!
//! Must not know: sockets, clocks, replies beyond their text.

pub mod limits;
