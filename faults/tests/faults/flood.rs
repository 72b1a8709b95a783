//! Strangers on every port: scans, silence, garbage, messages without end. The nodes live on, in bounded
//! memory, and serve meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use trine_client::{Client, Config, Value};
use trine_faults::{Cluster, Random};

/// Silent connections held to every port: several times as many as handshakes are allowed.
const SILENT: usize = 150;
/// Memory that all of this may cost a node.
const MEMORY_MAX: u64 = 256 << 20;

fn ports(cluster: &Cluster) -> Vec<String> {
    (0..3)
        .flat_map(|p| [cluster.client_address(p).to_owned(), cluster.mesh_address(p).to_owned()])
        .collect()
}

fn call(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream
}

/// Writes until the node has had enough, at most `bytes_max`; returns how much it took.
fn pour(stream: &mut TcpStream, piece: &[u8], bytes_max: usize) -> usize {
    let mut taken = 0;
    while taken < bytes_max && stream.write_all(piece).is_ok() {
        taken += piece.len();
    }
    taken
}

fn garbage(random: &mut Random, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|_| random.next().to_le_bytes()[0]).collect()
}

/// What callers may begin with: nothing that makes sense, or the beginning of something that does.
fn openings(random: &mut Random) -> Vec<Vec<u8>> {
    let mut endless_record = vec![0x16, 3, 1, 0xff, 0xff];
    endless_record.extend(garbage(random, 1 << 14));
    let mut hello_that_never_ends = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    hello_that_never_ends.extend(vec![0; 1 << 14]);
    vec![
        garbage(random, 1 << 16),
        vec![0; 1 << 16],
        endless_record,
        hello_that_never_ends,
        b"GET / HTTP/1.1\r\nHost: trine\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.0\r\n".to_vec(),
        vec![0x16],
    ]
}

async fn count(client: &Client) -> Value {
    let asking = client.query("SELECT COUNT(*) FROM t");
    let table = tokio::time::timeout(Duration::from_secs(60), asking).await.unwrap().unwrap();
    table.rows[0][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_on_every_port_harm_nobody() {
    let mut cluster = Cluster::started().unwrap();
    let client = cluster.connect().await.unwrap();
    client.execute("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2), (3)").await.unwrap();
    assert_eq!(count(&client).await, Value::Int(3));
    let before: Vec<u64> = (0..3).map(|p| cluster.memory(p).unwrap()).collect();
    let mut random = Random::new(7);

    // A port scan; callers that close in the middle of a sentence.
    for address in ports(&cluster) {
        for _ in 0..100 {
            drop(call(&address));
        }
        for opening in openings(&mut random) {
            let mut stream = call(&address);
            let _ = stream.write_all(&opening);
            let mut answer = [0; 256];
            let _ = stream.read(&mut answer);
        }
    }
    // Silent callers that stay, more than there are slots; some say a byte now and then.
    let mut silent: Vec<TcpStream> = Vec::new();
    for address in ports(&cluster) {
        silent.extend((0..SILENT).map(|_| call(&address)));
    }
    for stream in silent.iter_mut().step_by(3) {
        let _ = stream.write_all(&[0x16]);
    }
    // The old connections go on, and new ones of people who speak come in at once.
    assert_eq!(count(&client).await, Value::Int(3));
    let started = Instant::now();
    let other = cluster.connect().await.unwrap();
    assert_eq!(count(&other).await, Value::Int(3));
    assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());

    // Callers that never stop talking.
    for address in ports(&cluster) {
        for opening in openings(&mut random) {
            let mut stream = call(&address);
            let taken = pour(&mut stream, &opening, 64 << 20);
            assert!(taken < 16 << 20, "{address} took {taken} bytes of {:?}", &opening[..8]);
        }
    }
    // The wrong protocol behind a proper handshake: a client at the mesh's port.
    let mut config: Config = other.config().clone();
    for (party, node) in config.nodes.iter_mut().enumerate() {
        cluster.mesh_address(party).clone_into(&mut node.address);
    }
    let refused = tokio::time::timeout(Duration::from_secs(30), Client::connect(config)).await;
    assert!(refused.unwrap().is_err());

    // A node that comes back finds its peers through all of this.
    cluster.kill(1);
    cluster.start_all().unwrap();
    assert_eq!(count(&client).await, Value::Int(3));
    for (party, before) in before.iter().enumerate() {
        let now = cluster.memory(party).unwrap();
        assert!(now < before + MEMORY_MAX, "node {party}: {before} bytes before, {now} now");
        assert!(!cluster.log_text(party).contains("panicked"), "{}", cluster.log_text(party));
    }
    drop(silent);
}
