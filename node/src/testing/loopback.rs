//! Three meshes in one process: protocols over real TLS on loopback, without a node around them.

use crate::config::{Cluster, ClusterNode};
use crate::error::NodeError;
use crate::mesh::{AttemptId, AttemptKind, AttemptNet, Hello, Mesh};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use trine_mpc::{MpcError, Net};
use trine_proto::identity::Identity;
use trine_proto::ids::{ClusterId, Party};
use trine_proto::status::{SqlError, sqlstate};

/// How long to wait for connections and hellos that come from this process.
const WAIT: Duration = Duration::from_secs(60);

/// Three parties' meshes on loopback.
#[derive(Debug)]
pub struct Loopback {
    meshes: [Mesh; 3],
    attempts: AtomicU32,
}

impl Loopback {
    /// Starts the three meshes; all connections stand when it returns.
    ///
    /// # Errors
    /// What keeps a mesh from starting.
    pub fn start() -> Result<Self, NodeError> {
        let mut identities = Vec::new();
        let mut listeners = Vec::new();
        let mut nodes = Vec::new();
        for _ in Party::ALL {
            let identity = Identity::generate()?;
            let listener = TcpListener::bind("127.0.0.1:0").map_err(NodeError::System)?;
            let mesh = listener.local_addr().map_err(NodeError::System)?.to_string();
            let key = identity.public();
            nodes.push(ClusterNode { name: mesh.clone(), client: mesh.clone(), mesh, key });
            identities.push(identity);
            listeners.push(listener);
        }
        let nodes = <[ClusterNode; 3]>::try_from(nodes)
            .map_err(|_| NodeError::System(std::io::Error::other("three nodes")))?;
        let cluster =
            Arc::new(Cluster { id: ClusterId([0; 16]), nodes, administrators: Vec::new() });
        let mut meshes = Vec::new();
        for ((party, identity), listener) in Party::ALL.iter().zip(&identities).zip(listeners) {
            meshes.push(Mesh::start(*party, Arc::clone(&cluster), identity, listener)?);
        }
        let meshes = <[Mesh; 3]>::try_from(meshes)
            .map_err(|_| NodeError::System(std::io::Error::other("three meshes")))?;
        for mesh in &meshes {
            mesh.wait_all_up(WAIT)
                .map_err(|_| NodeError::System(std::io::Error::other("a mesh does not come up")))?;
        }
        Ok(Self { meshes, attempts: AtomicU32::new(0) })
    }

    /// Opens one attempt with so many lanes at all three parties; networks by party index.
    ///
    /// # Errors
    /// As the mesh's.
    pub fn attempt(&self, lanes: usize) -> Result<[Arc<dyn Net>; 3], MpcError> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        self.open(attempt, lanes).map(|nets| nets.map(|net| net as Arc<dyn Net>))
    }

    fn open(&self, attempt: u32, lanes: usize) -> Result<[Arc<AttemptNet>; 3], MpcError> {
        let id = AttemptId { kind: AttemptKind::Query, job: [0; 16], attempt };
        let begin = |party: usize| self.meshes[party].begin(id, lanes);
        let nets = [begin(0)?, begin(1)?, begin(2)?];
        std::thread::scope(|scope| {
            let hellos = nets.each_ref().map(|net| scope.spawn(move || greet(net)));
            hellos.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or(Err(MpcError::Shape("a hello panicked")))
            })
        })?;
        Ok(nets)
    }
}

fn greet(net: &AttemptNet) -> Result<(), MpcError> {
    let verdict = Err(SqlError::new(sqlstate::INTERNAL_ERROR, "no statement"));
    net.exchange_hello(&Hello { nonce: [0; 32], streams: Vec::new(), verdict }, WAIT)?;
    net.open()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::lanes;
    use trine_mpc::protocol::{
        and, arith_to_planes, bits_to_arith, divide, less_than, mul, planes_to_arith,
    };
    use trine_mpc::sort::{Column, sort};
    use trine_mpc::testing::{
        Noise, mesh, reconstruct_arith, reconstruct_values, run_over, share_values,
    };
    use trine_mpc::{Arith, Cost, Planes, Profile, Session};

    /// What one party holds after all protocols, and what it counted.
    struct Outcome {
        planes: [Planes; 5],
        numbers: [Arith<u64>; 2],
        cost: Cost,
    }

    fn all(s: &mut Session, x: &Planes, y: &Planes) -> trine_mpc::Result<Outcome> {
        let both = and(s, x, y)?;
        let less = less_than(s, x, y)?;
        let number: Arith<u64> = planes_to_arith(s, x)?;
        let product = mul(s, &number, &number)?;
        let back = arith_to_planes(s, &product, 40)?;
        let bit = bits_to_arith(s, &less)?.pop().ok_or(MpcError::Shape("one bit"))?;
        let quotient = divide(s, x, y, 2)?;
        let order = sort(s, x)?;
        let mut sorted = order.apply(s, vec![Column::Planes(x.clone())])?;
        let Some(Column::Planes(sorted)) = sorted.pop() else {
            return Err(MpcError::Shape("one column"));
        };
        let planes = [both, less, back, quotient, sorted];
        Ok(Outcome { planes, numbers: [product, bit], cost: s.cost() })
    }

    /// The plain values of what three parties hold.
    fn plain(parties: &[Outcome; 3]) -> (Vec<Vec<u128>>, Vec<Vec<u64>>) {
        let planes = (0..5)
            .map(|at| reconstruct_values(&parties.each_ref().map(|p| p.planes[at].clone())))
            .collect();
        let numbers = (0..2)
            .map(|at| reconstruct_arith(&parties.each_ref().map(|p| p.numbers[at].clone())))
            .collect();
        (planes, numbers)
    }

    #[test]
    fn protocols_compute_count_and_send_the_same_over_tls_as_in_memory() {
        let world = Loopback::start().unwrap();
        let forked = Profile { lanes: 2, ..Profile::LOCAL };
        let cases = [(1, Profile::LOCAL), (1000, Profile::WIDE), (70_000, forked)];
        for (attempt, (rows, profile)) in (1..).zip(cases) {
            let mut noise = Noise::new(attempt.into());
            let mut values = || (0..rows).map(|_| noise.value(20)).collect::<Vec<_>>();
            let (a, b) = (values(), values());
            let (x, y) = (share_values(1, 20, &a), share_values(2, 20, &b));
            let work = |s: &mut Session| all(s, &x[s.party()], &y[s.party()]).unwrap();
            let memory = run_over(mesh(), profile, 7, work);
            let nets = world.open(attempt, lanes(profile)).unwrap();
            let tls = run_over(nets.each_ref().map(|n| Arc::clone(n) as _), profile, 7, work);
            let (planes, numbers) = plain(&tls);
            assert_eq!((planes.clone(), numbers), plain(&memory));
            let mut sorted = a.clone();
            sorted.sort_unstable();
            assert_eq!(planes[4], sorted);
            let ands: Vec<_> = a.iter().zip(&b).map(|(a, b)| a & b).collect();
            assert_eq!(planes[0], ands);
            for (party, (tls, memory)) in tls.iter().zip(&memory).enumerate() {
                assert_eq!(tls.cost, memory.cost, "party {party}, {rows} rows");
                assert_eq!(nets[party].bytes_sent(), tls.cost.bytes[party], "party {party}");
            }
        }
    }
}
