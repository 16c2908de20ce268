//! Every construct of the language through a real daemon: for each fact, operator, setting, item, clause and value a
//! mail that it takes effect on and one that it does not. What there is to show is read from the compiler and from
//! docs/language.md; what has no case fails the suite.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

#[expect(dead_code, reason = "what it counts is for the tests of the resolver")]
#[path = "../../runtime/tests/dns/server.rs"]
mod server;

mod cases;
mod client;
mod conditions;
mod front;
mod mail;
mod script;

use std::net::SocketAddr;
use std::path::Path;

/// A name server with this zone, for as long as the test program lives.
fn name_server(zone: String) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = server::start(&zone).await;
            tell.send(server.address).unwrap();
            std::future::pending::<()>().await;
        });
    });
    told.recv().unwrap()
}

/// A certificate for `mx.example.com` that signs itself, as `NAME.pem` and `NAME.key`; the certificate in PEM.
fn certificate(folder: &Path, name: &str, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), own.cert.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), own.signing_key.serialize_pem()).unwrap();
    own.cert.pem()
}

/// The lines of a data file beside this one that are no comments.
fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(name);
    std::fs::read_to_string(path).unwrap()
}
