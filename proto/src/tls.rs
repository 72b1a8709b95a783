//! TLS 1.3 by pinned key: each side shows a self-signed certificate of its Ed25519 key. The client
//! side of a connection demands one certain key; the server side learns which key it speaks with
//! and decides by it. Names and validity dates in certificates mean nothing here.

use crate::identity::{Identity, IdentityError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    ServerConfig, SignatureScheme,
};
use std::sync::Arc;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The Ed25519 key in a certificate; `None` for anything else.
#[must_use]
pub fn key_of_certificate(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let spki = parsed.public_key();
    // id-Ed25519, RFC 8410.
    if spki.algorithm.algorithm.to_id_string() != "1.3.101.112" {
        return None;
    }
    spki.subject_public_key.data.as_ref().try_into().ok()
}

/// Server side: accepts any Ed25519 client key (the caller decides by
/// [`key_of_certificate`] of the peer's certificate). `alpn`: e.g. `h2` for gRPC.
///
/// # Errors
/// [`IdentityError::Certificate`].
pub fn server_config(id: &Identity, alpn: &[&[u8]]) -> Result<ServerConfig, IdentityError> {
    let (chain, key) = certificate(id)?;
    let provider = Arc::new(provider());
    let verifier = Arc::new(AnyKey { algorithms: provider.signature_verification_algorithms });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| IdentityError::Certificate(e.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| IdentityError::Certificate(e.to_string()))?;
    config.alpn_protocols = alpn.iter().map(|a| a.to_vec()).collect();
    Ok(config)
}

/// Client side: shows the key of `id`, demands that the server's is `expected`.
///
/// # Errors
/// [`IdentityError::Certificate`].
pub fn client_config(
    id: &Identity,
    expected: [u8; 32],
    alpn: &[&[u8]],
) -> Result<ClientConfig, IdentityError> {
    let (chain, key) = certificate(id)?;
    let provider = Arc::new(provider());
    let verifier =
        Arc::new(OneKey { expected, algorithms: provider.signature_verification_algorithms });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| IdentityError::Certificate(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain, key)
        .map_err(|e| IdentityError::Certificate(e.to_string()))?;
    config.alpn_protocols = alpn.iter().map(|a| a.to_vec()).collect();
    Ok(config)
}

/// AES-128-GCM before the others: it is the fastest here, and its strength is that of the keys of the
/// protocols.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    let aes_128 = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != aes_128);
    provider
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn certificate(id: &Identity) -> Result<Chain, IdentityError> {
    let fail = |e: rcgen::Error| IdentityError::Certificate(e.to_string());
    let der = PrivatePkcs8KeyDer::from(id.pkcs8().to_vec());
    let pair =
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519).map_err(fail)?;
    let certificate = rcgen::CertificateParams::new(vec!["trine".to_owned()])
        .and_then(|p| p.self_signed(&pair))
        .map_err(fail)?;
    Ok((vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(der)))
}

#[derive(Debug)]
struct OneKey {
    expected: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for OneKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match key_of_certificate(end_entity) {
            Some(key) if key == self.expected => Ok(ServerCertVerified::assertion()),
            Some(key) => Err(Error::General(format!(
                "wrong certificate: the server shows key {}, expected {}",
                hex::encode(key),
                hex::encode(self.expected)
            ))),
            None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[derive(Debug)]
struct AnyKey {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match key_of_certificate(end_entity) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_carries_its_key() {
        let id = Identity::generate().unwrap();
        let (chain, _) = certificate(&id).unwrap();
        assert_eq!(key_of_certificate(&chain[0]), Some(id.public()));
        assert!(server_config(&id, &[b"h2"]).is_ok());
        assert!(client_config(&id, id.public(), &[]).is_ok());
    }

    #[test]
    fn a_handshake_needs_the_expected_key() {
        let server = Identity::generate().unwrap();
        let client = Identity::generate().unwrap();
        let run = |expected: [u8; 32]| -> Result<Option<[u8; 32]>, Error> {
            let cc = Arc::new(client_config(&client, expected, &[]).unwrap());
            let sc = Arc::new(server_config(&server, &[]).unwrap());
            let name = ServerName::try_from("trine").unwrap();
            let mut c = rustls::ClientConnection::new(cc, name)?;
            let mut s = rustls::ServerConnection::new(sc)?;
            for _ in 0..8 {
                let mut wire = Vec::new();
                while c.wants_write() {
                    c.write_tls(&mut wire).unwrap();
                }
                let mut cursor = wire.as_slice();
                while !cursor.is_empty() {
                    s.read_tls(&mut cursor).unwrap();
                    s.process_new_packets()?;
                }
                let mut back = Vec::new();
                while s.wants_write() {
                    s.write_tls(&mut back).unwrap();
                }
                let mut cursor = back.as_slice();
                while !cursor.is_empty() {
                    c.read_tls(&mut cursor).unwrap();
                    c.process_new_packets()?;
                }
            }
            Ok(s.peer_certificates().and_then(|p| key_of_certificate(&p[0])))
        };
        assert_eq!(run(server.public()).unwrap(), Some(client.public()));
        let wrong = run(client.public()).unwrap_err().to_string();
        assert!(wrong.contains("wrong certificate"), "{wrong}");
    }
}
