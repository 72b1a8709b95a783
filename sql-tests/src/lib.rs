//! sqllogictest runner, corpora and the cluster test harness
