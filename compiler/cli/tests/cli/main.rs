//! The command, run as its users run it.

mod build;
mod check;
mod exchange;
mod kit;
#[cfg(test)]
mod live;
mod new;
mod pages;
mod sarif;
mod signing;
mod testing;
mod usage;
