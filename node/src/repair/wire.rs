//! What is said on a repair connection. Messages are postcard behind their length (u32,
//! little-endian); pages are bare, because both ends know their lengths from the head.
//!
//! ```text
//! request ──►
//!            ◄── head, or why not
//!            ◄── chunk 0: a page for each secret stored column, if explicit; PUBLIC pages, if asked
//!            ◄── chunk 1: …
//! request ──► …
//! ```

use crate::limits::REPAIR_PAGE_WAIT;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use trine_proto::schema::StoredColumn;
use trine_storage::ComponentHeader;

/// Asks for the one component of a segment that both ends hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) table: u64,
    pub(super) segment: [u8; 16],
    /// Whether the PUBLIC columns shall come too.
    pub(super) public: bool,
}

/// What a holder says of a segment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Of the schema that the batch was cut for.
    pub(super) schema_digest: [u8; 32],
    pub(super) rows: u64,
    pub(super) layout: Vec<StoredColumn>,
    /// Salt, and seed if it is made from one, of the component that both ends hold.
    pub(super) component: ComponentHeader,
    /// Plain digest of the PUBLIC columns.
    pub(super) public_digest: [u8; 32],
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("rows", &self.rows)
            .field("component", &self.component)
            .finish_non_exhaustive()
    }
}

/// A head, or a sentence that says why there is none.
pub(super) type Answer = Result<Head, String>;

/// A sentence for the operator.
pub(super) type Failure = String;

/// Sends one message.
pub(super) async fn send<T: Serialize>(
    output: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<(), Failure> {
    let body = postcard::to_stdvec(message).map_err(|e| e.to_string())?;
    let length = u32::try_from(body.len()).map_err(|_| "a message is too long".to_owned())?;
    let whole = [&length.to_le_bytes()[..], &body].concat();
    send_page(output, &whole).await
}

/// Sends bare bytes.
pub(super) async fn send_page(
    output: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
) -> Result<(), Failure> {
    let sending = async {
        output.write_all(bytes).await?;
        output.flush().await
    };
    match tokio::time::timeout(REPAIR_PAGE_WAIT, sending).await {
        Ok(sent) => sent.map_err(|e| e.to_string()),
        Err(_) => Err("the other side does not read".into()),
    }
}

/// Receives one message of at most `bytes_max` bytes; `None` if the connection ends before it.
pub(super) async fn receive<T: DeserializeOwned>(
    input: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
    wait: Duration,
) -> Result<Option<T>, Failure> {
    let receiving = async {
        let mut length = [0; 4];
        match input.read_exact(&mut length).await {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(|e| e.to_string())?,
        };
        let length = u32::from_le_bytes(length) as usize;
        if length > bytes_max {
            return Err(format!("a message of {length} bytes, {bytes_max} at most are due"));
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).await.map_err(|e| e.to_string())?;
        postcard::from_bytes(&body).map(Some).map_err(|_| "a message that makes no sense".into())
    };
    tokio::time::timeout(wait, receiving)
        .await
        .unwrap_or_else(|_| Err(format!("nothing came for {} seconds", wait.as_secs())))
}

/// Receives exactly so many bytes.
pub(super) async fn receive_page(
    input: &mut (impl AsyncRead + Unpin),
    length: usize,
) -> Result<Vec<u8>, Failure> {
    let mut page = vec![0; length];
    let reading = input.read_exact(&mut page);
    match tokio::time::timeout(REPAIR_PAGE_WAIT, reading).await {
        Ok(Ok(_)) => Ok(page),
        Ok(Err(e)) => Err(format!("the connection ended within a segment: {e}")),
        Err(_) => Err(format!("nothing came for {} seconds", REPAIR_PAGE_WAIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trine_storage::ComponentSource;

    #[test]
    fn a_head_does_not_print_salt_or_seed() {
        let head = Head {
            schema_digest: [0xab; 32],
            rows: 3,
            layout: Vec::new(),
            component: ComponentHeader {
                salt: [0xcd; 16],
                source: ComponentSource::Seed([0xef; 32]),
            },
            public_digest: [0x9a; 32],
        };
        let text = format!("{head:?}");
        for byte in ["205", "239", "cd", "ef"] {
            assert!(!text.replace("redacted", "").contains(&format!("{byte}, ")), "{text}");
        }
        assert!(text.contains("Seed(redacted)"), "{text}");
    }

    #[tokio::test]
    async fn messages_arrive_and_long_ones_are_refused() {
        let (mut a, mut b) = tokio::io::duplex(1 << 16);
        let request = Request { table: 7, segment: [3; 16], public: true };
        send(&mut a, &request).await.unwrap();
        let wait = Duration::from_secs(5);
        assert_eq!(receive(&mut b, 100, wait).await, Ok(Some(request.clone())));
        send(&mut a, &request).await.unwrap();
        let refused = receive::<Request>(&mut b, 10, wait).await;
        assert!(refused.unwrap_err().contains("10 at most"));
        drop(a);
        let mut rest = Vec::new();
        b.read_to_end(&mut rest).await.unwrap();
        assert_eq!(receive::<Request>(&mut b, 100, wait).await, Ok(None));
    }
}
