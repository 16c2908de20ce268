//! Which keys a reload cannot change.
//!
//! Every key is named here once, so that a new one cannot be forgotten: one that is not taken over at a
//! reload and not refused by it would silently do nothing.

use super::Config;

impl Config {
    /// The keys in which `new` differs and that only a restart can change.
    #[must_use]
    pub fn need_restart(&self, new: &Self) -> Vec<&'static str> {
        let Self {
            // Taken over by a reload.
            table: _,
            signers: _,
            users: _,
            auth: _,
            tls: _,
            listeners: _,
            clients: _,
            dkim: _,
            authentication: _,
            drain_seconds: _,
            hostname: _,
            local: _,
            outside: _,
            next_hops: _,
            credentials: _,
            queue: _,
            shared_quota: _,
            attributes: _,
            // What is open, or handed to parts that keep it.
            data,
            journal,
            admin,
            admin_http,
            pass_through,
            log,
        } = self;
        let mut keys = Vec::new();
        let mut compare = |name, same: bool| {
            if !same {
                keys.push(name);
            }
        };
        compare("data", *data == new.data);
        compare("journal", *journal == new.journal);
        compare("admin", *admin == new.admin);
        compare("admin_http", *admin_http == new.admin_http);
        compare("pass_through", *pass_through == new.pass_through);
        compare("log", *log == new.log);
        keys
    }
}
