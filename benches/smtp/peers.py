"""The servers under test, each told the same in its own terms: take everything, relay it to one host.

A server gets a folder of its own, runs in the foreground, and its log is thrown away. What needs users
or folders of the system gets them in a mount namespace of its own, so that nothing here changes the machine.
"""

import json
import os
import pathlib
import shutil
import subprocess

from measure import Failed, end_tree, free_port, wait_for


class Server:
    """One server. `rules` is none for the bare one."""

    name = "?"
    #: It applies rules.
    has_rules = True
    #: Kinds of rules that it has no words for.
    lacks = ()
    #: Messages of a run: slow ones get fewer, so that a run ends.
    messages = 3_000
    #: It may not deliver everything in time; the sink counts.
    counting = False
    #: Its 250 is the sink's, which must not go away before it has said the last one.
    answers_late = False

    def __init__(self, options, folder, rules):
        self.options, self.folder, self.rules = options, folder, rules
        self.port = free_port()
        self.process = None

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def launch(self, command, **more):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, **more)
        wait_for(self.port, self.process)

    def stop(self):
        if self.process:
            end_tree(self.process)

    @property
    def root(self):
        return self.process.pid


class Edict(Server):
    name = "edictd"
    messages = 20_000
    #: All sessions of the source come from one client.
    extra = "clients: (connections_per_client: 1000),"

    @classmethod
    def missing(cls, options):
        return None if os.access(options.edictd, os.X_OK) else f"{options.edictd}: build it first"

    def start(self, sink):
        table = []
        if self.rules:
            # Built once for a set: that time is not what is measured here.
            cache = pathlib.Path(self.options.cache) / f"edict-{self.rules.times}.table"
            if not cache.exists():
                self.build(cache)
            table = ["--table", str(cache)]
        config = self.write("edictd.ron", f"""(
            listeners: [(address: "127.0.0.1:{self.port}", role: mx)],
            data: "data",
            outside: relay("127.0.0.1:{sink}"),
            {self.extra}
        )""")
        self.launch([self.options.edictd, "--config", str(config), *table],
                    env={**os.environ, "RUST_LOG": self.options.log})

    def build(self, cache):
        r = self.rules
        source = self.folder / "rules"
        source.mkdir()
        text = ["edict 1", "profile {", "hostname bench.example", "local-domains [example.com]",
                "trusted-networks [127.0.0.0/8, ::1]", "recipients any", "auth off", "}",
                'list senders: address from "senders.txt"', 'list networks: network from "networks.txt"',
                'aliases from "aliases.txt"',
                'reject "senders" { when sender in senders }', 'reject "networks" { when client.ip in networks }']
        text += [f'reject "header {i}" {{ when subject matches /{p}/ }}' for i, p in enumerate(r.headers())]
        text += [f'reject "body {i}" {{ when body matches /{p}/ }}' for i, p in enumerate(r.bodies())]
        text += [f'bcc "copy {i}" {{ when sender is {who} to [{to}] }}' for i, (who, to) in enumerate(r.copies())]
        (source / "main.edict").write_text("\n".join(text) + "\n")
        (source / "senders.txt").write_text("\n".join(r.senders()) + "\n")
        (source / "networks.txt").write_text("\n".join(r.networks()) + "\n")
        (source / "aliases.txt").write_text("".join(f"{a}: {to}\n" for a, to in r.aliases()))
        made = subprocess.run([self.options.edict, "build", str(source), "-o", str(cache)],
                              capture_output=True, text=True)
        if not cache.exists():
            raise Failed(f"edict build: {made.stderr[-800:]}")


class EdictPassThrough(Edict):
    """The same with pass-through: nothing is stored where nothing needs to be."""

    name = "edictd pass-through"
    extra = Edict.extra + " pass_through: (connections: 500),"
    answers_late = True


class Bytes(Server):
    """No mail server: HAProxy hands every byte on, and reads none. What a server adds that answers with the next hop's replies
    shows beside it; it applies no rules."""

    name = "bytes (haproxy)"
    has_rules = False
    messages = 20_000
    answers_late = True

    @classmethod
    def missing(cls, options):
        return None if shutil.which("haproxy") else "not installed (Debian: apt install haproxy)"

    def start(self, sink):
        config = self.write("haproxy.cfg", f"""
defaults
    mode tcp
    option splice-auto
    timeout connect 30s
    timeout client 300s
    timeout server 300s
listen smtp
    bind 127.0.0.1:{self.port}
    server sink 127.0.0.1:{sink}
""")
        self.launch(["haproxy", "-db", "-f", str(config)])


class Postfix(Server):
    name = "postfix"

    @classmethod
    def missing(cls, options):
        return None if os.access("/usr/sbin/postfix", os.X_OK) else "not installed (Debian: apt install postfix)"

    def start(self, sink):
        conf = self.folder / "conf"
        conf.mkdir()
        for part in ("queue", "data"):
            (self.folder / part).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        main = {
            "compatibility_level": "3.6", "queue_directory": self.folder / "queue",
            "data_directory": self.folder / "data", "command_directory": "/usr/sbin",
            "daemon_directory": "/usr/lib/postfix/sbin", "mail_owner": "postfix", "setgid_group": "postdrop",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "myhostname": "bench.example",
            "mydestination": "", "local_recipient_maps": "", "relayhost": f"[127.0.0.1]:{sink}",
            "mynetworks": "127.0.0.0/8", "smtp_dns_support_level": "disabled", "smtp_host_lookup": "native",
            "smtpd_peername_lookup": "no", "smtpd_client_connection_count_limit": "0",
            "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination",
            "default_process_limit": "100", "smtp_destination_concurrency_limit": "20",
            "maillog_file": "/dev/stdout", "alias_maps": "", "alias_database": "",
        }
        if self.rules:
            main.update(self.maps(conf))
        self.write("conf/main.cf", "".join(f"{key} = {value}\n" for key, value in main.items()))
        self.write("conf/master.cf", f"""
127.0.0.1:{self.port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
showq unix n - n - - showq
flush unix n - n 1000? 0 flush
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
""")
        self.launch(["/usr/sbin/postfix", "-c", str(conf), "start-fg"])

    def maps(self, conf):
        r = self.rules
        pcre = "pcre" if pathlib.Path("/usr/lib/postfix/postfix-pcre.so").exists() else "regexp"
        tables = {
            "senders": "".join(f"{who} REJECT\n" for who in r.senders()),
            "copies": "".join(f"{who} {to}\n" for who, to in r.copies()),
            "aliases": "".join(f"{who} {to}\n" for who, to in r.aliases()),
        }
        self.write("conf/main.cf", "compatibility_level = 3.6\n")
        self.write("conf/master.cf", "")
        for name, text in tables.items():
            path = self.write(f"conf/{name}", text)
            subprocess.run(["/usr/sbin/postmap", "-c", str(conf), f"hash:{path}"], check=True)
        self.write("conf/networks", "".join(f"{net} REJECT\n" for net in r.networks()))
        self.write("conf/headers", "".join(f"/^Subject:.*{p}/ REJECT\n" for p in r.headers()))
        self.write("conf/bodies", "".join(f"/{p}/ REJECT\n" for p in r.bodies()))
        return {
            "smtpd_client_restrictions": f"check_client_access cidr:{conf}/networks",
            "smtpd_sender_restrictions": f"check_sender_access hash:{conf}/senders",
            "header_checks": f"{pcre}:{conf}/headers", "body_checks": f"{pcre}:{conf}/bodies",
            "sender_bcc_maps": f"hash:{conf}/copies", "virtual_alias_maps": f"hash:{conf}/aliases",
        }


class Boxed(Server):
    """A server that was unpacked into a folder, with users and folders of its own in a mount namespace."""

    def boxed(self, users, binds, command):
        entries, groups = pathlib.Path("/etc/passwd").read_text(), pathlib.Path("/etc/group").read_text()
        for number, user in enumerate(users):
            entries += f"{user}:x:{61_000 + number}:{61_000 + number}::/nonexistent:/usr/sbin/nologin\n"
            groups += f"{user}:x:{61_000 + number}:\n"
        self.write("passwd", entries)
        self.write("group", groups)
        lines = ["set -e", f"mount --bind {self.folder}/passwd /etc/passwd",
                 f"mount --bind {self.folder}/group /etc/group"]
        lines += [f"mount --bind {here} {there}" for here, there in binds]
        libraries = pathlib.Path("/usr/lib") / f"{os.uname().machine}-linux-gnu"
        more = f"{self.options.peers}/root{libraries}"
        lines += [f"mount -t overlay overlay -o lowerdir={more}:{libraries} {libraries}"]
        self.launch(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                     "\n".join([*lines, "exec " + " ".join(command)])])


def unpacked(options, path):
    if os.geteuid() != 0:
        return "needs root, for a mount namespace"
    if not options.peers or not (pathlib.Path(options.peers) / path).exists():
        return "not there: benches/smtp/fetch.sh FOLDER, then --peers FOLDER"
    return None


class Exim(Boxed):
    name = "exim"
    messages = 1_500
    counting = True

    @classmethod
    def missing(cls, options):
        return unpacked(options, "root/usr/sbin/exim4")

    def start(self, sink):
        exim = f"{self.options.peers}/root/usr/sbin/exim4"
        folder, r = self.folder, self.rules
        for part in ("spool", "log"):
            (folder / part).mkdir()
            os.chown(folder / part, 61_000, 61_000)
        connect, mail, data, routers = "accept", "accept", "accept", ""
        if r:
            for name, pairs in {"senders": [(who, "x") for who in r.senders()], "copies": r.copies(),
                                "aliases": r.aliases()}.items():
                text = self.write(name, "".join(f"{who}: {to}\n" for who, to in pairs))
                tool = f"{self.options.peers}/root/usr/sbin/exim_dbmbuild"
                subprocess.run([tool, str(text), f"{folder}/{name}.db"], check=True, stdout=subprocess.DEVNULL)
            self.write("networks", "".join(f"{net}:\n" for net in r.networks()))
            connect = f"deny hosts = net-iplsearch;{folder}/networks\n  accept"
            mail = f"deny senders = dbm;{folder}/senders.db\n  accept"
            data = "\n".join(
                [f"  deny condition = ${{if match{{$h_subject:}}{{(?i){p}}}}}" for p in r.headers()]
                + [f"  deny condition = ${{if match{{$message_body}}{{(?i){p}}}}}" for p in r.bodies()]
                + ["  accept"]).lstrip()
            routers = f"""
copies:
  driver = redirect
  data = ${{lookup{{$sender_address}}dbm{{{folder}/copies.db}}}}
  condition = ${{if !match_domain{{$domain}}{{example.net}}}}
  unseen
aliases:
  driver = redirect
  data = ${{lookup{{$local_part@$domain}}dbm{{{folder}/aliases.db}}}}
"""
        conf = self.write("exim.conf", f"""
primary_hostname = bench.example
exim_path = {exim}
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
daemon_smtp_ports = {self.port}
local_interfaces = 127.0.0.1
pid_file_path = {folder}/exim.pid
smtp_accept_max = 100
smtp_accept_max_per_host = 0
smtp_accept_queue_per_connection = 0
message_body_visible = 5000
remote_max_parallel = 20
tls_advertise_hosts =
host_lookup =
rfc1413_hosts =
acl_smtp_connect = on_connect
acl_smtp_mail = on_mail
acl_smtp_rcpt = on_rcpt
acl_smtp_data = on_data
begin acl
on_connect:
  {connect}
on_mail:
  {mail}
on_rcpt:
  accept
on_data:
  {data}
begin routers
{routers}
relay:
  driver = manualroute
  transport = next
  route_list = * 127.0.0.1
  self = send
begin transports
next:
  driver = smtp
  port = {sink}
  allow_localhost
  hosts_try_fastopen =
begin retry
* * F,1h,1m
""")
        self.boxed(["Debian-exim"], [], [exim, "-C", str(conf), "-bdf", "-q1m"])


class OpenSmtpd(Boxed):
    name = "opensmtpd"
    lacks = ("header patterns", "body patterns", "blind copies", "aliases")
    messages = 1_000
    counting = True

    @classmethod
    def missing(cls, options):
        return unpacked(options, "root/usr/sbin/smtpd")

    def start(self, sink):
        folder = self.folder
        for part in ("spool/smtpd", "lib/opensmtpd/empty", "run"):
            (folder / part).mkdir(parents=True)
        (folder / "spool/smtpd").chmod(0o711)
        rules = tables = ""
        if self.rules:
            self.write("senders", "\n".join(self.rules.senders()) + "\n")
            self.write("networks", "\n".join(self.rules.networks()) + "\n")
            tables = f"table blocked file:{folder}/senders\ntable nets file:{folder}/networks\n"
            rules = ("match from src <nets> for any reject\n"
                     "match from any mail-from <blocked> for any reject\n")
        conf = self.write("smtpd.conf", f"""{tables}
smtp limit max-mails 100000
listen on 127.0.0.1 port {self.port} hostname bench.example
action next relay host smtp://127.0.0.1:{sink}
{rules}match from any for any action next
""")
        conf.chmod(0o600)
        self.boxed(["opensmtpd", "opensmtpq"],
                   [(folder / "spool", "/var/spool"), (folder / "lib", "/var/lib"), (folder / "run", "/run")],
                   [f"{self.options.peers}/root/usr/sbin/smtpd", "-d", "-f", str(conf)])


class Haraka(Server):
    name = "haraka"
    messages = 2_000

    @classmethod
    def missing(cls, options):
        if not shutil.which("node"):
            return "node is not installed"
        if not options.peers or not (pathlib.Path(options.peers) / "haraka/node_modules/Haraka").exists():
            return "not there: benches/smtp/fetch.sh FOLDER, then --peers FOLDER"
        return None

    def start(self, sink):
        config = {
            "smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=2\n[headers]\n",
            "me": "bench.example\n", "log.ini": "level=ERROR\n", "host_list": "",
            "plugins": "to_one_host\n" + ("policy\n" if self.rules else ""),
            "outbound.ini": "concurrency_max=50\nenable_tls=false\npool_concurrency_max=20\n",
        }
        for name, text in config.items():
            self.write(f"config/{name}", text)
        own = pathlib.Path(self.options.peers) / "haraka/node_modules/Haraka/config/connection.ini"
        self.write("config/connection.ini", own.read_text())
        self.write("plugins/to_one_host.js", f"""
exports.register = function () {{ this.register_hook('rcpt', 'all'); this.register_hook('get_mx', 'next_hop') }}
exports.all = function (next, connection) {{ connection.relaying = true; next(OK) }}
exports.next_hop = function (next) {{ next(OK, {{ priority: 0, exchange: '127.0.0.1', port: {sink} }}) }}
""")
        if self.rules:
            r = self.rules
            self.write("policy.json", json.dumps({
                "senders": r.senders(), "networks": r.networks(), "headers": r.headers(), "bodies": r.bodies(),
                "copies": r.copies(), "aliases": r.aliases()}))
            self.write("plugins/policy.js", f"""
const net = require('net'), given = JSON.parse(require('fs').readFileSync('{self.folder}/policy.json'))
""" + """
const senders = new Set(given.senders), networks = new net.BlockList()
for (const n of given.networks) networks.addSubnet(n.split('/')[0], Number(n.split('/')[1]))
const headers = given.headers.map((p) => new RegExp(p, 'i')), bodies = given.bodies.map((p) => new RegExp(p, 'i'))
const copies = new Map(given.copies), aliases = new Map(given.aliases)
// A method in older versions.
const written = (a) => String(typeof a.address === 'function' ? a.address() : a.address).toLowerCase()
exports.register = function () {
    this.register_hook('connect', 'on_connect')
    this.register_hook('mail', 'on_mail')
    this.register_hook('data', 'on_data')
    this.register_hook('data_post', 'on_end')
}
exports.on_connect = function (next, connection) {
    next(networks.check(connection.remote.ip) ? DENY : CONT)
}
exports.on_mail = function (next, connection, params) {
    next(senders.has(written(params[0])) ? DENY : CONT)
}
exports.on_data = function (next, connection) { connection.transaction.parse_body = true; next() }
exports.on_end = function (next, connection) {
    const t = connection.transaction, subject = t.header.get_decoded('Subject'), text = t.body.bodytext
    if (headers.some((p) => p.test(subject)) || bodies.some((p) => p.test(text))) return next(DENY)
    const from = written(t.mail_from), Address = t.mail_from.constructor
    t.rcpt_to = t.rcpt_to.map((to) => {
        const other = aliases.get(written(to))
        return other ? new Address('<' + other + '>') : to
    })
    const copy = copies.get(from)
    if (copy) t.rcpt_to.push(new Address('<' + copy + '>'))
    next()
}
""")
        self.launch(["node", f"{self.options.peers}/haraka/node_modules/Haraka/bin/haraka", "-c", str(self.folder)])


SERVERS = {server.name: server for server in (Edict, EdictPassThrough, Bytes, Postfix, OpenSmtpd, Exim, Haraka)}


