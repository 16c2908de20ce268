//! A message's bytes: facts out of them, edits into them.
//!
//! Three doors: [`facts`] tells what a rule can ask of a message, [`edit`] adds a disclaimer as splices
//! over the original bytes, [`header`] finds, removes and builds header fields. All functions are pure:
//! no clock, no files, no randomness, no policy. Every size is bounded by [`limits`]; no input panics.
//!
//! Line ends: CRLF as SMTP brings them, or bare LF as files on disk have them; edits follow what is there.

pub mod address;
mod charset;
pub mod date;
mod decode;
pub mod edit;
pub mod facts;
pub mod header;
mod html;
pub mod limits;
mod mime;
mod param;
mod words;
