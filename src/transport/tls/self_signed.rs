//! The self-signed certificate of `--self-signed`, which is kept in a folder if there is one.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::certificates::{read_pair, validity_problem};
use super::settings::TlsError;
use crate::clock::Now;
use crate::limits::SELF_SIGNED_VALIDITY;

/// A self-signed certificate and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
}

const CERTIFICATE_FILE: &str = "self-signed.crt";
const KEY_FILE: &str = "self-signed.key";

impl Identity {
    /// Makes a certificate for host names and IP addresses, with a new P-256 key.
    pub fn create(names: &[String], now: Now) -> Result<Identity, TlsError> {
        Ok(Made::new(names, now).map_err(failed)?.identity)
    }

    /// Reads the certificate that is kept in `folder`. If there is none, or it is not valid now, makes one and keeps
    /// it there.
    pub fn keep(folder: &Path, names: &[String], now: Now) -> Result<Identity, TlsError> {
        let (certificate, key) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
        if certificate.exists() && key.exists() {
            let provider = aws_lc_rs::default_provider();
            let certified = read_pair(&certificate, &key, &provider).map_err(|TlsError(error)| {
                TlsError(format!("{error}; without both files evserve makes a new certificate"))
            })?;
            match validity_problem(&certified, &provider, now.wall) {
                None => return Ok(Identity { certified: Arc::new(certified) }),
                Some(problem) => {
                    log::info!("the certificate {} {problem}: making another", certificate.display())
                }
            }
        }
        let made = Made::new(names, now).map_err(failed)?;
        let kept = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        kept.and_then(|()| replace(&key, made.key.as_bytes(), 0o600))
            .and_then(|()| replace(&certificate, made.certificate.as_bytes(), 0o644))
            .map_err(|error| {
                let folder = folder.display();
                TlsError(format!(
                    "cannot keep the certificate in {folder}: {error}; give --state a writable folder"
                ))
            })?;
        Ok(made.identity)
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// Returns the SHA-256 fingerprint of the certificate, as browsers show it.
    pub fn fingerprint(&self) -> String {
        let certificate = self.certified.cert.first().map(|certificate| &**certificate).unwrap_or_default();
        let digits: Vec<String> =
            Sha256::digest(certificate).iter().map(|byte| format!("{byte:02X}")).collect();
        digits.join(":")
    }
}

/// A certificate that was just made.
struct Made {
    identity: Identity,
    /// In PEM.
    certificate: String,
    /// In PEM.
    key: String,
}

impl Made {
    fn new(names: &[String], now: Now) -> Result<Made, Box<dyn std::error::Error>> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "evserve self-signed");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.not_before = now.wall.into();
        parameters.not_after = (now.wall + SELF_SIGNED_VALIDITY).into();
        let certificate = parameters.self_signed(&key)?;
        let der = PrivateKeyDer::try_from(key.serialize_der())?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let certified = CertifiedKey::from_der(chain, der, &aws_lc_rs::default_provider())?;
        let identity = Identity { certified: Arc::new(certified) };
        Ok(Made { identity, certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn failed(error: Box<dyn std::error::Error>) -> TlsError {
    TlsError(format!("cannot make a self-signed certificate: {error}"))
}

/// Writes a file so that a crash leaves the old or the new content.
fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)
}
