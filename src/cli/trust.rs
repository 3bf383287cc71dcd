//! Whose certificate is believed. There is no way to believe just any: a control client sends credentials.

use std::{path::PathBuf, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
            verify_server_name,
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
        server::ParsedCertificate,
    },
};

/// Whom to believe.
#[derive(Debug)]
pub enum Trust {
    /// Whoever an authority of this system vouches for.
    System,
    /// Whoever is in this PEM file, or is vouched for by an authority that is.
    Listed(PathBuf),
    /// The service on this machine, which shows the first certificate of this PEM file. What name is in it and how long
    /// it is good makes no difference: the file is ours.
    Own(PathBuf),
}

impl Trust {
    /// What to connect with. The error is for people. Blocks on the disk.
    pub fn connector(&self) -> Result<TlsConnector, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Self::System => authorities(rustls_native_certs::load_native_certs().certs, provider)?,
            Self::Listed(file) => {
                let listed = certificates(file)?;
                let authorities = authorities(listed.clone(), Arc::clone(&provider))?;
                Arc::new(Known { listed, authorities: Some(authorities), provider })
            }
            Self::Own(file) => {
                let listed = certificates(file)?.into_iter().take(1).collect();
                Arc::new(Known { listed, authorities: None, provider })
            }
        };
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(Arc::new(config).into())
    }
}

fn certificates(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{} has no certificate in it", file.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
    }
}

fn authorities(
    certificates: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
        .build()
        .map_err(|error| format!("there is no certificate to go by ({error}); name one with --ca FILE"))
}

/// Believes certificates by themselves, and not only what authorities vouch for.
#[derive(Debug)]
struct Known {
    listed: Vec<CertificateDer<'static>>,
    /// None: name and time make no difference.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let listed = self.listed.contains(shown);
        let Some(authorities) = &self.authorities else {
            let refusal = TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
            return if listed { Ok(ServerCertVerified::assertion()) } else { Err(refusal) };
        };
        match authorities.verify_server_cert(shown, chain, name, ocsp, now) {
            // What `openssl req -x509` makes is an authority, which webpki takes for no server's certificate. It has
            // looked at the time by then, and not yet at the name.
            Err(TlsError::InvalidCertificate(CertificateError::Other(_))) if listed => {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
