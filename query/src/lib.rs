//! SQL to oblivious plans to shares
