//! Every bound of the node that is not configured, with its reason.

use std::time::Duration;

/// Version of what nodes say to each other on the mesh. Nodes of different versions do not talk.
pub(crate) const MESH_VERSION: u16 = 5;

/// How long a stranger may take for the TLS handshake and its hello, on either port.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Handshakes at one time on one port; beyond that the oldest is given up.
pub(crate) const HANDSHAKES_MAX: usize = 64;

/// Connections at one time to the client port whose key is not enrolled; further ones are closed.
pub(crate) const STRANGERS_MAX: usize = 64;

/// Bytes of a request that a stranger may send.
pub(crate) const STRANGER_REQUEST_BYTES_MAX: usize = 64 << 10;

/// Requests under way at one time on one connection of a client.
pub(crate) const STREAMS_PER_CLIENT_MAX: u32 = 256;

/// How often a silent client connection is asked whether it lives, and how long it may take to say so.
pub(crate) const CLIENT_PING: Duration = Duration::from_secs(20);

/// Waits between attempts to reach a peer; the last one repeats. Without jitter: there are only
/// two peers, and a schedule that can be read makes logs readable.
pub(crate) const RECONNECT_MS: [u64; 6] = [50, 100, 200, 400, 800, 1_000];

/// How often an idle control connection says that it lives.
pub(crate) const BEAT: Duration = Duration::from_secs(2);

/// Silence after which a control connection is given up. Several beats: three busy parties may share
/// two cores.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Bytes of records that are sealed before they are written: with the buffer that reads below they
/// stay in the second-level cache.
pub(crate) const WRITE_BATCH_BYTES: usize = 128 << 10;

/// Bytes that are read from a data stream at once.
pub(crate) const READ_BATCH_BYTES: usize = 256 << 10;

/// Records of a data stream under one key; AES-GCM stays safe for four times as many of full size
/// (RFC 8446, section 5.5).
pub(crate) const RECORDS_PER_KEY: u64 = 1 << 22;

/// Data streams of one pair, idle and leased.
pub(crate) const STREAMS_MAX: usize = 256;

/// Data streams that are made as soon as a control connection stands: a statement's usual need, and
/// the next one's while the peer still finishes the first.
pub(crate) const STREAMS_AHEAD: u64 = 2;

/// How long a new data stream waits for its control connection to be known at the accepting side.
pub(crate) const STALE_WAIT: Duration = Duration::from_secs(2);

/// How long the accepting side waits for a stream that the dialling side has named: it stands already
/// there.
pub(crate) const STREAM_WAIT: Duration = Duration::from_secs(10);

/// How long a stream may be broken before the control connection says why: the word of the peer, or
/// its end, is on the way.
pub(crate) const BREAK_WAIT: Duration = Duration::from_secs(2);

/// Round trips of one measurement; the shortest counts.
pub(crate) const PROBE_PINGS: usize = 24;

/// Pause between them, so that they do not all meet the same busy moment.
pub(crate) const PROBE_PAUSE: Duration = Duration::from_millis(5);

/// Bursts of one measurement of bandwidth; the fastest counts.
pub(crate) const PROBE_BURSTS: usize = 4;

/// Frames of one burst: 2 MiB, which a slow line carries within a second.
pub(crate) const PROBE_BURST_FRAMES: usize = 32;

/// How long an answer may take before a measurement is given up.
pub(crate) const PROBE_WAIT: Duration = Duration::from_secs(20);

/// What a round trip on the control connection takes longer than the network: threads that have to
/// be woken at both ends, on busy machines.
pub(crate) const PROBE_OVERHEAD: Duration = Duration::from_micros(400);

/// How often a node looks at the network again.
pub(crate) const NET_LOOK: Duration = Duration::from_secs(600);

/// The same while the nodes' reports do not agree with the profile in force.
pub(crate) const NET_LOOK_SOON: Duration = Duration::from_secs(5);

/// Bytes of one frame of a bandwidth probe.
pub(crate) const PROBE_FRAME_BYTES: usize = 64 << 10;

/// Bytes of one protocol message at most.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// Bytes that one attempt may have waiting unread. Who waits always drains, so a peer that runs ahead
/// beyond this ends the attempt instead of the memory.
pub(crate) const ATTEMPT_BYTES_MAX: usize = 2 << 30;

/// Bytes of a hello or an abort on a control connection.
pub(crate) const CONTROL_BYTES_MAX: usize = 64 << 10;

/// Attempts of which a hello or an abort came before this node opened them.
pub(crate) const EARLY_MAX: usize = 1_024;

/// How long a Raft message may wait for its answer.
pub(crate) const RAFT_TIMEOUT: Duration = Duration::from_secs(15);

/// Raft requests of one peer that are worked on at one time.
pub(crate) const RAFT_IN_FLIGHT_MAX: usize = 64;

/// Bytes of a request on the Upload service: one chunk of 65,536 rows of all columns.
pub(crate) const UPLOAD_MESSAGE_BYTES_MAX: usize = 256 << 20;

/// Bytes of a request on every other service.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Uploads at one time. Each holds a chunk or two in memory.
pub(crate) const UPLOADS_MAX: usize = 32;

/// How long an upload waits for its turn. Two loads that each have their turn at one node and wait
/// for it at the other must not wait for ever.
pub(crate) const UPLOAD_TURN_WAIT: Duration = Duration::from_secs(10);

/// Silence of a client after which its upload is given up.
pub(crate) const UPLOAD_SILENCE_MAX: Duration = Duration::from_secs(120);

/// Bytes of a file that a backup or a restore copies at once.
pub(crate) const COPY_BYTES: usize = 1 << 20;

/// How long a position may stay marked for a backup: three operators have a day to copy it.
pub(crate) const BACKUP_KEEP: Duration = Duration::from_secs(24 * 3_600);

/// How long a backup waits for its position to be marked, or to be applied here.
pub(crate) const BACKUP_MARK_WAIT: Duration = Duration::from_secs(60);

/// Bytes of a backup's manifest at most.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 1 << 28;

/// Bytes of a request on a repair connection.
pub(crate) const REPAIR_REQUEST_BYTES_MAX: usize = 1 << 10;

/// Bytes of what a peer says of a segment before its pages: the layout of up to 2,048 stored columns.
pub(crate) const REPAIR_HEAD_BYTES_MAX: usize = 1 << 20;

/// How long a peer may take to answer about a segment: it reads the whole file and checks it first.
pub(crate) const REPAIR_HEAD_WAIT: Duration = Duration::from_secs(120);

/// How long one page of a segment may take to arrive or to be taken.
pub(crate) const REPAIR_PAGE_WAIT: Duration = Duration::from_secs(30);

/// Silence after which a peer's repair connection is closed.
pub(crate) const REPAIR_IDLE_MAX: Duration = Duration::from_secs(300);

/// How long `trined repair` waits for both peers when it starts the node by itself.
pub(crate) const REPAIR_READY_WAIT: Duration = Duration::from_secs(60);

/// How often an attempt that waits for a peer looks whether it has been stopped.
pub(crate) const STOP_LOOK: Duration = Duration::from_millis(100);

/// How often to look for a leader while starting.
pub(crate) const LEADER_LOOK: Duration = Duration::from_millis(50);

/// How often freed memory is given back to the system.
pub(crate) const MEMORY_RELEASE: Duration = Duration::from_secs(30);

/// How often to look for staged parts that nobody commits.
pub(crate) const STAGED_LOOK: Duration = Duration::from_secs(60);

/// The shortest pause between two looks for results that are too old.
pub(crate) const RESULTS_LOOK_MIN: Duration = Duration::from_millis(250);

/// Entries of the log after which the packing of a table is asked for again if it was not done.
pub(crate) const PACK_PAUSE_ENTRIES: u64 = 64;

/// Callers of the metrics page at one time; further ones are closed.
pub(crate) const METRICS_CALLERS_MAX: usize = 8;

/// Bytes of a request for it.
pub(crate) const METRICS_REQUEST_BYTES_MAX: usize = 8 << 10;

/// How long such a request, and the answer, may take.
pub(crate) const METRICS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a row of secret parameters that no unfinished statement names is kept.
pub(crate) const PARAMETERS_KEEP: Duration = Duration::from_secs(300);

/// How long a proposal may take until the log has an answer.
pub(crate) const PROPOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request waits for this node to catch up with the log where the client may already
/// have seen a later state at another node.
pub(crate) const CATCH_UP: Duration = Duration::from_secs(3);

/// How far a client's clock may be away from ours.
pub(crate) const CLOCK_SKEW_MAX: Duration = Duration::from_secs(30);

/// Bytes of one piece of a result vector.
pub(crate) const RESULT_PIECE_BYTES: usize = 1 << 20;

/// Bytes of the head of a kept result: its public description, and the text of an EXPLAIN.
pub(crate) const RESULT_HEAD_BYTES_MAX: u32 = 64 << 20;

/// The longest that a State request may wait.
pub(crate) const STATE_WAIT_MAX: Duration = Duration::from_secs(60);

/// Stack of the thread that runs an attempt: planner and executor recurse over the plan.
pub(crate) const ATTEMPT_STACK_BYTES: usize = 64 << 20;

/// How long a graceful stop waits for open requests.
pub(crate) const STOP_WAIT: Duration = Duration::from_secs(3);

/// How long an attempt waits for the hello of a peer that is up but has other jobs to finish first.
pub(crate) const HELLO_WAIT: Duration = Duration::from_secs(600);

/// Pause before a report is offered to the log again.
pub(crate) const PROPOSE_PAUSE: Duration = Duration::from_millis(500);

/// How often a watching client is told how far a running job is.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Bytes of a statement's text at most.
pub(crate) const STATEMENT_BYTES_MAX: usize = 1 << 20;

/// Bytes of one stream that a client may have on the way: a chunk of an upload and more.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 8 << 20;

const _: () = assert!(MESSAGE_BYTES_MAX <= ATTEMPT_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX <= u32::MAX as usize);
// A batch holds a whole record, or nothing would ever be opened.
const _: () = assert!(READ_BATCH_BYTES >= 2 << 14 && WRITE_BATCH_BYTES >= 1 << 14);
const _: () = assert!(RECORDS_PER_KEY < 1 << 24);
const _: () = assert!(BEAT.as_millis() * 5 <= SILENCE_MAX.as_millis());
