//! The indexes: what answers "which lists, which tests hold for this value" in one pass.
//!
//! Lookups only; [`crate::emit`] builds what is stored, and automata are built at load. A leaf: knows the
//! format's records and nothing of rules.

pub(crate) mod filter;
pub(crate) mod glob;
pub(crate) mod keys;
pub(crate) mod matcher;
pub(crate) mod networks;
pub(crate) mod probe;
pub(crate) mod store;
pub(crate) mod text;
pub(crate) mod windows;
