//! Mistakes put into a rule file.

use super::Choices;
use edict_compiler::lex::lex;
use edict_compiler::span::FileId;

/// Breaks a rule file in a few places: tokens lost, doubled, swapped, put in, and single characters changed.
pub fn damage(c: &mut Choices<'_>, text: String) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    if !c.rarely(3) {
        return bytes;
    }
    for _ in 0..=c.below(3) {
        let lexed = lex(FileId(0), &bytes);
        let count = lexed.tokens.len();
        if count == 0 {
            break;
        }
        let place = (usize::from(c.byte()) << 8 | usize::from(c.byte())) % count;
        let length = 1 + c.below(6);
        let piece = |from: usize, to: usize| -> Vec<u8> {
            let (from, to) = (from.min(count), to.min(count));
            let start = lexed.tokens.get(from).map_or(bytes.len(), |t| t.start as usize);
            let end = lexed.tokens.get(to).map_or(bytes.len(), |t| t.start as usize);
            bytes[start..end.max(start)].to_vec()
        };
        let (head, middle, tail) =
            (piece(0, place), piece(place, place + length), piece(place + length, count));
        let put = c.pick(&[
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            ",",
            "\"",
            "\"\"\"",
            "/",
            "#",
            "\n",
            "when ",
            "not ",
            " or ",
            "=",
            "<>",
            ">=",
            "edict 1\n",
            "\0",
            "\u{feff}",
            "\r",
            "group ",
            " x ",
            "reject ",
            ":",
            "\u{202e}",
            "!=",
            "&&",
        ]);
        bytes = match c.below(6) {
            0 => [head, tail].concat(),
            1 => [head, middle.clone(), middle, tail].concat(),
            2 => [head, put.as_bytes().to_vec(), middle, tail].concat(),
            3 => [head, put.as_bytes().to_vec(), tail].concat(),
            4 => {
                let mut middle = middle;
                if let Some(byte) = middle.first_mut() {
                    *byte = c.byte();
                }
                [head, middle, tail].concat()
            }
            _ => [middle, head, tail].concat(),
        };
    }
    bytes
}
