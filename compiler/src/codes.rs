//! The page behind each code: what it means, an example that is wrong, and the same put right.
//!
//! Codes are stable and never reused: `E0xxx` syntax, `E1xxx` names and types, `E2xxx` proofs, `Wxxxx`
//! lints. A test holds every code in the sources to a page and a golden case. Gaps are codes that were
//! merged into others before the first release.

/// The page of a code, in Markdown; none where there is no such code.
#[must_use]
pub fn page(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, page)| *page)
}

macro_rules! pages {
    ($($code:ident),* $(,)?) => {
        /// Every code with its page, sorted.
        pub const PAGES: &[(&str, &str)] = &[$((
            stringify!($code),
            include_str!(concat!("../../docs/codes/", stringify!($code), ".md")),
        ),)*];
    };
}

pages! {
    E0001, E0002, E0003, E0004, E0005, E0006, E0007, E0008, E0009, E0010, E0011, E0012, E0013,
    E0014, E0015, E0016, E0017, E0018, E0019, E0020, E0021, E0022, E0023, E0024, E0025, E0026,
    E0027, E0028, E0029, E0030, E0031, E1001, E1002, E1003, E1004, E1101, E1102, E1103, E1104, E1105,
    E1106, E1107, E1108, E1110, E1111, E1112, E1113, E1114, E1115, E1116, E1117, E1118, E1119,
    E1120, E1121, E1122, E1123, E1124, E1125, E1126, E1127, E1128, E1201, E1202, E1203, E1204, E1205,
    E1206, E1207, E1208, E1209, E1210, E1211, E1212, E1213, E1302, E1303, E1304, E1305, E1307, E1308,
    E1309, E1310, E1312, E1313, E1314, E1315, E1316, E1317, E1318, E1319, E1320, E1401, E1402, E1501,
    E1502, E1503, E1601, E1602, E1603, E1604, E1606, E1607, E1608, E1701, E1702, E1703, E1704, E1801, E1802,
    E1803, E1804, E1805, E1806, E2001, E2002, E2003, W0001, W0101, W0102, W0103, W0104, W0201, W0202, W0203, W0204, W0205, W0206, W0207, W0208,
    W0209, W0210, W0211, W0212, W0213, W0214, W0215, W0216, W0217, W0218, W0219, W2001, W2002, W2003,
}
