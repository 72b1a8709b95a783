//! Tests of the store through its public interface.

mod corruption;
mod crash;
mod round_trip;
mod sample;
mod staging;
