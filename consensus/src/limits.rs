//! Every bound of the crate. All nodes must agree on those that `apply` reads: changing one of
//! them changes what the same log means.

use std::time::Duration;

/// Encoded bytes of one command at most. Large because a schema may carry long ENUM dictionaries.
pub const COMMAND_BYTES_MAX: usize = 16 << 20;

/// Encoded bytes of one message between two nodes at most. A transport may refuse longer ones.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Bytes of one statement's text at most.
pub const STATEMENT_BYTES_MAX: usize = 256 << 10;

/// Bytes of an error's message and of its hint that the replicated state keeps.
pub const ERROR_BYTES_MAX: usize = 4 << 10;

/// Bytes of a principal's name at most.
pub const PRINCIPAL_NAME_BYTES_MAX: usize = 128;

/// Enrolled principals at most.
pub const PRINCIPALS_MAX: usize = 10_000;

/// Reports in a row that must speak for another network profile: more than a busy minute of one node.
pub const NET_REPORTS_IN_A_ROW: u32 = 6;

/// Lanes of a protocol at most.
pub const LANES_MAX: u32 = 64;

/// How long another node may take to show that it is there, before an error names it.
pub(crate) const ASK_WAIT: Duration = Duration::from_secs(1);

/// Bytes that the database of log and state keeps in memory before it writes them to a sorted file.
pub(crate) const WRITE_BUFFER_BYTES: usize = 16 << 20;

/// Bytes of write-ahead log at which old ones are written out and dropped.
pub(crate) const WAL_BYTES_MAX: u64 = 64 << 20;

/// Tables that exist at one position at most.
pub const TABLES_MAX: usize = 10_000;

/// Dropped tables kept at most; more only while an unfinished query may read them.
pub const DROPPED_TABLES_MAX: usize = 10_000;

/// Indexes, checks and references of one table at most, of each kind.
pub const RULES_MAX: usize = 64;

/// Bytes of the SQL text of a default or a check at most.
pub const RULE_BYTES_MAX: usize = 4 << 10;

/// Bytes of a view's SELECT at most.
pub const VIEW_BYTES_MAX: usize = 64 << 10;

/// Relations that one view may name.
pub const VIEW_DEPENDS_MAX: usize = 256;

/// Segments of one size that are packed into one, at least.
pub const PACK_SEGMENTS_MIN: usize = 32;

/// The same at most: bounds the entry and the work of one attempt.
pub const PACK_SEGMENTS_MAX: usize = 1_024;

/// Segments with as many rows are not small any more.
pub const PACK_ROWS_EACH: u64 = 1 << 12;

/// Outcomes kept by command id at most.
pub const OUTCOMES_MAX: usize = 10_000;

/// Ended transactions kept at most.
pub const TRANSACTIONS_ENDED_MAX: usize = 10_000;

/// Ended queries kept at most.
pub const JOBS_ENDED_MAX: usize = 10_000;

/// Bytes of statement text that ended queries may hold together.
pub const JOBS_ENDED_TEXT_BYTES_MAX: usize = 16 << 20;

/// Unfinished queries at most.
pub const JOBS_ACTIVE_MAX: usize = 1_000;

/// Unfinished validations at most.
pub const VALIDATIONS_MAX: usize = 1_000;

/// Transactions between BEGIN and COMMIT at most.
pub const TRANSACTIONS_OPEN_MAX: usize = 1_000;

/// Statements of one transaction that write at most.
pub const TRANSACTION_STATEMENTS_MAX: u32 = 10_000;

/// Positions that may be marked for a backup at one time; each keeps the segments visible there.
pub const BACKUP_MARKS_MAX: usize = 4;

/// Attempts of a query or of a validation before it is given up.
pub const ATTEMPTS_MAX: u32 = 5;

/// How often a leader speaks to its followers.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(250);

/// Silence after which a follower stands for election, shortest and longest.
pub(crate) const ELECTION: (Duration, Duration) =
    (Duration::from_millis(1_500), Duration::from_millis(3_000));

/// Log entries in one message between nodes at most.
pub(crate) const ENTRIES_PER_MESSAGE_MAX: u64 = 64;

/// Bytes of log entries in one message at most, but a single entry always travels. Small, because
/// Raft gives such a message one heartbeat's time.
pub(crate) const ENTRIES_BYTES_PER_MESSAGE_MAX: usize = 512 << 10;

/// Bytes of a snapshot in one message.
pub(crate) const SNAPSHOT_PIECE_BYTES: u64 = 4 << 20;

/// Time for one such piece to arrive and be answered.
pub(crate) const SNAPSHOT_PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a snapshot that this node is ready to receive.
pub(crate) const SNAPSHOT_BYTES_MAX: usize = 1 << 30;

/// Time that a leader spends on another node's proposal; longer only without a quorum.
pub(crate) const ORDER_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for the Raft threads to end.
pub(crate) const RUNTIME_END: Duration = Duration::from_secs(5);

/// Pause before a node without a log, or without a vote, asks the others again.
pub(crate) const JOIN_PAUSE: Duration = Duration::from_millis(200);

/// Entries that a new member may lack when it becomes a voter.
pub(crate) const CATCH_UP_ENTRIES: u64 = 100;

/// Pause before a proposal that found no leader is tried again.
pub(crate) const PROPOSE_PAUSE: Duration = Duration::from_millis(50);

/// Outcomes of the latest entries that a node keeps for those who wait for them.
pub(crate) const RECENT_OUTCOMES_MAX: usize = 4_096;

/// Applied entries after which the state is written out as a snapshot for lagging nodes.
/// Fewer in tests of this crate, which would else order thousands of commands to see one.
pub(crate) const SNAPSHOT_ENTRIES: u64 = if cfg!(test) { 400 } else { 2_000 };

/// Log entries kept behind a snapshot, so that a node that was away for a moment needs none.
pub(crate) const ENTRIES_KEPT: u64 = if cfg!(test) { 100 } else { 500 };

const _: () = assert!(COMMAND_BYTES_MAX + ENTRIES_BYTES_PER_MESSAGE_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(SNAPSHOT_PIECE_BYTES < COMMAND_BYTES_MAX as u64);
const _: () = assert!(STATEMENT_BYTES_MAX < COMMAND_BYTES_MAX);
const _: () = assert!(JOBS_ACTIVE_MAX < JOBS_ENDED_MAX);
