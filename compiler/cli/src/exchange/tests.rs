//! Imports as snapshots: one file of each format, and what became of each line.

use super::*;

fn wish(format: Format, of: Option<Of>) -> Wish {
    Wish { format, of, name: "old".to_owned(), domain: None, priority: 100, dotted: false }
}

fn check(name: &str, wish: &Wish, text: &str) {
    let done = import(wish, text).unwrap();
    let mut shown = done.text.clone();
    for remark in &done.remarks {
        shown.push_str(&format!("{}: {:?}: {} -- {}\n", remark.line, remark.fate, remark.entry, remark.why));
    }
    insta::assert_snapshot!(name, shown);
    let lines = lines::logical(text).len();
    assert!(
        matches!(wish.format, Format::Csv) || done.remarks.len() == lines,
        "{name}: a line without a report"
    );
}

#[test]
fn access_tables() {
    check(
        "access_sender",
        &wish(Format::Access, Some(Of::Sender)),
        "friend@bad.example OK\nbad.example REJECT 5.7.1 Go away\nexample DISCARD\nDunno.example DUNNO\n<> 450 later\nspam@ REJECT\nbad.example OK\n.x.example OK\n\"a b\"@c.example OK\nx.example RELAY\ny.example\n",
    );
    check(
        "access_client",
        &wish(Format::Access, Some(Of::Client)),
        "192.168 OK\n192.168.7 REJECT\n10.0.0.1 DUNNO\n10 HOLD because\n2001:db8 521 bye\nmx.good.example OK\nexample REJECT\nunknown DEFER no name\n",
    );
    let dotted = Wish { dotted: true, ..wish(Format::Access, Some(Of::Helo)) };
    check("access_helo_dotted", &dotted, "localhost REJECT\n.example OK\nexample DEFER_IF_PERMIT\n");
}

#[test]
fn ordered_tables() {
    check(
        "cidr",
        &wish(Format::Cidr, None),
        "192.0.2.7 OK\n192.0.2.0/24 REJECT no\n192.0.2.128/25 OK\n198.51.100.1/24 OK\n!10.0.0.0/8 REJECT\nif 10.0.0.0/8\n10.1.0.0/16 OK\nendif\n2001:db8::/32 DUNNO\n::/0 REJECT\n",
    );
    check(
        "pcre",
        &wish(Format::Pcre, Some(Of::Sender)),
        "/^ok@/ DUNNO\n/^<>$/ OK\n/spam.*@(a|b)\\.example$/ REJECT spam\n!/@example\\.com$/i 550 outside\nif /x\\/y/\n/z/ DISCARD\nendif\n/(?<=a)b/ REJECT\n/(.*)/ REJECT $1\n|a/b| HOLD\n",
    );
    check(
        "header_checks",
        &wish(Format::HeaderChecks, None),
        "/^Subject: ok/ DUNNO\n/^From:.*trusted@x\\.example/ OK\n!/^From:/ REJECT\n/^Subject: =\\?koi8/ REJECT\n/^Content-Type:.*name=.*\\.exe/ REJECT\n/^Subject:.*viagra/ REJECT no thanks\n/^(To|Cc):\\s*undisclosed/ DISCARD\n/^X-Spam:/ HOLD\n/free money/ REJECT\n/^Subject:/ PREPEND X-A: b\n/^Subject: a|b/ REJECT\n",
    );
}

#[test]
fn maps() {
    check(
        "sender_bcc",
        &wish(Format::SenderBccMaps, None),
        "ann@example.com ann-archive@example.com\n@example.com archive@example.com\nbob@example.com archive@example.com\ncarl archive@example.com\nd@example.com a@example.com, b@example.com\n",
    );
    check(
        "transport",
        &wish(Format::Transport, None),
        "example.com smtp:[mx.example.net]:587\n.example.com relay:hub.example.net\nann@example.com local:\nb.example.com :\n* smtp:\nbad.example error:5.1.1 gone\nuucp.example uucp:x\n",
    );
    check(
        "aliases",
        &wish(Format::Aliases, None),
        "postmaster: root\nroot: Ann@Example.com,\n  bob\nlist: a@x.example, \"|/bin/prog a\", c\nowner-list: ann\nowner-none: x\nfiles: /dev/null\ninc: :include:/etc/list\nroot: again\nnothing\n\\me: \\me, you@x.example\n",
    );
    check(
        "aliases_parted",
        &Wish { domain: Some("example.com".to_owned()), ..wish(Format::Aliases, None) },
        "team: ann bob\nquoted: \"ann bob\"\nwhole: ann@example.com bob@example.net, carl\nnamed: Ann Smith <ann@example.com>, bob\nsemi: ann;bob\nnote: ann@example.com(x), bob\nerr: error:5.1.1 gone\nerr2: ann, \"error:550 gone\"\nself: \\self, \\\"odd name\", x@o.example\nmore: ann,\n   bob carl\ncommand: |/bin/prog a b\nowner-team: ann carl\n",
    );
    check(
        "virtual",
        &Wish { domain: Some("example.com".to_owned()), ..wish(Format::Virtual, None) },
        "example.com anything\n@a.example @b.example\nann@example.com ann.a@x.example bob\n@c.example catch@x.example\nroot ann\n",
    );
}

#[test]
fn tables() {
    check(
        "csv_alias",
        &wish(Format::Csv, None),
        "alias,member\nsales@example.com,ann@example.com\nsales@example.com,bob\nx,\n",
    );
    check(
        "csv_sender",
        &wish(Format::Csv, None),
        "sender,action,reply\na@b.example,OK,\n@b.example,REJECT,\"5.7.1 no, thanks\"\n.b.example,frob,\nd.example,reject,550\ne.example,defer,450\n",
    );
    check(
        "csv_list",
        &wish(Format::Csv, None),
        "list,entry\nbad,192.0.2.0/24\nbad,a@b.example\nvip,a@b.example\nvip,c.example\n",
    );
    assert!(import(&wish(Format::Csv, None), "a,b\n1,2\n").is_err());
    assert!(import(&wish(Format::Access, None), "a OK\n").is_err());
}

#[test]
fn no_text_breaks_an_import() {
    let bits = [
        "@", "<>", "/", "\\", "!", "if ", "endif", "\"", ":", "a", ".", " ", "\t", "\n", "REJECT", "OK",
        "::", "/33", "ü", "|", "(", "$1", "#", ",",
    ];
    proptest::proptest!(|(picks in proptest::collection::vec(0..bits.len(), 0..40))| {
        let text: String = picks.iter().map(|at| bits[*at]).collect();
        for format in <Format as clap::ValueEnum>::value_variants() {
            for of in <Of as clap::ValueEnum>::value_variants() {
                let _ = import(&wish(*format, Some(*of)), &text);
            }
        }
    });
}
