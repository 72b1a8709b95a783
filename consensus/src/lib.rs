//! Replicated catalog, commit order and jobs on Raft
