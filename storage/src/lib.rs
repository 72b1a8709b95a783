//! One party's Parquet share segments
