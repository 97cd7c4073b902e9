//! What is kept of a session in a store: written here, read here, and believed by nobody before it
//! was checked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderValue;
use serde_json::{Value, json};
use tracing::warn;

use crate::log::TARGET;
use crate::promises::{MAX_CLIENT_TEXT, MAX_RECORD};
use crate::session::{Client, Owner, Scope};

/// A session as another process, or this one after a restart, gets to know it.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Record {
    pub(super) client: Client,
    pub(super) owner: Option<Owner>,
    pub(super) protocol_version: Option<String>,
    /// The inner service's own id.
    pub(super) inner_id: Option<HeaderValue>,
    /// The name of the process that opened it.
    pub(super) opened_on: String,
    /// How long ago it opened.
    pub(super) age: Duration,
}

impl Record {
    /// As a store keeps it; `None` if that would be too long.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let opened = wall_clock().saturating_sub(self.age);
        let inner_id = self.inner_id.as_ref();
        let text = json!({
            "v": SCHEMA,
            "opened": u64::try_from(opened.as_millis()).unwrap_or(u64::MAX),
            "on": self.opened_on,
            "client": [self.client.name, self.client.version],
            "owner": self.owner.as_ref().map(Owner::to_text),
            "version": self.protocol_version,
            "inner": inner_id.map(|id| STANDARD_NO_PAD.encode(id.as_bytes())),
        })
        .to_string();
        (text.len() <= MAX_RECORD).then(|| text.into_bytes())
    }

    /// Reads what a store has kept. `None` if this is not what [`encode`](Self::encode) writes: of
    /// another version, damaged, or somebody's else.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        if value.len() > MAX_RECORD {
            return None;
        }
        let value: Value = serde_json::from_slice(value).ok()?;
        if value.get("v")?.as_u64()? != SCHEMA {
            return None;
        }
        let opened = Duration::from_millis(value.get("opened")?.as_u64()?);
        let [name, version] = value.get("client")?.as_array()?.as_slice() else {
            return None;
        };
        let client = Client {
            name: text(name)?.map(Into::into),
            version: text(version)?.map(Into::into),
        };
        let owner = match value.get("owner")? {
            Value::Null => None,
            owner => Some(Owner::from_text(owner.as_str()?)?),
        };
        let inner_id = match value.get("inner")? {
            Value::Null => None,
            inner => Some(header(inner.as_str()?)?),
        };
        Some(Self {
            client,
            owner,
            protocol_version: text(value.get("version")?)?.map(str::to_owned),
            inner_id,
            opened_on: text(value.get("on")?)??.to_owned(),
            age: wall_clock().saturating_sub(opened),
        })
    }
}

/// Reads what the store has of a session of this scope; a value that is not a record is as good as none.
pub(super) fn read(value: &[u8], scope: &Scope) -> Option<Record> {
    let record = Record::decode(value);
    if record.is_none() {
        warn!(target: TARGET, scope = scope.name(), "the store holds a session that can not be read: is its prefix shared with another version, or another program?");
    }
    record
}

/// A short text or none, fit to be shown.
fn text(value: &Value) -> Option<Option<&str>> {
    match value {
        Value::Null => Some(None),
        Value::String(text) if text.len() <= MAX_CLIENT_TEXT => {
            (!text.chars().any(char::is_control)).then_some(Some(text))
        }
        _ => None,
    }
}

fn header(text: &str) -> Option<HeaderValue> {
    let bytes = STANDARD_NO_PAD.decode(text).ok()?;
    HeaderValue::from_bytes(&bytes)
        .ok()
        .filter(|id| !id.is_empty())
}

/// The one place where the wall clock is read: ages must mean the same to another process. One that
/// was set back makes a session look younger than it is, never older than its process.
fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Changes whenever an older reader would misread what is written.
const SCHEMA: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            client: Client {
                name: Some("client".into()),
                version: None,
            },
            owner: Some(Owner::from_issuer_subject("issuer", "sub\"ject")),
            protocol_version: Some("2025-11-25".to_owned()),
            inner_id: Some(HeaderValue::from_bytes(b"in\xffner").unwrap()),
            opened_on: "one".to_owned(),
            age: Duration::ZERO,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut read = Record::decode(&record().encode().unwrap()).unwrap();
        assert!(read.age < Duration::from_secs(60));
        read.age = Duration::ZERO;
        assert_eq!(read, record());
    }

    #[test]
    fn an_age_is_counted_on() {
        let hour = Duration::from_secs(3600);
        let old = Record {
            age: hour,
            ..record()
        };
        let read = Record::decode(&old.encode().unwrap()).unwrap();
        assert!((hour..hour + Duration::from_secs(60)).contains(&read.age));
    }

    #[test]
    fn what_is_too_long_is_not_written() {
        let long = Record {
            owner: Some(Owner::new("x".repeat(9000))),
            ..record()
        };
        assert_eq!(long.encode(), None);
    }

    #[test]
    fn a_value_of_another_schema_or_with_a_wrong_part_is_none() {
        let good = String::from_utf8(record().encode().unwrap()).unwrap();
        assert!(Record::decode(good.as_bytes()).is_some());
        for (part, other) in [
            (r#""v":1"#, r#""v":0"#),
            (r#""v":1"#, r#""v":2"#),
            (r#""v":1"#, r#""v":"1""#),
            (r#""client":["client",null]"#, r#""client":["client"]"#),
            (r#""client":["client",null]"#, r#""client":[1,null]"#),
            (r#""client":["client",null]"#, r#""client":["c\n",null]"#),
            (r#""on":"one""#, r#""on":null"#),
            (r#""inner":""#, r#""inner":"*"#),
            (r#""version":"2025-11-25""#, r#""version":["2025-11-25"]"#),
            (r#""owner":"[\"issuer\""#, r#""owner":"[\"\""#),
            (r#""owner":"["#, r#""owner":"{"#),
        ] {
            assert!(good.contains(part), "{part} in {good}");
            let bad = good.replace(part, other);
            assert_eq!(Record::decode(bad.as_bytes()), None, "{bad}");
        }
        for bad in [&b""[..], b"{}", b"null", b"\xff", &[b'['; 9000]] {
            assert_eq!(Record::decode(bad), None);
        }
    }
}
