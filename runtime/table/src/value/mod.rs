//! The values that rules and mail share, each with one normal form.
//!
//! A list entry and the same value on the wire pass through the same function here, so that they
//! compare as bytes. Nothing here allocates without bound: callers bound their input first.

pub mod address;
pub mod domain;
pub mod network;
pub mod text;

pub use address::{Address, AddressError, Pattern};
pub use domain::{Domain, DomainError};
pub use network::{NetworkError, canonical_ip, parse_network};
pub use text::{fold, fold_text};
