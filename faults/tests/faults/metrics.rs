//! The page for Prometheus: what it says, what it never says, and that its port harms nobody.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use trine_faults::{Cluster, Random};

fn ask(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

/// The numbers of the page by name and labels.
fn numbers(address: &str) -> (String, BTreeMap<String, u64>) {
    let page = ask(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    let number = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    (body.to_owned(), lines.map(number).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_page_agrees_with_the_status_and_tells_no_more() {
    let mut cluster = Cluster::new().unwrap();
    cluster.serve_metrics();
    cluster.start_all().unwrap();
    let client = cluster.connect().await.unwrap();
    for sql in [
        "CREATE TABLE sentinel_table (a INT PRIMARY KEY, b VARCHAR(20))",
        "INSERT INTO sentinel_table VALUES (424242, 'sentinel_value')",
    ] {
        client.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    client.query("SELECT COUNT(*) FROM sentinel_table WHERE a > 5").await.unwrap();
    let mut leaders = 0;
    let statuses = client.status().await;
    for (party, status) in statuses.into_iter().enumerate() {
        let kept = status.unwrap().housekeeping.unwrap();
        let address = cluster.metrics_address(party).unwrap();
        let (page, numbers) = numbers(&address);
        let value = |name: &str| *numbers.get(name).unwrap_or_else(|| panic!("{name}: {page}"));
        assert_eq!(value("trine_segments_listed"), kept.segments_listed);
        assert_eq!(value("trine_segments_staged"), kept.segments_staged);
        assert_eq!(value("trine_results"), kept.results);
        assert_eq!(value("trine_results_bytes"), kept.results_bytes);
        assert_eq!(value("trine_segment_files"), 1);
        assert!(kept.results >= 1 && value("trine_segment_bytes") > 0, "{page}");
        assert_eq!(value("trine_jobs{state=\"done\"}"), 1);
        assert_eq!(value("trine_jobs{state=\"active\"}"), 0);
        // The query, and the check of the key.
        assert_eq!(value("trine_attempts_total{how=\"done\"}"), 2);
        assert!(value("trine_protocol_rounds_total") > 0, "{page}");
        assert!(value("trine_protocol_sent_bytes_total") > 0, "{page}");
        assert!(value("process_resident_memory_bytes") > 1 << 20, "{page}");
        assert!(value("trine_log_applied") <= value("trine_log_last"), "{page}");
        let leads = (0..3).map(|p| value(&format!("trine_leader{{party=\"{p}\"}}")));
        leaders += leads.sum::<u64>();
        for (peer, up) in (0..3).filter(|p| *p != party).map(|p| (p, 1)) {
            assert_eq!(value(&format!("trine_peer_up{{party=\"{peer}\"}}")), up);
        }
        for secret in ["sentinel", "root", "SELECT"] {
            assert!(!page.contains(secret), "{secret} in {page}");
        }
    }
    assert_eq!(leaders, 3, "every node knows one leader");

    // Bad bytes: an error or an end, and the node lives on.
    let address = cluster.metrics_address(1).unwrap();
    let mut random = Random::new(3);
    for _ in 0..40 {
        let garbage: Vec<u8> = (0..1 << 12).map(|_| random.next().to_le_bytes()[0]).collect();
        let mut stream = TcpStream::connect(&address).unwrap();
        let _ = stream.write_all(&garbage);
    }
    let silent: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(&address).unwrap()).collect();
    client.query("SELECT COUNT(*) FROM sentinel_table").await.unwrap();
    drop(silent);
    assert!(cluster.runs(1));
    // Those that were dropped leave their seats within moments.
    let mut page = String::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(&address).unwrap();
        page.clear();
        let sent = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
        if sent.is_ok() && stream.read_to_string(&mut page).is_ok() && page.contains("200 OK") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(page.contains("trine_jobs{state=\"done\"} 2"), "{page}");
}
