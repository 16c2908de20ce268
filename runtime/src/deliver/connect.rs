//! From a next hop to an open connection: servers in order, addresses in order, greeting, TLS, EHLO,
//! login.

use super::client::{Io, Session, Timeouts, Trouble};
use super::known::Known;
pub use super::login::Login;
use super::mx::Exchanges;
use super::tls::{Secrecy, Tls};
use crate::queue::Hop;
use edict_table::model::{Host, Relay, RelayTls};
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};

/// The most addresses of a host that are tried.
const MAX_ADDRESSES: usize = 6;
/// The most servers of a domain that are tried; those of which DNS says that they have no address do not count.
const MAX_TRIED: usize = 10;

/// A try of TLS that failed after so long is not made again for a while, nor one that took half of a reply's time.
const LONG: Duration = Duration::from_secs(5);

/// Where mail for inside recipients goes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Local {
    /// Into Maildirs.
    #[default]
    Maildir,
    /// To an LMTP server at this socket.
    LmtpUnix(PathBuf),
    /// To an LMTP server at this host and port.
    LmtpTcp(String, u16),
}

/// Opens connections.
#[derive(Debug, Default)]
pub struct Dialer {
    /// Bounds.
    pub timeouts: Timeouts,
    /// Where [`Hop::Local`] is.
    pub local: Local,
    /// Logins by the name that relays give.
    pub logins: BTreeMap<String, Login>,
    /// TLS.
    pub tls: Tls,
    /// MX.
    pub exchanges: Exchanges,
    /// What was found out of servers.
    pub known: Arc<Known>,
}

/// A server to try, and how.
struct Way<'a> {
    host: &'a Host,
    tls: RelayTls,
    login: Option<&'a Login>,
    lmtp: bool,
    /// DNS named it.
    by_mx: bool,
}

impl Way<'_> {
    /// Whether it is ourselves where it calls itself as we do. Another server of this machine, behind a port of its own, may well
    /// have our name: a filter, a mail store.
    fn may_be_us(&self) -> bool {
        !self.lmtp && (self.by_mx || self.host.port == 25)
    }
}

impl Dialer {
    /// Opens a connection to a next hop, ready for transactions. `hostname` is ours.
    ///
    /// # Errors
    /// The trouble with the last server tried.
    pub async fn connect(&self, hop: &Hop, hostname: &str) -> Result<Session, Trouble> {
        self.connect_beyond(hop, hostname, &[]).await
    }

    /// As [`Dialer::connect`], with a server that is none of these ([`Session::peer`]).
    ///
    /// # Errors
    /// The trouble with the last server tried; [`Trouble::NoOther`] where there is none.
    pub async fn connect_beyond(
        &self,
        hop: &Hop,
        hostname: &str,
        asked: &[String],
    ) -> Result<Session, Trouble> {
        match hop {
            Hop::Relay(relay) => self.relay(relay, hostname, asked).await,
            Hop::Mx(domain) => {
                let hosts = self.exchanges.hosts(domain, hostname).await?;
                let tls = RelayTls::Opportunistic;
                let way = |host| Way { host, tls, login: None, lmtp: false, by_mx: true };
                self.first(hosts.iter().map(way), domain, hostname, asked).await
            }
            Hop::Local => match &self.local {
                Local::LmtpUnix(path) if asked.is_empty() => {
                    let shown = path.display().to_string();
                    let connected = timeout(self.timeouts.connect, UnixStream::connect(path)).await;
                    let stream = match connected {
                        Ok(Ok(stream)) => stream,
                        Ok(Err(error)) => return Err(Trouble::Connect(shown, error.to_string())),
                        Err(_) => return Err(Trouble::Connect(shown, "no answer in time".to_owned())),
                    };
                    Session::new(Box::new(stream), shown, true, self.timeouts).greeted(hostname).await
                }
                Local::LmtpTcp(name, port) => {
                    let host = Host { name: name.clone(), port: *port };
                    let tls = RelayTls::Off;
                    let way = Way { host: &host, tls, login: None, lmtp: true, by_mx: false };
                    self.first([way].into_iter(), name, hostname, asked).await
                }
                Local::LmtpUnix(_) => Err(Trouble::NoOther),
                Local::Maildir => Err(Trouble::Connect("local".to_owned(), "no LMTP server".to_owned())),
            },
            Hop::Nowhere(why) => Err(Trouble::Connect("nowhere".to_owned(), why.clone())),
        }
    }

    async fn relay(&self, relay: &Relay, hostname: &str, asked: &[String]) -> Result<Session, Trouble> {
        let login = match &relay.credentials {
            None => None,
            Some(name) => match self.logins.get(name) {
                Some(login) => Some(login),
                None => return Err(Trouble::Auth(format!("there are no credentials {name}"))),
            },
        };
        let way = |host| Way { host, tls: relay.tls, login, lmtp: false, by_mx: false };
        self.first(relay.hosts.iter().map(way), &relay.name, hostname, asked).await
    }

    async fn first<'a>(
        &self,
        ways: impl Iterator<Item = Way<'a>>,
        whose: &str,
        hostname: &str,
        asked: &[String],
    ) -> Result<Session, Trouble> {
        let (mut trouble, mut tried) = (None, 0);
        // Two that only cost time leave none for a third.
        let end = Instant::now() + 2 * self.patience();
        let mut ways: VecDeque<_> = ways.map(|way| (way, false)).collect();
        while let Some((way, insist)) = ways.pop_front() {
            let mut left_alone = false;
            let server = self.server(&way, hostname, asked, (insist, &mut left_alone));
            match timeout_at(end, server).await {
                Err(_) => {
                    let late =
                        || Trouble::Connect(whose.to_owned(), "no server was ready in time".to_owned());
                    return Err(trouble.unwrap_or_else(late));
                }
                Ok(Ok(mut session)) => {
                    session.lesser = trouble.is_some();
                    return Ok(session);
                }
                Ok(Err(error)) => {
                    tracing::debug!(server = way.host.name, %error, "a server cannot be used");
                    // A worse server that is ourselves ends nothing while a better one is only down.
                    tried += usize::from(way.by_mx && !left_alone && !matches!(error, Trouble::Never(..)));
                    if trouble.is_none() || !matches!(error, Trouble::Never(..) | Trouble::NoOther) {
                        trouble = Some(error);
                    }
                    // Where no other is left it may be back; who only wants another one does not wait for that.
                    if left_alone && asked.is_empty() {
                        ways.push_back((way, true));
                    }
                    if tried >= MAX_TRIED {
                        break;
                    }
                }
            }
        }
        Err(trouble.unwrap_or_else(|| Trouble::Connect(whose.to_owned(), "it has no servers".to_owned())))
    }

    /// One server, each of its addresses; where opportunistic TLS fails, once more without, and for a while at once without where
    /// that took long. Without `insist` addresses are left alone that were not there a while ago.
    async fn server(
        &self,
        way: &Way<'_>,
        hostname: &str,
        asked: &[String],
        (insist, left_alone): (bool, &mut bool),
    ) -> Result<Session, Trouble> {
        let host = way.host;
        // No connection is opened for a login that is known to be refused.
        let refusal = way.login.and_then(|login| self.known.standing(host, login).refusal());
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let failed = |why: String| Trouble::Connect(format!("{}:{}", host.name, host.port), why);
        let lookup = self.exchanges.addresses(host, way.by_mx, MAX_ADDRESSES);
        let addresses = match timeout(self.timeouts.connect, lookup).await {
            Err(_) => return Err(failed("its name does not resolve in time".to_owned())),
            Ok(found) => found.map_err(failed)?,
        };
        let mut trouble = failed("it has no address".to_owned());
        if way.by_mx && addresses.is_empty() {
            // RFC 5321 5.1: what can be no server for good is told, not tried again.
            trouble = Trouble::Never((5, 4, 4), format!("its server {} has no address", host.name));
        }
        let mut before = 0;
        for address in addresses {
            if asked.contains(&peer(host, address)) {
                // What its first two addresses say, others of it are not asked: worse servers are to have their turn.
                before += 1;
                if before >= 2 {
                    break;
                }
                continue;
            }
            if let Some(why) = self.known.why_away(address).filter(|_| !insist) {
                *left_alone = true;
                trouble = why;
                continue;
            }
            let can_do_without = way.tls == RelayTls::Opportunistic && way.login.is_none();
            let tls = if can_do_without && self.known.is_silent(address) { RelayTls::Off } else { way.tls };
            let begun = Instant::now();
            let mut late = false;
            let mut result = self.in_time(way, address, hostname, tls, &mut late).await;
            if let Err(Trouble::Tls(why)) = &result {
                let took_long = begun.elapsed() >= LONG.min(self.timeouts.command / 2);
                if can_do_without {
                    tracing::info!(server = host.name, why, "opportunistic TLS failed: going on without");
                    result = self.in_time(way, address, hostname, RelayTls::Off, &mut late).await;
                    if let Ok(session) = &mut result {
                        session.misses_tls = true;
                    }
                    if took_long && result.is_ok() {
                        self.known.add_silent(address);
                    }
                } else {
                    late |= took_long;
                }
            }
            match result {
                Ok(mut session) => {
                    session.misses_tls |= tls != way.tls;
                    self.known.away.forget(&address);
                    return Ok(session);
                }
                Err(error) => {
                    match late || error == Trouble::Silent {
                        true => self.known.add_away(address, error.clone()),
                        // That is soon found out again.
                        false => self.known.away.forget(&address),
                    }
                    trouble = error;
                }
            }
        }
        // What it offers it told us already, whichever of its addresses cannot be reached.
        Err(if before > 0 { Trouble::NoOther } else { trouble })
    }

    /// How long one address may take, from the first packet to the last reply before mail.
    fn patience(&self) -> Duration {
        self.timeouts.connect + self.timeouts.command
    }

    /// One address, within its time: a server that takes long for each reply keeps mail from the next one as much as one
    /// that is silent.
    async fn in_time(
        &self,
        way: &Way<'_>,
        address: SocketAddr,
        hostname: &str,
        tls: RelayTls,
        late: &mut bool,
    ) -> Result<Session, Trouble> {
        let mut asked = false;
        let ready = timeout(self.patience(), self.address(way, address, hostname, tls, (&mut asked, late)));
        if let Ok(ready) = ready.await {
            return ready;
        }
        *late = !asked;
        let why = "it was not ready in time".to_owned();
        Err(if asked { Trouble::Tls(why) } else { Trouble::Connect(peer(way.host, address), why) })
    }

    async fn address(
        &self,
        way: &Way<'_>,
        address: SocketAddr,
        hostname: &str,
        tls: RelayTls,
        (asked, late): (&mut bool, &mut bool),
    ) -> Result<Session, Trouble> {
        let host = way.host;
        let failed = |why: String| Trouble::Connect(peer(host, address), why);
        let stream = match timeout(self.timeouts.connect, TcpStream::connect(address)).await {
            Err(_) => {
                *late = true;
                return Err(failed("no answer in time".to_owned()));
            }
            Ok(Err(error)) => {
                *late = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::HostUnreachable);
                return Err(failed(error.to_string()));
            }
            Ok(Ok(stream)) => stream,
        };
        // Commands are written whole: waiting for more would only delay them.
        stream.set_nodelay(true).map_err(|e| failed(e.to_string()))?;
        let mut stream: Box<dyn Io> = Box::new(stream);
        let mut encrypted = false;
        if tls == RelayTls::Implicit {
            stream = self.encrypt(stream, &host.name, true).await?;
            encrypted = true;
        }
        let mut session = Session::new(stream, peer(host, address), way.lmtp, self.timeouts);
        if encrypted {
            session.secrecy = Secrecy::Verified;
        }
        let mut session = session.greeted(hostname).await?;
        if way.may_be_us() && session.is(hostname) {
            let text = format!("{} is this very server: the mail would loop", session.peer);
            // An MX that names us is for the domain's owner to mend, a relay for ours.
            let trouble = if way.by_mx { Trouble::Never((5, 4, 6), text) } else { Trouble::Loop(text) };
            return Err(session.part_for(trouble));
        }
        if !encrypted && tls != RelayTls::Off {
            if session.offers().starttls {
                *asked = true;
                (session, encrypted) = self.start_tls(session, &host.name, hostname, tls).await?;
                *asked = false;
            } else if tls != RelayTls::Opportunistic {
                return Err(session.part_for(Trouble::Tls("it does not offer STARTTLS".to_owned())));
            }
        }
        if let Some(login) = way.login {
            // In the clear only where the rule says so in so many words.
            if !encrypted && tls != RelayTls::Off {
                return Err(session.part_for(Trouble::Auth("no password is sent without TLS".to_owned())));
            }
            if let Err(trouble) = self.known.standing(host, login).log_in(&mut session, login).await {
                return Err(session.part_for(trouble));
            }
        }
        Ok(session)
    }

    /// STARTTLS, up to EHLO inside. The connection, and whether it is encrypted. Whatever goes wrong, it is TLS that did not
    /// come about: who can do without tries again without.
    async fn start_tls(
        &self,
        mut session: Session,
        name: &str,
        hostname: &str,
        tls: RelayTls,
    ) -> Result<(Session, bool), Trouble> {
        let failed = |trouble: Trouble| match trouble {
            Trouble::Tls(why) => Trouble::Tls(why),
            other => Trouble::Tls(other.to_string()),
        };
        let reply = session.command("STARTTLS\r\n").await.map_err(failed)?;
        if reply.code != 220 {
            // With 421 it hangs up next.
            if tls != RelayTls::Opportunistic || reply.code == 421 {
                return Err(session.part_for(Trouble::Tls(format!("it says {}", reply.line()))));
            }
            session.misses_tls = true;
            return Ok((session, false));
        }
        let (plain, peer, lmtp, timeouts) = session.exchange()?;
        let stream = self.encrypt(plain, name, tls == RelayTls::Verified).await?;
        let mut session = Session::new(stream, peer, lmtp, timeouts);
        session.secrecy = if tls == RelayTls::Verified { Secrecy::Verified } else { Secrecy::Encrypted };
        session.hello(hostname).await.map_err(failed)?;
        Ok((session, true))
    }

    async fn encrypt(&self, stream: Box<dyn Io>, name: &str, verify: bool) -> Result<Box<dyn Io>, Trouble> {
        let name = name.trim_end_matches('.');
        match timeout(self.timeouts.command, self.tls.start(stream, name, verify)).await {
            Ok(result) => result,
            Err(_) => Err(Trouble::Tls("no handshake in time".to_owned())),
        }
    }
}

/// A server at one of its addresses, for logs and notices.
fn peer(host: &Host, address: SocketAddr) -> String {
    format!("{}[{}]:{}", host.name, address.ip(), host.port)
}

#[cfg(test)]
mod tests;
