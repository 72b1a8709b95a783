//! Who belongs to the cluster: its identity, its principals, and what its network is like.

use std::collections::BTreeSet;

use trine_proto::catalog::{Catalog, ClusterInfo, Principal, PublicKey};
use trine_proto::command::Outcome;
use trine_proto::ids::LogIndex;
use trine_proto::status::{SqlError, sqlstate};
use trine_proto::wire;

use super::{Request, malformed};
use crate::limits::{PRINCIPAL_NAME_BYTES_MAX, PRINCIPALS_MAX};

/// A grantee that means every principal; so nobody may be called so.
pub(super) const PUBLIC: &str = "public";

/// Entry 1: the cluster's identity. Its administrators become principals.
pub(super) fn genesis(
    catalog: &mut Catalog,
    index: LogIndex,
    info: &ClusterInfo,
) -> Result<Outcome, SqlError> {
    match &catalog.cluster {
        // Every node may have proposed the same one.
        Some(known) if known == info => {
            return Ok(Outcome::Nothing(index, "the cluster is already formed".into()));
        }
        Some(_) => {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_OBJECT,
                "the cluster is already formed, with another identity",
            ));
        }
        None => {}
    }
    let distinct: BTreeSet<&PublicKey> = info.node_keys.iter().collect();
    if distinct.len() != info.node_keys.len() {
        return Err(invalid("the three nodes have three different keys"));
    }
    let mut principals = std::collections::BTreeMap::new();
    let mut keys = BTreeSet::new();
    for (name, key) in &info.administrators {
        valid_name(name)?;
        let principal = Principal { name: name.clone(), key: *key, administrator: true };
        if !keys.insert(*key) || principals.insert(name.clone(), principal).is_some() {
            return Err(invalid(format!("administrator \"{name}\" is listed twice")));
        }
    }
    catalog.cluster = Some(info.clone());
    catalog.principals = principals;
    Ok(Outcome::Applied(index))
}

/// Enrols a principal; administrators only.
pub(super) fn enrol(
    catalog: &mut Catalog,
    request: &Request,
    command: &wire::Enrol,
) -> Result<Outcome, SqlError> {
    if !request.principal.administrator {
        return Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            "only an administrator may enrol a principal",
        ));
    }
    valid_name(&command.name)?;
    let key: PublicKey = command
        .public_key
        .as_slice()
        .try_into()
        .map_err(|_| malformed("a public key has 32 bytes"))?;
    let duplicate = |m: String| Err(SqlError::new(sqlstate::DUPLICATE_OBJECT, m));
    match (catalog.principals.get(&command.name), catalog.principal_by_key(&key)) {
        (Some(known), _) if known.key == key => {
            let notice = format!("principal \"{}\" is already enrolled", command.name);
            return Ok(Outcome::Nothing(request.index, notice));
        }
        (Some(known), _) => {
            return duplicate(format!(
                "principal \"{}\" is already enrolled with another key",
                known.name
            ));
        }
        (None, Some(known)) => {
            return duplicate(format!("the key is already enrolled as \"{}\"", known.name));
        }
        (None, None) => {}
    }
    if catalog.principals.len() >= PRINCIPALS_MAX {
        return Err(SqlError::new(
            sqlstate::LIMIT_EXCEEDED,
            format!("a cluster has at most {PRINCIPALS_MAX} principals"),
        ));
    }
    let principal = Principal { name: command.name.clone(), key, administrator: false };
    catalog.principals.insert(command.name.clone(), principal);
    Ok(Outcome::Applied(request.index))
}

fn valid_name(name: &str) -> Result<(), SqlError> {
    if name.is_empty() || name.len() > PRINCIPAL_NAME_BYTES_MAX {
        return Err(invalid(format!(
            "a principal's name has 1 to {PRINCIPAL_NAME_BYTES_MAX} bytes"
        )));
    }
    if name == PUBLIC {
        return Err(invalid("\"public\" means every principal and names none"));
    }
    Ok(())
}

pub(super) fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::INVALID_PARAMETER, message)
}
