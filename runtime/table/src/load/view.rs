//! The sections of an artifact as typed slices.

use crate::format::{
    ColumnRec, GroupRec, ListRec, NetworkRec, NodeRec, OriginRec, PredicateRec, ResidualRec, RuleRec,
    Section, TextRef,
};
use crate::index::keys::Keys;
use crate::index::networks::Networks;
use std::ops::Range;
use yoke::Yokeable;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Where each section lies, in the order of [`Section::ALL`].
pub(crate) type Places = [Range<usize>; crate::format::SECTIONS];

/// The sections that decisions read: slices into the image, made once and kept beside it.
#[derive(Clone, Copy, Yokeable)]
pub(crate) struct View<'a> {
    pub(crate) image: &'a [u8],
    pub(crate) texts: &'a [u8],
    pub(crate) predicates: &'a [PredicateRec],
    pub(crate) nodes: &'a [NodeRec],
    pub(crate) children: &'a [U32],
    pub(crate) rules: &'a [RuleRec],
    pub(crate) set_test_ends: &'a [U32],
    pub(crate) set_tests: &'a [U32],
    pub(crate) mailboxes: Keys<'a>,
    pub(crate) texts_index: Keys<'a>,
    pub(crate) networks: Networks<'a>,
    pub(crate) hot: Half<'a>,
    pub(crate) cold: Half<'a>,
    pub(crate) guards: &'a [U32],
    pub(crate) group_rules: &'a [U32],
}

/// The postings of verdicts in force, or of everything else.
#[derive(Clone, Copy, Default)]
pub(crate) struct Half<'a> {
    pub(crate) ends: &'a [U32],
    pub(crate) rules: &'a [U32],
    pub(crate) residuals: &'a [ResidualRec],
    pub(crate) groups: &'a [GroupRec],
}

/// The piece of `items` that ends at `ends[place]` and begins where the one before ended.
#[inline]
pub(crate) fn piece<'a>(ends: &[U32], items: &'a [U32], place: u32) -> &'a [U32] {
    let place = place as usize;
    let start = match place.checked_sub(1) {
        Some(before) => ends.get(before).map_or(0, |e| e.get() as usize),
        None => 0,
    };
    let end = ends.get(place).map_or(0, |e| e.get() as usize);
    items.get(start..end).unwrap_or_default()
}

/// The `count` items from `first`.
#[inline]
pub(crate) fn range<T>(items: &[T], first: U32, count: U32) -> &[T] {
    let first = first.get() as usize;
    items.get(first..first.saturating_add(count.get() as usize)).unwrap_or_default()
}

/// A section as records. None where its length is no multiple of a record's.
pub(crate) fn records<'a, T: FromBytes + Immutable + KnownLayout + Unaligned>(
    image: &'a [u8],
    places: &Places,
    section: Section,
) -> Option<&'a [T]> {
    <[T]>::ref_from_bytes(bytes(image, places, section)?).ok()
}

/// A section as bytes.
pub(crate) fn bytes<'a>(image: &'a [u8], places: &Places, section: Section) -> Option<&'a [u8]> {
    image.get(places.get(place(section))?.clone())
}

/// A section's place: numbers go up by one, but for the two after the policy.
pub(crate) fn place(section: Section) -> usize {
    let number = section as usize;
    if number < 256 { number - 1 } else { number - 256 + crate::format::POLICY_SECTIONS }
}

impl<'a> View<'a> {
    /// None where the image is not what was checked.
    pub(crate) fn new(image: &'a [u8], places: &Places) -> Option<Self> {
        macro_rules! get {
            ($section:ident) => {
                records(image, places, Section::$section)?
            };
        }
        Some(Self {
            image,
            texts: bytes(image, places, Section::Strings)?,
            predicates: get!(Predicates),
            nodes: get!(Nodes),
            children: get!(Children),
            rules: get!(Rules),
            set_test_ends: get!(SetPredicateEnds),
            set_tests: get!(SetPredicates),
            mailboxes: Keys::new(get!(MailboxSlots), bytes(image, places, Section::MailboxKeys)?),
            texts_index: Keys::new(get!(TextSlots), bytes(image, places, Section::TextKeys)?),
            networks: Networks {
                v4_starts: get!(V4Starts),
                v4_sets: get!(V4Sets),
                directory: get!(V4Directory),
                v6_starts: get!(V6Starts),
                v6_sets: get!(V6Sets),
            },
            hot: Half {
                ends: get!(HotEnds),
                rules: get!(HotRules),
                residuals: get!(HotResiduals),
                groups: get!(HotGroups),
            },
            cold: Half {
                ends: get!(ColdEnds),
                rules: get!(ColdRules),
                residuals: get!(ColdResiduals),
                groups: get!(ColdGroups),
            },
            guards: get!(Guards),
            group_rules: get!(GroupRules),
        })
    }

    /// A text.
    pub(crate) fn text(&self, at: TextRef) -> Option<&'a str> {
        let start = at.offset.get() as usize;
        std::str::from_utf8(self.texts.get(start..start.checked_add(at.length.get() as usize)?)?).ok()
    }
}

/// The sections that only loading and reading back look at.
pub(crate) struct Cold<'a> {
    pub(crate) lists: &'a [ListRec],
    pub(crate) columns: &'a [ColumnRec],
    pub(crate) order: &'a [U32],
    pub(crate) literals: &'a [TextRef],
    pub(crate) written: &'a [U32],
    pub(crate) set_list_ends: &'a [U32],
    pub(crate) set_lists: &'a [U32],
    pub(crate) networks: &'a [NetworkRec],
    pub(crate) origins: &'a [OriginRec],
    pub(crate) aliases: Keys<'a>,
}

impl<'a> Cold<'a> {
    pub(crate) fn new(image: &'a [u8], places: &Places) -> Option<Self> {
        macro_rules! get {
            ($section:ident) => {
                records(image, places, Section::$section)?
            };
        }
        Some(Self {
            lists: get!(Lists),
            columns: get!(Columns),
            order: get!(PredicateOrder),
            literals: get!(Literals),
            written: get!(ChildOrder),
            set_list_ends: get!(SetListEnds),
            set_lists: get!(SetLists),
            networks: get!(Networks),
            origins: get!(Origins),
            aliases: Keys::new(get!(AliasSlots), bytes(image, places, Section::AliasKeys)?),
        })
    }
}
