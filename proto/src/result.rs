//! What a node and a client both compute about a result: the digest by which the client checks one
//! party's component against its neighbour's.

use crate::ids::{ClusterId, JobId, Party};

/// Digest of one component of one result vector: what party i says of `x_{i+1}`, and what the client
/// computes over the `x_{i+1}` that party i+1 sent.
///
/// * `attempt`: attempt of the job whose result this is;
/// * `vector`: index of the vector in the result (per column its values, then its null plane if
///   nullable; last the valid plane);
/// * `rows`: the public row bound of the result;
/// * `component`: the index i+1 of the component that is digested;
/// * `bytes`: the whole component, all pieces of it.
///
/// It is not keyed: it goes to the client only and must never be logged or compared elsewhere.
#[must_use]
pub fn result_digest(
    cluster: ClusterId,
    job: JobId,
    attempt: u32,
    vector: u32,
    rows: u64,
    component: Party,
    bytes: &[u8],
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("trine/v1 component of a result vector");
    hasher.update(&cluster.0);
    hasher.update(&job.0);
    hasher.update(&attempt.to_le_bytes());
    hasher.update(&vector.to_le_bytes());
    hasher.update(&rows.to_le_bytes());
    hasher.update(&[component.index().to_le_bytes()[0]]);
    hasher.update(bytes);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_label_counts() {
        let (c, j) = (ClusterId([1; 16]), JobId([2; 16]));
        let base = result_digest(c, j, 1, 0, 9, Party::ALL[0], b"x");
        assert_eq!(base, result_digest(c, j, 1, 0, 9, Party::ALL[0], b"x"));
        let others = [
            result_digest(ClusterId([3; 16]), j, 1, 0, 9, Party::ALL[0], b"x"),
            result_digest(c, JobId([3; 16]), 1, 0, 9, Party::ALL[0], b"x"),
            result_digest(c, j, 2, 0, 9, Party::ALL[0], b"x"),
            result_digest(c, j, 1, 1, 9, Party::ALL[0], b"x"),
            result_digest(c, j, 1, 0, 8, Party::ALL[0], b"x"),
            result_digest(c, j, 1, 0, 9, Party::ALL[1], b"x"),
            result_digest(c, j, 1, 0, 9, Party::ALL[0], b"y"),
        ];
        assert!(others.iter().all(|o| *o != base));
    }
}
