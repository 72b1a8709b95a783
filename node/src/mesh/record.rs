//! TLS 1.3 records of a data stream, sealed and opened in the protocol's own thread.
//!
//! rustls makes the connection and hands its traffic keys over; from then on records have the
//! format of RFC 8446, section 5.2, with AES-128-GCM. Instead of a KeyUpdate message both ends move
//! to the next key after a fixed number of records, so that no key is used near its limit.

use crate::limits::RECORDS_PER_KEY;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;
use std::fmt;
use std::io;

/// Plaintext bytes of one record at most, without the byte that names its type.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 14;
/// Bytes before the ciphertext.
pub(super) const RECORD_HEADER_BYTES: usize = 5;
/// Bytes of the tag and the type.
const RECORD_TRAILER_BYTES: usize = 17;
/// Bytes of a record on the wire at most.
pub(super) const SEALED_BYTES_MAX: usize =
    RECORD_HEADER_BYTES + RECORD_BYTES_MAX + RECORD_TRAILER_BYTES;

const APPLICATION_DATA: u8 = 23;
const ALERT: u8 = 21;
const KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;

/// One direction of a stream: its key and how many records it has carried.
struct Traffic {
    key: LessSafeKey,
    /// Key and nonce base, from which the next ones are made.
    material: [u8; KEY_BYTES + NONCE_BYTES],
    sequence: u64,
}

impl Traffic {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> io::Result<Self> {
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            return Err(io::Error::other("the connection does not use AES-128-GCM"));
        };
        let mut material = [0; KEY_BYTES + NONCE_BYTES];
        material[..KEY_BYTES].copy_from_slice(key.as_ref());
        material[KEY_BYTES..].copy_from_slice(iv.as_ref());
        Ok(Self { key: aead_key(&material)?, material, sequence })
    }

    /// Nonce of the next record; every `RECORDS_PER_KEY` records under a new key.
    fn advance(&mut self) -> io::Result<Nonce> {
        if self.sequence > 0 && self.sequence.is_multiple_of(RECORDS_PER_KEY) {
            let mut hasher = blake3::Hasher::new_derive_key("trine/v1 next key of a data stream");
            hasher.update(&self.material);
            hasher.finalize_xof().fill(&mut self.material);
            self.key = aead_key(&self.material)?;
        }
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&self.material[KEY_BYTES..]);
        for (byte, count) in nonce[NONCE_BYTES - 8..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= count;
        }
        self.sequence += 1;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Traffic({} records)", self.sequence)
    }
}

fn aead_key(material: &[u8; KEY_BYTES + NONCE_BYTES]) -> io::Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_128_GCM, &material[..KEY_BYTES])
        .map_err(|_| io::Error::other("a traffic key is unusable"))?;
    Ok(LessSafeKey::new(key))
}

/// Makes records.
#[derive(Debug)]
pub(super) struct Sealer(Traffic);

impl Sealer {
    pub(super) fn new(secrets: (u64, ConnectionTrafficSecrets)) -> io::Result<Self> {
        Traffic::new(secrets).map(Self)
    }

    /// Appends one record that carries `head` and `body`, together `RECORD_BYTES_MAX` at most.
    ///
    /// # Errors
    /// When the cipher refuses: a defect, the stream is of no use any more.
    pub(super) fn seal(&mut self, head: &[u8], body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let sealed = head.len() + body.len() + RECORD_TRAILER_BYTES;
        let length = u16::try_from(sealed).map_err(|_| io::Error::other("a record is too long"))?;
        let nonce = self.0.advance()?;
        let [high, low] = length.to_be_bytes();
        let header = [APPLICATION_DATA, 3, 3, high, low];
        out.extend_from_slice(&header);
        let start = out.len();
        out.extend_from_slice(head);
        out.extend_from_slice(body);
        out.push(APPLICATION_DATA);
        let tag = self
            .0
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[start..])
            .map_err(|_| io::Error::other("a record cannot be sealed"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Opens records.
#[derive(Debug)]
pub(super) struct Opener(Traffic);

impl Opener {
    pub(super) fn new(secrets: (u64, ConnectionTrafficSecrets)) -> io::Result<Self> {
        Traffic::new(secrets).map(Self)
    }

    /// Bytes of the record that `bytes` begins with; `None` while its header is incomplete.
    ///
    /// # Errors
    /// When no record begins so.
    pub(super) fn record_bytes(bytes: &[u8]) -> io::Result<Option<usize>> {
        let Some((header, _)) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([header[3], header[4]]));
        let smallest = RECORD_HEADER_BYTES + RECORD_TRAILER_BYTES;
        if header[..3] != [APPLICATION_DATA, 3, 3]
            || !(smallest..=SEALED_BYTES_MAX).contains(&length)
        {
            return Err(nonsense());
        }
        Ok(Some(length))
    }

    /// The plaintext of one whole record, opened in place.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer closes the stream; `InvalidData` for what the peer's key did
    /// not seal, or out of order.
    pub(super) fn open<'a>(&mut self, record: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let nonce = self.0.advance()?;
        let Some((header, sealed)) = record.split_first_chunk_mut::<RECORD_HEADER_BYTES>() else {
            return Err(nonsense());
        };
        let aad = Aad::from(*header);
        let opened = self.0.key.open_in_place(nonce, aad, sealed).map_err(|_| nonsense())?;
        match opened.split_last() {
            Some((&APPLICATION_DATA, plain)) => Ok(plain),
            Some((&ALERT, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Err(nonsense()),
        }
    }
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the peer sent a record that makes no sense")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::cipher::{AeadKey, Iv};

    fn secrets(sequence: u64) -> (u64, ConnectionTrafficSecrets) {
        let key = AeadKey::from([7; 32]);
        // rustls has no maker of a shorter key; the first half is what AES-128 uses.
        let secrets = ConnectionTrafficSecrets::Aes256Gcm { key, iv: Iv::from([9; 12]) };
        (sequence, secrets)
    }

    fn traffic(sequence: u64) -> Traffic {
        let material = [7; KEY_BYTES + NONCE_BYTES];
        Traffic { key: aead_key(&material).unwrap(), material, sequence }
    }

    #[test]
    fn records_survive_over_a_change_of_keys() {
        let start = RECORDS_PER_KEY - 2;
        let (mut sealer, mut opener) = (Sealer(traffic(start)), Opener(traffic(start)));
        let before = sealer.0.material;
        for n in 0..5_u8 {
            let body = vec![n; if n == 3 { RECORD_BYTES_MAX - 2 } else { usize::from(n) }];
            let mut wire = Vec::new();
            sealer.seal(&[1, 2], &body, &mut wire).unwrap();
            assert_eq!(Opener::record_bytes(&wire).unwrap(), Some(wire.len()));
            let plain = opener.open(&mut wire).unwrap();
            assert_eq!((&plain[..2], &plain[2..]), (&[1, 2][..], &body[..]));
        }
        assert_ne!(sealer.0.material, before);
        assert_eq!(sealer.0.material, opener.0.material);
    }

    #[test]
    fn changed_repeated_and_foreign_records_are_refused() {
        let mut wire = Vec::new();
        Sealer(traffic(0)).seal(&[], &[1, 2, 3], &mut wire).unwrap();
        for at in 0..wire.len() {
            let mut changed = wire.clone();
            changed[at] ^= 1;
            assert!(Opener(traffic(0)).open(&mut changed).is_err(), "byte {at}");
        }
        assert!(Opener(traffic(1)).open(&mut wire.clone()).is_err());
        assert!(Opener(traffic(0)).open(&mut wire).is_ok());
        assert!(Opener::record_bytes(b"GET / HTTP").is_err());
        assert!(Opener::record_bytes(&[23, 3, 3, 255, 255]).is_err());
        assert!(Opener::record_bytes(&[23, 3, 3, 0, 16]).is_err());
        assert_eq!(Opener::record_bytes(&[23, 3]).unwrap(), None);
        assert!(Sealer::new(secrets(0)).is_err());
    }

    #[test]
    fn a_closing_alert_is_the_end() {
        let mut traffic_out = traffic(0);
        let nonce = traffic_out.advance().unwrap();
        let mut wire = vec![23, 3, 3, 0, 19, 1, 0, ALERT];
        let (header, body) = wire.split_at_mut(5);
        let aad = Aad::from(<[u8; 5]>::try_from(&*header).unwrap());
        let tag = traffic_out.key.seal_in_place_separate_tag(nonce, aad, body).unwrap();
        wire.extend_from_slice(tag.as_ref());
        let error = Opener(traffic(0)).open(&mut wire).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
