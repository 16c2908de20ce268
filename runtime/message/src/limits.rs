//! The bounds of this package. Past them a message is malformed: its facts say so, and no edit is made but to remove
//! whole fields, for which the header has no end.

/// Bytes of the header of the message, and of the header of one part. Postfix takes 100 KiB a field.
pub const MAX_HEADER: usize = 512 << 10;
/// Fields in one header.
pub const MAX_FIELDS: usize = 2_000;
/// Bytes of one structured field (Content-Type, Content-Disposition) that are read.
pub const MAX_STRUCTURED: usize = 8 << 10;
/// Parameters of one structured field.
pub const MAX_PARAMETERS: usize = 64;
/// Bytes of From, To and Cc together that are read for addresses.
pub const MAX_ADDRESSES: usize = 512 << 10;
/// Nested multiparts and attached messages.
pub const MAX_DEPTH: usize = 50;
/// Parts of a message, multiparts among them.
pub const MAX_PARTS: usize = 2_000;
/// Decoded text that is taken from all parts together, in bytes of UTF-8.
pub const MAX_TEXT: usize = 32 << 20;
/// Bytes of a base64 or quoted-printable text part, decoded, that a disclaimer is put into. Long runs of letters
/// and digits (pictures inside of HTML) do not count. Parts that travel as they are have no such bound.
pub const MAX_LEAF: usize = 2 << 20;
/// Decoded bytes of a part that is compared as a whole after the edit; of larger ones the surroundings are.
pub const MAX_WHOLE: usize = 768 << 10;
/// Letters and digits in a row that are kept of a part larger than [`MAX_WHOLE`].
pub const MAX_RUN: usize = 1 << 10;
/// Decoded bytes of a part that has to be written anew as a whole, since its charset changes.
pub const MAX_REWRITE: usize = 384 << 10;
/// Bytes of quoted text in which a disclaimer is looked for.
pub const MAX_KNOWN: usize = 256 << 10;
/// Bytes of one line that an edit writes, without its line end (RFC 5322 2.1.1).
pub const MAX_LINE: usize = 998;
