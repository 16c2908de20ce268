//! Logins that a real Dovecot checks behind its auth socket.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::client::Client;
use support::daemon::Daemon;
use support::{build_table, free_port, wait_for};

/// A Dovecot that does nothing but check passwords.
struct Dovecot {
    child: Child,
    socket: PathBuf,
}

impl Dovecot {
    fn start(folder: &Path) -> Self {
        let run = folder.join("dovecot");
        std::fs::create_dir_all(&run).unwrap();
        std::fs::write(run.join("passwd"), "alice@example.com:{PLAIN}correct horse\n").unwrap();
        let me = |flag: &str| {
            let out = Command::new("id").arg(flag).output().unwrap();
            String::from_utf8_lossy(&out.stdout).trim().to_owned()
        };
        let (user, group) = (me("-un"), me("-gn"));
        let config = format!(
            "base_dir = {run}/run\nstate_dir = {run}/state\nlog_path = {run}/log\nprotocols = none\nssl = no\n\
             default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\n\
             first_valid_uid = 0\nauth_mechanisms = plain login\nauth_failure_delay = 0 secs\n\
             passdb {{\n driver = passwd-file\n args = {run}/passwd\n}}\n\
             userdb {{\n driver = static\n args = uid={user} gid={group} home=/nonexistent\n}}\n\
             service auth {{\n unix_listener auth-client {{\n  mode = 0600\n  user = {user}\n }}\n chroot =\n}}\n\
             service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n",
            run = run.display()
        );
        let path = run.join("dovecot.conf");
        std::fs::write(&path, config).unwrap();
        let child = Command::new("/usr/sbin/dovecot")
            .args(["-F", "-c", path.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(run.join("stderr")).unwrap())
            .spawn()
            .expect("dovecot is installed by tests/run");
        let socket = run.join("run/auth-client");
        let log = run.join("log");
        wait_for("Dovecot's auth socket", || {
            if UnixStream::connect(&socket).is_ok() {
                return true;
            }
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!text.contains("Fatal"), "{text}");
            false
        });
        Self { child, socket }
    }

    fn stop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            let id = self.child.id().to_string();
            let _ = Command::new("kill").args(["-s", "TERM", &id]).status();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn dovecot_checks_logins() {
    let folder = tempfile::tempdir().unwrap();
    let mut dovecot = Dovecot::start(folder.path());
    build_table("submission", &folder.path().join("edict.table"), |sources| {
        // No certificates here: what is tested is who checks.
        let (_, main) = sources.iter().find(|(path, _)| *path == "main.edict").unwrap();
        let main = String::from_utf8(main.to_vec()).unwrap();
        sources.insert(
            "main.edict",
            main.replace("auth             ", "auth-without-tls allowed\n    auth             "),
        );
    });
    // The file says which mailboxes there are, and has another password, which must count for nothing.
    let users = "alice@example.com:$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1\nbob@example.com:\n";
    std::fs::write(folder.path().join("users"), users).unwrap();
    let address = free_port();
    let config = format!(
        "(table: \"edict.table\", users: \"users\", auth: dovecot(\"{}\"), \
         listeners: [(address: \"{address}\", role: submission)])",
        dovecot.socket.display()
    );
    let daemon = Daemon::configured(folder.path(), address, &config);
    let login = |user: &str, password: &str| {
        let swaks = Command::new("swaks")
            .args(["--server", &address.to_string(), "-a", "PLAIN", "-au", user, "-ap", password])
            .args(["--from", user, "--to", "bob@example.com", "--header", &format!("From: {user}")])
            .output()
            .expect("swaks is installed by tests/run");
        String::from_utf8_lossy(&swaks.stdout).into_owned()
    };
    let dialogue = login("alice@example.com", "correct horse");
    assert!(dialogue.contains("235 2.7.0 ") && dialogue.contains("250 2.0.0 Ok: queued"), "{dialogue}");
    daemon.wait_for_mail("bob@example.com", 1);
    for (user, password) in [
        ("alice@example.com", "Hello world!"),
        ("alice@example.com", "wrong"),
        ("nobody@example.com", "correct horse"),
    ] {
        let dialogue = login(user, password);
        assert!(dialogue.contains("<** 535 5.7.8 user name or password is wrong"), "{user}: {dialogue}");
    }
    assert!(dialogue.contains("250-AUTH PLAIN LOGIN\n"), "no SCRAM is offered: {dialogue}");

    dovecot.stop();
    let mut client = Client::hello(address).unwrap();
    let reply = client.command("AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAGNvcnJlY3QgaG9yc2U=").unwrap();
    assert!(reply.starts_with("454 4.7.0 "), "who cannot be asked is no wrong password: {reply}");
    assert!(client.command("NOOP").unwrap().starts_with("250"));
}
