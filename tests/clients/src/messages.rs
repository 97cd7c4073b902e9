//! Random messages that are the same in every run: valid ones, ambiguous ones, and ones with a few
//! changed bytes.

/// A generator seeded by one number.
#[derive(Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same choices.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `limit`, by xorshift.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    /// Random bytes, fewer than `most`.
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.below(256) as u8).collect()
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// A random message.
    pub fn message(&mut self) -> Vec<u8> {
        let mut members = vec![format!("{}:{}", self.key("jsonrpc"), self.pick(&VERSIONS))];
        let kind = self.below(4);
        if kind < 3 {
            members.push(format!("{}:{}", self.key("method"), self.pick(&METHODS)));
        }
        if kind != 2 {
            members.push(format!("{}:{}", self.key("id"), self.id()));
        }
        if kind == 3 {
            let keys = self.pick(&["result", "error", "result error"]);
            for key in keys.split(' ') {
                let value = match self.below(3) {
                    0 => "null".to_owned(),
                    _ => self.params(0),
                };
                members.push(format!("{}:{value}", self.key(key)));
            }
        } else if self.below(3) > 0 {
            members.push(format!("{}:{}", self.key("params"), self.params(0)));
        }
        while self.below(8) == 0 {
            let key = self.pick(&KEYS);
            members.push(format!("{}:{}", self.key(key), self.value(0)));
        }
        for last in (1..members.len()).rev() {
            members.swap(last, self.below(last + 1));
        }
        let space = self.pick(&["", "", " ", "\n\t"]);
        let text = format!(
            "{space}{{{space}{}{space}}}{space}",
            members.join(&format!(",{space}"))
        );
        let mut bytes = text.into_bytes();
        while self.below(4) == 0 {
            self.change(&mut bytes);
        }
        bytes
    }

    /// Changes one byte, removes some, or repeats some.
    pub fn change(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
        let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 12));
        match self.below(4) {
            0 if from < bytes.len() => bytes[from] = self.below(256) as u8,
            1 => drop(bytes.drain(from..to)),
            2 => {
                let doubled = bytes[from..to].to_vec();
                drop(bytes.splice(from..from, doubled));
            }
            _ => bytes.insert(from, b"{}[]\",:\\ u0-1e.\0\xef"[self.below(17)]),
        }
    }

    /// A key that some parser reads as this one: in another case, or followed by NUL and more text.
    fn lookalike(&mut self, key: &str) -> String {
        let at = self.below(key.len());
        let (before, letter, behind) = (&key[..at], &key[at..=at], &key[at + 1..]);
        let letter = match (letter, self.below(3)) {
            ("s", 0) => "ſ".to_owned(),
            ("s", 1) => "\\u017f".to_owned(),
            ("k", 0) => "\\u212a".to_owned(),
            (_, 1) => format!("\\u{:04x}", letter.to_ascii_uppercase().as_bytes()[0]),
            _ => letter.to_ascii_uppercase(),
        };
        match self.below(3) {
            0 => format!("{key}\\u0000{}", self.pick(&["", "x", "\\udead"])),
            1 => format!("{before}{letter}{behind}\\u0000"),
            _ => format!("{before}{letter}{behind}"),
        }
    }

    /// The key itself, the key with one escaped letter, or rarely a lookalike.
    fn key(&mut self, key: &str) -> String {
        if key.is_ascii() && !key.contains('\\') && self.below(60) == 0 {
            return format!(r#""{}""#, self.lookalike(key));
        }
        let at = self.below(8 * key.len());
        match key.as_bytes().get(at) {
            Some(letter) if key.is_ascii() => {
                format!(r#""{}\u{letter:04x}{}""#, &key[..at], &key[at + 1..])
            }
            _ => format!(r#""{key}""#),
        }
    }

    fn id(&mut self) -> String {
        match self.below(4) {
            0 => self.pick(&IDS).to_owned(),
            1 => self.below(1 << 40).to_string(),
            2 => {
                // A 64-bit number, with or without a sign.
                let number = (self.below(1 << 32) as u64) << 32 | self.below(1 << 32) as u64;
                match self.below(2) {
                    0 => number.to_string(),
                    _ => (number as i64).to_string(),
                }
            }
            _ => format!("{:?}", format!("{:x}", self.below(1 << 40))),
        }
    }

    fn params(&mut self, depth: usize) -> String {
        let mut members = Vec::new();
        while self.below(3) > 0 {
            let key = self.pick(&PARAMS);
            let value = match key {
                "_meta" if self.below(2) == 0 => {
                    let claim = self.pick(&CLAIMS);
                    format!(
                        r#"{{{}:{claim}}}"#,
                        self.key("io.modelcontextprotocol/protocolVersion")
                    )
                }
                _ => self.value(depth + 1),
            };
            members.push(format!("{}:{value}", self.key(key)));
        }
        format!("{{{}}}", members.join(","))
    }

    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth < 6 { 6 } else { 4 }) {
            0 | 1 => self.pick(&VALUES).to_owned(),
            2 => self.pick(&METHODS).to_owned(),
            3 => self.id(),
            4 => self.params(depth + 1),
            _ => format!("[{},{}]", self.value(depth + 1), self.value(depth + 1)),
        }
    }
}

const VERSIONS: [&str; 12] = [
    r#""2.0""#,
    r#""2.0""#,
    r#""2.0""#,
    r#""2.0""#,
    r#""2.0""#,
    r#""2.0""#,
    r#""2.0""#,
    r#""2.0""#,
    r#""2\u002e0""#,
    r#""2.00""#,
    "2.0",
    r#""1.0""#,
];
const METHODS: [&str; 13] = [
    r#""ping""#,
    r#""initialize""#,
    r#""tools/call""#,
    r#""prompts/get""#,
    r#""resources/read""#,
    r#""resources\/subscribe""#,
    r#""x\ud83d""#,
    r#""\u0069nitialize""#,
    r#""initialize ""#,
    r#""p\ting""#,
    r#""é""#,
    r#""\ud83d\ude00""#,
    r#""""#,
];
const IDS: [&str; 22] = [
    "0",
    "-0",
    "1.0",
    "1e2",
    "9007199254740991",
    "-9007199254740991",
    "9007199254740992",
    "1E400",
    "null",
    "true",
    r#""""#,
    r#""\u0000""#,
    r#""\/""#,
    r#""\ud83d\ude00""#,
    r#""\ud800""#,
    "18446744073709551616",
    "18446744073709551615",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "9007199254740993",
];
const CLAIMS: [&str; 6] = [
    r#""\ud83d""#,
    r#""2026-07-28""#,
    r#""2025-11-25""#,
    r#""\u0044RAFT""#,
    "7",
    "null",
];
const PARAMS: [&str; 10] = [
    "_meta",
    "name",
    "arguments",
    "\\ud83d",
    "uri",
    "protocolVersion",
    "clientInfo",
    "a",
    "Name",
    "__proto__",
];
const KEYS: [&str; 10] = [
    "method",
    "id",
    "Method",
    "ID",
    "paramſ",
    "jſonrpc",
    "extra",
    "__proto__",
    "method\\u0000",
    "result",
];
const VALUES: [&str; 15] = [
    r#""\udead\ud83d""#,
    "null",
    "true",
    "1e999",
    "-1e-999",
    "0.1",
    "123456789012345678901234567890",
    r#""\ud800""#,
    r#""\\""#,
    "{}",
    "[]",
    r#""x""#,
    r#""\u2028""#,
    r#""ÿ""#,
    "0",
];
