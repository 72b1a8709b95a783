//! A client made of nothing but the contract: generated stubs, signatures and cutting.

use prost::Message as _;
use tonic::transport::Channel;
use trine_mpc::input::{cut_arithmetic, cut_boolean};
use trine_node::testing::Cluster;
use trine_proto::command::CLIENT_DOMAIN;
use trine_proto::identity::Identity;
use trine_proto::ids::{JobId, Party, TransactionId};
use trine_proto::result::result_digest;
use trine_proto::schema::{Column, ColumnType, Form, Secrecy, TableSchema};
use trine_proto::status::SqlError;
use trine_proto::wire::client_command::Command;
use trine_proto::wire::ingest_client::IngestClient;
use trine_proto::wire::job_state::Kind;
use trine_proto::wire::query_client::QueryClient;
use trine_proto::wire::result_part::Part;
use trine_proto::wire::transaction_client::TransactionClient;
use trine_proto::wire::upload_message::Message;
use trine_proto::wire::{
    self, Component, JobRef, JobState, ResultHeader, Signed, SignedReceipt, UploadChunk,
    UploadHeader, UploadMessage,
};

/// One principal.
pub struct Raw<'a> {
    pub cluster: &'a Cluster,
    pub identity: Identity,
}

/// Random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A table of one secret INT column `v`.
pub fn schema(name: &str, key: bool) -> TableSchema {
    let column = Column {
        name: "v".into(),
        ty: ColumnType::Int,
        nullable: false,
        secrecy: Secrecy::Secret,
        range: None,
    };
    let primary_key = if key { vec![0] } else { vec![] };
    TableSchema { name: name.into(), columns: vec![column], primary_key }
}

/// One node's stream of messages.
pub type Parts = [Vec<UploadMessage>; 3];

/// Cuts values for the three nodes; one chunk.
pub fn cut(
    cluster: &Cluster,
    schema: &TableSchema,
    transaction: TransactionId,
    values: &[i32],
) -> Parts {
    let seeds: [[u8; 32]; 2] = [random(), random()];
    let salts: [[u8; 16]; 3] = [random(), random(), random()];
    let mut explicit = Vec::new();
    for (position, stored) in (0..).zip(schema.stored_columns()) {
        let mut bytes = Vec::new();
        for &value in values {
            match stored.form {
                Form::Boolean => {
                    let unsigned = i64::from(value) - i64::from(i32::MIN);
                    bytes.extend_from_slice(&u32::try_from(unsigned).unwrap().to_le_bytes());
                }
                Form::Arithmetic => bytes.extend_from_slice(&i64::from(value).to_le_bytes()),
            }
        }
        match stored.form {
            Form::Boolean => cut_boolean(&mut bytes, &seeds[0], &seeds[1], position, 0),
            Form::Arithmetic => cut_arithmetic(&mut bytes, &seeds[0], &seeds[1], position, 0),
        }
        explicit.push(bytes);
    }
    let component = |i: usize| Component {
        salt: salts[i].to_vec(),
        seed: seeds.get(i).map_or(Vec::new(), |s| s.to_vec()),
    };
    [0, 1, 2].map(|party| {
        let header = UploadHeader {
            cluster_id: cluster.id().0.to_vec(),
            transaction_id: transaction.0.to_vec(),
            table: schema.name.clone(),
            schema_digest: schema.digest().to_vec(),
            rows: values.len() as u64,
            first: Some(component(party)),
            second: Some(component((party + 1) % 3)),
            parameters: None,
        };
        let explicit = if party == 0 { Vec::new() } else { explicit.clone() };
        let chunk = UploadChunk { index: 0, explicit, public: Vec::new() };
        [Message::Header(header), Message::Chunk(chunk)]
            .map(|message| UploadMessage { message: Some(message) })
            .to_vec()
    })
}

impl Raw<'_> {
    pub async fn channel(&self, party: Party) -> Channel {
        self.cluster.channel(party, &self.identity).await.unwrap()
    }

    pub fn sign(&self, command: Command) -> ([u8; 16], Signed) {
        let command_id = random();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
        let body = wire::ClientCommand {
            cluster_id: self.cluster.id().0.to_vec(),
            command_id: command_id.to_vec(),
            signed_at_ms: now,
            expires_at_ms: now + 60_000,
            command: Some(command),
        };
        (command_id, self.identity.sign(CLIENT_DOMAIN, body.encode_to_vec()).into())
    }

    /// Proposes at one node; a refusal is an error.
    pub async fn propose(&self, party: Party, command: Command) -> Result<String, SqlError> {
        let mut client = TransactionClient::new(self.channel(party).await);
        let outcome = client.propose(self.sign(command).1).await?.into_inner();
        outcome.error.map_or(Ok(outcome.note), |e| Err(e.into()))
    }

    pub async fn create(&self, schema: &TableSchema) {
        let schema = Some(schema.into());
        let create = wire::CreateTable { schema, ..Default::default() };
        self.propose(Party::ALL[0], Command::CreateTable(create)).await.unwrap();
    }

    pub async fn upload(
        &self,
        party: Party,
        messages: Vec<UploadMessage>,
    ) -> Result<SignedReceipt, SqlError> {
        let mut client = IngestClient::new(self.channel(party).await);
        Ok(client.upload(tokio_stream::iter(messages)).await?.into_inner())
    }

    /// Stages at all three nodes and commits.
    pub async fn load(&self, schema: &TableSchema, values: &[i32]) -> Result<String, SqlError> {
        let transaction = TransactionId(random());
        let mut receipts = Vec::new();
        let parts = cut(self.cluster, schema, transaction, values);
        for (party, messages) in Party::ALL.into_iter().zip(parts) {
            receipts.push(self.upload(party, messages).await?);
        }
        let commit =
            wire::Commit { transaction_id: transaction.0.to_vec(), receipts, within: None };
        let note = self.propose(Party::ALL[1], Command::Commit(commit)).await?;
        if note != "validating" {
            return Ok(note);
        }
        let mut client = TransactionClient::new(self.channel(Party::ALL[0]).await);
        let transaction_id = transaction.0.to_vec();
        let asked = wire::TransactionRef { transaction_id, wait_ms: 60_000 };
        let state = client.state(asked).await?.into_inner();
        let kind = format!("{:?}", state.kind());
        state.error.map_or(Ok(kind), |e| Err(e.into()))
    }

    /// Hands a query to some nodes.
    pub async fn submit(&self, parties: &[Party], sql: &str) -> Result<JobId, SqlError> {
        let (id, signed) = self.sign(Command::SubmitQuery(wire::SubmitQuery {
            sql: sql.into(),
            ..Default::default()
        }));
        for party in parties {
            let mut client = QueryClient::new(self.channel(*party).await);
            let outcome = client.submit(signed.clone()).await?.into_inner();
            if let Some(error) = outcome.error {
                return Err(error.into());
            }
        }
        Ok(JobId(id))
    }

    /// The final state of a job at one node.
    pub async fn watch(&self, party: Party, job: JobId) -> JobState {
        let mut client = QueryClient::new(self.channel(party).await);
        let mut states =
            client.watch(JobRef { job_id: job.0.to_vec() }).await.unwrap().into_inner();
        let mut last = None;
        while let Some(state) = states.message().await.unwrap() {
            last = Some(state);
        }
        last.unwrap()
    }

    /// Runs a query with one number as its result.
    pub async fn number(&self, sql: &str) -> Result<i128, SqlError> {
        let job = self.submit(&Party::ALL, sql).await?;
        self.answer(job).await
    }

    /// Waits for a job with one number as its result and opens it.
    pub async fn answer(&self, job: JobId) -> Result<i128, SqlError> {
        let mut parts = Vec::new();
        for party in Party::ALL {
            let state = self.watch(party, job).await;
            if let Some(error) = state.error.clone() {
                return Err(error.into());
            }
            assert_eq!(state.kind(), Kind::Done);
            parts.push(self.fetch(party, job).await?);
        }
        Ok(open(self.cluster, job, &parts))
    }

    /// Header, components and digests of the neighbours'.
    pub async fn fetch(&self, party: Party, job: JobId) -> Result<Fetched, SqlError> {
        let mut client = QueryClient::new(self.channel(party).await);
        let mut pieces = client.fetch(JobRef { job_id: job.0.to_vec() }).await?.into_inner();
        let mut fetched = Fetched::default();
        while let Some(piece) = pieces.message().await? {
            match piece.part.unwrap() {
                Part::Header(header) => fetched.header = header,
                Part::Vector(piece) => {
                    fetched.vectors.resize(piece.index as usize + 1, Vec::new());
                    fetched.vectors[piece.index as usize].extend(piece.component);
                    if piece.last {
                        fetched.digests.push(piece.next_digest);
                    }
                }
            }
        }
        Ok(fetched)
    }
}

/// One node's part of a result.
#[derive(Default)]
pub struct Fetched {
    pub header: ResultHeader,
    pub vectors: Vec<Vec<u8>>,
    pub digests: Vec<Vec<u8>>,
}

/// The first value of the first column, after the cross-check of all digests.
fn open(cluster: &Cluster, job: JobId, parts: &[Fetched]) -> i128 {
    let header = &parts[0].header;
    for party in Party::ALL {
        let (mine, next) = (&parts[party.index()], &parts[party.next().index()]);
        assert_eq!(mine.header.attempt, header.attempt);
        for (index, digest) in (0..).zip(&mine.digests) {
            let bytes = &next.vectors[index as usize];
            let (attempt, rows) = (header.attempt, header.rows);
            let due = result_digest(cluster.id(), job, attempt, index, rows, party.next(), bytes);
            assert_eq!(digest.as_slice(), due);
        }
    }
    let column = &header.columns[0];
    let words = |part: &Fetched| -> Vec<u64> {
        let bytes = part.vectors[0].chunks(8);
        bytes.map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let [a, b, c] = [0, 1, 2].map(|p| words(&parts[p]));
    match column.form() {
        wire::ShareForm::Arithmetic => {
            let sum = a[0].wrapping_add(b[0]).wrapping_add(c[0]);
            i128::from(sum.cast_signed())
        }
        _ => {
            // One plane of whole words per bit; row 0 is the lowest bit of the first word.
            let per_plane = (header.rows as usize).div_ceil(64);
            let bit = |plane: usize| {
                let at = plane * per_plane;
                u128::from((a[at] ^ b[at] ^ c[at]) & 1)
            };
            let unsigned = (0..column.bits as usize).map(|p| bit(p) << p).sum::<u128>();
            let low = i128::from_le_bytes(column.low.as_slice().try_into().unwrap_or_default());
            low + unsigned.cast_signed()
        }
    }
}
