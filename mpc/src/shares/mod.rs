//! Shares of columns. Debug shows kind and length only. A *ghost* (dry sessions) has length and
//! width but no data; every local operation on ghosts gives a ghost.
//!
//! Party i holds the components (x_i, x_{i+1}) of x = x_0 + x_1 + x_2 or x_0 ^ x_1 ^ x_2. What
//! these types do is local: no message, no round. Shapes that do not fit are a defect of the
//! caller and panic here; protocols report them as [`crate::MpcError::Shape`].

mod arith;
pub(crate) mod planes;
mod rows;

pub use crate::ring::Ring;
pub use arith::Arith;
pub use planes::Planes;
