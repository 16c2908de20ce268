//! Logins that a real Dovecot checks behind its auth socket.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::io::{BufRead, BufReader, Write};
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
             first_valid_uid = 0\nauth_mechanisms = plain login scram-sha-256\nauth_failure_delay = 0 secs\n\
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
    let users = "alice@example.com:$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1\nbob@example.com:\n\
                 carol@example.com:{SCRAM-SHA-256}1,MDEyMzQ1Njc4OWFiY2RlZg==,MKG5kW+STbrffPRvjy1s3AajDGDg4IBSmRSRmQIoQ3Y=,lRHtdUSleirTXqak7yFtR+uyMo2M1cvucMGUEvsbQSM=\n";
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
    // Nor is it there: it would ask the file.
    let mut client = Client::hello(address).unwrap();
    let reply = client.command("AUTH SCRAM-SHA-256 biwsbj1jYXJvbEBleGFtcGxlLmNvbSxyPWFiY2RlZg==").unwrap();
    assert!(reply.starts_with("504 5.5.4 "), "{reply}");

    dovecot.stop();
    // The process that checks passwords may live a moment longer than the one that started it.
    wait_for("nobody to check passwords", || UnixStream::connect(&dovecot.socket).is_err());
    let mut client = Client::hello(address).unwrap();
    let reply = client.command("AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAGNvcnJlY3QgaG9yc2U=").unwrap();
    assert!(reply.starts_with("454 4.7.0 "), "who cannot be asked is no wrong password: {reply}");
    assert!(client.command("NOOP").unwrap().starts_with("250"));
}

/// Why SCRAM-SHA-256 is not passed on to Dovecot, though its protocol has a way (AUTH guessing and timing): whom it knows
/// it sends a challenge, whom it does not it refuses at once.
#[test]
fn dovecot_tells_by_scram_who_exists() {
    let folder = tempfile::tempdir().unwrap();
    let dovecot = Dovecot::start(folder.path());
    let first_answer = |client_first: &str| {
        let mut write = UnixStream::connect(&dovecot.socket).unwrap();
        let mut lines = BufReader::new(write.try_clone().unwrap()).lines().map(Result::unwrap);
        writeln!(write, "VERSION\t1\t1\nCPID\t{}", std::process::id()).unwrap();
        let offered: Vec<String> = lines.by_ref().take_while(|line| line != "DONE").collect();
        assert!(offered.iter().any(|line| line.starts_with("MECH\tSCRAM-SHA-256")), "{offered:?}");
        writeln!(write, "AUTH\t1\tSCRAM-SHA-256\tservice=smtp\tresp={client_first}").unwrap();
        lines.next().unwrap()
    };
    // n,,n=alice@example.com,r=abcdef and the same of nobody.
    assert!(first_answer("biwsbj1hbGljZUBleGFtcGxlLmNvbSxyPWFiY2RlZg==").starts_with("CONT\t1\t"));
    assert!(first_answer("biwsbj1ub2JvZHlAZXhhbXBsZS5jb20scj1hYmNkZWY=").starts_with("FAIL\t1\t"));
}
