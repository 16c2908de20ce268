//! Reply separators of mail programs, plain and HTML.

use super::*;

/// The marker `^` in each text shows where the quote begins; none where there is no place above a quote.
fn check(texts: &[&str], html: bool, reply: bool) {
    let find = |text: &[u8]| find(text, html, reply).above;
    for marked in texts {
        let want = marked.find('^');
        let text = marked.replacen('^', "", 1);
        assert_eq!(find(text.as_bytes()), want, "{marked}");
        let crlf = marked.replace('\n', "\r\n");
        assert_eq!(find(crlf.replacen('^', "", 1).as_bytes()), crlf.find('^'), "with CRLF: {marked}");
    }
}

#[test]
fn plain_text() {
    check(
        &[
            // Outlook for Windows, English and German.
            "Hi\n\n^-----Original Message-----\nFrom: Bob\nSent: x\n",
            "Hallo\n\n^-----Ursprüngliche Nachricht-----\nVon: Bob\n",
            "Hi\n\n^From: Bob <b@x>\nSent: Monday\nTo: Ann\nSubject: x\n\ntext",
            "Hi\n\n^*Von:* Bob\n*Gesendet:* Montag\n*An:* Ann\n*Betreff:* x\n",
            // Outlook on the web and on phones.
            "Hi\n^________________________________\nFrom: Bob\nSent: x\n",
            // Gmail, the attribution wrapped.
            "Hi\n\n^On Mon, 3 Mar 2025 at 10:00, Bob Example\n<bob@example.org> wrote:\n\n> text\n> more\n",
            "Hi\n\n^---------- Forwarded message ---------\nFrom: Bob\n",
            // Apple Mail.
            "Hi\n\n^> On 3 Mar 2025, at 10:00, Bob <b@x> wrote:\n> \n> text\n",
            "Hi\n\n^Begin forwarded message:\n\n> From: Bob\n",
            // Thunderbird.
            "Hi\n\n^On 3/3/25 10:00, Bob wrote:\n> text\n\n-- \nAnn\n",
            "Hi\n^-------- Forwarded Message --------\nSubject: x\n",
            "Hi\n\n^Am 03.03.25 um 10:00 schrieb Bob:\n> text\n",
            // New text below the quote, above nothing, between quotes: the end is the place.
            "On 3/3/25 10:00, Bob wrote:\n> text\n\nanswer\n",
            "Hi,\n> first\nanswer\n> second\nanswer\n",
            "> text\n",
            // No quote at all.
            "Hello\nfrom: the heart\n",
            "See --- this --- thing\n",
            "-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n",
            "",
            // A line above the quote that is no attribution stays with the new text.
            "See this:\n\n^> text\n",
        ],
        false,
        true,
    );
}

#[test]
fn html() {
    check(
        &[
            // Gmail.
            "<div dir=\"ltr\">Hi</div><br>^<div class=\"gmail_quote gmail_quote_container\"><div class=\"gmail_attr\">On",
            // Thunderbird.
            "<p>Hi</p>\n^<div class=\"moz-cite-prefix\">On 3/3/25, Bob wrote:<br></div><blockquote type=\"cite\">",
            "<p>Hi</p>^<div class=\"moz-forward-container\">",
            // Apple Mail, new and old.
            "Hi<div><br>^<blockquote type=\"cite\"><div>On 3 Mar 2025, at 10:00, Bob wrote:</div>",
            "<div>Hi</div>^<div>On 3 Mar 2025, at 10:00, Bob wrote:</div><br><blockquote type=\"cite\">",
            // Outlook on the web, for Windows, for Mac.
            "<div>Hi</div>^<div id=\"appendonsend\"></div><hr tabindex=\"-1\"><div id=\"divRplyFwdMsg\">",
            "<div>Hi</div>^<hr style=\"x\" tabindex=\"-1\"><div id=\"divRplyFwdMsg\">",
            "<p>Hi</p><div>^<div style=\"border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm\"><p><b>From:</b>",
            "<p>Hi</p>^<div style='border: none; border-top: solid #B5C4DF 1.0pt; padding: 3.0pt 0in 0in 0in'>",
            "<p>Hi</p>^<div id=\"mail-editor-reference-message-container\">",
            // Yahoo, GMX, Roundcube, Zimbra, Proton.
            "<p>Hi</p>^<div id=\"ydp1\" class=\"yahoo_quoted\">",
            "<p>Hi</p>^<div name=\"quote\" style=\"margin\">",
            "<p>Hi</p>^<p id=\"reply-intro\">Bob wrote:</p><blockquote type=\"cite\">",
            "<p>Hi</p>^<hr id=\"zwchr\">",
            "<p>Hi</p>^<div class=\"protonmail_quote\">",
            // A bare blockquote behind a line that names whom it quotes.
            "<div>Hi</div>^<div>On Mon, Mar 03, 2025 at 10:00 AM, Bob &lt;b@x&gt; wrote:<br></div><blockquote>q</blockquote>",
            // Samsung, Notes, QQ, and whoever else writes words alone.
            "<div>Hi</div><div><br></div>^<div>-------- Original message --------</div><div>From: Bob</div>",
            "<p>Hi</p>^<p class=MsoNormal><b>From:</b> Bob &lt;b@x&gt;<br><b>Sent:</b> Monday<br><b>To:</b> Ann<br><b>Subject:</b> x</p><p>text</p>",
            "Hi<br><br>^From: Bob &lt;b@x&gt;<br>Date: Monday<br>Subject: x<br><br>text",
            "<div>Hi</div>^<div>------------------&nbsp;原始邮件&nbsp;------------------</div><div>发件人:&nbsp;Bob</div>",
            // Nothing above the quote: the end is the place.
            "<div>&nbsp;</div><div class=\"gmail_quote\">",
            "<p>no quote</p><hr><blockquote>a saying</blockquote>",
            "<!-- <div class=\"gmail_quote\"> -->x",
        ],
        true,
        true,
    );
}

#[test]
fn text_of_the_authors_own() {
    let texts = [
        "Hello\n\n--- Agenda ---\n1. Budget\n\nAnn\n",
        "Hello\n\n----- Access -----\nHost: a\nPort: 1\n\nAnn\n",
        "Hallo\n\nVon: Berlin\nNach: Hamburg\nDatum: 3. Dezember\nGleis: 7\n\nAnn\n",
        "From: 10:00\nTo: 12:00\nRoom: 5\n",
        "Hello\n________________________________\nAnn\n",
        "Hello\n\nFrom: Berlin\nTo: Hamburg\nDate: 3 December\n\nAnn\n",
    ];
    check(&texts, false, true);
    check(&texts, false, false);
    // What counts only in a message that is known to quote.
    check(
        &[
            "See this:\n\n> a saying\n",
            "Hi\n\n-----Original Message-----\nsomething\n",
            "Hi\n\n----- Ursprünglich -----\nVon: Bob\n",
            // A whole header counts everywhere.
            "Hi\n\n^From: Bob\nSent: Monday\nTo: Ann\nSubject: x\n\ntext",
            "Hi\n\n^---------- Forwarded message ---------\nVon: Bob <b@x>\nDate: Mo., 3. März 2025\nSubject: x\n",
            "Hi\n\n^Am 03.03.25 um 10:00 schrieb Bob:\n> text\n",
            "Hi\n\n^> On 3 Mar 2025, at 10:00, Bob <b@x> wrote:\n> text\n",
        ],
        false,
        false,
    );
}

#[test]
fn attributions() {
    check(
        &[
            // Text right above.
            "Thanks!\n^On 5 Nov 2026 at 10:00 Bob <b@x.example> wrote:\n> hello\n",
            "Thanks for all of this, it was a lot of work for you I think.\n^2025-03-03 10:00 Bob <b@x>:\n> hello\n",
            // Wrapped.
            "Hi\n\n^Am Montag, dem 3. März 2025 um 10:00 schrieb Bob Beispiel von der Firma\nExample <bob@example.org>:\n\n> text\n",
            "Hi\n\n^Le lun. 3 mars 2025 à 10:00, Bob <bob@example.org> a écrit :\n> texte\n",
            // mutt, Gnus, a ticket system.
            "Hi\n\n^On Mon, Mar 03, 2025 at 10:00:00AM +0100, Bob wrote:\n> text\n",
            "Hi\n\n^Bob <bob@example.org> writes:\n\n> text\n",
            "Hi\n\n^3.3.2025 10:00 - Bob:\n> text\n",
        ],
        false,
        true,
    );
    check(
        &[
            // The author's sentences.
            "<p>Hello Bob,</p><p>Here are my answers:</p>^<blockquote type=\"cite\">old</blockquote>",
            "<p>Hello Bob, see <span>the answers</span>:</p>^<blockquote type=\"cite\">old</blockquote>",
            "<p>That&#39;s it:</p>^<blockquote type=\"cite\">old</blockquote>",
            // In a cell there is no place in front of it.
            "<table><tr><td>A</td><td>On 3 Mar 2025:</td></tr></table>^<blockquote type=\"cite\">old</blockquote>",
            "<p>Yes</p><table><tr><td>^<p>On 3 Mar 2025 Bob wrote:</p></td></tr></table><blockquote type=\"cite\">old</blockquote>",
            // Behind a break, in a block and in a paragraph.
            "<div>Yes<br><br>^On 3 Mar 2025, <a href=\"mailto:b@x\">Bob</a> wrote:<br><blockquote type=\"cite\">old</blockquote></div>",
            "<p>Yes<br>On 3 Mar 2025, Bob wrote:</p>^<blockquote type=\"cite\">old</blockquote>",
            "<p>Yes</p>^<p><span>On 3 Mar 2025, Bob wrote:</span></p><blockquote type=\"cite\">old</blockquote>",
        ],
        true,
        true,
    );
}

#[test]
fn html_below_the_quote() {
    check(
        &[
            // The author goes on below.
            "<p>Hi</p><div class=\"moz-cite-prefix\">On 1.1.2026, Bob wrote:</div><blockquote type=\"cite\">q</blockquote><p>answer</p>",
            "<p>Hi</p><blockquote type=\"cite\">q1</blockquote><p>a1</p><blockquote type=\"cite\">q2</blockquote><p>a2</p>",
            "<div>Hi</div><div class=\"gmail_quote\"><div>On</div><blockquote class=\"gmail_quote\">q</blockquote></div><div>PS: and this</div>",
            // Only a signature stands there.
            "<p>Hi</p>^<div class=\"moz-cite-prefix\">On 1.1.2026, Bob wrote:</div><blockquote type=\"cite\">q</blockquote><pre class=\"moz-signature\">-- \nAnn</pre>",
            "<p>Hi</p>^<div class=\"gmail_quote\">q</div><div>--<br>Ann</div>",
            "<p>Hi</p>^<blockquote type=\"cite\">q<blockquote type=\"cite\">r</blockquote>s</blockquote>&nbsp;<br>",
        ],
        true,
        true,
    );
    let own = "<p>Hi</p><div style=\"border:none;border-top:solid black 1.0pt;padding:3.0pt 0cm 0cm 0cm\"><p>Agenda</p></div>";
    let words = "<p>Hi</p><p>From: Berlin<br>To: Hamburg<br>Date: 3 December</p>";
    check(&[words], true, true);
    check(&[words, own, "<p>Hi</p><blockquote class=\"pull-quote\">a saying</blockquote>"], true, false);
    let outlook = "<p>Hi</p>^<div style=\"border:none;border-top:solid black 1.0pt;padding:3.0pt 0cm 0cm 0cm\"><p><b>Von:</b> Bob &lt;b@x&gt;<br><b>Gesendet:</b> Montag<br><b>Betreff:</b> x</p></div>";
    check(&[outlook], true, false);
}

#[test]
fn replies_by_their_header() {
    for (header, want) in [
        ("In-Reply-To: <1@x>", true),
        ("References: <1@x>\r\n <2@x>", true),
        ("References: ", false),
        ("Subject: Re: x", true),
        ("Subject: RE[2]: x", true),
        ("Subject: [list] AW: x", true),
        ("Subject: =?utf-8?q?R=C3=A9f:_x?=", true),
        ("Subject: WG: Fwd: x", true),
        ("Subject: =?utf-8?b?5Zue5aSN?=: x", true),
        ("Subject: Note: x", false),
        ("Subject: 10: x", false),
        ("Subject: x", false),
        ("X-Forwarded-Message-Id: <1@x>", true),
    ] {
        let message = format!("{header}\r\n\r\n");
        assert_eq!(is_reply(&crate::header::fields(message.as_bytes())), want, "{header}");
    }
}

#[test]
fn hostile_input_is_looked_at_once() {
    for piece in [
        "<br>From: x",
        "<div>",
        "</p>",
        "<p>On 1:",
        "<blockquote type=cite>",
        "<blockquote type=cite></blockquote>",
        "<td>--",
    ] {
        let html = piece.repeat(100_000);
        assert!(find(html.as_bytes(), true, true).ranges.len() <= 10_001, "{piece}");
    }
    for line in ["From: x\n", "> a:1\n", "a:1\n> b\n", "-----a-----\n", "__________\n"] {
        let text = line.repeat(100_000);
        assert!(find(text.as_bytes(), false, true).ranges.len() <= 20_001, "{line}");
    }
}
