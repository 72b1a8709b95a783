//! Identities: an Ed25519 key is a node's, a client's, a principal's identity, for signatures and
//! for TLS alike. There is no certificate authority that three organisations would have to share.

use crate::command::SignedBytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::fmt;
use zeroize::Zeroizing;

/// A secret signing key. Never prints.
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
}

/// A key, signature or certificate that is not what it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdentityError {
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness,
    /// Not 64 hexadecimal digits.
    #[error("a secret key is written as 64 hexadecimal digits")]
    Malformed,
    /// The signature does not fit key and message.
    #[error("signature does not verify")]
    BadSignature,
    /// A certificate or TLS configuration could not be made.
    #[error("certificate: {0}")]
    Certificate(String),
}

impl Identity {
    /// A fresh key.
    ///
    /// # Errors
    /// [`IdentityError::Randomness`].
    pub fn generate() -> Result<Self, IdentityError> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(seed.as_mut()).map_err(|_| IdentityError::Randomness)?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }
    /// From the 32-byte seed in hexadecimal, as configuration files hold it.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`].
    pub fn from_hex(text: &str) -> Result<Self, IdentityError> {
        let bytes = Zeroizing::new(hex::decode(text.trim()).map_err(|_| IdentityError::Malformed)?);
        let seed: [u8; 32] = bytes.as_slice().try_into().map_err(|_| IdentityError::Malformed)?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }
    /// The secret seed in hexadecimal, for a configuration file of mode 0600 only.
    #[must_use]
    pub fn secret_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.key.to_bytes()))
    }
    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }
    /// Signature over `domain` followed by `body`.
    #[must_use]
    pub fn sign(&self, domain: &[u8], body: Vec<u8>) -> SignedBytes {
        let signature = self.key.sign(&[domain, &body].concat()).to_bytes().to_vec();
        SignedBytes { body, public_key: self.public(), signature }
    }
    /// PKCS#8 of the key (DER), for TLS.
    pub(crate) fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        // RFC 8410, section 7: PrivateKeyInfo of an Ed25519 seed has this fixed prefix.
        const PREFIX: [u8; 16] = [
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        let mut der = Zeroizing::new(PREFIX.to_vec());
        der.extend_from_slice(&self.key.to_bytes());
        der
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", hex::encode(self.public()))
    }
}

impl SignedBytes {
    /// Verifies the signature over `domain` followed by the body.
    ///
    /// # Errors
    /// [`IdentityError::BadSignature`].
    pub fn verify(&self, domain: &[u8]) -> Result<(), IdentityError> {
        let key =
            VerifyingKey::from_bytes(&self.public_key).map_err(|_| IdentityError::BadSignature)?;
        let signature =
            Signature::from_slice(&self.signature).map_err(|_| IdentityError::BadSignature)?;
        key.verify_strict(&[domain, &self.body].concat(), &signature)
            .map_err(|_| IdentityError::BadSignature)
    }
}

impl From<crate::wire::Signed> for SignedBytes {
    /// A key of the wrong length becomes the zero key, which verifies nothing.
    fn from(s: crate::wire::Signed) -> Self {
        Self {
            body: s.body,
            public_key: s.public_key.try_into().unwrap_or([0; 32]),
            signature: s.signature,
        }
    }
}

impl From<SignedBytes> for crate::wire::Signed {
    fn from(s: SignedBytes) -> Self {
        Self { body: s.body, public_key: s.public_key.to_vec(), signature: s.signature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_hold_and_break() {
        let id = Identity::generate().unwrap();
        let mut signed = id.sign(b"d", b"body".to_vec());
        assert_eq!(signed.verify(b"d"), Ok(()));
        assert_eq!(signed.verify(b"e"), Err(IdentityError::BadSignature));
        signed.body.push(1);
        assert_eq!(signed.verify(b"d"), Err(IdentityError::BadSignature));
    }

    #[test]
    fn an_identity_does_not_print_its_secret() {
        let id = Identity::generate().unwrap();
        assert!(!format!("{id:?}").contains(id.secret_hex().as_str()));
        assert_eq!(Identity::from_hex(&id.secret_hex()).unwrap().public(), id.public());
    }
}
