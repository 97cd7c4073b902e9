//! What a URL cannot name.

use std::fmt;

use redis::cluster::ClusterClientBuilder;
use redis::{Client, ClientTlsConfig, TlsCertificates};

use super::RedisStore;
use super::connection::unusable;
use crate::store::StoreError;

/// Certificates for a [`RedisStore`] whose URLs begin with `rediss://`. Feature `redis-tls`.
///
/// `Debug` shows no secret.
///
/// ```no_run
/// use mcp_session_guard::store::RedisOptions;
///
/// let store = RedisOptions::new()
///     .root_certificate(std::fs::read("ca.pem")?)
///     .client_certificate(std::fs::read("mail.pem")?, std::fs::read("mail.key")?)
///     .open("rediss://10.0.0.5:6379")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct RedisOptions {
    root: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

impl RedisOptions {
    /// No certificates: those of the operating system are trusted, and none is shown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificate authorities in this PEM text instead of those of the operating system.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root = Some(pem.into());
        self
    }

    /// Shows the server this certificate, with its chain, and proves it by its private key. Both are PEM
    /// text.
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.client = Some((certificate.into(), key.into()));
        self
    }

    /// Opens the server at this URL, like [`RedisStore::open`]. Does not connect yet.
    ///
    /// # Errors
    ///
    /// The URL cannot be read or does not begin with `rediss://`, or a certificate or the key cannot be
    /// read.
    pub fn open(&self, url: &str) -> Result<RedisStore, StoreError> {
        RedisStore::one(&self.client(url)?)
    }

    /// Opens a cluster, like [`RedisStore::cluster`]. Does not connect yet.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), for each URL; there is none; or the URLs differ in more than their
    /// host and port.
    pub fn cluster<I>(&self, urls: I) -> Result<RedisStore, StoreError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let urls: Vec<_> = urls
            .into_iter()
            .map(|url| url.as_ref().to_owned())
            .collect();
        for url in &urls {
            // The builder of clusters would ignore certificates for a URL without TLS.
            self.client(url)?;
        }
        RedisStore::several(ClusterClientBuilder::new(urls).certs(self.certificates()?))
    }

    fn client(&self, url: &str) -> Result<Client, StoreError> {
        Client::build_with_tls(url, self.certificates()?).map_err(|error| unusable(&error))
    }

    fn certificates(&self) -> Result<TlsCertificates, StoreError> {
        let certificates = self.client.iter().map(|(certificate, _)| certificate);
        // The crate takes a text without any for an empty list, and would fail to connect.
        if !self
            .root
            .iter()
            .chain(certificates)
            .all(|pem| holds_certificate(pem))
        {
            return Err(StoreError::new("a PEM text for Redis holds no certificate"));
        }
        Ok(TlsCertificates {
            root_cert: self.root.clone(),
            client_tls: self
                .client
                .clone()
                .map(|(client_cert, client_key)| ClientTlsConfig {
                    client_cert,
                    client_key,
                }),
        })
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("has_root_certificate", &self.root.is_some())
            .field("has_client_certificate", &self.client.is_some())
            .finish()
    }
}

fn holds_certificate(pem: &[u8]) -> bool {
    let begin = b"-----BEGIN CERTIFICATE-----";
    pem.windows(begin.len()).any(|part| part == begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_used_is_an_error_at_once_that_shows_no_secret() {
        let bad = "-----BEGIN CERTIFICATE-----\ns3cret\n-----END CERTIFICATE-----\n";
        for (options, url) in [
            (RedisOptions::new(), "http://a:s3cret@127.0.0.1"),
            (RedisOptions::new(), "redis://a:s3cret@127.0.0.1"),
            (
                RedisOptions::new().root_certificate(""),
                "rediss://127.0.0.1",
            ),
            (
                RedisOptions::new().root_certificate("s3cret"),
                "rediss://127.0.0.1",
            ),
            (
                RedisOptions::new().root_certificate(bad),
                "rediss://127.0.0.1",
            ),
            (
                RedisOptions::new().client_certificate("", "s3cret"),
                "rediss://127.0.0.1",
            ),
            (
                RedisOptions::new().client_certificate(bad, "s3cret"),
                "rediss://127.0.0.1",
            ),
        ] {
            let errors = [options.open(url), options.cluster([url])];
            let texts = errors.map(|error| format!("{options:?} {:?}", error.unwrap_err()));
            assert!(
                texts.iter().all(|text| !text.contains("s3cret")),
                "{texts:?}"
            );
        }
        assert!(RedisOptions::new().open("rediss://127.0.0.1").is_ok());
        assert!(RedisOptions::new().cluster(["rediss://127.0.0.1"]).is_ok());
        assert!(RedisOptions::new().cluster([""; 0]).is_err());
    }
}
