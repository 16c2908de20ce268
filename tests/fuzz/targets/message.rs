//! Any bytes as a message: facts, header edits and disclaimers neither panic nor break their promises.

#![no_main]

use edict_message::edit::{Order, Untouched, apply, disclaim};
use edict_message::{address, facts, header};
use edict_table::model::{OnSigned, Replies};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = facts::header_facts(bytes);
    let _ = facts::body_facts(bytes);
    let _ = address::list(bytes);
    let _ = apply(bytes, &header::remove(bytes, "bcc"));
    for (above_quote, signed) in [(false, OnSigned::Skip), (true, OnSigned::Wrap)] {
        let order = Order {
            text: Some("Vertraulich: nur für den Empfänger, 5 €."),
            html: Some("<p>Vertraulich: nur für den Empfänger, 5 €.</p>"),
            marker: "legal",
            above_quote,
            replies: Replies::Once,
            signed,
        };
        let Ok(edits) = disclaim(bytes, &order) else { continue };
        let mut at = 0;
        for edit in &edits {
            assert!(
                at <= edit.range.start && edit.range.start <= edit.range.end && edit.range.end <= bytes.len()
            );
            at = edit.range.end;
        }
        let result = apply(bytes, &edits);
        assert_ne!(result, bytes);
        let again = disclaim(&result, &order);
        assert!(!matches!(again, Err(Untouched::Malformed | Untouched::Check)), "{again:?}");
    }
});
