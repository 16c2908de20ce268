//! Whether a regex asks for capitals and small letters to be told apart. Rules never do: text is folded before it is
//! searched, so that such a pattern would be found where nobody expects it, or nowhere.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{self, Ast, Flag, GroupKind, Visitor};

/// Whether `(?-i)` or `(?-i:…)` stands in it. A regex that cannot be read has none.
#[must_use]
pub fn is_asked_for(regex: &str) -> bool {
    struct Search;
    impl Visitor for Search {
        type Output = ();
        type Err = ();

        fn finish(self) -> Result<(), ()> {
            Ok(())
        }

        fn visit_pre(&mut self, part: &Ast) -> Result<(), ()> {
            let flags = match part {
                Ast::Flags(set) => Some(&set.flags),
                Ast::Group(group) => match &group.kind {
                    GroupKind::NonCapturing(flags) => Some(flags),
                    _ => None,
                },
                _ => None,
            };
            let off = flags.is_some_and(|flags| flags.flag_state(Flag::CaseInsensitive) == Some(false));
            if off { Err(()) } else { Ok(()) }
        }
    }
    Parser::new().parse(regex).is_ok_and(|tree| ast::visit(&tree, Search).is_err())
}

#[cfg(test)]
mod tests {
    use super::is_asked_for;

    #[test]
    fn flags_are_found() {
        for regex in ["(?-i)LOUD", "a(?-i:b)", "(?m-is:b)", "((?-i)x)"] {
            assert!(is_asked_for(regex), "{regex}");
        }
        for regex in ["loud", "(?i)loud", "(?s-m)a", "\\(?-i\\)", "[(?-i)]", "(?P<x>a)", "(?-i"] {
            assert!(!is_asked_for(regex), "{regex}");
        }
    }
}
