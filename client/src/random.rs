//! Randomness from the operating system: ids, seeds and salts.

use trine_proto::status::{SqlError, sqlstate};

/// `N` fresh random bytes.
///
/// # Errors
/// `XX000` if the operating system gives none.
pub fn random_id<const N: usize>() -> Result<[u8; N], SqlError> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|_| {
        SqlError::new(sqlstate::INTERNAL_ERROR, "no randomness from the operating system")
    })?;
    Ok(bytes)
}
