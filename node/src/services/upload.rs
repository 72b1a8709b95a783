//! Staging of one party's part of a batch: durable, not visible, answered with a signed receipt.

use super::{Shared, protocol};
use crate::fail_point;
use crate::limits::{UPLOAD_SILENCE_MAX, UPLOAD_TURN_WAIT};
use prost::Message as _;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};
use trine_proto::catalog::{Catalog, Principal, TableEntry, TransactionState};
use trine_proto::command::RECEIPT_DOMAIN;
use trine_proto::ids::{LogIndex, TableId, TransactionId};
use trine_proto::schema::TableSchema;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire::upload_message::Message;
use trine_proto::wire::{self, SignedReceipt, UploadHeader, UploadMessage};
use trine_storage::{
    ComponentHeader, ComponentSource, Digests, SegmentHeader, StageWriter, StorageError, Store,
};

/// See the contract.
pub(super) struct IngestService(pub(super) Arc<Shared>);

/// Now, as the catalog's look-ups see it.
const NOW: LogIndex = LogIndex(u64::MAX);

#[tonic::async_trait]
impl wire::ingest_server::Ingest for IngestService {
    async fn upload(
        &self,
        request: Request<Streaming<UploadMessage>>,
    ) -> Result<Response<SignedReceipt>, Status> {
        let caller = self.0.caller(&request).await?;
        let turn = tokio::time::timeout(UPLOAD_TURN_WAIT, self.0.uploads.acquire()).await;
        let _permit = turn.map_err(|_| too_many())?.map_err(|_| too_many())?;
        let mut stream = request.into_inner();
        let Some(UploadMessage { message: Some(Message::Header(header)) }) =
            next(&mut stream).await?
        else {
            return Err(protocol("an upload begins with its header").into());
        };
        let segment = self.accept(&header, &caller).await?;
        let digests = match self.stage(&mut stream, segment.clone()).await {
            Err(StageError::Staged) => {
                // The client is still sending: it shall not find its stream closed.
                while next(&mut stream).await?.is_some() {}
                self.staged_before(&segment).await?
            }
            Err(StageError::Failed(e)) => return Err(e.into()),
            Ok(digests) => digests,
        };
        self.still_wanted(&segment).await?;
        fail_point::reach("upload.receipt");
        Ok(Response::new(self.receipt(&header, (&caller, segment.table), &digests)))
    }
}

enum StageError {
    /// The segment lies here already, complete.
    Staged,
    Failed(SqlError),
}

impl From<StorageError> for StageError {
    fn from(e: StorageError) -> Self {
        match e {
            StorageError::AlreadyStaged { .. } => Self::Staged,
            e => Self::Failed(storage(e)),
        }
    }
}

impl From<SqlError> for StageError {
    fn from(e: SqlError) -> Self {
        Self::Failed(e)
    }
}

fn storage(e: StorageError) -> SqlError {
    let state = match e {
        StorageError::Rejected(_) => sqlstate::PROTOCOL_VIOLATION,
        StorageError::Busy { .. } | StorageError::Cancelled { .. } => {
            sqlstate::SERIALIZATION_FAILURE
        }
        StorageError::Corrupt { .. } | StorageError::NotFound { .. } => sqlstate::DATA_CORRUPTED,
        _ => sqlstate::INTERNAL_ERROR,
    };
    SqlError::new(state, e.to_string())
}

impl IngestService {
    /// Checks who uploads what; what the segment will be.
    async fn accept(
        &self,
        header: &UploadHeader,
        caller: &Principal,
    ) -> Result<SegmentHeader, SqlError> {
        if header.cluster_id != self.0.cluster.cluster_id.0 {
            return Err(protocol("the upload is for another cluster")
                .hint("compare cluster_id in the client's configuration"));
        }
        let transaction = TransactionId::from_slice(&header.transaction_id)
            .ok_or_else(|| protocol("a transaction id has 16 bytes"))?;
        if let Some(types) = &header.parameters {
            return self.accept_parameters(header, transaction, types);
        }
        let found = self.0.caught_up(|catalog| catalog.table(&header.table, NOW).cloned()).await;
        let table = found.ok_or_else(|| {
            SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("relation \"{}\" does not exist", header.table),
            )
        })?;
        may_insert(&table, caller)?;
        known_before(&self.0.consensus.catalog(), transaction)?;
        if header.schema_digest != table.schema.digest() {
            return Err(protocol(format!(
                "the upload was cut for another schema of table \"{}\"",
                header.table
            ))
            .hint("read the schema again and repeat the load"));
        }
        Ok(SegmentHeader {
            party: self.0.party,
            table: table.id,
            segment: transaction.into(),
            schema_digest: table.schema.digest(),
            rows: header.rows,
            layout: table.schema.stored_columns(),
            components: [component(header.first.as_ref())?, component(header.second.as_ref())?],
        })
    }

    /// A row of secret parameters: it belongs to no table, and only the statement that names it reads it.
    fn accept_parameters(
        &self,
        header: &UploadHeader,
        transaction: TransactionId,
        types: &wire::TableSchema,
    ) -> Result<SegmentHeader, SqlError> {
        let schema = TableSchema::try_from(types)?;
        if header.rows != 1 || header.schema_digest != schema.digest() {
            return Err(protocol("the parameters of a statement are one row of their own types"));
        }
        Ok(SegmentHeader {
            party: self.0.party,
            table: TableId::PARAMETERS,
            segment: transaction.into(),
            schema_digest: schema.digest(),
            rows: 1,
            layout: schema.stored_columns(),
            components: [component(header.first.as_ref())?, component(header.second.as_ref())?],
        })
    }

    /// Writes the chunks as they come. What ends early leaves nothing: an unfinished writer
    /// removes its file.
    async fn stage(
        &self,
        stream: &mut Streaming<UploadMessage>,
        segment: SegmentHeader,
    ) -> Result<Digests, StageError> {
        let rows = segment.rows;
        let store = self.0.store.clone();
        let layout = segment.clone();
        let mut writer = blocking(move || store.stage(segment)).await??;
        let mut received = 0;
        let mut index = 0_u32;
        loop {
            let message = next(stream).await.map_err(|e| {
                let why = e.message();
                early(received, rows).hint(format!("the connection ended: {why}"))
            })?;
            let Some(message) = message else { break };
            let Some(Message::Chunk(chunk)) = message.message else {
                return Err(protocol("after the header an upload has chunks only").into());
            };
            if chunk.index != index {
                return Err(
                    protocol(format!("chunk {} came instead of {index}", chunk.index)).into()
                );
            }
            index += 1;
            let chunk_rows = layout.chunk_rows(chunk.index as usize);
            if chunk_rows == 0 {
                return Err(protocol(format!("the upload has more than its {rows} rows")).into());
            }
            received += chunk_rows as u64;
            writer = blocking(move || append(writer, chunk_rows, chunk)).await??;
        }
        if received != rows {
            return Err(early(received, rows).into());
        }
        Ok(blocking(move || writer.finish()).await??)
    }

    /// Removes what was staged while the log gave the transaction up.
    async fn still_wanted(&self, segment: &SegmentHeader) -> Result<(), SqlError> {
        let catalog = self.0.consensus.catalog();
        if !catalog.aborted_segments.contains(&segment.segment) {
            return Ok(());
        }
        let store = self.0.store.clone();
        let (table, id) = (segment.table, segment.segment);
        blocking(move || store.remove(table, id)).await?.map_err(storage)?;
        known_before(&catalog, TransactionId(id.0))
    }

    /// Digests of a complete part that the same uploader sent before.
    async fn staged_before(&self, segment: &SegmentHeader) -> Result<Digests, SqlError> {
        let store: Store = self.0.store.clone();
        let (table, id) = (segment.table, segment.segment);
        let staged = blocking(move || store.staged_digests(table, id)).await?.map_err(storage)?;
        match staged {
            Some((before, digests)) if before == *segment => Ok(digests),
            _ => Err(SqlError::new(
                sqlstate::DUPLICATE_OBJECT,
                format!("transaction {id} is staged at node {} already, in other shares", self.0.party),
            )
            .hint("the first upload of this batch was not committed; load it under a new transaction id")),
        }
    }

    fn receipt(
        &self,
        header: &UploadHeader,
        (caller, table): (&Principal, TableId),
        digests: &Digests,
    ) -> SignedReceipt {
        let receipt = wire::Receipt {
            cluster_id: header.cluster_id.clone(),
            party: u32::try_from(self.0.party.index()).unwrap_or(u32::MAX),
            transaction_id: header.transaction_id.clone(),
            table: header.table.clone(),
            schema_digest: header.schema_digest.clone(),
            rows: header.rows,
            first_digest: digests.components[0].to_vec(),
            second_digest: digests.components[1].to_vec(),
            public_digest: digests.public.to_vec(),
            principal_key: caller.key.to_vec(),
            table_id: table.0,
        };
        let signed = self.0.identity.sign(RECEIPT_DOMAIN, receipt.encode_to_vec());
        SignedReceipt { body: signed.body, signature: signed.signature }
    }
}

/// The next message of a client that may be slow but not silent.
async fn next(stream: &mut Streaming<UploadMessage>) -> Result<Option<UploadMessage>, Status> {
    tokio::time::timeout(UPLOAD_SILENCE_MAX, stream.message()).await.unwrap_or_else(|_| {
        let seconds = UPLOAD_SILENCE_MAX.as_secs();
        Err(Status::deadline_exceeded(format!("nothing came for {seconds} seconds")))
    })
}

fn too_many() -> SqlError {
    SqlError::new(sqlstate::LIMIT_EXCEEDED, "too many uploads at one time").hint("try again later")
}

fn append(
    mut writer: StageWriter,
    rows: usize,
    chunk: wire::UploadChunk,
) -> Result<StageWriter, StorageError> {
    writer.append(rows, &chunk.explicit, &chunk.public)?;
    Ok(writer)
}

/// Work that waits for the disk, away from the network's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SqlError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| SqlError::new(sqlstate::INTERNAL_ERROR, "the upload was interrupted"))
}

fn early(received: u64, rows: u64) -> SqlError {
    SqlError::new(
        sqlstate::BAD_COPY_FILE,
        format!("the upload ended after {received} of {rows} rows; nothing was loaded"),
    )
}

fn may_insert(table: &TableEntry, caller: &Principal) -> Result<(), SqlError> {
    if table.owner == caller.name || caller.administrator {
        return Ok(());
    }
    let name = &table.schema.name;
    Err(SqlError::new(
        sqlstate::INSUFFICIENT_PRIVILEGE,
        format!("permission denied for table {name}"),
    )
    .hint(format!("only its owner \"{}\" may insert", table.owner)))
}

fn known_before(catalog: &Catalog, transaction: TransactionId) -> Result<(), SqlError> {
    let what = match catalog.transactions.get(&transaction) {
        // The record of an aborted transaction may be forgotten; its segment is not.
        None if catalog.aborted_segments.contains(&transaction.into()) => "has been given up",
        None => return Ok(()),
        Some(TransactionState::Committed(_)) => "has been committed before",
        Some(TransactionState::Validating(_)) => "is being checked",
        Some(TransactionState::Joined(..)) => "is part of an open transaction already",
        Some(TransactionState::Open(_)) => "is open and no batch",
        Some(TransactionState::Aborted(..)) => "has been given up",
    };
    Err(SqlError::new(
        sqlstate::DUPLICATE_OBJECT,
        format!("transaction {transaction} {what}; nothing was loaded"),
    ))
}

fn component(component: Option<&wire::Component>) -> Result<ComponentHeader, SqlError> {
    let component = component.ok_or_else(|| protocol("an upload names two components"))?;
    let salt = component
        .salt
        .as_slice()
        .try_into()
        .map_err(|_| protocol("the salt of a component has 16 bytes"))?;
    let source = if component.seed.is_empty() {
        ComponentSource::Explicit
    } else {
        let seed = component.seed.as_slice().try_into();
        ComponentSource::Seed(seed.map_err(|_| protocol("the seed of a component has 32 bytes"))?)
    };
    Ok(ComponentHeader { salt, source })
}
