//! The table's own tests: the evaluator against the reference interpreter, hostile artifacts, allocations.

#[cfg(test)]
mod accessors;
#[cfg(test)]
mod allocation;
#[cfg(test)]
mod common;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod needs;
#[cfg(test)]
mod signed;
