//! One lane of an attempt at one party: its two streams, and the loop in which a protocol thread
//! sends and receives on them.
//!
//! Whoever waits here takes in what either peer sends on the lane. So a peer that sends before it
//! receives is never kept waiting by one that waits for somebody else.

use super::stream::{Posted, Stream, Write};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::AtomicUsize;

/// A stream and what the system has said of its socket: edges, so a flag stands until an operation
/// finds that it no longer holds.
struct Side {
    stream: Stream,
    readable: bool,
    writable: bool,
}

/// See the module.
pub(super) struct Lane {
    /// With the next and with the previous party.
    sides: [Side; 2],
    poll: Poll,
    events: Events,
}

/// An operation failed on the stream with the next (0) or the previous (1) party.
pub(super) struct Broken {
    pub(super) side: usize,
    pub(super) error: io::Error,
}

impl Lane {
    pub(super) fn new(streams: [Stream; 2]) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (token, stream) in streams.iter().enumerate() {
            let fd = stream.socket().as_raw_fd();
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut SourceFd(&fd), Token(token), interest)?;
        }
        let sides = streams.map(|stream| Side { stream, readable: false, writable: true });
        Ok(Self { sides, poll, events: Events::with_capacity(4) })
    }

    pub(super) fn into_streams(self) -> [Stream; 2] {
        self.sides.map(|side| side.stream)
    }

    /// Sends `out` to one side and fills `posted` from another, side by side. `over` says whether to
    /// give up; it is asked after every wait.
    pub(super) fn run(
        &mut self,
        out: Option<(usize, &[u8])>,
        mut posted: Option<(usize, &mut Posted<'_>)>,
        waiting: &AtomicUsize,
        over: impl Fn() -> bool,
    ) -> Result<(), Broken> {
        let broken = |side| move |error| Broken { side, error };
        let mut out = match out {
            Some((to, bytes)) => {
                Some((to, self.sides[to].stream.message(bytes).map_err(broken(to))?))
            }
            None => None,
        };
        if let Some((from, posted)) = &mut posted {
            self.sides[*from].stream.claim(posted, waiting).map_err(broken(*from))?;
        }
        loop {
            if let Some((to, message)) = &mut out
                && self.sides[*to].writable
            {
                match self.sides[*to].stream.write(message).map_err(broken(*to))? {
                    Write::Done => out = None,
                    Write::More => {}
                    Write::Blocked => self.sides[*to].writable = false,
                }
            }
            if let Some((from, posted)) = &mut posted
                && !posted.done
                && self.sides[*from].readable
            {
                let side = &mut self.sides[*from];
                side.readable = side.stream.read(Some(posted), waiting).map_err(broken(*from))?;
            }
            let filled = posted.as_ref().is_none_or(|(_, posted)| posted.done);
            if out.is_none() && filled {
                return Ok(());
            }
            let sending = out.as_ref().is_some_and(|(to, _)| self.sides[*to].writable);
            let receiving =
                posted.as_ref().is_some_and(|(from, p)| !p.done && self.sides[*from].readable);
            if sending || receiving {
                continue;
            }
            let waited_on = posted.as_ref().filter(|(_, p)| !p.done).map(|(from, _)| *from);
            if !self.drain(waited_on, waiting)? {
                if over() {
                    return Ok(());
                }
                self.wait().map_err(broken(0))?;
            }
        }
    }

    /// Keeps what has come from whom nobody waits for; false when nothing has. Until then the system
    /// says nothing new of the socket.
    fn drain(&mut self, waited_on: Option<usize>, waiting: &AtomicUsize) -> Result<bool, Broken> {
        let mut drained = false;
        for (at, side) in self.sides.iter_mut().enumerate() {
            if side.readable && Some(at) != waited_on {
                let read = side.stream.read(None, waiting);
                side.readable = read.map_err(|error| Broken { side: at, error })?;
                drained = true;
            }
        }
        Ok(drained)
    }

    /// Waits until a socket can do more.
    fn wait(&mut self) -> io::Result<()> {
        match self.poll.poll(&mut self.events, None) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            if let Some(side) = self.sides.get_mut(event.token().0) {
                // An end or an error shows at the next read or write.
                side.readable |= event.is_readable() || event.is_error() || event.is_read_closed();
                side.writable |= event.is_writable() || event.is_error();
            }
        }
        Ok(())
    }
}
