//! MAIL and RCPT as they are written for a next hop, and those of the next letter behind the end of one.

use super::super::client::Session;
use super::super::fit::{self, Fitted};
use super::super::{Letter, Pace, ret_word};
use crate::envelope::{Body, Dispatch, Target};
use std::borrow::Cow;
use std::fmt::Write as _;

impl Session {
    pub(super) fn put_mail(&mut self, letter: &Letter<'_>, fitted: &Fitted<'_>) {
        let dispatch = letter.dispatch;
        let mut line = format!("MAIL FROM:<{}>", fitted.sender);
        if self.offers.size.is_some() {
            // Writing into a string cannot fail.
            let _ = write!(line, " SIZE={}", fitted.bytes.len());
        }
        match fitted.body {
            Body::SevenBit => {}
            Body::EightBitMime => line.push_str(" BODY=8BITMIME"),
            Body::BinaryMime => line.push_str(" BODY=BINARYMIME"),
        }
        if fitted.utf8 {
            line.push_str(" SMTPUTF8");
        }
        self.put_notice_wishes(&mut line, dispatch);
        line.push_str("\r\n");
        self.out.extend_from_slice(line.as_bytes());
    }

    /// RET and ENVID (RFC 3461), where they are offered.
    pub(in crate::deliver) fn put_notice_wishes(&self, line: &mut String, dispatch: &Dispatch) {
        if self.offers.dsn {
            if let Some(ret) = dispatch.ret {
                let _ = write!(line, " RET={}", ret_word(ret));
            }
            if let Some(envid) = dispatch.envid.as_deref().filter(|e| fit::is_xtext(e)) {
                let _ = write!(line, " ENVID={envid}");
            }
        }
    }

    pub(in crate::deliver) fn put_rcpt(&mut self, target: &Target, utf8: bool) {
        // Those without a form are not asked for.
        let Ok(address) = fit::address(&target.address, utf8) else { return };
        self.out.extend_from_slice(b"RCPT TO:<");
        self.out.extend_from_slice(address.as_bytes());
        self.out.push(b'>');
        if self.offers.dsn {
            let notify = target.notify;
            if notify.given {
                let words =
                    [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
                let words: Vec<&str> = words.iter().filter(|(on, _)| *on).map(|(_, w)| *w).collect();
                let words = if words.is_empty() { "NEVER".to_owned() } else { words.join(",") };
                self.out.extend_from_slice(format!(" NOTIFY={words}").as_bytes());
            }
            if let Some(orcpt) = target.orcpt.as_deref().filter(|o| fit::is_xtext(o)) {
                self.out.extend_from_slice(format!(" ORCPT={orcpt}").as_bytes());
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// The commands of the next letter, up to the one that asks for its message. None of the message goes out
    /// before all of them are answered, so that nothing is sent twice if the connection breaks.
    pub(super) fn put_ahead(&mut self, next: &Letter<'_>) {
        let Ok(fitted) = fit::fit(next, &self.offers, &self.peer) else { return };
        let fits = |target: &&Target| fit::address(&target.address, fitted.utf8).is_ok();
        let targets: Vec<&Target> = next.recipients().filter(fits).collect();
        // One that is converted is signed anew first: its size is not known yet.
        if targets.is_empty()
            || next.pace == Pace::StepByStep
            || !self.runs_ahead()
            || matches!(fitted.bytes, Cow::Owned(_))
        {
            return;
        }
        self.put_mail(next, &fitted);
        targets.iter().for_each(|target| self.put_rcpt(target, fitted.utf8));
        self.out.extend_from_slice(b"DATA\r\n");
        self.ahead = true;
    }
}
