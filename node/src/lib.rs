//! The daemon of one party: trined
