//! The layout of an artifact: header, section table, and the flat records that are used where they lie.
//!
//! All numbers are little-endian and unaligned, so that an image may start anywhere. Sections stand in
//! the order of [`Section`], each at a multiple of eight, zero bytes between. The *policy* sections come
//! first and are one unbroken stretch; the policy digest is taken over it. Whoever changes a record
//! or a section, or adds a fact, raises [`FORMAT`].
//!
//! | bytes | header |
//! |---|---|
//! | 0..8 | [`MAGIC`] |
//! | 8..12 | format |
//! | 12..16 | the oldest reader that understands it |
//! | 16..24 | length of the whole |
//! | 24..28 | number of sections |
//! | 28..32 | zero |
//! | 32..64 | policy digest |
//! | 64..96 | checksum over header, section table and all that is not policy |

use crate::fact::Fact;
use zerocopy::little_endian::{U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first bytes. A byte past ASCII and a line end, so that a transfer as text is noticed.
pub const MAGIC: [u8; 8] = *b"\x8eEDICT\r\n";
/// The newest format that this code reads. It writes the oldest that has what a table needs, so that daemons of before
/// take what they understand.
pub const FORMAT: u32 = 3;
/// The format that brought a fact.
pub(crate) const fn brought(fact: Fact) -> u32 {
    match fact {
        Fact::ClientNameless => 3,
        _ => OLDEST,
    }
}
/// The oldest format that this code reads.
pub const OLDEST: u32 = 2;
/// No reference: the name of a list without one.
pub(crate) const NONE: u32 = u32::MAX;
/// The most children that a condition may have once its shared parts are written out.
pub(crate) const MAX_EXPANDED: u64 = 1 << 20;
/// The same for all rules together: what one decision can cost at the very most.
pub(crate) const MAX_EXPANDED_ALL: u64 = 1 << 27;
/// The most slots that a lookup may have to pass.
pub(crate) const MAX_RUN: usize = 4096;
/// Intervals from which on IPv4 gets a directory by the upper 16 bits.
pub(crate) const DIRECTORY_FROM: usize = 4096;

/// The header.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) format: U32,
    pub(crate) oldest_reader: U32,
    pub(crate) length: U64,
    pub(crate) sections: U32,
    pub(crate) zero: U32,
    pub(crate) policy: [u8; 32],
    pub(crate) checksum: [u8; 32],
}

/// An entry of the section table.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct SectionRec {
    pub(crate) kind: U32,
    pub(crate) zero: U32,
    pub(crate) offset: U64,
    pub(crate) length: U64,
}

/// Bytes of the header.
pub(crate) const HEADER: usize = size_of::<Header>();
/// Bytes of an entry of the section table.
pub(crate) const SECTION: usize = size_of::<SectionRec>();

macro_rules! sections {
    ($($id:literal $kind:ident $name:literal;)*) => {
        /// A section. Its place in [`Section::ALL`] is its place in the file.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u32)]
        pub(crate) enum Section { $($kind = $id,)* }
        impl Section {
            /// All, in order.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind,)*];
            /// How people call it.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

sections! {
    1 Profile "profile";
    2 Actions "actions";
    3 Relays "relays";
    4 Groups "groups";
    5 Aliases "aliases";
    6 Strings "strings";
    7 Lists "lists";
    8 Columns "columns";
    9 Predicates "predicates";
    10 PredicateOrder "order of predicates";
    11 Literals "literals";
    12 Nodes "conditions";
    13 Children "children, cheapest first";
    14 ChildOrder "children, as written";
    15 Rules "rules";
    16 SetListEnds "ends of sets of lists";
    17 SetLists "sets of lists";
    18 SetPredicateEnds "ends of sets of tests";
    19 SetPredicates "sets of tests";
    20 MailboxSlots "addresses and domains: slots";
    21 MailboxKeys "addresses and domains: keys";
    22 TextSlots "texts: slots";
    23 TextKeys "texts: keys";
    24 AliasSlots "aliases: slots";
    25 AliasKeys "aliases: keys";
    26 V4Starts "IPv4: starts";
    27 V4Sets "IPv4: sets";
    28 V4Directory "IPv4: directory";
    29 V6Starts "IPv6: starts";
    30 V6Sets "IPv6: sets";
    31 Networks "networks, as written";
    32 HotEnds "postings of verdicts: ends";
    33 HotRules "postings of verdicts";
    34 ColdEnds "postings of the rest: ends";
    35 ColdRules "postings of the rest";
    36 HotResiduals "verdicts without an index";
    37 ColdResiduals "the rest without an index";
    38 HotGroups "open verdicts";
    39 ColdGroups "open rest";
    40 Guards "guards";
    41 GroupRules "rules of groups";
    256 Origins "origins";
    257 Provenance "provenance";
}

/// Sections of the policy: those below 256. The provenance follows.
pub(crate) const POLICY_SECTIONS: usize = 41;
/// All sections.
pub(crate) const SECTIONS: usize = POLICY_SECTIONS + 2;

/// A text in the strings section.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct TextRef {
    pub(crate) offset: U32,
    pub(crate) length: U32,
}

/// A list.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct ListRec {
    /// Offset [`NONE`] where it has no name.
    pub(crate) name: TextRef,
    /// 0 mailbox, 1 network, 2 text.
    pub(crate) kind: U32,
    /// Entries.
    pub(crate) count: U32,
}

/// A fact with its parameter. Its predicates are `first..end`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct ColumnRec {
    pub(crate) fact: U32,
    pub(crate) parameter: TextRef,
    pub(crate) first: U32,
    pub(crate) end: U32,
}

/// A test. `tag` as [`crate::format::tag`]; `a` and `b` are a range of literals, a list, a mask, or the
/// lower and upper half of a number.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct PredicateRec {
    pub(crate) column: U32,
    pub(crate) tag: U32,
    pub(crate) a: U32,
    pub(crate) b: U32,
}

impl PredicateRec {
    /// The number that it compares with.
    pub(crate) fn number(&self) -> u64 {
        u64::from(self.a.get()) | (u64::from(self.b.get()) << 32)
    }
}

/// The numbers of tests. In the order in which predicates of a column stand.
pub(crate) mod tag {
    pub(crate) const PRESENT: u32 = 0;
    pub(crate) const SET: u32 = 1;
    pub(crate) const IN_LIST: u32 = 2;
    pub(crate) const CONTAINS: u32 = 3;
    pub(crate) const STARTS: u32 = 4;
    pub(crate) const ENDS: u32 = 5;
    pub(crate) const GLOB: u32 = 6;
    pub(crate) const REGEX: u32 = 7;
    pub(crate) const LESS: u32 = 8;
    pub(crate) const AT_MOST: u32 = 9;
    pub(crate) const EQUAL: u32 = 10;
    pub(crate) const ONE_OF: u32 = 11;
    pub(crate) const MORE: u32 = 12;
}

/// A node of a condition: `op` as [`crate::format::op`]; `a` is a predicate, a child, or the first of `b`
/// children.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct NodeRec {
    pub(crate) op: U32,
    pub(crate) a: U32,
    pub(crate) b: U32,
}

/// The numbers of nodes.
pub(crate) mod op {
    pub(crate) const TRUE: u32 = 0;
    pub(crate) const TEST: u32 = 1;
    pub(crate) const NOT: u32 = 2;
    pub(crate) const ALL: u32 = 3;
    pub(crate) const ANY: u32 = 4;
}

/// A rule.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct RuleRec {
    pub(crate) name: TextRef,
    pub(crate) priority: U32,
    pub(crate) condition: U32,
    pub(crate) action: U32,
    /// 0 enforced, 1 watched.
    pub(crate) mode: u8,
    /// [`crate::model::Kind`] as a number.
    pub(crate) kind: u8,
    pub(crate) zero: [u8; 2],
}

/// Rules with one condition that no index answers. Sorted by first rule.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct ResidualRec {
    pub(crate) condition: U32,
    /// Range of group rules.
    pub(crate) first: U32,
    pub(crate) count: U32,
}

/// Rules whose cover stands in a column, and which share what else must hold. Sorted by column, then
/// first rule. While the column is open, each of them is as open as the guards let it be.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct GroupRec {
    pub(crate) column: U32,
    /// 1: the one guard is the whole condition, and its value is the rule's.
    pub(crate) whole: U32,
    /// Range of guards: a condition times two, plus one where its opposite is meant.
    pub(crate) guard: U32,
    pub(crate) guards: U32,
    /// Range of group rules.
    pub(crate) first: U32,
    pub(crate) count: U32,
}

/// A slot of a key index: the lower half of the hash and where the key stands, [`NONE`] where empty.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct SlotRec {
    pub(crate) print: U32,
    pub(crate) at: U32,
}

/// What stands before each key of a key index.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct KeyRec {
    pub(crate) value: U32,
    pub(crate) length: zerocopy::little_endian::U16,
}

/// A network as a list holds it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct NetworkRec {
    pub(crate) list: U32,
    /// 4 or 6.
    pub(crate) family: u8,
    pub(crate) prefix: u8,
    pub(crate) zero: [u8; 2],
    /// IPv4 in the lower 32 bits.
    pub(crate) address: U128,
}

/// Where a rule stands.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct OriginRec {
    pub(crate) file: U32,
    pub(crate) line: U32,
    pub(crate) column: U32,
}

/// The policy digest: kind and length of each policy section, then all their bytes.
pub(crate) fn policy_digest(sections: &[SectionRec], bytes: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"edict policy 1");
    for section in sections {
        hasher.update(section.kind.as_bytes()).update(section.length.as_bytes());
    }
    hasher.update(bytes);
    hasher.finalize()
}

/// The checksum: header up to itself (the policy digest among it), section table, what follows policy.
pub(crate) fn checksum(head: &[u8], sections: &[u8], rest: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"edict table 1").update(head).update(sections).update(rest);
    hasher.finalize()
}

/// The key under which a mailbox index holds a pattern key: without the `@` that domains start with, so
/// that every key asked for is a piece of the value at hand.
pub(crate) fn index_key(pattern: &str) -> &str {
    pattern.strip_prefix('@').unwrap_or(pattern)
}

/// The opposite of [`index_key`].
pub(crate) fn pattern_key(key: &str) -> String {
    if key.contains('@') { key.to_owned() } else { format!("@{key}") }
}

/// The hash of a key.
pub(crate) fn hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// The slot at which the search for a hash starts. Grows with the hash, so that sorted keys fill slots in
/// order.
pub(crate) fn home(hash: u64, slots: u32) -> usize {
    (((hash >> 32) * u64::from(slots)) >> 32) as usize
}

impl Section {
    /// Bytes of one record, where the section is made of such.
    pub(crate) fn record(self) -> Option<usize> {
        Some(match self {
            Self::Lists => size_of::<ListRec>(),
            Self::Columns => size_of::<ColumnRec>(),
            Self::Predicates => size_of::<PredicateRec>(),
            Self::Literals => size_of::<TextRef>(),
            Self::Nodes => size_of::<NodeRec>(),
            Self::Rules => size_of::<RuleRec>(),
            Self::MailboxSlots | Self::TextSlots | Self::AliasSlots => size_of::<SlotRec>(),
            Self::V6Starts => size_of::<U128>(),
            Self::Networks => size_of::<NetworkRec>(),
            Self::HotResiduals | Self::ColdResiduals => size_of::<ResidualRec>(),
            Self::HotGroups | Self::ColdGroups => size_of::<GroupRec>(),
            Self::Origins => size_of::<OriginRec>(),
            Self::PredicateOrder
            | Self::Children
            | Self::ChildOrder
            | Self::SetListEnds
            | Self::SetLists
            | Self::SetPredicateEnds
            | Self::SetPredicates
            | Self::V4Starts
            | Self::V4Sets
            | Self::V4Directory
            | Self::V6Sets
            | Self::HotEnds
            | Self::HotRules
            | Self::ColdEnds
            | Self::ColdRules
            | Self::Guards
            | Self::GroupRules => 4,
            _ => return None,
        })
    }
}
