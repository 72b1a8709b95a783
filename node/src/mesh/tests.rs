//! Three meshes in one process, over loopback and real TLS.

use super::*;
use crate::config::ClusterNode;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use trine_mpc::Net as _;
use trine_proto::ids::ClusterId;
use trine_proto::status::SqlError;

fn take(net: &AttemptNet, party: usize, lane: u32, length: usize) -> trine_mpc::Result<Vec<u8>> {
    let mut into = vec![0; length];
    net.receive(party, lane, &mut into).map(|()| into)
}

const LONG: Duration = Duration::from_secs(60);

struct World {
    cluster: Arc<Cluster>,
    identities: [Identity; 3],
    meshes: [Mesh; 3],
}

/// A loopback port that forwards to another one until it is cut.
struct Wire {
    address: String,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    passed: Arc<std::sync::atomic::AtomicUsize>,
}

fn identities() -> [Identity; 3] {
    [(); 3].map(|()| Identity::generate().unwrap())
}

fn listeners() -> [TcpListener; 3] {
    [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap())
}

fn cluster(identities: &[Identity; 3], addresses: [String; 3]) -> Cluster {
    let node = |i: usize| ClusterNode {
        name: format!("org {i}"),
        mesh: addresses[i].clone(),
        client: format!("client port of {i}"),
        key: identities[i].public(),
    };
    Cluster { id: ClusterId([7; 16]), nodes: [node(0), node(1), node(2)], administrators: vec![] }
}

fn world() -> World {
    let (identities, listeners) = (identities(), listeners());
    let addresses = [0, 1, 2].map(|i| listeners[i].local_addr().unwrap().to_string());
    start(identities, listeners, addresses)
}

fn start(identities: [Identity; 3], listeners: [TcpListener; 3], addresses: [String; 3]) -> World {
    let cluster = Arc::new(cluster(&identities, addresses));
    let mut listeners = listeners.into_iter();
    let meshes = Party::ALL.map(|p| {
        let identity = &identities[p.index()];
        Mesh::start(p, Arc::clone(&cluster), identity, listeners.next().unwrap()).unwrap()
    });
    for mesh in &meshes {
        mesh.wait_all_up(LONG).unwrap();
    }
    World { cluster, identities, meshes }
}

impl World {
    fn begin(&self, job: u8) -> [Arc<AttemptNet>; 3] {
        let id = AttemptId { kind: AttemptKind::Query, job: [job; 16], attempt: 1 };
        self.begin_with(id, 1)
    }

    /// An attempt whose lanes are open at all three parties.
    fn begin_with(&self, id: AttemptId, lanes: usize) -> [Arc<AttemptNet>; 3] {
        let nets = [0, 1, 2].map(|p| self.meshes[p].begin(id, lanes).unwrap());
        std::thread::scope(|scope| {
            for net in &nets {
                scope.spawn(move || {
                    net.exchange_hello(&hello(0), LONG).unwrap();
                    net.open().unwrap();
                });
            }
        });
        nets
    }
}

fn wire_to(target: String) -> Wire {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let streams = Arc::new(Mutex::new(Vec::new()));
    let passed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (kept, count) = (Arc::clone(&streams), Arc::clone(&passed));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&target)) else { continue };
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let count = Arc::clone(&count);
                std::thread::spawn(move || {
                    let mut buffer = [0; 16 << 10];
                    while let Ok(n) = from.read(&mut buffer) {
                        if n == 0 || to.write_all(&buffer[..n]).is_err() {
                            break;
                        }
                        count.fetch_add(n, std::sync::atomic::Ordering::SeqCst);
                    }
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
            kept.lock().unwrap().extend([client, server]);
        }
    });
    Wire { address, streams, passed }
}

fn hello(n: u8) -> Hello {
    Hello { nonce: [n; 32], streams: vec![], verdict: Err(SqlError::new("XX000", "for the test")) }
}

#[test]
fn messages_of_all_sizes_arrive_in_order_on_every_lane() {
    let world = world();
    let id = AttemptId { kind: AttemptKind::Query, job: [1; 16], attempt: 1 };
    let nets = world.begin_with(id, 4);
    let message = |from: usize, lane: u32, n: usize| -> Vec<u8> {
        let length = [1, 0, 70_000, 3_000_000][n];
        let byte = |i: usize| (i * 7 + from * 31 + lane as usize * 5 + n) % 256;
        (0..length).map(|i| u8::try_from(byte(i)).unwrap()).collect()
    };
    let message = &message;
    std::thread::scope(|scope| {
        for (me, net) in nets.iter().enumerate() {
            for lane in [0, 3] {
                scope.spawn(move || {
                    let peers = [(me + 1) % 3, (me + 2) % 3];
                    for n in 0..4 {
                        for peer in peers {
                            net.send(peer, lane, &message(me, lane, n)).unwrap();
                        }
                    }
                    for n in 0..4 {
                        for peer in peers {
                            let due = message(peer, lane, n);
                            assert_eq!(take(net, peer, lane, due.len()).unwrap(), due);
                        }
                    }
                });
            }
        }
    });
    assert_eq!(nets[0].bytes_sent(), 2 * 2 * 3_070_001);
}

#[test]
fn pairs_share_a_secret_that_no_other_pair_has() {
    let world = world();
    let nets = world.begin(1);
    let secret = |a: usize, b: usize| nets[a].pair_secret(Party::new(b).unwrap());
    assert_eq!(secret(0, 1), secret(1, 0));
    assert_eq!(secret(1, 2), secret(2, 1));
    assert_eq!(secret(2, 0), secret(0, 2));
    assert_ne!(secret(0, 1), secret(1, 2));
    assert_ne!(secret(0, 1), secret(2, 0));
}

#[test]
fn hellos_are_exchanged_all_to_all() {
    let world = world();
    let id = AttemptId { kind: AttemptKind::Query, job: [1; 16], attempt: 1 };
    let nets = [0, 1, 2].map(|p| world.meshes[p].begin(id, 1).unwrap());
    std::thread::scope(|scope| {
        for (me, net) in nets.iter().enumerate() {
            scope.spawn(move || {
                let [next, previous] =
                    net.exchange_hello(&hello(u8::try_from(me).unwrap()), LONG).unwrap();
                assert_eq!(usize::from(next.nonce[0]), (me + 1) % 3);
                assert_eq!(usize::from(previous.nonce[0]), (me + 2) % 3);
            });
        }
    });
}

#[test]
fn three_that_send_before_they_receive_never_stand_still() {
    const BYTES: usize = 200 << 20;
    let world = world();
    let nets = world.begin(1);
    std::thread::scope(|scope| {
        for (me, net) in nets.iter().enumerate() {
            scope.spawn(move || {
                let (next, previous) = ((me + 1) % 3, (me + 2) % 3);
                let mine = vec![u8::try_from(me).unwrap(); BYTES];
                net.send(next, 0, &mine).unwrap();
                // Kept meanwhile.
                let theirs = take(net, previous, 0, BYTES).unwrap();
                assert!(theirs == vec![u8::try_from(previous).unwrap(); BYTES]);
                // Both at once, and the other way round.
                let mut into = mine;
                net.exchange(0, previous, &theirs, next, &mut into).unwrap();
                assert!(into == vec![u8::try_from(me).unwrap(); BYTES]);
            });
        }
    });
    assert_eq!(nets[0].bytes_sent(), 2 * (200 << 20));
}

#[test]
fn who_waits_for_one_peer_takes_in_what_the_other_sends() {
    const BYTES: usize = 64 << 20;
    let world = world();
    let nets = world.begin(1);
    std::thread::scope(|scope| {
        let [a, b, c] = &nets;
        // 2 waits for 0, which waits for 1, which has far more to send to 2 than sockets hold.
        scope.spawn(move || {
            b.send(2, 0, &vec![3; BYTES]).unwrap();
            b.send(0, 0, &[1]).unwrap();
        });
        scope.spawn(move || {
            assert_eq!(take(c, 0, 0, 1).unwrap(), [2]);
            assert_eq!(take(c, 1, 0, BYTES).unwrap(), vec![3; BYTES]);
        });
        assert_eq!(take(a, 1, 0, 1).unwrap(), [1]);
        a.send(2, 0, &[2]).unwrap();
    });
}

#[test]
fn a_lane_that_stands_still_keeps_no_other_one_waiting() {
    let world = world();
    let id = AttemptId { kind: AttemptKind::Query, job: [1; 16], attempt: 1 };
    let nets = world.begin_with(id, 2);
    let other = world.begin(2);
    std::thread::scope(|scope| {
        let [a, b, _] = &nets;
        let stalled = scope.spawn(move || a.send(1, 1, &vec![7; 64 << 20]));
        for _ in 0..100 {
            a.send(1, 0, &[5; 1000]).unwrap();
            assert_eq!(take(b, 0, 0, 1000).unwrap(), [5; 1000]);
            other[0].send(1, 0, &[6]).unwrap();
            assert_eq!(take(&other[1], 0, 0, 1).unwrap(), [6]);
        }
        assert!(!stalled.is_finished());
        assert_eq!(take(b, 0, 1, 64 << 20).unwrap(), vec![7; 64 << 20]);
        stalled.join().unwrap().unwrap();
    });
}

#[test]
fn cancelling_wakes_who_waits_to_receive_and_who_waits_to_send() {
    let world = world();
    let id = AttemptId { kind: AttemptKind::Query, job: [1; 16], attempt: 1 };
    let nets = world.begin_with(id, 2);
    std::thread::scope(|scope| {
        let [a, b, c] = &nets;
        let receiving = scope.spawn(move || take(a, 1, 0, 1).map(|_| ()));
        let sending = scope.spawn(move || a.send(1, 1, &vec![0; 64 << 20]));
        let remote = scope.spawn(move || take(c, 1, 0, 1).map(|_| ()));
        // The first bytes have come, so the sender is at it.
        let mut sides = 0;
        while sides == 0 {
            sides = usize::from(!sending.is_finished());
        }
        a.abort("the user wants it");
        assert_eq!(receiving.join().unwrap(), Err(MpcError::Cancelled));
        assert_eq!(sending.join().unwrap(), Err(MpcError::Cancelled));
        assert_eq!(remote.join().unwrap(), Err(MpcError::PeerLost { party: 0 }));
        assert_eq!(take(b, 0, 0, 1), Err(MpcError::PeerLost { party: 0 }));
        assert_eq!(a.check(), Err(MpcError::Cancelled));
    });
}

#[test]
fn lanes_that_nobody_opened_are_an_error() {
    let world = world();
    let nets = world.begin(1);
    for lane in [1, u32::MAX] {
        assert_eq!(
            nets[0].send(1, lane, &[1]),
            Err(MpcError::Shape("the attempt has no such lane"))
        );
    }
    assert!(matches!(nets[0].send(0, 0, &[1]), Err(MpcError::Shape(_))));
    let id = AttemptId { kind: AttemptKind::Query, job: [2; 16], attempt: 1 };
    let early = world.meshes[0].begin(id, 1).unwrap();
    assert_eq!(early.send(1, 0, &[1]), Err(MpcError::Shape("the lanes are not open yet")));
}

#[test]
fn peers_that_count_other_lanes_are_found_out() {
    let world = world();
    let id = AttemptId { kind: AttemptKind::Query, job: [1; 16], attempt: 1 };
    let nets = [(0, 1), (1, 2), (2, 1)].map(|(p, n)| world.meshes[p].begin(id, n).unwrap());
    std::thread::scope(|scope| {
        let opened = nets.each_ref().map(|net| {
            scope.spawn(move || {
                net.exchange_hello(&hello(0), LONG).unwrap();
                net.open()
            })
        });
        let [zero, one, two] = opened.map(|thread| thread.join().unwrap());
        assert_eq!(zero, Ok(()));
        assert_eq!(one, Err(MpcError::Shape("a peer counts other lanes")));
        assert_eq!(two, Err(MpcError::Shape("a peer counts other lanes")));
    });
}

#[test]
fn streams_are_used_again_after_a_good_end_and_closed_after_a_bad_one() {
    let world = world();
    let idle = || {
        [0, 1, 2].map(|p| {
            let party = Party::ALL[p];
            let pool = world.meshes[p].0.plane.pool();
            (pool.idle(party.next()), pool.idle(party.previous()))
        })
    };
    let wait_for = |due: [(usize, usize); 3]| {
        let deadline = std::time::Instant::now() + LONG / 4;
        while idle() != due && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(idle(), due);
    };
    wait_for([(2, 2); 3]);
    for job in 0..20 {
        let nets = world.begin(job);
        for (me, net) in nets.iter().enumerate() {
            net.send((me + 1) % 3, 0, &[9; 100]).unwrap();
        }
        for (me, net) in nets.iter().enumerate() {
            assert_eq!(take(net, (me + 2) % 3, 0, 100).unwrap(), [9; 100]);
        }
        drop(nets);
        wait_for([(2, 2); 3]);
    }
    // Something is left unread at node 1: the stream from 0 is closed at both ends.
    let nets = world.begin(30);
    nets[0].send(1, 0, &[1, 2, 3]).unwrap();
    nets[0].send(1, 0, &[4]).unwrap();
    assert_eq!(take(&nets[1], 0, 0, 3).unwrap(), [1, 2, 3]);
    nets[2].send(1, 0, &[5]).unwrap();
    assert_eq!(take(&nets[1], 2, 0, 1).unwrap(), [5]);
    drop(nets);
    wait_for([(1, 2), (2, 1), (2, 2)]);
    let nets =
        world.begin_with(AttemptId { kind: AttemptKind::Query, job: [31; 16], attempt: 1 }, 3);
    nets[1].send(0, 2, &[7]).unwrap();
    assert_eq!(take(&nets[0], 1, 2, 1).unwrap(), [7]);
    nets[1].abort("a bad end");
    for p in [0, 2] {
        assert_eq!(take(&nets[p], 1, 0, 1), Err(MpcError::PeerLost { party: 1 }));
    }
    drop(nets);
    wait_for([(0, 0); 3]);
}

#[test]
fn a_stream_needs_the_secret_of_the_control_connection() {
    let world = world();
    let links = watch::Sender::new([None; 3]);
    let connector = Connector::new(
        Party::ALL[0],
        Arc::clone(&world.cluster),
        &world.identities[0],
        links.subscribe(),
    );
    let connector = connector.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let why = runtime.block_on(connector.dial_stream(Party::ALL[1], &[9; 32], 77)).unwrap_err();
    assert!(why.contains("the connection that the stream belongs to is gone"), "{why}");
}

#[test]
fn a_message_of_the_wrong_length_is_an_error() {
    let world = world();
    let nets = world.begin(1);
    nets[0].send(1, 0, &[1, 2, 3]).unwrap();
    let error = take(&nets[1], 0, 0, 4).unwrap_err();
    assert_eq!(error, MpcError::WrongLength { party: 0, expected: 4, got: 3 });
}

#[test]
fn an_abort_ends_the_attempt_everywhere_and_others_go_on() {
    let world = world();
    let (nets, others) = (world.begin(1), world.begin(2));
    let error = SqlError::new("XX001", "cannot read a segment");
    nets[0].fail(&error);
    assert_eq!(take(&nets[0], 1, 0, 1), Err(MpcError::Cancelled));
    for p in [1, 2] {
        assert_eq!(take(&nets[p], 2 - p / 2, 0, 1), Err(MpcError::PeerLost { party: 0 }));
        assert_eq!(nets[p].peer_error(), Some(error.clone()));
    }
    others[0].send(1, 0, &[5]).unwrap();
    assert_eq!(take(&others[1], 0, 0, 1).unwrap(), [5]);
}

#[test]
fn a_connection_cut_in_a_message_is_a_lost_peer_and_heals() {
    let (identities, listeners) = (identities(), listeners());
    // Whoever dials node 1 (for protocols: node 0) goes through a wire that can be cut.
    let wire = wire_to(listeners[1].local_addr().unwrap().to_string());
    let mut addresses = [0, 1, 2].map(|i| listeners[i].local_addr().unwrap().to_string());
    addresses[1].clone_from(&wire.address);
    let world = start(identities, listeners, addresses);
    let id = AttemptId { kind: AttemptKind::Query, job: [1; 16], attempt: 1 };
    let nets = world.begin_with(id, 2);
    let before = wire.passed.load(std::sync::atomic::Ordering::SeqCst);
    std::thread::scope(|scope| {
        let [a, b, c] = &nets;
        // Far more than sockets and the wire hold, so the cut comes in the middle.
        scope.spawn(move || a.send(1, 0, &vec![0; 200 << 20]));
        let waiting = [
            scope.spawn(move || take(b, 0, 0, 200 << 20).map(|_| ())),
            scope.spawn(move || take(a, 1, 1, 1).map(|_| ())),
            scope.spawn(move || take(c, 1, 0, 1).map(|_| ())),
        ];
        while wire.passed.load(std::sync::atomic::Ordering::SeqCst) < before + (1 << 20) {
            std::thread::yield_now();
        }
        for stream in wire.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let [b, a, c] = waiting.map(|thread| thread.join().unwrap());
        assert_eq!(b, Err(MpcError::PeerLost { party: 0 }));
        assert_eq!(a, Err(MpcError::PeerLost { party: 1 }));
        assert!(matches!(c, Err(MpcError::PeerLost { .. })), "{c:?}");
    });
    for mesh in &world.meshes {
        mesh.wait_all_up(LONG).unwrap();
    }
    drop(nets);
    let nets = world.begin(2);
    nets[0].send(1, 0, &[8]).unwrap();
    assert_eq!(take(&nets[1], 0, 0, 1).unwrap(), [8]);
}

#[test]
fn garbage_and_strangers_harm_nobody() {
    let world = world();
    let address = world.cluster.nodes[0].mesh.clone();
    // Plain bytes, a connection that says nothing, and TLS with a key that nobody knows.
    let mut garbage = TcpStream::connect(&address).unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let silent = TcpStream::connect(&address).unwrap();
    let why = dial_as(&world, Identity::generate().unwrap(), 1, 0, None);
    assert!(why.contains("another key for this node"), "{why}");
    // A true key with another cluster block.
    let mut other = (*world.cluster).clone();
    other.administrators.push(("eve".into(), [1; 32]));
    let why = dial_as(&world, world.identities[2].clone(), 2, 0, Some(other));
    assert!(why.contains("[cluster] block differs"), "{why}");
    // A true key, but this pair's connection is dialled by the other end.
    let why = dial_as(&world, world.identities[1].clone(), 1, 0, None);
    assert!(why.contains("does not expect"), "{why}");
    assert_eq!(world.meshes[0].up(), [true; 3]);
    let nets = world.begin(1);
    nets[2].send(0, 0, &[8]).unwrap();
    assert_eq!(take(&nets[0], 2, 0, 1).unwrap(), [8]);
    drop((garbage, silent));
}

/// Dials `to` for control as if from `me`; why it failed.
fn dial_as(
    world: &World,
    identity: Identity,
    me: usize,
    to: usize,
    cluster: Option<Cluster>,
) -> String {
    let cluster = cluster.map_or_else(|| Arc::clone(&world.cluster), Arc::new);
    let (me, to) = (Party::new(me).unwrap(), Party::new(to).unwrap());
    let links = watch::Sender::new([None; 3]);
    let connector = Connector::new(me, cluster, &identity, links.subscribe()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(connector.dial(to, Kind::Control)) {
        Ok(_) => panic!("the dialler was let in"),
        Err(why) => why,
    }
}

#[test]
fn a_node_with_the_wrong_key_is_named_with_both_keys() {
    let world = world();
    let mut cluster = (*world.cluster).clone();
    cluster.nodes[1].key = [9; 32];
    let why = dial_as(&world, world.identities[0].clone(), 0, 1, Some(cluster));
    assert!(why.contains("wrong certificate"), "{why}");
    assert!(why.contains(&hex::encode(world.identities[1].public())), "{why}");
}

#[test]
fn raft_requests_are_answered_with_the_callers_party() {
    let world = world();
    for (party, mesh) in world.meshes.iter().enumerate() {
        mesh.answer_with(Arc::new(move |from, mut request| {
            Box::pin(async move {
                request.push(u8::try_from(from.index()).unwrap());
                request.push(u8::try_from(party).unwrap());
                request
            })
        }));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let transport = world.meshes[2].transport();
        let answer = loop {
            // The connection may still be on its way.
            match transport.call(Party::ALL[1], vec![42]).await {
                Ok(answer) => break answer,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        assert_eq!(answer, [42, 2, 1]);
        let calls = (0..100_u8).map(|n| transport.call(Party::ALL[1], vec![n; 10_000]));
        for (n, answer) in futures::future::join_all(calls).await.into_iter().enumerate() {
            assert_eq!(usize::from(answer.unwrap()[0]), n);
        }
        world.meshes[1].stop();
        let error = transport.call(Party::ALL[1], vec![1]).await.unwrap_err();
        assert!(matches!(error, trine_consensus::ConsensusError::Peer { .. }), "{error}");
    });
}

#[test]
fn a_node_that_stops_is_down_at_the_others_and_named() {
    let world = world();
    let nets = world.begin(1);
    world.meshes[2].stop();
    assert_eq!(take(&nets[2], 0, 0, 1), Err(MpcError::Cancelled));
    for p in [0, 1] {
        assert!(matches!(take(&nets[p], 2, 0, 1), Err(MpcError::PeerLost { .. })));
        let mut up = world.meshes[p].watch();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { up.wait_for(|up| !up[2]).await.map(|_| ()) }).unwrap();
        assert_eq!(world.meshes[p].wait_all_up(Duration::ZERO), Err(Party::ALL[2]));
    }
    assert_eq!(world.meshes[0].address(Party::ALL[2]), "client port of 2");
}
