//! The `edict` command. Under construction.

fn main() {}
