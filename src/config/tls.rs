//! The options for TLS.

use std::path::PathBuf;
use std::time::Duration;

use super::quantities::time;
use super::{Address, BadValue, Options, TIME_FORMAT, listeners, set};

/// The listeners with TLS, and their certificates.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The addresses that HTTPS listens on.
    pub https: Vec<Address>,
    /// The addresses that the file protocol listens on with TLS.
    pub file_tls: Vec<Address>,
    /// The files of certificate chains and their keys.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// Whether a certificate is made at start.
    pub self_signed: bool,
    /// The folder that keeps it.
    pub state: Option<PathBuf>,
    /// The file with the authorities that sign the certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// Whether plain HTTP is redirected to HTTPS.
    pub redirect: bool,
    /// How long browsers remember to use HTTPS only.
    pub hsts: Option<Duration>,
}

const NO_CERTIFICATE: &str = "it needs --cert FILE and --key FILE, or --self-signed";
const NO_PAIR: &str = "--cert and --key go in pairs";
const NO_HTTPS: &str = "it is for responses over HTTPS; give --https an address";
const NO_IDENTITY: &str = "it keeps the certificate of --self-signed; add that, or remove --state";
const NO_LISTENER: &str = "it is for --https and --file-tls; give one of them";

/// Checks the options for TLS.
pub(super) fn check(options: &Options) -> Result<TlsConfig, BadValue> {
    let https = listeners("--https", &options.https, None)?;
    let file_tls = listeners("--file-tls", &options.file_tls, None)?;
    let mut hsts = None;
    set(&mut hsts, "--hsts", &options.hsts, |text| time(text).map(Some), TIME_FORMAT)?;
    let bad = |option, value: String, wanted| Err(BadValue { option, value, wanted });
    let unpaired = options.cert.len().min(options.key.len());
    for (option, files) in [("--cert", &options.cert), ("--key", &options.key)] {
        if let Some(file) = files.get(unpaired) {
            return bad(option, file.display().to_string(), NO_PAIR);
        }
    }
    if let Some(text) = options.hsts.as_ref().filter(|_| https.is_empty()) {
        return bad("--hsts", text.clone(), NO_HTTPS);
    }
    if let Some(folder) = options.state.as_ref().filter(|_| !options.self_signed) {
        return bad("--state", folder.display().to_string(), NO_IDENTITY);
    }
    let listener = [("--https", &https), ("--file-tls", &file_tls)]
        .into_iter()
        .find_map(|(option, addresses)| Some((option, addresses.first()?)));
    match (listener, options.client_ca.as_ref().or(options.cert.first())) {
        (Some((option, address)), _) if options.cert.is_empty() && !options.self_signed => {
            return bad(option, address.to_string(), NO_CERTIFICATE);
        }
        (None, Some(file)) => {
            let option = if options.client_ca.is_some() { "--client-ca" } else { "--cert" };
            return bad(option, file.display().to_string(), NO_LISTENER);
        }
        _ => {}
    }
    Ok(TlsConfig {
        https,
        file_tls,
        pairs: options.cert.iter().cloned().zip(options.key.iter().cloned()).collect(),
        self_signed: options.self_signed,
        state: options.state.clone(),
        client_ca: options.client_ca.clone(),
        redirect: options.redirect_https,
        hsts,
    })
}
