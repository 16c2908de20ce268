//! Four values: no, pending, unknown, yes.

/// The value of a test, a condition or a rule.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Truth {
    /// It does not hold.
    No,
    /// A fact is not final yet.
    Pending,
    /// A lookup failed for now.
    Unknown,
    /// It holds.
    Yes,
}

impl Truth {
    /// Of a plain yes or no.
    #[must_use]
    pub fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    /// Both: no dominates, then pending, then unknown, then yes. Unknown and pending can only become no or unknown,
    /// which pending does not say: beside a lookup that failed, a fact may be asked for that no longer matters.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }

    /// Either: yes dominates, then pending, then unknown, then no.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.negate().min(other.negate()).negate()
    }

    /// The opposite; pending and unknown stay.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Yes => Self::No,
            open => open,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::Yes => "yes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{No, Pending, Unknown, Yes};

    #[test]
    fn tables() {
        let all = [No, Pending, Unknown, Yes];
        for a in all {
            for b in all {
                let and = [No, Pending, Unknown, Yes].into_iter().find(|v| [a, b].contains(v)).unwrap();
                let or = [Yes, Pending, Unknown, No].into_iter().find(|v| [a, b].contains(v)).unwrap();
                assert_eq!(a.and(b), and, "{a:?} and {b:?}");
                assert_eq!(a.or(b), or, "{a:?} or {b:?}");
            }
        }
    }
}
