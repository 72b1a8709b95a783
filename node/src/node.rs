//! One node, put together: mesh, replicated state, share store, runner, services.

use crate::attempt::Context;
use crate::backup::restore::check_complete;
use crate::backup::{Backups, Owner};
use crate::budget;
use crate::config::Config;
use crate::error::NodeError;
use crate::fail_point::{self, FailingDisk};
use crate::files::Files;
use crate::janitor;
use crate::limits::{LEADER_LOOK, STOP_WAIT, UPLOADS_MAX};
use crate::mesh::{Handler, Mesh};
use crate::metrics;
use crate::network;
use crate::repair::{Giver, Repairer, listed};
use crate::results::Results;
use crate::runner::Runner;
use crate::services::{self, Shared};
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use trine_consensus::{Consensus, Standing};
use trine_proto::catalog::Catalog;
use trine_proto::ids::Party;
use trine_proto::tls::server_config;
use trine_storage::{Disk, Store};

/// A running node. Dropping it without [`Node::stop`] ends it without grace.
pub struct Node {
    consensus: Arc<Consensus>,
    mesh: Mesh,
    runner: Arc<Runner>,
    repairer: Arc<Repairer>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    _lock: File,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({:?})", self.mesh)
    }
}

impl Node {
    /// Starts a node: opens its folder, listens, joins the others in whatever order they start. With an
    /// empty folder it waits until it has heard from them whether there is a cluster.
    ///
    /// # Errors
    /// [`NodeError`]: what the operator has to change.
    pub async fn start(config: Config) -> Result<Self, NodeError> {
        fail_point::check()?;
        let lock = data_lock(&config.data_dir)?;
        check_complete(&config.data_dir)?;
        let store = Store::open(Arc::new(FailingDisk(Disk::new(&config.data_dir))))?;
        let listen = |address: &str| {
            TcpListener::bind(address)
                .map_err(|source| NodeError::Listen { address: address.to_owned(), source })
        };
        let (for_mesh, for_clients) =
            (listen(&config.listen_mesh)?, listen(&config.listen_client)?);
        let for_metrics = config.listen_metrics.as_deref().map(listen).transpose()?;
        for_clients.set_nonblocking(true).map_err(NodeError::System)?;
        let for_clients =
            tokio::net::TcpListener::from_std(for_clients).map_err(NodeError::System)?;
        let cluster = config.cluster.info();
        let mesh = Mesh::start(
            config.party,
            Arc::new(config.cluster.clone()),
            &config.identity,
            for_mesh,
        )?;
        let running = Arc::new(OnceLock::new());
        let standing = trine_consensus::standing(&config.data_dir)?;
        let answer = answer(&running, standing.clone());
        if !matches!(standing, Standing::Member(_)) {
            // Two that know nothing of a cluster must hear it from each other.
            mesh.answer_with(Arc::clone(&answer));
        }
        let dir = &config.data_dir;
        let raft_id = trine_consensus::member_id(dir, config.party, mesh.transport()).await?;
        let consensus = trine_consensus::Config {
            dir: config.data_dir.clone(),
            party: config.party,
            raft_id,
            cluster: cluster.clone(),
            probe: fail_point::reach,
        };
        let consensus = Arc::new(Consensus::start(consensus, mesh.transport()).await?);
        // It was not set before: this is the only place.
        let _ = running.set(Arc::clone(&consensus));
        mesh.answer_with(answer);
        report_segments(&store, &consensus.catalog(), config.party);
        let giver = Arc::new(Giver {
            party: config.party,
            keys: cluster.node_keys,
            consensus: Arc::clone(&consensus),
            store: store.clone(),
        });
        mesh.repair_with(Arc::new(move |peer, stream| {
            let giver = Arc::clone(&giver);
            Box::pin(async move { giver.serve(peer, stream).await })
        }));
        let context = Context {
            mesh: mesh.clone(),
            store: store.clone(),
            party: config.party,
            party_wait: config.limits.party_wait,
        };
        let results = Results::open(
            Arc::new(Disk::new(&config.data_dir)),
            cluster.cluster_id,
            config.party,
            config.limits.results_bytes_max as u64,
            config.limits.results_keep,
        )
        .map_err(NodeError::file("read", config.data_dir.join("results")))?;
        let runner = Runner::start(
            Arc::clone(&consensus),
            config.identity.clone(),
            cluster.cluster_id,
            context,
            results,
            config.limits.jobs_running,
        );
        let repairer = Arc::new(Repairer {
            party: config.party,
            consensus: Arc::clone(&consensus),
            store: store.clone(),
            mesh: mesh.clone(),
            runner: Arc::clone(&runner),
            turn: tokio::sync::Mutex::default(),
        });
        let backups = Arc::new(Backups {
            owner: Owner::of(&config),
            consensus: Arc::clone(&consensus),
            store: store.clone(),
            runner: Arc::clone(&runner),
            turn: tokio::sync::Mutex::default(),
        });
        let (stop, on_stop) = watch::channel(false);
        tokio::spawn(janitor::run(
            Arc::clone(&runner),
            Arc::clone(&consensus),
            store.clone(),
            config.limits.staged_keep,
            stop.subscribe(),
        ));
        tokio::spawn(janitor::results(
            Arc::clone(&runner),
            config.limits.results_keep,
            stop.subscribe(),
        ));
        tokio::spawn(janitor::memory(stop.subscribe()));
        tokio::spawn(janitor::abandoned(
            Arc::clone(&runner),
            Arc::clone(&consensus),
            config.limits.transaction_idle,
            stop.subscribe(),
        ));
        tokio::spawn(janitor::backups(
            Arc::clone(&runner),
            Arc::clone(&consensus),
            stop.subscribe(),
        ));
        tokio::spawn(budget::announce(
            Arc::clone(&runner),
            Arc::clone(&consensus),
            config.party,
            config.limits.job_memory_bytes,
            stop.subscribe(),
        ));
        tokio::spawn(network::run(
            Arc::clone(&runner),
            Arc::clone(&consensus),
            mesh.clone(),
            config.party,
            config.limits.lanes,
            stop.subscribe(),
        ));
        let tls = server_config(&config.identity, &[b"h2"])?;
        let shared = Arc::new(Shared {
            consensus: Arc::clone(&consensus),
            runner: Arc::clone(&runner),
            mesh: mesh.clone(),
            store,
            identity: config.identity,
            party: config.party,
            cluster,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            repairer: Arc::clone(&repairer),
            backups,
        });
        if let Some(listener) = for_metrics {
            serve_metrics(listener, Arc::clone(&shared), stop.subscribe())?;
        }
        let serving = tokio::spawn(async move {
            if let Err(e) = services::serve(for_clients, tls, shared, on_stop).await {
                tracing::error!(error = %e, "the client port has ended");
            }
        });
        tracing::info!(party = %config.party, listen = config.listen_client, "node started");
        Ok(Self { consensus, mesh, runner, repairer, stop, serving, _lock: lock })
    }

    /// Resolves once the node knows a leader and the cluster's identity and sees both peers.
    pub async fn ready(&self) {
        let mut up = self.mesh.watch();
        // The mesh lives as long as the node.
        let _ = up.wait_for(|up| up.iter().all(|up| *up)).await;
        let mut applied = self.consensus.subscribe();
        loop {
            applied.mark_unchanged();
            if self.consensus.catalog().cluster.is_some() && self.consensus.leader().is_some() {
                return;
            }
            // An election alone applies nothing, so it is looked for.
            tokio::select! {
                changed = applied.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LEADER_LOOK) => {}
            }
        }
    }

    /// What checks and repairs this node's segments.
    pub(crate) fn repairer(&self) -> Arc<Repairer> {
        Arc::clone(&self.repairer)
    }

    /// Attempts under way.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn running(&self) -> usize {
        self.runner.running()
    }

    /// Stops in order: no new requests, attempts given up (they run again after the next start),
    /// then the replicated state.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.runner.stop();
        let serving = self.serving.abort_handle();
        if tokio::time::timeout(STOP_WAIT, self.serving).await.is_err() {
            serving.abort();
        }
        self.consensus.shutdown().await;
        self.mesh.stop();
    }
}

/// Starts the page with metrics.
fn serve_metrics(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) -> Result<(), NodeError> {
    listener.set_nonblocking(true).map_err(NodeError::System)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(NodeError::System)?;
    let address = listener.local_addr().map_err(NodeError::System)?;
    tracing::info!(%address, "metrics page");
    let gather = move || {
        let shared = Arc::clone(&shared);
        async move { metrics::gather(&shared).await }
    };
    tokio::spawn(metrics::serve(listener, gather, stop));
    Ok(())
}

/// Answers the other nodes' Raft; before it runs here, what the folder is.
fn answer(running: &Arc<OnceLock<Arc<Consensus>>>, standing: Standing) -> Handler {
    let running = Arc::clone(running);
    let standing = Arc::new(standing);
    Arc::new(move |from, request| {
        let consensus = running.get().map(Arc::clone);
        let standing = Arc::clone(&standing);
        Box::pin(async move {
            match consensus {
                Some(consensus) => consensus.handle(from, request).await,
                None => trine_consensus::answer_waiting(&standing, &request),
            }
        })
    })
}

/// Takes the data folder for this process.
pub(crate) fn data_lock(folder: &Path) -> Result<File, NodeError> {
    std::fs::create_dir_all(folder).map_err(NodeError::file("create", folder))?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(NodeError::file("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(NodeError::InUse(folder.to_path_buf())),
        Err(std::fs::TryLockError::Error(e)) => Err(NodeError::file("lock", &path)(e)),
    }
}

/// Compares files with the catalog's list: says what is missing, removes what the log has resolved.
fn report_segments(store: &Store, catalog: &Catalog, party: Party) {
    let Files { listed: wanted, gone } = Files::of(catalog);
    let missing = match store.reconcile(&wanted, &gone) {
        Ok(found) => found.missing,
        Err(e) => {
            tracing::error!(error = %e, "the data folder cannot be compared with the catalog");
            return;
        }
    };
    for segment in listed(catalog) {
        if missing.contains(&(segment.table, segment.entry.id)) {
            tracing::error!(
                %party,
                table = segment.name,
                segment = %segment.entry.id,
                "a committed segment is not in the data folder; trined repair fetches it"
            );
        }
    }
}
