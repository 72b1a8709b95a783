//! The permission to open something to the nodes.

/// Taken by value by [`crate::protocol::open_planes`] and [`crate::protocol::open_arith`].
#[derive(Debug)]
pub struct Disclosure {
    what: &'static str,
}

impl Disclosure {
    /// Only the policy check of a plan may call this (lint-enforced).
    #[must_use]
    pub const fn permit_after_policy_check(what: &'static str) -> Self {
        Self { what }
    }
    /// What is opened, for EXPLAIN.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        self.what
    }
}
