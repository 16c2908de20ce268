//! What is asked of a disclaimer, and why it was not added.

use edict_table::model::{OnSigned, Replies};

/// A disclaimer to add. Texts have their variables expanded ([`expand`](fn@super::expand)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order<'a> {
    /// For text/plain; made from `html` where absent.
    pub text: Option<&'a str>,
    /// For text/html, a fragment or a whole document (then the inside of its body); made from `text` where absent.
    pub html: Option<&'a str>,
    /// Names the disclaimer in threads: letters, digits and `-`, at most 64; anything else is dropped. The
    /// name of the rule, say.
    pub marker: &'a str,
    /// Above the quoted text of a reply, or at the end.
    pub above_quote: bool,
    /// What happens in a reply.
    pub replies: Replies,
    /// What happens to mail that must not be edited.
    pub signed: OnSigned,
}

/// Why a message was left as it is. The text is for logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Untouched {
    /// S/MIME or PGP signed.
    #[error("the message is signed")]
    Signed,
    /// S/MIME or PGP encrypted.
    #[error("the message is encrypted")]
    Encrypted,
    /// An invitation or an answer to one.
    #[error("the message is a calendar object")]
    Calendar,
    /// winmail.dat: readers see the text inside it and nothing else.
    #[error("the message is in Outlook's own format (TNEF)")]
    Tnef,
    /// A delivery report or a receipt.
    #[error("the message is a report")]
    Report,
    /// An automatic reply (RFC 3834).
    #[error("the message is an automatic reply")]
    AutoReply,
    /// A reply, and the rule says `replies never`.
    #[error("the message is a reply")]
    Reply,
    /// The thread has this disclaimer already.
    #[error("the disclaimer is in the message already")]
    AlreadyThere,
    /// No part that a reader sees is plain text or HTML.
    #[error("the message has no text part")]
    NoText,
    /// Of alternatives, readers see one that cannot be edited.
    #[error("readers see an alternative that is neither plain text nor HTML")]
    Unseen,
    /// The disclaimer has no text.
    #[error("the disclaimer is empty")]
    Empty,
    /// No charset the part can be given holds both its text and the disclaimer.
    #[error("the charset of the text part cannot hold the disclaimer")]
    Charset,
    /// The text part is too large to be decoded.
    #[error("the text part is too large")]
    TooLarge,
    /// The structure cannot be read soundly.
    #[error("the message is malformed")]
    Malformed,
    /// The edited message did not read back as it should.
    #[error("the edited message did not read back as it should")]
    Check,
}

impl Untouched {
    /// The message is of a kind that must not be edited and to which the rule's `signed` setting applies.
    #[must_use]
    pub fn is_protected(self) -> bool {
        matches!(self, Self::Signed | Self::Encrypted | Self::Calendar | Self::Tnef)
    }

    /// Whether a rule with this setting refuses the message for that reason.
    #[must_use]
    pub fn refuses(self, signed: OnSigned) -> bool {
        signed == OnSigned::Reject && self.is_protected()
    }
}
