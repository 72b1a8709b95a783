//! MD5 and SHA-2 of texts that the statement writes out, as PostgreSQL shows them: there is no protocol
//! for them, only [`super::plain_rule`] computes them.

use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use md5::Md5;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use std::sync::Arc;

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Md5,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Kind {
    const ALL: [(&'static str, Self); 5] = [
        ("md5", Self::Md5),
        ("sha224", Self::Sha224),
        ("sha256", Self::Sha256),
        ("sha384", Self::Sha384),
        ("sha512", Self::Sha512),
    ];

    fn of(self, text: &str) -> String {
        // PostgreSQL gives bytes of SHA-2, which it shows with a prefix.
        match self {
            Self::Md5 => hex("", &<Md5 as md5::Digest>::digest(text)),
            Self::Sha224 => hex("\\x", &Sha224::digest(text)),
            Self::Sha256 => hex("\\x", &Sha256::digest(text)),
            Self::Sha384 => hex("\\x", &Sha384::digest(text)),
            Self::Sha512 => hex("\\x", &Sha512::digest(text)),
        }
    }
}

fn hex(prefix: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(prefix.to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// All of them.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let signature = || Signature::string(1, Volatility::Immutable);
    let one = |(name, kind)| HashFunction { name, kind, signature: signature() };
    Kind::ALL.into_iter().map(|named| Arc::new(ScalarUDF::from(one(named)))).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HashFunction {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for HashFunction {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = match args.args.as_slice() {
            [ColumnarValue::Scalar(value)] => value.try_as_str().flatten(),
            _ => {
                let message = format!("{} takes one constant", self.name);
                return Err(DataFusionError::NotImplemented(message));
            }
        };
        let value = text.map(|text| self.kind.of(text));
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standards() {
        assert_eq!(Kind::Md5.of("abc"), "900150983cd24fb0d6963f7d28e17f72");
        let sha = "\\xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Kind::Sha256.of("abc"), sha);
    }
}
