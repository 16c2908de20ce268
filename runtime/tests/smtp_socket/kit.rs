//! A server on a real socket, and a client that speaks SMTP with it.

use crate::support::{Memory, USERS, context, table};
use edict_runtime::smtp::{Context, Endpoint, Settings, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Server {
    pub address: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub task: JoinHandle<()>,
    pub cx: Arc<Context>,
    pub memory: Arc<Memory>,
}

pub async fn server(profile: &str, settings: Settings) -> Server {
    server_with(profile, "", settings).await
}

pub async fn server_with(profile: &str, rules: &str, settings: Settings) -> Server {
    let (cx, memory) = context(table(profile, rules), USERS, settings);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(listener, Endpoint::default(), Arc::clone(&cx), stopped));
    Server { address, stop, task, cx, memory }
}

pub struct Client(pub BufReader<TcpStream>);

impl Client {
    pub async fn new(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    /// One reply, all its lines.
    pub async fn reply(&mut self) -> String {
        reply(&mut self.0).await
    }

    pub async fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    pub async fn ask(&mut self, text: &str) -> String {
        self.say(&format!("{text}\r\n")).await;
        self.reply().await
    }

    pub async fn message(&mut self, body: &str) -> String {
        self.say("MAIL FROM:<carl@other.example>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\n").await;
        for code in ["250", "250", "354"] {
            let reply = self.reply().await;
            assert!(reply.starts_with(code), "{reply}");
        }
        self.ask(&format!("{body}\r\n.")).await
    }
}

/// Reads one reply of a server, all its lines.
pub async fn reply<S: tokio::io::AsyncBufRead + Unpin>(stream: &mut S) -> String {
    let mut all = String::new();
    loop {
        let from = all.len();
        if stream.read_line(&mut all).await.unwrap() == 0 || all.as_bytes()[from + 3] == b' ' {
            return all;
        }
    }
}
