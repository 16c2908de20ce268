//! Parameters of MAIL and RCPT: SIZE (RFC 1870), BODY (6152), SMTPUTF8 (6531), RET, ENVID, NOTIFY and
//! ORCPT (3461), AUTH (4954). Whatever else comes is 555 (RFC 5321 4.1.1.11).
//!
//! Values that go on to a next hop are checked against their grammar, so that they need no escaping.

use super::path;
use crate::envelope::{Body, Notify, Ret};

/// Parameters of MAIL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct MailParams {
    pub(super) size: Option<u64>,
    pub(super) body: Body,
    pub(super) smtputf8: bool,
    pub(super) ret: Option<Ret>,
    pub(super) envid: Option<String>,
}

/// Parameters of RCPT.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct RcptParams {
    pub(super) notify: Notify,
    pub(super) orcpt: Option<String>,
}

/// The reply to parameters that cannot be taken.
pub(super) type Wrong = &'static str;

const UNKNOWN: Wrong = "555 5.5.4 a parameter is not known here";
const VALUE: Wrong = "501 5.5.4 the value of a parameter is wrong";
const TWICE: Wrong = "501 5.5.4 a parameter stands there twice";

/// `KEY=VALUE` or `KEY`, several of them after spaces.
fn each(rest: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    rest.split(' ').filter(|word| !word.is_empty()).map(|word| match word.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (word, None),
    })
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Wrong> {
    if slot.replace(value).is_some() { Err(TWICE) } else { Ok(()) }
}

/// Reads the parameters of MAIL. `auth` says whether AUTH= is known: it is where AUTH is offered.
pub(super) fn mail(rest: &str, auth: bool) -> Result<MailParams, Wrong> {
    let mut body = None;
    let mut smtputf8 = None;
    let mut identity = None;
    let mut params = MailParams::default();
    for (key, value) in each(rest) {
        match (key.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) => once(&mut params.size, number(value)?)?,
            ("BODY", Some(value)) => {
                let value = match value.to_ascii_uppercase().as_str() {
                    "7BIT" => Body::SevenBit,
                    "8BITMIME" => Body::EightBitMime,
                    _ => return Err(VALUE),
                };
                once(&mut body, value)?;
            }
            ("SMTPUTF8", None) => once(&mut smtputf8, ())?,
            ("RET", Some(value)) => {
                let value = match value.to_ascii_uppercase().as_str() {
                    "FULL" => Ret::Full,
                    "HDRS" => Ret::Headers,
                    _ => return Err(VALUE),
                };
                once(&mut params.ret, value)?;
            }
            ("ENVID", Some(value)) if !value.is_empty() && value.len() <= 100 && is_xtext(value) => {
                once(&mut params.envid, value.to_owned())?;
            }
            // Taken and not passed on: this server vouches for nobody (RFC 4954 5).
            ("AUTH", Some(value)) if auth && is_identity(value) => once(&mut identity, ())?,
            ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID", _) => return Err(VALUE),
            ("AUTH", _) if auth => return Err(VALUE),
            _ => return Err(UNKNOWN),
        }
    }
    params.body = body.unwrap_or_default();
    params.smtputf8 = smtputf8.is_some();
    Ok(params)
}

/// Reads the parameters of RCPT.
pub(super) fn rcpt(rest: &str, smtputf8: bool) -> Result<RcptParams, Wrong> {
    let mut notify = None;
    let mut params = RcptParams::default();
    for (key, value) in each(rest) {
        match (key.to_ascii_uppercase().as_str(), value) {
            ("NOTIFY", Some(value)) => once(&mut notify, read_notify(value)?)?,
            ("ORCPT", Some(value)) if is_orcpt(value, smtputf8) => {
                once(&mut params.orcpt, value.to_owned())?;
            }
            ("NOTIFY" | "ORCPT", _) => return Err(VALUE),
            _ => return Err(UNKNOWN),
        }
    }
    params.notify = notify.unwrap_or_default();
    Ok(params)
}

fn number(value: &str) -> Result<u64, Wrong> {
    let digits = !value.is_empty() && value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit());
    // Twenty digits may be more than a u64 holds; that is then as good as endless (RFC 1870 6.1).
    if digits { Ok(value.parse().unwrap_or(u64::MAX)) } else { Err(VALUE) }
}

/// RFC 3461 4.1: NEVER alone, or a list of the others.
fn read_notify(value: &str) -> Result<Notify, Wrong> {
    let mut notify = Notify { given: true, ..Notify::default() };
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(notify);
    }
    for word in value.split(',') {
        let flag = match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => &mut notify.success,
            "FAILURE" => &mut notify.failure,
            "DELAY" => &mut notify.delay,
            _ => return Err(VALUE),
        };
        *flag = true;
    }
    Ok(notify)
}

/// RFC 3461 4.2: `type;xtext`, at most 500 bytes. RFC 6533 3 lets `utf-8` hold UTF-8 under SMTPUTF8.
fn is_orcpt(value: &str, smtputf8: bool) -> bool {
    let Some((kind, address)) = value.split_once(';') else {
        return false;
    };
    let atom = !kind.is_empty()
        && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b));
    let text = if smtputf8 && kind.eq_ignore_ascii_case("utf-8") {
        !address.chars().any(|c| c.is_control() || c == ' ')
    } else {
        is_xtext(address)
    };
    atom && text && !address.is_empty() && value.len() <= 500
}

/// RFC 3461 4: printable ASCII but `+` and `=`, or `+` and two upper-case hexadecimal digits.
fn is_xtext(value: &str) -> bool {
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'+' => {
                let mut hex = || bytes.next().is_some_and(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
                hex() && hex()
            }
            b'=' => false,
            b => (33..=126).contains(&b),
        };
        if !fine {
            return false;
        }
    }
    true
}

/// RFC 4954 5: `<>` or a mailbox, as xtext.
fn is_identity(value: &str) -> bool {
    let Some(text) = is_xtext(value).then(|| decoded(value)).flatten() else { return false };
    text == "<>" || path::is_mailbox(&text)
}

/// What xtext stands for.
fn decoded(xtext: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(xtext.len());
    let mut rest = xtext.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'+' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? << 4 | digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_parameters() {
        let params = mail(" SIZE=1000 BODY=8bitmime smtputf8 RET=HDRS ENVID=a+2Bb  ", false).unwrap();
        assert_eq!(params.size, Some(1000));
        assert_eq!(params.body, Body::EightBitMime);
        assert!(params.smtputf8);
        assert_eq!(params.ret, Some(Ret::Headers));
        assert_eq!(params.envid.as_deref(), Some("a+2Bb"));
        assert_eq!(mail(" SIZE=99999999999999999999", false).unwrap().size, Some(u64::MAX));
        assert!(mail(" AUTH=<>", true).is_ok());
    }

    /// RFC 4954 5: nothing of it is kept, and yet it has a form.
    #[test]
    fn identities() {
        for (value, want) in [
            ("<>", true),
            ("+3C+3E", true),
            ("ann@example.com", true),
            ("ann+2Btag@example.com", true),
            ("+22a+20b+22@example.com", true),
            ("ann@[192.0.2.1]", true),
            ("j+C3+B6rg@example.com", true),
            ("", false),
            ("x", false),
            ("postmaster", false),
            ("<ann@example.com>", false),
            ("ann@", false),
            ("@example.com", false),
            ("x+0D+0A", false),
            ("ann@example.com+0D+0A", false),
            ("a+0Ab@example.com", false),
            ("ann+@example.com", false),
            ("+C3@example.com", false),
            ("a+20b@example.com", false),
        ] {
            let got = mail(&format!(" AUTH={value}"), true);
            assert_eq!(got, if want { Ok(MailParams::default()) } else { Err(VALUE) }, "{value:?}");
        }
        assert_eq!(mail(" AUTH", true), Err(VALUE));
        assert_eq!(mail(" AUTH=<> AUTH=<>", true), Err(TWICE));
    }

    /// RFC 5321 4.1.1.11.
    #[test]
    fn mail_parameters_refused() {
        for (text, want) in [
            (" X=1", UNKNOWN),
            (" AUTH=<>", UNKNOWN),
            (" BY=100;R", UNKNOWN),
            (" SIZE", VALUE),
            (" SIZE=", VALUE),
            (" SIZE=-1", VALUE),
            (" SIZE=999999999999999999999", VALUE),
            (" SIZE=1 SIZE=1", TWICE),
            (" BODY=BINARYMIME", VALUE),
            (" SMTPUTF8=1", VALUE),
            (" RET=ALL", VALUE),
            (" ENVID=", VALUE),
            (" ENVID=a+0db", VALUE),
            (" ENVID=a\u{1b}", VALUE),
            ("\tSIZE=1", UNKNOWN),
        ] {
            assert_eq!(mail(text, false), Err(want), "{text:?}");
        }
    }

    #[test]
    fn rcpt_parameters() {
        let params = rcpt(" NOTIFY=SUCCESS,delay ORCPT=rfc822;a+2Bb@example.com", false).unwrap();
        let notify = Notify { given: true, success: true, failure: false, delay: true };
        assert_eq!(params.notify, notify);
        assert_eq!(params.orcpt.as_deref(), Some("rfc822;a+2Bb@example.com"));
        assert_eq!(rcpt(" NOTIFY=NEVER", false).unwrap().notify, Notify { given: true, ..Notify::default() });
        assert!(rcpt(" ORCPT=utf-8;jörg@example.com", true).is_ok());
        for (text, want) in [
            (" NOTIFY=NEVER,SUCCESS", VALUE),
            (" NOTIFY=", VALUE),
            (" ORCPT=rfc822", VALUE),
            (" ORCPT=;a", VALUE),
            (" ORCPT=rfc822;a\u{0}b", VALUE),
            (" ORCPT=utf-8;jörg@example.com", VALUE),
            (" SIZE=1", UNKNOWN),
            (" NOTIFY=NEVER NOTIFY=NEVER", TWICE),
        ] {
            assert_eq!(rcpt(text, false), Err(want), "{text:?}");
        }
    }
}
