//! Edict's decision table: values, facts, the binary artifact and the one evaluator.
//!
//! The consumer owns the format: the compiler targets [`model::Table`], [`emit::emit`] turns it into
//! bytes, [`load::Loaded`] uses those bytes in place and [`decide`] evaluates them. The daemon,
//! `edict explain`, rule tests, `diff` and the benches all run this code.
//!
//! Must never know: the parser of rules or of mail, tokio, files, clocks.

pub mod decide;
pub mod emit;
pub mod fact;
pub mod facts;
pub mod format;
mod index;
pub mod load;
pub mod model;
pub mod owner;
pub mod signed;
pub mod template;
pub mod value;
