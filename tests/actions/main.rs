//! What happens to a message after its verdict, from rule text to mail on the wire, through a real daemon: aliases,
//! copies, quotas, disclaimers, signatures, and the settings of the profile that look at content.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod aliases;
mod complaints;
mod copies;
mod disclaimers;
mod dkim;
mod quotas;
mod settings;
mod usage_page;
