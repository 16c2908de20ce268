//! The SMTP front: RFC 5321 from the greeting to the end of data.
//!
//! [`Session`] is a pure state machine: bytes in, [`Step`]s out; it
//! reads no socket and no clock. [`serve`] drives sessions on a listener. Framing is
//! strict: only CRLF ends a line and only CRLF.CRLF ends data, so that nobody can read one message as two.

mod ahead;
pub mod certificates;
pub mod context;
mod driver;
pub(crate) mod escape;
mod input;
mod journal;
mod lines;
mod log;
mod login;
mod memory;
mod params;
pub(crate) mod path;
pub mod proxy;
mod receiver;
pub mod sasl;
pub mod server;
pub mod session;
pub mod settings;
pub mod tls;
mod verbs;

pub use context::{Context, Metrics};
pub use sasl::Checked;
pub use server::{serve, serve_until};
pub use session::{Session, Step};
pub use settings::{Endpoint, Proxies, Role, Settings};
