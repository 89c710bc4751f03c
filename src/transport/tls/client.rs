//! The client's side of a TLS connection, over any blocking stream.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    RootCertStore, SignatureScheme,
};

use super::certificates::{authorities, read_certificates, validity_error};
use super::settings::{TlsError, Trust};

/// Which servers a client trusts.
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

/// A TLS connection to a server, over `T`.
pub struct TlsClientStream<T> {
    inner: T,
    session: ClientConnection,
    buffer: Box<[u8]>,
    /// The part of the buffer that was received and not processed.
    rest: Range<usize>,
}

/// The number of encrypted bytes that are received at once.
const RECEIVE_BYTES: usize = 64 * 1024;

/// The content types of the records that a server may begin with (RFC 8446 section 5.1): alert and handshake.
const FIRST_RECORDS: [u8; 2] = [21, 22];

impl TlsClient {
    /// Reads the trusted certificates.
    pub fn new(trust: &Trust) -> Result<TlsClient, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier { trusted: Trusted::read(trust, &provider)?, provider };
        let config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(format!("cannot set up TLS: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(TlsClient { config: Arc::new(config) })
    }

    /// Performs the handshake over a connection to `server`, a host name or an IP address.
    pub fn connect<T: Read + Write>(&self, server: &str, inner: T) -> io::Result<TlsClientStream<T>> {
        let name = ServerName::try_from(server.to_owned()).map_err(|_| {
            io::Error::other(format!("no certificate can be for {server:?}, which is no name or address"))
        })?;
        let session =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(|error| failed(&error))?;
        let buffer = vec![0; RECEIVE_BYTES].into_boxed_slice();
        let mut stream = TlsClientStream { inner, session, buffer, rest: 0..0 };
        stream.shake_hands()?;
        Ok(stream)
    }
}

impl<T> TlsClientStream<T> {
    /// Returns the stream that carries the records.
    pub fn inner(&self) -> &T {
        &self.inner
    }
}

impl<T: Read + Write> TlsClientStream<T> {
    fn shake_hands(&mut self) -> io::Result<()> {
        let mut is_first = true;
        while self.session.is_handshaking() {
            let sent = self.send_records();
            // If the server has closed, its reason may still be received.
            let received = self.fill().map_err(|error| match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => unanswered("the server does not respond"),
                ErrorKind::ConnectionReset => unanswered("the server closed the connection"),
                _ => error,
            });
            if !received? {
                return Err(unanswered("the server closed the connection"));
            }
            if is_first && !FIRST_RECORDS.contains(&self.buffer[self.rest.start]) {
                return Err(invalid("the server speaks no TLS on this port; leave out --tls"));
            }
            is_first = false;
            self.process()?;
            sent?;
        }
        self.send_records()
    }

    /// Receives, unless there are bytes that were not processed yet. Returns whether there are any.
    fn fill(&mut self) -> io::Result<bool> {
        while self.rest.is_empty() {
            match self.inner.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => self.rest = 0..count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Processes received bytes: as many as rustls takes at once.
    fn process(&mut self) -> io::Result<()> {
        self.rest.start += self.session.read_tls(&mut &self.buffer[self.rest.clone()])?;
        let processed = self.session.process_new_packets();
        if processed.is_err() {
            // The alert that says why.
            let _ = self.send_records();
        }
        processed.map(drop).map_err(|error| failed(&error))
    }

    fn send_records(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.inner) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends close_notify (RFC 8446 section 6.1), unless a write has failed: then the server has to notice that the
    /// output was cut off.
    pub fn end(&mut self) {
        if !self.session.wants_write() {
            self.session.send_close_notify();
            let _ = self.send_records();
        }
    }
}

impl<T: Read + Write> Read for TlsClientStream<T> {
    /// Returns 0 after close_notify. Fails with `ConnectionAborted` at an end without it, which anybody on the way can
    /// cause.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
            if !self.fill()? {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            self.process()?;
        }
    }
}

impl<T: Read + Write> Write for TlsClientStream<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_records()?;
        let written = self.session.writer().write(bytes)?;
        self.send_records()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_records()?;
        self.inner.flush()
    }
}

impl<T> fmt::Debug for TlsClientStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClientStream")
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClient")
    }
}

/// Verifies the certificates of servers.
#[derive(Debug)]
struct Verifier {
    trusted: Trusted,
    provider: Arc<CryptoProvider>,
}

/// What a [`Verifier`] accepts.
#[derive(Debug)]
enum Trusted {
    /// These certificates, and what they sign.
    Certificates { signers: Arc<WebPkiServerVerifier>, listed: Vec<CertificateDer<'static>> },
    /// Any certificate.
    Any,
}

impl Trusted {
    fn read(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Trusted, TlsError> {
        let (listed, roots) = match trust {
            Trust::Any => return Ok(Trusted::Any),
            Trust::File(path) => {
                let listed = read_certificates(path)?;
                let roots = authorities(&listed, path)?;
                (listed, roots)
            }
            Trust::System => {
                // Certificates that cannot be read are left out, as in other clients.
                let listed = rustls_native_certs::load_native_certs().certs;
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(listed.iter().cloned());
                (listed, roots)
            }
        };
        if roots.is_empty() {
            return Err(TlsError(
                "this system has no certificates of authorities; install its package ca-certificates, or \
                 give --ca FILE"
                    .into(),
            ));
        }
        let signers = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| TlsError(format!("cannot set up TLS: {error}")))?;
        Ok(Trusted::Certificates { signers, listed })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trusted {
            Trusted::Any => Ok(ServerCertVerified::assertion()),
            // Self-signed certificates made by openssl are those of an authority, which cannot be a server's in a
            // chain.
            Trusted::Certificates { listed, .. } if listed.iter().any(|one| **one == **certificate) => {
                let parsed = ParsedCertificate::try_from(certificate)?;
                match validity_error(&parsed, &self.provider, now) {
                    Some(error) => Err(error),
                    None => verify_server_name(&parsed, name).map(|()| ServerCertVerified::assertion()),
                }
            }
            Trusted::Certificates { signers, .. } => {
                signers.verify_server_cert(certificate, intermediates, name, ocsp_response, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.into())
}

/// The error of a handshake that a server without TLS may not answer.
fn unanswered(what: &str) -> io::Error {
    invalid(format!("{what} during the TLS handshake; if this port is not for TLS, leave out --tls"))
}

/// Says in one line what went wrong, and what to do.
fn failed(error: &Error) -> io::Error {
    invalid(match error {
        Error::InvalidCertificate(problem) => certificate_problem(problem),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server takes only clients with a certificate, and evclient has none".into()
        }
        Error::AlertReceived(alert) => format!("the server ended the TLS connection: {alert:?}"),
        error => format!("TLS failed: {error}"),
    })
}

fn certificate_problem(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate of the server has expired; it has to be renewed there".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate of the server is not valid yet; check the clocks of both machines".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented.iter().map(|name| plain_name(name)).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no name".into() } else { names };
            let expected = expected.to_str();
            format!(
                "the certificate of the server is not for {expected}, but for {names}; connect by its name"
            )
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => untrusted(""),
        other => untrusted(&format!(" ({other})")),
    }
}

fn untrusted(why: &str) -> String {
    format!(
        "the certificate of the server is not trusted{why}; give --ca FILE, with this certificate or that of its \
         authority"
    )
}

/// Returns a name of a certificate without the type that rustls shows, as in `DnsName("localhost")`.
fn plain_name(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}
