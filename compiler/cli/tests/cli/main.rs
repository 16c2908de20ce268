//! The command, run as its users run it.

mod agreement;
mod agreement_exports;
mod agreement_maps;
mod build;
mod check;
mod exchange;
mod imports;
mod kit;
#[cfg(test)]
mod live;
mod new;
mod office;
mod pages;
mod postfix;
mod replay;
mod running;
mod sarif;
mod signing;
mod testing;
mod usage;
