//! Ports that stay free while nobody listens on them.
//!
//! A node that is killed comes back on its port. A port that the system gave out could have become the
//! local end of somebody's connection meanwhile; so ours lie below those that it gives out.

use crate::Failure;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::TcpListener;

/// The lowest port tried: below are the known services.
const LOWEST: u16 = 12_000;
/// Where the system's own ports begin if it does not say (RFC 6335: 49152; Linux: 32768).
const SYSTEM_LOWEST: u16 = 32_768;
/// Where Linux says from which port on it gives them out by itself.
const SYSTEM_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// So many addresses on the loopback interface, all different, that nobody listens on.
///
/// # Errors
/// There are not so many.
pub(crate) fn free_addresses<const N: usize>() -> Result<[String; N], Failure> {
    let end = system_lowest().max(LOWEST + 1);
    let span = end - LOWEST;
    // Another run beside this one begins elsewhere.
    let start = RandomState::new().build_hasher().finish() % u64::from(span);
    let start = u16::try_from(start).unwrap_or(0);
    let mut held = Vec::new();
    for step in 0..span {
        if held.len() == N {
            break;
        }
        let port = LOWEST + (start + step) % span;
        held.extend(TcpListener::bind(("127.0.0.1", port)).ok());
    }
    let addresses: Vec<String> =
        held.iter().filter_map(|l| Some(l.local_addr().ok()?.to_string())).collect();
    addresses.try_into().map_err(|_| format!("no {N} free ports from {LOWEST} to {end}"))
}

fn system_lowest() -> u16 {
    let text = std::fs::read_to_string(SYSTEM_RANGE).unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(SYSTEM_LOWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_gives_none_of_them_to_anybody() {
        let addresses: [String; 6] = free_addresses().unwrap();
        for address in &addresses {
            let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
            assert!((LOWEST..system_lowest()).contains(&port), "{address}");
            assert_eq!(addresses.iter().filter(|other| *other == address).count(), 1);
            TcpListener::bind(address).unwrap();
        }
    }
}
