//! What happens to an accepted message, through the front door of `actions`: one module a subject, and
//! the complaints of users of other systems by name.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod aliases;
mod copies;
mod disclaimers;
mod exact;
mod front;
mod hostile;
mod quotas;
mod support;
mod traces;
