//! The settings of a profile, typed, with the defaults of the language page.

use serde::{Deserialize, Serialize};

/// The settings of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// Name in the banner and in trace fields; the machine's where absent.
    pub hostname: Option<String>,
    /// Text of the 220 greeting; begins with the hostname.
    pub banner: Option<String>,
    /// Domains delivered here, normalised, sorted.
    pub local_domains: Vec<String>,
    /// Domains rewritten to another: alias, then what it is. Sorted.
    pub domain_aliases: Vec<(String, String)>,
    /// Inbound domains that are passed on. Sorted by domain.
    pub relay_domains: Vec<RelayDomain>,
    /// Which inside addresses exist.
    pub recipients: Recipients,
    /// Networks that may relay out, as `192.0.2.0/24`. Sorted.
    pub trusted_networks: Vec<String>,
    /// Addresses that get mail for postmaster and mailer-daemon of every local domain.
    pub postmaster: Vec<String>,
    /// Addresses that get a copy of each notice that the daemon sends.
    pub notice_copies: Vec<String>,
    /// IANA name of the zone whose calendar days count.
    pub time_zone: String,
    /// Bytes.
    pub max_message_size: u64,
    /// Decoded bytes of one attachment.
    pub max_attachment_size: Option<u64>,
    /// Recipients of one transaction.
    pub max_recipients: u32,
    /// Received fields.
    pub max_hops: u32,
    /// Whether clients log in.
    pub auth: Auth,
    /// Whether a login may travel without TLS.
    pub auth_without_tls: bool,
    /// Whether trusted networks skip the login.
    pub auth_for_trusted_skipped: bool,
    /// What a logged-in client may write as its sender.
    pub sender_must: SenderMust,
    /// Whether what a client forwarded by itself may leave.
    pub auto_forwarding: AutoForwarding,
    /// What becomes of the envelope sender of forwarded mail.
    pub forward_sender_srs: bool,
    /// HELO before MAIL.
    pub helo_required: bool,
    /// VRFY answers.
    pub vrfy: bool,
    /// RFC 5321 to the letter in MAIL and RCPT.
    pub strict_envelope: bool,
    /// Refuse commands sent where RFC 2920 wants a client to wait.
    pub strict_pipelining: bool,
    /// Errors before replies are slowed down.
    pub errors_slow_after: u32,
    /// Errors before the connection is closed.
    pub errors_close_after: u32,
    /// Commands that carry no mail forward before the connection is closed.
    pub junk_commands: u32,
}

/// An inbound domain that is passed on to a relay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RelayDomain {
    /// Normalised.
    pub domain: String,
    /// Name of the relay, or none for the MX.
    pub via: Option<String>,
    /// Which of its addresses exist; the profile's where absent.
    pub recipients: Option<Recipients>,
}

/// Which inside addresses exist.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Recipients {
    /// Users, aliases, postmaster, and what is in these lists (names of [`super::List`]).
    Known(Vec<String>),
    /// Whom the next hop says yes to.
    Ask,
    /// All of them.
    Any,
}

/// Whether clients log in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Auth {
    /// Not offered.
    Off,
    /// Offered everywhere.
    Optional,
    /// Needed on submission ports, not offered on `mx`.
    Required,
}

/// What a logged-in client may write as its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SenderMust {
    /// Anything.
    BeAnything,
    /// The login itself.
    EqualLogin,
    /// An address that belongs to the login.
    OwnAddress,
}

/// Whether automatically forwarded mail may leave.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AutoForwarding {
    /// It may.
    pub on: bool,
    /// Pattern keys and group members (sorted) for whom the opposite holds.
    pub except: Vec<String>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            hostname: None,
            banner: None,
            local_domains: Vec::new(),
            domain_aliases: Vec::new(),
            relay_domains: Vec::new(),
            recipients: Recipients::Known(Vec::new()),
            trusted_networks: vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()],
            postmaster: Vec::new(),
            notice_copies: Vec::new(),
            time_zone: "UTC".to_owned(),
            max_message_size: 25 << 20,
            max_attachment_size: Some(10 << 20),
            max_recipients: 100,
            max_hops: 30,
            auth: Auth::Required,
            auth_without_tls: false,
            auth_for_trusted_skipped: true,
            sender_must: SenderMust::OwnAddress,
            auto_forwarding: AutoForwarding { on: false, except: Vec::new() },
            forward_sender_srs: true,
            helo_required: true,
            vrfy: false,
            strict_envelope: true,
            strict_pipelining: true,
            errors_slow_after: 10,
            errors_close_after: 20,
            junk_commands: 100,
        }
    }
}
