//! The rows of TPC-H as CSV files: deterministic, equal on every machine to the byte.

use crate::tpch::TABLES;
use md5::{Digest as _, Md5};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};

/// The file of a table in a folder of generated data.
#[must_use]
pub fn file(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.csv"))
}

/// Writes the eight tables of a scale factor (1: six million lineitems) into a folder as CSV with a
/// header; returns the rows of each, in the order of [`TABLES`]. Memory does not grow with the scale.
///
/// # Errors
/// A file cannot be written, or the scale factor is not a positive number.
pub fn generate(scale: f64, folder: &Path) -> io::Result<Vec<(&'static str, u64)>> {
    if !scale.is_finite() || scale <= 0.0 {
        let message = "the scale factor is a positive number";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    std::fs::create_dir_all(folder)?;
    let mut rows = Vec::new();
    for table in TABLES {
        rows.push((table, generate_table(scale, table, &file(folder, table))?));
    }
    Ok(rows)
}

fn generate_table(scale: f64, table: &str, path: &Path) -> io::Result<u64> {
    // Part 1 of 1: everything.
    match table {
        "region" => {
            let rows = RegionGenerator::new(scale, 1, 1);
            write(path, RegionCsv::header(), rows.iter().map(RegionCsv::new))
        }
        "nation" => {
            let rows = NationGenerator::new(scale, 1, 1);
            write(path, NationCsv::header(), rows.iter().map(NationCsv::new))
        }
        "supplier" => {
            let rows = SupplierGenerator::new(scale, 1, 1);
            write(path, SupplierCsv::header(), rows.iter().map(SupplierCsv::new))
        }
        "part" => {
            let rows = PartGenerator::new(scale, 1, 1);
            write(path, PartCsv::header(), rows.iter().map(PartCsv::new))
        }
        "partsupp" => {
            let rows = PartSuppGenerator::new(scale, 1, 1);
            // With fewer than a hundred suppliers the generator gives a part one of them twice.
            let mut last = (0, BTreeSet::new());
            let rows = rows.iter().filter(move |row| {
                if last.0 != row.ps_partkey {
                    last = (row.ps_partkey, BTreeSet::new());
                }
                last.1.insert(row.ps_suppkey)
            });
            write(path, PartSuppCsv::header(), rows.map(PartSuppCsv::new))
        }
        "customer" => {
            let rows = CustomerGenerator::new(scale, 1, 1);
            write(path, CustomerCsv::header(), rows.iter().map(CustomerCsv::new))
        }
        "orders" => {
            let rows = OrderGenerator::new(scale, 1, 1);
            write(path, OrderCsv::header(), rows.iter().map(OrderCsv::new))
        }
        "lineitem" => {
            let rows = LineItemGenerator::new(scale, 1, 1);
            write(path, LineItemCsv::header(), rows.iter().map(LineItemCsv::new))
        }
        other => Err(io::Error::new(io::ErrorKind::NotFound, format!("no table {other}"))),
    }
}

fn write(path: &Path, header: &str, rows: impl Iterator<Item = impl Display>) -> io::Result<u64> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "{header}")?;
    let mut count = 0;
    for row in rows {
        writeln!(out, "{row}")?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

/// Checks files of a folder against a list as `md5sum` writes it; returns how many were checked.
///
/// # Errors
/// The first file that is missing or differs, or a line that cannot be read.
pub fn check_md5(folder: &Path, list: &Path) -> Result<usize, String> {
    let text = std::fs::read_to_string(list).map_err(|e| format!("{}: {e}", list.display()))?;
    let mut wanted = BTreeMap::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let (sum, name) = line.split_once(char::is_whitespace).ok_or("a line without a name")?;
        wanted.insert(name.trim(), sum);
    }
    for (name, sum) in &wanted {
        let path = folder.join(name);
        let actual = md5_of(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        if actual != *sum {
            return Err(format!("{} has md5 {actual}, not {sum}", path.display()));
        }
    }
    Ok(wanted.len())
}

fn md5_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut md5 = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        md5.update(&buffer[..read]);
    }
    Ok(md5.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_factor_gives_its_rows_and_they_are_the_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        let rows = generate(0.001, folder.path()).unwrap();
        let expected = [
            ("region", 5),
            ("nation", 25),
            ("supplier", 10),
            ("part", 200),
            ("partsupp", 700),
            ("customer", 150),
            ("orders", 1500),
            ("lineitem", 6005),
        ];
        assert_eq!(rows, expected);
        // Sums of files that `tpchgen-cli` 4.0.0 wrote; region and nation are equal at every scale.
        let list = folder.path().join("list.md5");
        let known = "370bf87e60316429665b11ee3400b067  part.csv\n";
        std::fs::write(&list, "f9be0de7eddc1521123abd8fba600fc5  region.csv\n\n5224d09a82f0ffeea49cbd338a1f3c5b  nation.csv\n").unwrap();
        assert_eq!(check_md5(folder.path(), &list), Ok(2));
        std::fs::write(&list, known).unwrap();
        assert!(check_md5(folder.path(), &list).unwrap_err().contains("not 370bf"));
        assert!(generate(0.0, folder.path()).is_err());
    }
}
