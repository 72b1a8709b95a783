//! Signatures, clusters, principals, replays and the rolling digest.

use super::*;
use crate::state_machine::roll;
use trine_proto::command::{CLIENT_DOMAIN, NODE_DOMAIN, SignedBytes};
use trine_proto::ids::{ClusterId, JobId};
use trine_proto::status::sqlstate;

fn enrol(name: &str, key: [u8; 32]) -> Asked {
    Asked::Enrol(wire::Enrol { name: name.into(), public_key: key.to_vec() })
}

#[test]
fn genesis_comes_first_and_once() {
    let cluster = TestCluster::seeded(1);
    let mut catalog = Catalog::default();
    let early = apply(&mut catalog, LogIndex(1), &cluster.admin(query("SELECT 1")));
    refused_with(&early, sqlstate::NODE_UNAVAILABLE);
    let genesis = Command::Genesis(cluster.info.clone());
    applied(&apply(&mut catalog, LogIndex(4), &genesis));
    assert!(catalog.principals["admin"].administrator);
    nothing(&apply(&mut catalog, LogIndex(5), &genesis));
    let other = Command::Genesis(TestCluster::seeded(2).info);
    refused_with(&apply(&mut catalog, LogIndex(6), &other), sqlstate::DUPLICATE_OBJECT);
    assert_eq!(catalog.cluster, Some(cluster.info));
}

#[test]
fn a_genesis_that_contradicts_itself_forms_nothing() {
    let good = TestCluster::seeded(1).info;
    let mut same_keys = good.clone();
    same_keys.node_keys[2] = same_keys.node_keys[0];
    let mut twice = good.clone();
    twice.administrators.push(("other".into(), good.administrators[0].1));
    let mut public = good.clone();
    public.administrators[0].0 = "public".into();
    for info in [same_keys, twice, public] {
        let mut catalog = Catalog::default();
        refused(&apply(&mut catalog, LogIndex(1), &Command::Genesis(info)));
        assert_eq!(catalog.cluster, None);
        assert!(catalog.principals.is_empty());
    }
}

#[test]
fn only_administrators_enrol() {
    let mut world = World::new();
    let carl = identity(1, 12).public();
    refused_with(&world.ann(enrol("carl", carl)), sqlstate::INSUFFICIENT_PRIVILEGE);
    applied(&world.admin(enrol("carl", carl)));
    assert!(!world.catalog.principals["carl"].administrator);
    nothing(&world.admin(enrol("carl", carl)));
    refused_with(&world.admin(enrol("carl", [9; 32])), sqlstate::DUPLICATE_OBJECT);
    refused_with(&world.admin(enrol("dora", carl)), sqlstate::DUPLICATE_OBJECT);
    refused_with(&world.admin(enrol("public", [9; 32])), sqlstate::INVALID_PARAMETER);
    refused_with(&world.admin(enrol("", [9; 32])), sqlstate::INVALID_PARAMETER);
    let short = wire::Enrol { name: "erna".into(), public_key: vec![1; 31] };
    refused_with(&world.admin(Asked::Enrol(short)), sqlstate::PROTOCOL_VIOLATION);
}

#[test]
fn forged_client_commands_change_nothing() {
    let mut world = World::new();
    let stranger = identity(1, 99);
    let ann = world.ann.clone();
    let genuine = world.sign(&ann, create("t", false, false));
    let Command::Client(genuine_bytes) = genuine.clone() else { unreachable!() };
    let with = |change: &dyn Fn(&mut SignedBytes)| {
        let mut bytes = genuine_bytes.clone();
        change(&mut bytes);
        Command::Client(bytes)
    };
    let other_domain = ann.sign(NODE_DOMAIN, genuine_bytes.body.clone());
    let forgeries = [
        with(&|b| b.body[20] ^= 1),
        with(&|b| b.signature[0] ^= 1),
        with(&|b| b.signature.clear()),
        with(&|b| b.public_key = [0; 32]),
        with(&|b| b.public_key = identity(1, 11).public()),
        Command::Client(other_domain),
        Command::Client(stranger.sign(CLIENT_DOMAIN, genuine_bytes.body.clone())),
        client_with_id(&ann, ClusterId([7; 16]), [1; 16], create("t", false, false)),
        Command::Node(genuine_bytes.clone()),
    ];
    let before = world.catalog.clone();
    for forgery in &forgeries {
        refused_with(&world.run(forgery), sqlstate::INVALID_AUTHORIZATION);
    }
    assert_eq!(content(&world.catalog), content(&before));
    assert_eq!(world.catalog.outcomes, before.outcomes);
    assert_ne!(world.catalog.log_digest, before.log_digest);
    // None of them took the genuine command's id.
    assert!(matches!(world.run(&genuine), Outcome::TableCreated(..)));
}

#[test]
fn signed_nonsense_is_refused() {
    let mut world = World::new();
    let (ann, node) = (world.ann.clone(), world.cluster.nodes[0].clone());
    let empty = wire::ClientCommand {
        cluster_id: world.cluster.info.cluster_id.0.to_vec(),
        command_id: vec![1; 16],
        ..wire::ClientCommand::default()
    };
    let mut short = empty.clone();
    short.command_id.pop();
    let encode = |c: &wire::ClientCommand| prost::Message::encode_to_vec(c);
    let nonsense = [
        Command::Client(ann.sign(CLIENT_DOMAIN, vec![0xff; 40])),
        Command::Client(ann.sign(CLIENT_DOMAIN, encode(&empty))),
        Command::Client(ann.sign(CLIENT_DOMAIN, encode(&short))),
        Command::Node(node.sign(NODE_DOMAIN, vec![0xff; 40])),
    ];
    for command in &nonsense {
        refused_with(&world.run(command), sqlstate::PROTOCOL_VIOLATION);
    }
}

#[test]
fn node_commands_need_the_key_of_their_party() {
    let mut world = World::new();
    let retry = NodeCommandKind::JobRetry { job: JobId([1; 16]), attempt: 1 };
    let nodes = world.cluster.nodes.clone();
    let cluster = world.cluster.info.cluster_id;
    let [zero, one, _] = Party::ALL;
    let wrong_party = crate::testing::node(&nodes[0], cluster, one, retry.clone());
    let wrong_cluster = crate::testing::node(&nodes[0], ClusterId([7; 16]), zero, retry.clone());
    let a_client = crate::testing::node(&world.ann.clone(), cluster, zero, retry.clone());
    for forgery in [wrong_party, wrong_cluster, a_client] {
        refused_with(&world.run(&forgery), sqlstate::INVALID_AUTHORIZATION);
    }
    nothing(&world.node(0, retry));
}

#[test]
fn a_party_that_does_not_exist_is_refused() {
    let mut world = World::new();
    let kind = NodeCommandKind::JobRetry { job: JobId([1; 16]), attempt: 1 };
    let cluster_id = world.cluster.info.cluster_id;
    let command = trine_proto::command::NodeCommand { cluster_id, party: Party::ALL[0], kind };
    let mut body = postcard::to_stdvec(&command).unwrap();
    // The party is the byte behind the cluster id.
    body[16] = 3;
    let signed = world.cluster.nodes[0].sign(NODE_DOMAIN, body);
    refused_with(&world.run(&Command::Node(signed)), sqlstate::PROTOCOL_VIOLATION);
}

#[test]
fn a_repeated_command_gets_its_first_outcome() {
    let mut world = World::new();
    let ann = world.ann.clone();
    let good = world.sign(&ann, create("t", false, false));
    let bad = world.sign(&ann, drop_table("u", false));
    let (first_good, first_bad) = (world.run(&good), world.run(&bad));
    world.table("u", false);
    assert_eq!(world.run(&good), first_good);
    assert_eq!(world.run(&bad), first_bad);
    assert!(world.catalog.table("u", world.catalog.applied).is_some());
}

#[test]
fn the_rolling_digest_covers_position_and_command() {
    let genesis = Command::Genesis(TestCluster::seeded(1).info);
    let other = Command::Genesis(TestCluster::seeded(2).info);
    let base = roll(&[0; 32], LogIndex(1), &genesis);
    assert_eq!(base, roll(&[0; 32], LogIndex(1), &genesis));
    assert_ne!(base, roll(&[1; 32], LogIndex(1), &genesis));
    assert_ne!(base, roll(&[0; 32], LogIndex(2), &genesis));
    assert_ne!(base, roll(&[0; 32], LogIndex(1), &other));
    let mut catalog = Catalog::default();
    apply(&mut catalog, LogIndex(1), &genesis);
    assert_eq!(catalog.log_digest, base);
}

#[test]
fn errors_of_nodes_are_bounded() {
    let mut world = World::new();
    let error = SqlError::new("far too long", "é".repeat(crate::limits::ERROR_BYTES_MAX));
    applied(&world.node(0, NodeCommandKind::Abort { transaction: transaction(1), error }));
    let TransactionState::Aborted(_, kept) = world.state(1) else { panic!() };
    assert_eq!(kept.sqlstate, sqlstate::INTERNAL_ERROR);
    assert!(kept.message.len() <= crate::limits::ERROR_BYTES_MAX);
}
