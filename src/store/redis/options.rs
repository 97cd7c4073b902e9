//! The options of a `RedisStore` that a URL cannot contain: certificates.

use std::fmt;

use redis::cluster::ClusterClientBuilder;
use redis::{Client, ClientTlsConfig, TlsCertificates};

use super::RedisStore;
use super::connection::unusable;
use crate::store::StoreError;

/// Certificates for a [`RedisStore`] whose URLs begin with `rediss://` (feature `redis-tls`).
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
    /// Creates options without certificates: the store trusts the certificates of the operating system
    /// and presents none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificate authorities in this PEM text instead of those of the operating system.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root = Some(pem.into());
        self
    }

    /// Presents this certificate, with its chain, to the server and proves it with its private key. Both
    /// are PEM text.
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.client = Some((certificate.into(), key.into()));
        self
    }

    /// Creates a store on the server at this URL, like [`RedisStore::open`]. Does not connect yet.
    ///
    /// # Errors
    ///
    /// The URL is invalid or does not begin with `rediss://`, or a certificate or the key is invalid.
    pub fn open(&self, url: &str) -> Result<RedisStore, StoreError> {
        RedisStore::on_server(&self.client(url)?)
    }

    /// Creates a store on a cluster, like [`RedisStore::cluster`]. Does not connect yet.
    ///
    /// # Errors
    ///
    /// An error of [`open`](Self::open) for one of the URLs. There is no URL, or the URLs differ in more
    /// than host and port.
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
            // The cluster builder would ignore certificates for a URL without TLS.
            self.client(url)?;
        }
        RedisStore::on_cluster(ClusterClientBuilder::new(urls).certs(self.certificates()?))
    }

    fn client(&self, url: &str) -> Result<Client, StoreError> {
        Client::build_with_tls(url, self.certificates()?).map_err(|error| unusable(&error))
    }

    fn certificates(&self) -> Result<TlsCertificates, StoreError> {
        let certificates = self.client.iter().map(|(certificate, _)| certificate);
        // redis-rs reads a text without certificates as an empty list, and would fail to connect later.
        if !self
            .root
            .iter()
            .chain(certificates)
            .all(|pem| has_certificate(pem))
        {
            return Err(StoreError::new(
                "a text for root_certificate or client_certificate of RedisOptions contains no certificate: pass PEM",
            ));
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

fn has_certificate(pem: &[u8]) -> bool {
    let begin = b"-----BEGIN CERTIFICATE-----";
    pem.windows(begin.len()).any(|part| part == begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_url_or_certificate_is_an_immediate_error_that_shows_no_secret() {
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
