//! Compiles `rules/` into the table that the daemon embeds. Under construction.

fn main() {}
