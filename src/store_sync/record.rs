//! The record of a session in a store. A record that was read is checked before it is used.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderValue;
use serde_json::{Value, json};
use tracing::warn;

use crate::log::TARGET;
use crate::promises::{MAX_CLIENT_TEXT, MAX_RECORD};
use crate::session::{Client, Owner, Scope};

/// The record from which another process, or this one after a restart, restores a session.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Record {
    pub(super) client: Client,
    pub(super) owner: Option<Owner>,
    pub(super) protocol_version: Option<String>,
    /// The id of the inner session.
    pub(super) inner_id: Option<HeaderValue>,
    /// The name of the node that opened the session.
    pub(super) opened_on: String,
    /// How long ago the session opened.
    pub(super) age: Duration,
}

impl Record {
    /// Encodes the record for a store; `None` if the result is too long.
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

    /// Decodes a value from a store. Returns `None` unless [`encode`](Self::encode) wrote it: it may
    /// be of another version, damaged, or of another program.
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

/// Decodes the value that the store has for a session of this scope. An invalid value is logged and
/// treated as none.
pub(super) fn read(value: &[u8], scope: &Scope) -> Option<Record> {
    let record = Record::decode(value);
    if record.is_none() {
        warn!(target: TARGET, scope = scope.name(), "the store holds a session record that cannot be read: set a prefix for the store that no other version or program uses");
    }
    record
}

/// Returns a text or null, if it is short and has no control characters.
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

/// Reads the wall clock, which nothing else does: ages must mean the same in another process. A clock
/// that was set back makes a session look younger than it is, never older than its process.
fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The version of the format. It changes whenever an older reader would misread a record.
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
    fn a_record_is_decoded_as_it_was_encoded() {
        let mut read = Record::decode(&record().encode().unwrap()).unwrap();
        assert!(read.age < Duration::from_secs(60));
        read.age = Duration::ZERO;
        assert_eq!(read, record());
    }

    #[test]
    fn the_age_of_a_session_counts_from_its_opening() {
        let hour = Duration::from_secs(3600);
        let old = Record {
            age: hour,
            ..record()
        };
        let read = Record::decode(&old.encode().unwrap()).unwrap();
        assert!((hour..hour + Duration::from_secs(60)).contains(&read.age));
    }

    #[test]
    fn a_record_that_is_too_long_is_not_encoded() {
        let long = Record {
            owner: Some(Owner::new("x".repeat(9000))),
            ..record()
        };
        assert_eq!(long.encode(), None);
    }

    #[test]
    fn a_value_of_another_schema_or_with_an_invalid_part_is_not_decoded() {
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
