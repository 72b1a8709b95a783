//! Loading CSV files: read twice, in constant memory. The first reading checks every cell and
//! counts the rows (the header of an upload names them), the second one cuts. So a bad cell is
//! known before anything leaves the machine.

mod check;
mod propose;
mod source;

pub use check::{BadCell, Checked, check};
pub use propose::{Proposal, propose};

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use trine_proto::CHUNK_ROWS;
use trine_proto::ids::TransactionId;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::Within;
use trine_proto::wire::upload_message::Message;

use crate::block::TransactionBlock;
use crate::client::Client;
use crate::cut::Cutter;
use crate::encode::{PlainChunk, RowEncoder};
use crate::random::random_id;
use crate::statement::Copy;
use crate::upload::{Committed, Streams, placed, send};
use crate::value::Answer;
use source::Source;

/// Chunks that wait between reading and cutting.
const QUEUED_CHUNKS: usize = 2;
/// Records between two updates of the progress.
const PROGRESS_RECORDS: u64 = 4096;

/// What a load is told beside its table and files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// The text that stands for NULL. Empty by default; then an empty cell of a NOT NULL text
    /// column is the empty text.
    pub null: String,
    /// Where bad rows are written; without it a bad row stops the load.
    pub skip_bad: Option<PathBuf>,
    /// Names of the columns that the fields go to; none: the first line of the file says it.
    pub columns: Option<Vec<String>>,
    /// Lines before the first record, where `columns` are given.
    pub skip_lines: u32,
    /// What stands between two fields.
    pub delimiter: u8,
}

impl Default for LoadOptions {
    fn default() -> Self {
        let (null, skip_bad, columns) = (String::new(), None, None);
        Self { null, skip_bad, columns, skip_lines: 0, delimiter: b',' }
    }
}

/// Bytes read so far, for a progress bar. Shared with whoever draws it.
#[derive(Debug, Default)]
pub struct LoadProgress {
    /// Bytes of the files, both readings together.
    pub bytes_total: AtomicU64,
    /// Bytes of them read.
    pub bytes_done: AtomicU64,
}

impl LoadProgress {
    /// Starts with files to be read twice.
    pub(crate) fn start(&self, files: &[PathBuf]) {
        let length = |f: &PathBuf| std::fs::metadata(f).map_or(0, |m| m.len());
        let once: u64 = files.iter().map(length).sum();
        self.bytes_total.store(2 * once, Ordering::Relaxed);
        self.bytes_done.store(0, Ordering::Relaxed);
    }
}

impl Client {
    /// COPY FROM: checks the whole file on this machine, then loads it as one batch.
    pub(crate) async fn copy(
        &self,
        copy: Copy,
        block: &mut TransactionBlock,
        within: Option<Within>,
    ) -> Result<Answer, SqlError> {
        let place = |e: SqlError| placed(e, copy.position);
        let schema = self.schema(&copy.table).await.map_err(place)?;
        let mut options = copy.options;
        let all = || schema.columns.iter().map(|c| c.name.clone()).collect();
        options.columns = Some(copy.columns.unwrap_or_else(all));
        let progress = Arc::new(LoadProgress::default());
        let (files, shown) = (vec![copy.file], Arc::clone(&progress));
        let checked = tokio::task::spawn_blocking(move || check(&schema, &files, &options, &shown))
            .await
            .map_err(|e| SqlError::new(sqlstate::INTERNAL_ERROR, e.to_string()))??;
        if let Some(bad) = checked.bad.first() {
            let more = checked.bad_cells.saturating_sub(1);
            let rest = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            return Err(SqlError::new(sqlstate::BAD_COPY_FILE, format!("{bad}{rest}"))
                .hint("nothing was loaded"));
        }
        let rows = checked.rows;
        if rows > 0 {
            let id = TransactionId(random_id()?);
            block.running = Some(id);
            self.load_within(checked, id, true, within, progress).await?;
        }
        Ok(Answer::Done { tag: "COPY".into(), rows: Some(rows), notice: None })
    }

    /// Cuts, uploads and commits files that were [`check`]ed, as one transaction.
    ///
    /// `transaction`: a fresh random id, or (`fresh` false) that of an earlier attempt which may have
    /// come through; then its outcome is the answer and nothing is loaded twice.
    ///
    /// # Errors
    /// `22P04` if a file changed since it was checked; a node's failure or refusal. Nothing is
    /// visible then.
    pub async fn load(
        &self,
        checked: Checked,
        transaction: TransactionId,
        fresh: bool,
        progress: Arc<LoadProgress>,
    ) -> Result<Committed, SqlError> {
        self.load_within(checked, transaction, fresh, None, progress).await
    }

    /// The same as a statement of a block: inside a transaction the batch joins that.
    ///
    /// # Errors
    /// As [`Self::load`]; `25P02` after an error in the transaction.
    pub async fn load_in(
        &self,
        block: &mut TransactionBlock,
        checked: Checked,
        progress: Arc<LoadProgress>,
    ) -> Result<Committed, SqlError> {
        let within = block.begins(true)?;
        let transaction = TransactionId(random_id()?);
        block.running = Some(transaction);
        let committed = self.load_within(checked, transaction, true, within, progress).await?;
        block.ended(true);
        Ok(committed)
    }

    async fn load_within(
        &self,
        checked: Checked,
        transaction: TransactionId,
        fresh: bool,
        within: Option<Within>,
        progress: Arc<LoadProgress>,
    ) -> Result<Committed, SqlError> {
        if !fresh && let Some(committed) = self.outcome_before(transaction).await? {
            return Ok(committed);
        }
        let cluster = self.config().cluster_id;
        self.upload(transaction, fresh, within, move |streams| {
            let cutter = Cutter::new(&checked.schema, checked.rows)?;
            for (header, stream) in
                cutter.headers(cluster, transaction, checked.rows).into_iter().zip(&streams)
            {
                send(stream, Message::Header(header))?;
            }
            pipeline(&checked, &cutter, &streams, &progress)
        })
        .await
    }
}

/// Reading and encoding on one thread, cutting and sending on this one.
fn pipeline(
    checked: &Checked,
    cutter: &Cutter,
    streams: &Streams,
    progress: &LoadProgress,
) -> Result<(), SqlError> {
    let (chunks, ready) = mpsc::sync_channel::<PlainChunk>(QUEUED_CHUNKS);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || read(checked, &chunks, progress));
        let sent = (0_u32..).zip(&ready).try_for_each(|(index, chunk)| {
            cutter
                .cut(index, chunk)
                .into_iter()
                .zip(streams)
                .try_for_each(|(part, stream)| send(stream, Message::Chunk(part)))
        });
        // The reader ends when nobody takes its chunks.
        drop(ready);
        let read = reader.join().map_err(|_| {
            SqlError::new(sqlstate::INTERNAL_ERROR, "the reading thread ended early")
        })?;
        sent.and(read)
    })
}

fn read(
    checked: &Checked,
    chunks: &mpsc::SyncSender<PlainChunk>,
    progress: &LoadProgress,
) -> Result<(), SqlError> {
    let encoder = RowEncoder::new(&checked.schema);
    let mut chunk = encoder.chunk(CHUNK_ROWS);
    let mut rows = 0_u64;
    let changed = |file: &PathBuf| {
        SqlError::new(
            sqlstate::BAD_COPY_FILE,
            format!("{} changed while it was being loaded; nothing was loaded", file.display()),
        )
    };
    for file in &checked.files {
        let mut source = Source::open(file, &checked.schema, &checked.options)?;
        while source.next()? {
            source.report(progress, PROGRESS_RECORDS);
            if !source.is_whole() {
                if checked.options.skip_bad.is_none() {
                    return Err(changed(file));
                }
                continue;
            }
            match encoder.append(&mut chunk, |i, c| source.cell(i, c)) {
                Ok(()) => rows += 1,
                Err(_) if checked.options.skip_bad.is_some() => {}
                Err(_) => return Err(changed(file)),
            }
            if chunk.rows == CHUNK_ROWS {
                let full = std::mem::replace(&mut chunk, encoder.chunk(CHUNK_ROWS));
                if chunks.send(full).is_err() {
                    return Ok(());
                }
            }
        }
        source.report(progress, 1);
    }
    if rows != checked.rows {
        return Err(changed(checked.files.last().unwrap_or(&PathBuf::new())));
    }
    if chunk.rows > 0 {
        // Whoever hung up has an error of its own.
        chunks.send(chunk).ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
