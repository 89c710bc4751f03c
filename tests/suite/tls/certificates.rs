//! Certificates for tests: an authority, and the pairs of a certificate and a key that it issues.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, SerialNumber, SignatureAlgorithm,
};

use crate::process::{output, tool};

/// An authority, whose certificate is a file in PEM.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub certificate: PathBuf,
}

/// The files of a certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Authority {
        let mut parameters = parameters(name, &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let certificate = folder.join(format!("{name}.pem"));
        fs::write(&certificate, issuer.pem()).unwrap();
        Authority { issuer, certificate }
    }

    /// Issues a certificate for these host names and addresses, with a P-256 key.
    pub fn issue(&self, folder: &Path, name: &str, hosts: &[&str]) -> Pair {
        self.issue_with(folder, name, hosts, &PKCS_ECDSA_P256_SHA256, |_| {})
    }

    /// Issues a certificate with a key of this kind, after `change` has changed it.
    pub fn issue_with(
        &self,
        folder: &Path,
        name: &str,
        hosts: &[&str],
        kind: &'static SignatureAlgorithm,
        change: impl Fn(&mut CertificateParams),
    ) -> Pair {
        let mut parameters = parameters(name, hosts);
        change(&mut parameters);
        let key = KeyPair::generate_for(kind).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair::named(folder, name);
        fs::write(&pair.certificate, certificate.pem()).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

impl Pair {
    /// Returns the paths of a pair in `folder`.
    pub fn named(folder: &Path, name: &str) -> Pair {
        Pair { certificate: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) }
    }

    /// Returns the options that name the files.
    pub fn options(&self) -> [&str; 4] {
        ["--cert", self.certificate.to_str().unwrap(), "--key", self.key.to_str().unwrap()]
    }

    /// Writes the key to `path`, encrypted.
    pub fn encrypt_key(&self, path: &Path) -> bool {
        let Some(openssl) = tool("openssl") else { return false };
        let (from, to) = (self.key.to_str().unwrap(), path.to_str().unwrap());
        output(&openssl, &["pkcs8", "-topk8", "-in", from, "-out", to, "-passout", "pass:secret"]);
        assert!(fs::read_to_string(path).unwrap().contains("ENCRYPTED"));
        true
    }
}

fn parameters(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts).unwrap();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

/// Sets the serial number, by which a client recognizes a certificate.
pub fn serial(number: u8) -> impl Fn(&mut CertificateParams) {
    move |parameters| parameters.serial_number = Some(SerialNumber::from_slice(&[number]))
}
