//! The command, run as its users run it.

mod build;
mod check;
mod exchange;
mod kit;
mod new;
mod testing;
mod usage;
