//! The certificate that clients are shown, read again when its files change.
//!
//! A connection keeps what it began with; the next one gets what is in the files then. A pair that cannot be used
//! changes nothing and is warned of once.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    command::watched::{Seen, keep_looking, look},
    error::{Error, Kind, Result},
};

/// Largest file read. A chain has a few kilobytes.
const FILE_BYTES: u64 = 1 << 20;

/// A certificate and its key. Clones are the same pair.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    chain: PathBuf,
    key: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    seen: (Seen, Seen),
    config: Arc<ServerConfig>,
    /// What was wrong with the files when they were last read, and is said once.
    trouble: Option<String>,
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and its key (PKCS#8, PKCS#1 or SEC1), both PEM. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// When one of the files cannot be read or understood, or they do not belong together.
    pub fn load(chain: &Path, key: &Path) -> Result<Self> {
        let seen = (look(chain), look(key));
        let config = Arc::new(read(chain, key)?);
        let known = Mutex::new(Known { seen, config, trouble: None });
        Ok(Self(Arc::new(Inner { chain: chain.to_owned(), key: key.to_owned(), known })))
    }

    /// What the next connection is greeted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.known().config).into()
    }

    /// Reads the files again if one has changed. Blocks on the disk.
    fn refresh(&self) {
        let Inner { chain, key, .. } = &*self.0;
        let seen = (look(chain), look(key));
        if seen == self.known().seen {
            return;
        }
        let config = read(chain, key);
        let mut known = self.known();
        match config {
            Ok(config) => {
                *known = Known { seen, config: Arc::new(config), trouble: None };
                tracing::info!(file = %chain.display(), "the TLS certificate was read");
            }
            // It is read again the next time, whether it has changed or not: the trouble may be the disk's, or whoever
            // replaces both files may be between them.
            Err(error) => {
                let trouble = error.chain();
                if known.trouble.as_ref() != Some(&trouble) {
                    tracing::warn!("{trouble}; until then the TLS certificate stays as it was");
                    known.trouble = Some(trouble);
                }
            }
        }
    }

    /// Looks at the files again and again until `stopping`.
    pub(super) async fn watch(self, stopping: &CancellationToken) {
        keep_looking("the TLS certificate's files", stopping, move || self.refresh()).await;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(chain: &Path, key: &Path) -> Result<ServerConfig> {
    let certificates = CertificateDer::pem_slice_iter(&pem(chain)?).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| useless(chain, &format!("cannot be understood ({error})")))?;
    if certificates.is_empty() {
        return Err(useless(chain, "has no certificate in it"));
    }
    let secret = PrivateKeyDer::from_pem_slice(&pem(key)?).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => useless(key, "has no private key in it"),
        error => useless(key, &format!("cannot be understood ({error})")),
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| useless(chain, &error.to_string()))?;
    let config = builder.with_no_client_auth().with_single_cert(certificates, secret);
    let mut config = config.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            useless(key, &format!("is not the key of the first certificate in {}", chain.display()))
        }
        error => useless(key, &format!("and {} are no use together ({error})", chain.display())),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// From when until when the first certificate of a chain is good. Blocks on the disk.
///
/// # Errors
/// When the file cannot be read or understood.
pub fn validity(chain: &Path) -> Result<(SystemTime, SystemTime)> {
    let unclear = |error: &dyn std::fmt::Display| useless(chain, &format!("cannot be understood ({error})"));
    let first = CertificateDer::from_pem_slice(&pem(chain)?).map_err(|error| unclear(&error))?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&first).map_err(|error| unclear(&error))?;
    let validity = certificate.validity();
    Ok((validity.not_before.to_datetime().into(), validity.not_after.to_datetime().into()))
}

fn pem(file: &Path) -> Result<Vec<u8>> {
    let failed = |error: io::Error| {
        let message = format!("the TLS file {} cannot be read", file.display());
        Error::with_source(Kind::Dependency { dependency: "disk".into() }, message, error)
    };
    // A pipe would be waited for, and something like /dev/zero has no end.
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(useless(file, "is not a file"));
    }
    let mut text = Vec::new();
    File::open(file).map_err(failed)?.take(FILE_BYTES).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

fn useless(file: &Path, why: &str) -> Error {
    Error::dependency("TLS file", format!("the TLS file {} {why}", file.display()))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
