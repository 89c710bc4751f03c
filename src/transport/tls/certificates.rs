//! Certificate chains and their keys: read from PEM files, checked, and selected for a client.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore, SignatureScheme};

use super::settings::TlsError;
use crate::clock::Instant;

/// The certificates of a server, each with its key.
pub(super) struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads the files of certificate chains and their keys. Certificates that are not valid at `now` are reported, but
    /// used: clients that do not check the validity can still connect.
    pub(super) fn read(
        pairs: &[(PathBuf, PathBuf)],
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<Certificates, TlsError> {
        let mut keys = Vec::new();
        for (certificate, key) in pairs {
            let certified = read_pair(certificate, key, provider)?;
            if let Some(problem) = validity_problem(&certified, provider, now) {
                log::warn!("the certificate {} {problem}; clients will reject it", certificate.display());
            }
            keys.push(Arc::new(certified));
        }
        Ok(Certificates { keys })
    }

    /// Adds a certificate, with its key, after the others.
    pub(super) fn add(&mut self, certified: Arc<CertifiedKey>) {
        self.keys.push(certified);
    }

    /// Returns how long the slowest key takes for a signature: an RSA key takes ten times as long as an elliptic
    /// curve, and a long one a hundred times.
    pub(super) fn signature_time(&self) -> Duration {
        self.keys.iter().map(|certified| signature_time(certified)).max().unwrap_or_default()
    }

    /// Selects a certificate for the client's name and signature algorithms: the first that has both, else the first
    /// with the name, else the first that the client can verify. The only certificate is used in any case.
    fn select(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        if let [only] = &self.keys[..] {
            return Some(only);
        }
        let is_usable = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let has_name = |certified: &&Arc<CertifiedKey>| {
            let parsed = certified.end_entity_cert().and_then(ParsedCertificate::try_from);
            name.as_ref()
                .is_some_and(|name| parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok()))
        };
        let mut named = self.keys.iter().filter(has_name);
        named.clone().find(is_usable).or_else(|| named.next()).or_else(|| self.keys.iter().find(is_usable))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.select(hello.server_name(), hello.signature_schemes()).cloned()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({})", self.keys.len())
    }
}

/// Reads a certificate chain and its key.
pub(super) fn read_pair(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = read_certificates(certificate)?;
    let file = key.display();
    let der = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        PemError::Io(_) => unreadable("key", key, &error),
        // The older of two formats for encrypted keys has lines that are no base64.
        _ if is_encrypted(key) => {
            TlsError(format!("the key {file} is encrypted; openssl pkey -in {file} -out NEW decrypts it"))
        }
        PemError::NoItemsFound => {
            TlsError(format!("{file} holds no private key; --key takes one in PEM (BEGIN PRIVATE KEY)"))
        }
        error => unreadable("key", key, &error),
    })?;
    CertifiedKey::from_der(chain, der, provider).map_err(|error| {
        TlsError(match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                "the key {file} does not belong to the certificate {}; --cert and --key go in pairs, and the \
                 server's own certificate comes first in its file",
                certificate.display()
            ),
            Error::InvalidCertificate(_) => {
                format!("{} holds no valid X.509 certificate: {error}", certificate.display())
            }
            error => format!(
                "cannot use the key {file}: {error}; use ECDSA, Ed25519, or RSA with at least 2048 bits"
            ),
        })
    })
}

/// Reads all certificates of a PEM file; there is at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(TlsError(format!(
            "{} holds no certificate; it has to be in PEM (BEGIN CERTIFICATE)",
            path.display()
        ))),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable("certificate", path, &error)),
    }
}

/// Reads the certificates of the authorities whose clients are let in.
pub(super) fn read_authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    authorities(&read_certificates(path)?, path)
}

/// Returns the certificates of `path` as authorities.
pub(super) fn authorities(
    certificates: &[CertificateDer<'static>],
    path: &Path,
) -> Result<RootCertStore, TlsError> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates {
        authorities.add(certificate.clone()).map_err(|error| {
            TlsError(format!("{} holds no valid X.509 certificate: {error}", path.display()))
        })?;
    }
    Ok(authorities)
}

fn unreadable(what: &str, path: &Path, error: &PemError) -> TlsError {
    let path = path.display();
    TlsError(match error {
        PemError::Io(error) if error.kind() == ErrorKind::IsADirectory => {
            format!("the {what} {path} is a folder; name the file")
        }
        PemError::Io(error) => format!("cannot read the {what} {path}: {error}"),
        error => format!("the {what} {path} is no valid PEM: {error}"),
    })
}

fn is_encrypted(key: &Path) -> bool {
    std::fs::read(key).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("ENCRYPTED"))
}

/// Returns what is wrong with the validity of a certificate at `now`. Its issuer is not checked.
pub(super) fn validity_problem(
    certified: &CertifiedKey,
    provider: &CryptoProvider,
    now: SystemTime,
) -> Option<&'static str> {
    let parsed = certified.end_entity_cert().and_then(ParsedCertificate::try_from).ok()?;
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).ok()?);
    match validity_error(&parsed, provider, now)? {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Some("has expired")
        }
        _ => Some("is not valid yet"),
    }
}

/// Returns the error of rustls for a certificate that is not valid at `now`.
pub(super) fn validity_error(
    certificate: &ParsedCertificate<'_>,
    provider: &CryptoProvider,
    now: UnixTime,
) -> Option<Error> {
    let algorithms = provider.signature_verification_algorithms.all;
    // The validity is checked before the issuer, which is never found.
    let checked =
        verify_server_cert_signed_by_trust_anchor(certificate, &RootCertStore::empty(), &[], now, algorithms);
    checked.err().filter(|error| {
        matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. }
            )
        )
    })
}

/// Measures a signature, as the fastest of a few.
fn signature_time(certified: &CertifiedKey) -> Duration {
    let schemes = [
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::ECDSA_NISTP521_SHA512,
        SignatureScheme::ED25519,
        SignatureScheme::RSA_PSS_SHA256,
    ];
    let Some(signer) = certified.key.choose_scheme(&schemes) else { return Duration::ZERO };
    let sign = |_| {
        let begun = Instant::now();
        let _ = signer.sign(&[0; 130]);
        Instant::now() - begun
    };
    (0..4).map(sign).min().unwrap_or_default()
}
