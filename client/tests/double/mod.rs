//! Three gRPC servers that keep to the contract's words and record what a client sends them, with
//! real TLS and signatures but no storage, log or computation behind them. They let a test fail a
//! certain call at a certain node, which real nodes do only by accident.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use prost::Message as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use trine_client::config::NodeAddress;
use trine_client::{Config, SqlError};
use trine_proto::command::{CLIENT_DOMAIN, RECEIPT_DOMAIN, SignedBytes};
use trine_proto::identity::Identity;
use trine_proto::ids::{ClusterId, JobId, Party};
use trine_proto::result::result_digest;
use trine_proto::status::sqlstate;
use trine_proto::tls::server_config;
use trine_proto::wire::client_command::Command;
use trine_proto::wire::{self, CommandOutcome, Signed};

pub(crate) const CLUSTER: ClusterId = ClusterId([5; 16]);

/// What a node does otherwise than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The upload is refused after its first chunk.
    Upload,
    /// The Commit is applied, the answer is lost; and so at every node asked after that.
    CommitAnswer,
    /// The submission of a query is refused.
    Submit,
    /// One byte of the result is changed.
    Result,
    /// The table is described with all columns PUBLIC.
    Describe,
    /// The job fails with an error at position 8.
    Job,
}

/// What the three nodes have seen and are.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) faults: Vec<(usize, Fault)>,
    pub(crate) tables: BTreeMap<String, wire::TableSchema>,
    /// Every byte of every request, as it was decoded and encoded again.
    pub(crate) received: Vec<u8>,
    pub(crate) uploads: Vec<(usize, wire::UploadHeader, Vec<wire::UploadChunk>)>,
    pub(crate) commits: Vec<wire::Commit>,
    pub(crate) aborts: Vec<Vec<u8>>,
    pub(crate) cancelled: Vec<Vec<u8>>,
    pub(crate) submitted: Vec<(usize, String)>,
    log_index: u64,
}

/// See the module.
pub(crate) struct Double {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) config: Config,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let identity = Identity::generate().unwrap();
        let (mut nodes, mut servers) = (Vec::new(), Vec::new());
        for party in 0..3 {
            let key = Identity::generate().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            nodes.push(NodeAddress { address, key: key.public() });
            let node = Node { party, key, client: identity.public(), state: Arc::clone(&state) };
            servers.push(tokio::spawn(serve(node, listener)));
        }
        let principal = "ann".to_owned();
        let nodes = nodes.try_into().unwrap();
        let config = Config { cluster_id: CLUSTER, principal, identity, nodes };
        Self { state, config, servers }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Stops a node: its address refuses connections from now on.
    pub(crate) async fn stop(&mut self, party: usize) {
        self.servers[party].abort();
        (&mut self.servers[party]).await.ok();
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.servers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn serve(node: Node, listener: TcpListener) {
    let tls = TlsAcceptor::from(Arc::new(server_config(&node.key, &[b"h2"]).unwrap()));
    let (sender, connections) = tokio::sync::mpsc::channel(8);
    let accepting = async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(stream) = tls.accept(tcp).await {
                sender.send(Ok::<_, std::io::Error>(stream)).await.ok();
            }
        }
    };
    let server = Server::builder()
        .add_service(
            wire::ingest_server::IngestServer::new(node.clone())
                .max_decoding_message_size(256 << 20),
        )
        .add_service(wire::transaction_server::TransactionServer::new(node.clone()))
        .add_service(wire::query_server::QueryServer::new(node.clone()))
        .add_service(wire::catalog_server::CatalogServer::new(node))
        .serve_with_incoming(ReceiverStream::new(connections));
    tokio::select! { _ = server => {}, () = accepting => {} }
}

#[derive(Clone)]
struct Node {
    party: usize,
    key: Identity,
    client: [u8; 32],
    state: Arc<Mutex<State>>,
}

impl Node {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn has(&self, fault: Fault) -> bool {
        self.state().faults.contains(&(self.party, fault))
    }

    fn received(&self, message: &impl prost::Message) {
        self.state().received.extend(message.encode_to_vec());
    }

    /// The command in an envelope that the client signed.
    fn command(&self, signed: Signed) -> Command {
        self.received(&signed);
        let signed = SignedBytes::from(signed);
        signed.verify(CLIENT_DOMAIN).expect("a valid signature");
        assert_eq!(signed.public_key, self.client);
        let command = wire::ClientCommand::decode(signed.body.as_slice()).unwrap();
        assert_eq!(command.cluster_id, CLUSTER.0);
        assert!(command.expires_at_ms > command.signed_at_ms);
        command.command.unwrap()
    }

    fn applied(&self) -> CommandOutcome {
        let mut state = self.state();
        state.log_index += 1;
        CommandOutcome { log_index: state.log_index, error: None, note: String::new() }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl wire::ingest_server::Ingest for Node {
    async fn upload(
        &self,
        request: Request<Streaming<wire::UploadMessage>>,
    ) -> Answer<wire::SignedReceipt> {
        use wire::upload_message::Message;
        let mut stream = request.into_inner();
        let Some(Message::Header(header)) = stream.message().await?.and_then(|m| m.message) else {
            panic!("a stream starts with its header");
        };
        self.received(&header);
        let mut chunks = Vec::new();
        while let Some(message) = stream.message().await? {
            self.received(&message);
            let Some(Message::Chunk(chunk)) = message.message else { panic!("a chunk") };
            chunks.push(chunk);
            if self.has(Fault::Upload) {
                return Err(SqlError::new("53100", "no space left on this node").into());
            }
        }
        let party = u32::try_from(self.party).unwrap();
        let receipt = wire::Receipt {
            cluster_id: header.cluster_id.clone(),
            party,
            transaction_id: header.transaction_id.clone(),
            rows: header.rows,
            ..Default::default()
        };
        let signed = self.key.sign(RECEIPT_DOMAIN, receipt.encode_to_vec());
        self.state().uploads.push((self.party, header, chunks));
        Ok(Response::new(wire::SignedReceipt { body: signed.body, signature: signed.signature }))
    }
}

#[tonic::async_trait]
impl wire::transaction_server::Transaction for Node {
    async fn propose(&self, request: Request<Signed>) -> Answer<CommandOutcome> {
        let command = self.command(request.into_inner());
        match command {
            Command::CreateTable(create) => {
                let schema = create.schema.unwrap();
                self.state().tables.insert(schema.name.clone(), schema);
            }
            Command::Commit(commit) => {
                let mut state = self.state();
                let again = state.commits.iter().any(|c| c.transaction_id == commit.transaction_id);
                if !again {
                    state.commits.push(commit);
                }
                if state.faults.iter().any(|(_, f)| *f == Fault::CommitAnswer) {
                    return Err(Status::unavailable("broken pipe"));
                }
            }
            Command::Abort(abort) => self.state().aborts.push(abort.transaction_id),
            other => panic!("{other:?}"),
        }
        Ok(Response::new(self.applied()))
    }

    async fn state(
        &self,
        request: Request<wire::TransactionRef>,
    ) -> Answer<wire::TransactionState> {
        use wire::transaction_state::Kind;
        let id = request.into_inner().transaction_id;
        let state = Self::state(self);
        let committed = state.commits.iter().any(|c| c.transaction_id == id);
        let kind = if committed { Kind::Committed } else { Kind::Unknown };
        Ok(Response::new(wire::TransactionState { kind: kind.into(), log_index: 1, error: None }))
    }
}

/// The rows that every query of the double answers with: one INT column, 7 and -3, in shares.
fn result(party: usize, job: JobId) -> (wire::ResultHeader, Vec<wire::ResultVector>) {
    let mut column = wire::OutputColumn { name: "v".into(), bits: 64, ..Default::default() };
    column.set_kind(wire::OutputKind::Int);
    column.set_form(wire::ShareForm::Arithmetic);
    column.sql_type = "BIGINT".into();
    let header = wire::ResultHeader {
        kind: wire::ResultKind::Shares.into(),
        rows: 2,
        columns: vec![column],
        attempt: 1,
        ..Default::default()
    };
    let words = |w: [i64; 2]| w.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let values = [words([1000, 50]), words([-2000, 4]), words([1007, -57])];
    let valid =
        [vec![1, 0, 0, 0, 0, 0, 0, 0], vec![3, 0, 0, 0, 0, 0, 0, 0], vec![1, 0, 0, 0, 0, 0, 0, 0]];
    let vectors = [values, valid]
        .iter()
        .zip(0_u32..)
        .map(|(x, index)| {
            let next = Party::ALL[party].next();
            let bytes = &x[next.index()];
            let digest = result_digest(CLUSTER, job, 1, index, 2, next, bytes);
            wire::ResultVector {
                index,
                component: x[party].clone(),
                next_digest: digest.to_vec(),
                last: true,
            }
        })
        .collect();
    (header, vectors)
}

#[tonic::async_trait]
impl wire::query_server::Query for Node {
    type WatchStream = tokio_stream::Iter<std::vec::IntoIter<Result<wire::JobState, Status>>>;
    type FetchStream = tokio_stream::Iter<std::vec::IntoIter<Result<wire::ResultPart, Status>>>;

    async fn submit(&self, request: Request<Signed>) -> Answer<CommandOutcome> {
        let Command::SubmitQuery(query) = self.command(request.into_inner()) else {
            panic!("a query")
        };
        self.state().submitted.push((self.party, query.sql));
        if self.has(Fault::Submit) {
            return Err(SqlError::new(sqlstate::INVALID_AUTHORIZATION, "not enrolled").into());
        }
        Ok(Response::new(self.applied()))
    }

    async fn watch(&self, _: Request<wire::JobRef>) -> Answer<Self::WatchStream> {
        use wire::job_state::Kind;
        let state = |kind: Kind| wire::JobState { kind: kind.into(), ..Default::default() };
        let mut states = vec![Ok(state(Kind::Queued)), Ok(state(Kind::Running))];
        if self.has(Fault::Job) {
            let error = SqlError::new(sqlstate::UNDEFINED_COLUMN, "no x").at(8);
            states.push(Ok(wire::JobState { error: Some(error.into()), ..state(Kind::Failed) }));
        } else {
            states.push(Ok(state(Kind::Done)));
        }
        Ok(Response::new(tokio_stream::iter(states)))
    }

    async fn fetch(&self, request: Request<wire::JobRef>) -> Answer<Self::FetchStream> {
        use wire::result_part::Part;
        let job = JobId::from_slice(&request.into_inner().job_id).unwrap();
        let (header, mut vectors) = result(self.party, job);
        if self.has(Fault::Result) {
            vectors[0].component[3] ^= 1;
        }
        let parts = std::iter::once(Part::Header(header))
            .chain(vectors.into_iter().map(Part::Vector))
            .map(|part| Ok(wire::ResultPart { part: Some(part) }));
        Ok(Response::new(tokio_stream::iter(parts.collect::<Vec<_>>())))
    }

    async fn cancel(&self, request: Request<Signed>) -> Answer<CommandOutcome> {
        let Command::CancelQuery(cancel) = self.command(request.into_inner()) else {
            panic!("a cancellation")
        };
        self.state().cancelled.push(cancel.job_id);
        Ok(Response::new(self.applied()))
    }

    async fn describe(&self, _: Request<wire::DescribeQuery>) -> Answer<wire::QueryDescription> {
        Ok(Response::new(wire::QueryDescription::default()))
    }

    async fn list(&self, _: Request<wire::ListJobs>) -> Answer<wire::JobList> {
        Ok(Response::new(wire::JobList::default()))
    }
}

#[tonic::async_trait]
impl wire::catalog_server::Catalog for Node {
    async fn describe(
        &self,
        request: Request<wire::DescribeTables>,
    ) -> Answer<wire::TableDescriptions> {
        let name = request.into_inner().table;
        let lying = self.has(Fault::Describe);
        let state = self.state();
        let Some(schema) = state.tables.get(&name) else {
            let message = format!("table \"{name}\" does not exist");
            return Err(SqlError::new(sqlstate::UNDEFINED_TABLE, message).into());
        };
        let mut schema = schema.clone();
        schema.columns.iter_mut().for_each(|c| c.public |= lying);
        let table = wire::TableDescription { schema: Some(schema), ..Default::default() };
        let log_index = state.log_index;
        Ok(Response::new(wire::TableDescriptions { tables: vec![table], log_index, views: vec![] }))
    }
}
