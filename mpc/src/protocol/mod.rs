//! Protocols; costs as in the table of the design (bits of all parties for one row, rounds).

use crate::{Arith, Disclosure, Planes, Result, Ring, Session};

/// AND, plane by plane; a width-1 operand is repeated (still 3 bits an output bit). 3k, 1 round.
/// # Errors
/// Network.
pub fn and(_s: &mut Session, _x: &Planes, _y: &Planes) -> Result<Planes> {
    todo!()
}
/// Several independent ANDs in one round.
/// # Errors
/// Network.
pub fn and_many(_s: &mut Session, _pairs: &[(&Planes, &Planes)]) -> Result<Vec<Planes>> {
    todo!()
}
/// OR. 3k, 1.
/// # Errors
/// Network.
pub fn or(_s: &mut Session, _x: &Planes, _y: &Planes) -> Result<Planes> {
    todo!()
}
/// AND over all planes of a column: width-1 result. 3(k-1), ceil(log2 k).
/// # Errors
/// Network.
pub fn and_all_planes(_s: &mut Session, _x: &Planes) -> Result<Planes> {
    todo!()
}
/// OR over all rows of a width-1 column: one row. About 3n bits, ceil(log2 n).
/// # Errors
/// Network.
pub fn or_all_rows(_s: &mut Session, _x: &Planes) -> Result<Planes> {
    todo!()
}
/// bit ? x : y. 3k, 1.
/// # Errors
/// Network.
pub fn select(_s: &mut Session, _bit: &Planes, _x: &Planes, _y: &Planes) -> Result<Planes> {
    todo!()
}
/// Row-wise product. 3k, 1.
/// # Errors
/// Network.
pub fn mul<T: Ring>(_s: &mut Session, _x: &Arith<T>, _y: &Arith<T>) -> Result<Arith<T>> {
    todo!()
}
/// Several products in one round.
/// # Errors
/// Network.
pub fn mul_many<T: Ring>(
    _s: &mut Session,
    _pairs: &[(&Arith<T>, &Arith<T>)],
) -> Result<Vec<Arith<T>>> {
    todo!()
}
/// For each pair the inner product, all in one round: one row per pair (a vector of pairs.len() rows). 3k per pair, 1.
/// # Errors
/// Network.
pub fn inner_products<T: Ring>(
    _s: &mut Session,
    _pairs: &[(&Arith<T>, &Arith<T>)],
) -> Result<Arith<T>> {
    todo!()
}
/// x == y: width 1. 3(k-1), ceil(log2 k).
/// # Errors
/// Network.
pub fn equal(_s: &mut Session, _x: &Planes, _y: &Planes) -> Result<Planes> {
    todo!()
}
/// x == constant: width 1. 3(k-1), ceil(log2 k).
/// # Errors
/// Network.
pub fn equal_constant(_s: &mut Session, _x: &Planes, _value: &[bool]) -> Result<Planes> {
    todo!()
}
/// x < y, unsigned: width 1; circuit form from the session's profile and n. Tree 3(2k-1-floor(log2 k)), 1+ceil(log2 k); ripple 3k, k.
/// # Errors
/// Network.
pub fn less_than(_s: &mut Session, _x: &Planes, _y: &Planes) -> Result<Planes> {
    todo!()
}
/// x < constant, unsigned. No more than less_than.
/// # Errors
/// Network.
pub fn less_than_constant(_s: &mut Session, _x: &Planes, _value: &[bool]) -> Result<Planes> {
    todo!()
}
/// x + y (+ carry-in bit), mod 2^width.
/// # Errors
/// Network.
pub fn add(_s: &mut Session, _x: &Planes, _y: &Planes, _carry: bool) -> Result<Planes> {
    todo!()
}
/// x - y mod 2^width.
/// # Errors
/// Network.
pub fn subtract(_s: &mut Session, _x: &Planes, _y: &Planes) -> Result<Planes> {
    todo!()
}
/// Two's complement |x| and sign bit.
/// # Errors
/// Network.
pub fn absolute(_s: &mut Session, _x: &Planes) -> Result<(Planes, Planes)> {
    todo!()
}
/// bit ? -x : x, two's complement.
/// # Errors
/// Network.
pub fn negate_if(_s: &mut Session, _bit: &Planes, _x: &Planes) -> Result<Planes> {
    todo!()
}
/// Every plane as an arithmetic 0/1 vector. 3l bits a plane, 2 rounds in all.
/// # Errors
/// Network.
pub fn bits_to_arith<T: Ring>(_s: &mut Session, _x: &Planes) -> Result<Vec<Arith<T>>> {
    todo!()
}
/// Unsigned value of all planes, mod 2^T::BITS (bits_to_arith and a local sum). 3lk, 2.
/// # Errors
/// Network.
pub fn planes_to_arith<T: Ring>(_s: &mut Session, _x: &Planes) -> Result<Arith<T>> {
    todo!()
}
/// The low `width` bits of x as planes. k + one adder.
/// # Errors
/// Network.
pub fn arith_to_planes<T: Ring>(_s: &mut Session, _x: &Arith<T>, _width: usize) -> Result<Planes> {
    todo!()
}
/// Restoring division, unsigned: floor(numerator * 2^fraction_bits / denominator); result width = numerator width + fraction_bits. Denominator 0 gives all ones.
/// # Errors
/// Network.
pub fn divide(
    _s: &mut Session,
    _numerator: &Planes,
    _denominator: &Planes,
    _fraction_bits: usize,
) -> Result<Planes> {
    todo!()
}
/// Opens to all nodes: row-major bytes (ceil(width/8) a row). 3k, 1.
/// # Errors
/// Network.
pub fn open_planes(_s: &mut Session, _x: &Planes, _permit: Disclosure) -> Result<Vec<u8>> {
    todo!()
}
/// Opens to all nodes. 3k, 1.
/// # Errors
/// Network.
pub fn open_arith<T: Ring>(_s: &mut Session, _x: &Arith<T>, _permit: Disclosure) -> Result<Vec<T>> {
    todo!()
}
