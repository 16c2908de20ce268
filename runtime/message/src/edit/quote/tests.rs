//! Reply separators of mail programs, plain and HTML.

use super::*;

/// The marker `^` in each text shows where the quote begins; none where there is no place above a quote.
fn check(texts: &[&str], find: impl Fn(&[u8]) -> Option<usize>) {
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
        in_text,
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
            // Nothing above the quote: the end is the place.
            "<div>&nbsp;</div><div class=\"gmail_quote\">",
            "<p>no quote</p><hr><blockquote>a saying</blockquote>",
            "<!-- <div class=\"gmail_quote\"> -->x",
        ],
        in_html,
    );
}
