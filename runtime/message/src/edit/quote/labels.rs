//! The marks that are words: labels of a quoted header and the rule above it, as mail programs translate them.

/// What a label names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    From,
    Date,
    Subject,
    To,
}

const FROM: &[&str] = &[
    "from",
    "von",
    "de",
    "da",
    "van",
    "från",
    "fra",
    "od",
    "lähettäjä",
    "από",
    "от",
    "від",
    "feladó",
    "kimden",
    "发件人",
    "寄件者",
    "差出人",
    "보낸 사람",
    "expéditeur",
    "absender",
    "mittente",
    "remitente",
    "remetente",
];
const DATE: &[&str] = &[
    "date",
    "sent",
    "datum",
    "gesendet",
    "envoyé",
    "envoyé le",
    "date d'envoi",
    "enviado",
    "enviado el",
    "enviado em",
    "enviada em",
    "fecha",
    "data",
    "inviato",
    "data invio",
    "verzonden",
    "verzonden op",
    "skickat",
    "sendt",
    "dato",
    "päivämäärä",
    "lähetetty",
    "päiväys",
    "wysłano",
    "odesláno",
    "odoslané",
    "elküldve",
    "dátum",
    "tarih",
    "gönderme tarihi",
    "gönderildi",
    "дата",
    "отправлено",
    "надіслано",
    "发送时间",
    "日期",
    "傳送時間",
    "寄件日期",
    "送信日時",
    "日付",
    "보낸 날짜",
    "날짜",
    "ημερομηνία",
    "στάλθηκε",
    "trimis",
    "poslano",
];
const SUBJECT: &[&str] = &[
    "subject",
    "betreff",
    "objet",
    "asunto",
    "assunto",
    "oggetto",
    "onderwerp",
    "ämne",
    "emne",
    "aihe",
    "temat",
    "předmět",
    "predmet",
    "tárgy",
    "konu",
    "тема",
    "主题",
    "主旨",
    "件名",
    "제목",
    "θέμα",
    "subiect",
];
const TO: &[&str] = &[
    "to",
    "an",
    "à",
    "para",
    "a",
    "aan",
    "till",
    "til",
    "vastaanottaja",
    "do",
    "komu",
    "címzett",
    "kime",
    "alıcı",
    "кому",
    "收件人",
    "收件者",
    "宛先",
    "받는 사람",
    "προς",
    "către",
    "cc",
    "kopie",
];

/// What stands in the rule above a quoted message.
const RULES: &[&str] = &[
    "original message",
    "original-nachricht",
    "originalnachricht",
    "ursprüngliche nachricht",
    "forwarded message",
    "forwarded by",
    "weitergeleitete nachricht",
    "mensaje original",
    "mensaje reenviado",
    "message d'origine",
    "message original",
    "mail original",
    "message transféré",
    "messaggio originale",
    "messaggio inoltrato",
    "oorspronkelijk bericht",
    "doorgestuurd bericht",
    "mensagem original",
    "mensagem encaminhada",
    "mensagem reencaminhada",
    "original meddelelse",
    "opprinnelig melding",
    "ursprungligt meddelande",
    "originalmeddelande",
    "alkuperäinen viesti",
    "oryginalna wiadomość",
    "wiadomość oryginalna",
    "původní zpráva",
    "eredeti üzenet",
    "orijinal mesaj",
    "исходное сообщение",
    "пересылаемое сообщение",
    "原始邮件",
    "原始郵件",
    "转发邮件",
    "轉寄郵件",
    "元のメッセージ",
    "원본 메시지",
];

/// The most bytes of a label.
const LABEL: usize = 40;

/// What the lines of a block of labels name.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Block {
    labels: usize,
    from: bool,
    address: bool,
    date: bool,
    subject: bool,
    to: bool,
}

impl Block {
    /// Reads the labels from a line on, to the first blank line behind them.
    pub(super) fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut block = Self::default();
        for line in lines.skip_while(|l| l.trim_ascii().is_empty()).take(12) {
            if line.trim_ascii().is_empty() {
                break;
            }
            let Some((label, value)) = label(line) else { continue };
            block.labels += 1;
            match kind(label) {
                Some(Kind::From) => {
                    block.from = true;
                    block.address |= value.contains(&b'@');
                }
                Some(Kind::Date) => block.date = true,
                Some(Kind::Subject) => block.subject = true,
                Some(Kind::To) => block.to = true,
                None => {}
            }
        }
        block
    }

    /// Nobody writes these together but a mail program.
    pub(super) fn is_sure(self) -> bool {
        self.from && self.date && (self.subject || self.address)
    }

    /// A quoted header in a message that is known to quote.
    fn is_likely(self) -> bool {
        self.is_sure() || self.from && self.address && self.labels >= 3
    }

    /// Some line of a quoted header.
    fn any(self) -> bool {
        self.from || self.date || self.subject || self.to
    }

    /// A sender and one more line of a quoted header.
    fn has_sender(self) -> bool {
        self.from && (self.date || self.subject || self.to)
    }
}

/// The label before a colon and what stands behind it, where the line has the shape of `Label: value`, stars of
/// converted bold print aside.
fn label(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"*").unwrap_or(line);
    let near = line.get(..LABEL).unwrap_or(line);
    let wide = memchr::memmem::find(near, "：".as_bytes());
    let colon = near.iter().position(|b| *b == b':');
    let (at, length) = match (colon, wide) {
        (Some(at), Some(wide)) if wide < at => (wide, "：".len()),
        (Some(at), _) => (at, 1),
        (None, Some(wide)) => (wide, "：".len()),
        (None, None) => return None,
    };
    let label = line.get(..at)?.trim_ascii_end();
    let label = label.strip_suffix(b"*").unwrap_or(label).trim_ascii_end();
    (!label.is_empty()).then(|| (label, line.get(at + length..).unwrap_or_default()))
}

fn kind(label: &[u8]) -> Option<Kind> {
    let label = crate::charset::raw(label).replace('\u{a0}', " ").trim().to_lowercase();
    let kinds = [(FROM, Kind::From), (DATE, Kind::Date), (SUBJECT, Kind::Subject), (TO, Kind::To)];
    kinds.iter().find(|(names, _)| names.contains(&label.as_str())).map(|(_, kind)| *kind)
}

/// Whether a quote begins with this line: a rule, a line of underscores, a block of labels. `here` reads the labels from
/// the line on, `below` those behind it. In a new message only what an author does not write counts.
pub(super) fn begin_quote(
    line: &[u8],
    reply: bool,
    here: impl Fn() -> Block,
    below: impl Fn() -> Block,
) -> bool {
    match rule(line) {
        Some(Rule::Known) => return reply || below().has_sender(),
        Some(Rule::Other) => {
            let block = below();
            return block.is_sure() || reply && block.any();
        }
        None => {}
    }
    if line.len() >= 10 && line.iter().all(|b| *b == b'_') {
        let block = below();
        return block.is_sure() || reply && block.has_sender();
    }
    if !is_from(line) {
        return false;
    }
    let block = here();
    block.is_sure() || reply && block.is_likely()
}

/// Whether a line names the sender in a quoted header.
fn is_from(line: &[u8]) -> bool {
    label(line).is_some_and(|(label, _)| kind(label) == Some(Kind::From))
}

/// A rule of dashes with words in it.
enum Rule {
    /// `-----Original Message-----`.
    Known,
    /// `----- something -----`.
    Other,
}

/// What rule a line is: `-----Original Message-----`, `---------- Forwarded message ---------`.
fn rule(line: &[u8]) -> Option<Rule> {
    let inner = line.strip_prefix(b"---")?.strip_suffix(b"---")?;
    if line.len() > 120 || line.starts_with(b"-----BEGIN ") || line.starts_with(b"-----END ") {
        return None;
    }
    let words = crate::charset::raw(inner).to_lowercase();
    if RULES.iter().any(|known| words.contains(known)) {
        return Some(Rule::Known);
    }
    let letters = inner.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80);
    (letters && line.starts_with(b"-----") && line.ends_with(b"-----")).then_some(Rule::Other)
}
