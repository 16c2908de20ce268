//! A real Dovecot of its own: LMTP on a unix socket and a port, and its auth service for others' logins.

use super::{free_port, wait_for};
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running Dovecot; stopped when it goes out of scope.
pub struct Dovecot {
    /// LMTP over TCP.
    pub lmtp: SocketAddr,
    /// LMTP over a unix socket.
    pub socket: PathBuf,
    /// The auth service as Postfix's smtpd asks it.
    pub auth: PathBuf,
    folder: PathBuf,
}

impl Dovecot {
    /// Starts one with these users, all with the password `correct horse`; the mailbox of each takes so many bytes.
    pub fn start(folder: &Path, users: &[(&str, u64)]) -> Self {
        let folder = folder.join("dovecot");
        for sub in ["run", "state", "mail"] {
            std::fs::create_dir_all(folder.join(sub)).unwrap();
        }
        for open in [folder.parent().unwrap(), &folder] {
            std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::set_permissions(folder.join("mail"), std::fs::Permissions::from_mode(0o777)).unwrap();
        let here = folder.display();
        let passwd: String = users
            .iter()
            .map(|(user, quota)| {
                format!("{user}:{{PLAIN}}correct horse:65534:65534::{here}/mail/{user}::userdb_quota_rule=*:bytes={quota}\n")
            })
            .collect();
        std::fs::write(folder.join("users"), passwd).unwrap();
        let lmtp = free_port();
        let port = lmtp.port();
        let text = format!(
            "base_dir = {here}/run\nstate_dir = {here}/state\nlog_path = {here}/log\nprotocols = lmtp\n\
             listen = 127.0.0.1\nssl = no\ndisable_plaintext_auth = no\nauth_mechanisms = plain login\n\
             first_valid_uid = 1\nfirst_valid_gid = 1\nmail_location = maildir:~/Maildir\n\
             mail_plugins = quota\n\
             passdb {{\n driver = passwd-file\n args = {here}/users\n}}\n\
             userdb {{\n driver = passwd-file\n args = {here}/users\n}}\n\
             plugin {{\n quota = maildir:User quota\n}}\n\
             service auth {{\n unix_listener auth-smtp {{\n  mode = 0666\n }}\n}}\n\
             service lmtp {{\n unix_listener lmtp {{\n  mode = 0600\n }}\n \
             inet_listener lmtp {{\n  address = 127.0.0.1\n  port = {port}\n }}\n}}\n"
        );
        std::fs::write(folder.join("dovecot.conf"), text).unwrap();
        std::fs::set_permissions(folder.join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let dovecot =
            Self { lmtp, socket: folder.join("run/lmtp"), auth: folder.join("run/auth-smtp"), folder };
        // The daemon keeps what it is given as its output: a pipe would never end.
        let said = dovecot.folder.join("said");
        let status = Command::new("dovecot")
            .arg("-c")
            .arg(dovecot.folder.join("dovecot.conf"))
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .status()
            .unwrap();
        let said = std::fs::read_to_string(said).unwrap();
        assert!(status.success(), "dovecot, which must be run as root: {said}\n{}", dovecot.log());
        wait_for("Dovecot to listen", || {
            let lmtp = TcpStream::connect(lmtp).is_ok() && UnixStream::connect(&dovecot.socket).is_ok();
            lmtp && dovecot.auth.exists()
        });
        dovecot
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The messages of a user.
    pub fn mailbox(&self, user: &str) -> Vec<String> {
        let new = self.folder.join("mail").join(user).join("Maildir/new");
        let Ok(entries) = std::fs::read_dir(new) else { return Vec::new() };
        entries
            .map(|e| String::from_utf8_lossy(&std::fs::read(e.unwrap().path()).unwrap()).into_owned())
            .collect()
    }

    /// Waits until a user has so many messages.
    pub fn wait_for_mail(&self, user: &str, count: usize) -> Vec<String> {
        wait_for(&format!("{count} messages for {user} in Dovecot"), || self.mailbox(user).len() >= count);
        self.mailbox(user)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Dovecot's log ---\n{}", self.log());
        }
        let conf = self.folder.join("dovecot.conf");
        let _ = Command::new("doveadm").arg("-c").arg(conf).arg("stop").output();
    }
}
