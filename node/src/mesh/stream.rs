//! A data stream: one TLS connection of a pair that carries the messages of one lane of one attempt
//! at a time. All its work is done by the thread that runs the protocol; nothing here waits.
//!
//! A message is a head of twelve bytes (length, tag of the attempt, number within the stream) and its
//! bytes, cut into records of any size. What comes for a waiting receiver goes straight into its
//! buffer; what nobody waits for yet is kept.

use super::record::{Opener, RECORD_BYTES_MAX, Sealer};
use crate::limits::{ATTEMPT_BYTES_MAX, MESSAGE_BYTES_MAX, READ_BATCH_BYTES, WRITE_BATCH_BYTES};
use rustls::ExtractedSecrets;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const HEAD_BYTES: usize = 12;

/// What a message that nobody waits for is given at first; a head alone reserves no more.
const EARLY_BYTES: usize = 64 << 10;

/// See the module.
pub(super) struct Stream {
    /// Known to both ends, unique on one control connection.
    pub(super) id: u64,
    socket: Arc<TcpStream>,
    sealer: Sealer,
    /// Records on their way; what is before `written` has left.
    out: Vec<u8>,
    written: usize,
    /// Number of the next message.
    next: u32,
    /// Tag of the attempt that leases the stream.
    tag: u32,
    opener: Opener,
    /// Bytes of the socket that are not opened yet are at `start..end`.
    raw: Vec<u8>,
    start: usize,
    end: usize,
    inbound: Inbound,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.id)
    }
}

impl Stream {
    /// A stream on a connection that rustls has made; the socket must not block.
    ///
    /// # Errors
    /// When the connection does not use AES-128-GCM.
    pub(super) fn new(id: u64, socket: TcpStream, secrets: ExtractedSecrets) -> io::Result<Self> {
        Ok(Self {
            id,
            socket: Arc::new(socket),
            sealer: Sealer::new(secrets.tx)?,
            out: Vec::new(),
            written: 0,
            next: 0,
            tag: 0,
            opener: Opener::new(secrets.rx)?,
            raw: Vec::new(),
            start: 0,
            end: 0,
            inbound: Inbound::default(),
        })
    }

    /// To be shut down by whoever ends the attempt.
    pub(super) const fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// Begins the messages of an attempt.
    pub(super) fn lease(&mut self, tag: u32) {
        self.tag = tag;
        self.next = 0;
        self.inbound = Inbound { tag, ..Inbound::default() };
    }

    /// Whether nothing is under way in either direction: another attempt may use the stream.
    pub(super) fn is_clean(&self) -> bool {
        self.written == self.out.len() && self.start == self.end && self.inbound.is_clean()
    }

    /// Whether an idle stream may still be used: nothing has come, not even its end.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.socket.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock)
    }

    /// Gives the buffers of a clean stream back.
    pub(super) fn shrink(&mut self) {
        (self.out, self.written) = (Vec::new(), 0);
        (self.raw, self.start, self.end) = (Vec::new(), 0, 0);
    }

    /// A message to be written by [`Self::write`].
    pub(super) fn message<'a>(&mut self, bytes: &'a [u8]) -> io::Result<Outgoing<'a>> {
        let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= MESSAGE_BYTES_MAX);
        let length = length.ok_or(ErrorKind::InvalidInput)?;
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..8].copy_from_slice(&self.tag.to_le_bytes());
        head[8..].copy_from_slice(&self.next.to_le_bytes());
        self.next = self.next.wrapping_add(1);
        Ok(Outgoing { head, headed: false, bytes })
    }

    /// Seals and writes a batch of a message.
    ///
    /// # Errors
    /// What the socket says.
    pub(super) fn write(&mut self, message: &mut Outgoing<'_>) -> io::Result<Write> {
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
            while self.out.len() < WRITE_BATCH_BYTES && !message.is_sealed() {
                let (head, body) = message.next_record();
                self.sealer.seal(head, body, &mut self.out)?;
                message.advance(body.len());
            }
        }
        while self.written < self.out.len() {
            match (&*self.socket).write(&self.out[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Write::Blocked),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(if message.is_sealed() { Write::Done } else { Write::More })
    }

    /// Hands `posted` what has come already.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn claim(
        &mut self,
        posted: &mut Posted<'_>,
        waiting: &AtomicUsize,
    ) -> io::Result<()> {
        self.inbound.claim(posted, waiting);
        self.open_all(&mut Some(posted), waiting)
    }

    /// Reads once and opens what has come: false when the socket has no more for now. With `posted`
    /// it stops when that is complete, without it everything is kept.
    ///
    /// # Errors
    /// What the socket says; `UnexpectedEof`; `InvalidData` for what makes no sense;
    /// `QuotaExceeded` when a peer runs too far ahead.
    pub(super) fn read(
        &mut self,
        mut posted: Option<&mut Posted<'_>>,
        waiting: &AtomicUsize,
    ) -> io::Result<bool> {
        if posted.is_none() {
            self.open_all(&mut posted, waiting)?;
        }
        if self.raw.is_empty() {
            self.raw.resize(READ_BATCH_BYTES, 0);
        }
        // Less than a record is left: it moves to the front.
        self.raw.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let space = self.raw.len() - self.end;
        let read = match (&*self.socket).read(&mut self.raw[self.end..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(e) => return Err(e),
        };
        self.end += read;
        self.open_all(&mut posted, waiting)?;
        Ok(read == space)
    }

    fn open_all(
        &mut self,
        posted: &mut Option<&mut Posted<'_>>,
        waiting: &AtomicUsize,
    ) -> io::Result<()> {
        while posted.as_ref().is_none_or(|p| !p.done) {
            let have = &mut self.raw[self.start..self.end];
            let Some(length) = Opener::record_bytes(have)?.filter(|l| *l <= have.len()) else {
                break;
            };
            let plain = self.opener.open(&mut have[..length])?;
            self.inbound.feed(plain, posted, waiting)?;
            self.start += length;
        }
        Ok(())
    }
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// All of it is in the socket.
    Done,
    /// A batch is; there is more.
    More,
    /// The socket takes no more for now.
    Blocked,
}

/// A message on its way out.
pub(super) struct Outgoing<'a> {
    head: [u8; HEAD_BYTES],
    headed: bool,
    bytes: &'a [u8],
}

impl<'a> Outgoing<'a> {
    const fn is_sealed(&self) -> bool {
        self.headed && self.bytes.is_empty()
    }

    fn next_record(&self) -> (&[u8], &'a [u8]) {
        let head = if self.headed { &[][..] } else { &self.head[..] };
        (head, &self.bytes[..self.bytes.len().min(RECORD_BYTES_MAX - head.len())])
    }

    fn advance(&mut self, body: usize) {
        self.headed = true;
        self.bytes = &self.bytes[body..];
    }
}

/// Where a receiver waits for a message.
pub(super) struct Posted<'a> {
    into: &'a mut [u8],
    /// Nothing more will come: it is filled, or `wrong`.
    pub(super) done: bool,
    /// Length of a message that does not fit.
    pub(super) wrong: Option<usize>,
}

impl<'a> Posted<'a> {
    pub(super) const fn new(into: &'a mut [u8]) -> Self {
        Self { into, done: false, wrong: None }
    }

    /// Whether a message of this length is the one.
    fn fits(&mut self, length: usize) -> bool {
        if self.into.len() != length {
            self.wrong = Some(length);
            self.done = true;
        }
        self.wrong.is_none()
    }
}

/// The message that is coming in.
struct Body {
    length: usize,
    filled: usize,
    /// Goes into the receiver's buffer; otherwise into `kept`.
    direct: bool,
    kept: Vec<u8>,
}

/// Messages coming in.
#[derive(Default)]
struct Inbound {
    tag: u32,
    /// Number of the next message.
    next: u32,
    head: [u8; HEAD_BYTES],
    head_filled: usize,
    body: Option<Body>,
    /// Whole messages that nobody has waited for yet.
    kept: VecDeque<Vec<u8>>,
}

impl Inbound {
    fn is_clean(&self) -> bool {
        self.head_filled == 0 && self.body.is_none() && self.kept.is_empty()
    }

    fn claim(&mut self, posted: &mut Posted<'_>, waiting: &AtomicUsize) {
        if let Some(message) = self.kept.pop_front() {
            waiting.fetch_sub(message.len(), Ordering::Relaxed);
            if posted.fits(message.len()) {
                posted.into.copy_from_slice(&message);
                posted.done = true;
            }
        } else if let Some(body) = &mut self.body
            && posted.fits(body.length)
        {
            waiting.fetch_sub(body.length, Ordering::Relaxed);
            posted.into[..body.filled].copy_from_slice(&body.kept);
            (body.direct, body.kept) = (true, Vec::new());
        }
    }

    fn feed(
        &mut self,
        mut plain: &[u8],
        posted: &mut Option<&mut Posted<'_>>,
        waiting: &AtomicUsize,
    ) -> io::Result<()> {
        while !plain.is_empty() {
            let Some(body) = &mut self.body else {
                let n = plain.len().min(HEAD_BYTES - self.head_filled);
                self.head[self.head_filled..self.head_filled + n].copy_from_slice(&plain[..n]);
                self.head_filled += n;
                plain = &plain[n..];
                if self.head_filled == HEAD_BYTES {
                    self.begin(posted, waiting)?;
                }
                continue;
            };
            let n = plain.len().min(body.length - body.filled);
            let piece;
            (piece, plain) = plain.split_at(n);
            if body.direct {
                let posted = posted.as_mut().ok_or(ErrorKind::InvalidData)?;
                posted.into[body.filled..body.filled + n].copy_from_slice(piece);
            } else {
                body.kept.extend_from_slice(piece);
            }
            body.filled += n;
            self.finish(posted);
        }
        Ok(())
    }

    /// A head is complete.
    fn begin(
        &mut self,
        posted: &mut Option<&mut Posted<'_>>,
        waiting: &AtomicUsize,
    ) -> io::Result<()> {
        self.head_filled = 0;
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&self.head[at..at + 4]);
            u32::from_le_bytes(word)
        };
        let length = usize::try_from(word(0)).map_err(|_| ErrorKind::InvalidData)?;
        if length > MESSAGE_BYTES_MAX || word(4) != self.tag || word(8) != self.next {
            let text = "the peer sent a message that is out of its turn";
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        self.next = self.next.wrapping_add(1);
        let waited = posted.as_mut().filter(|p| !p.done && self.kept.is_empty());
        let direct = waited.is_some_and(|p| p.fits(length));
        let mut kept = Vec::new();
        if !direct {
            let total = waiting.fetch_add(length, Ordering::Relaxed) + length;
            if total > ATTEMPT_BYTES_MAX {
                return Err(ErrorKind::QuotaExceeded.into());
            }
            kept.reserve(length.min(EARLY_BYTES));
        }
        self.body = Some(Body { length, filled: 0, direct, kept });
        self.finish(posted);
        Ok(())
    }

    /// Takes the message away when it is complete.
    fn finish(&mut self, posted: &mut Option<&mut Posted<'_>>) {
        if self.body.as_ref().is_none_or(|b| b.filled < b.length) {
            return;
        }
        if let Some(body) = self.body.take() {
            match posted {
                Some(posted) if body.direct => posted.done = true,
                _ => self.kept.push_back(body.kept),
            }
        }
    }
}
