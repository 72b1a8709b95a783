//! The same computation in the clear, and the comparison with what was opened.

use super::input::{self, mask};
use super::job::Job;
use super::operation::Operation;
use super::relational;
use super::vector::Opened;
use std::collections::BTreeMap;

/// Compares.
///
/// # Errors
/// The first thing that differs, in words.
pub(super) fn verify(job: &Job, opened: &Opened) -> Result<(), String> {
    if job.operation.is_relational() {
        return verify_rows(job, opened);
    }
    let plain: Vec<Vec<u128>> = input::plain(job).into_iter().map(|p| p.values).collect();
    let got = |column: usize| -> Result<Vec<u128>, String> {
        let values = opened.columns.get(column).ok_or("a column is missing")?;
        let unsigned = values.iter().map(|v| v.map(i128::cast_unsigned));
        unsigned.collect::<Option<Vec<u128>>>().ok_or_else(|| "a NULL".to_owned())
    };
    let pairs = || plain[0].iter().zip(&plain[1]);
    match job.operation {
        // x & y & y & ...
        Operation::Round | Operation::And => same(&got(0)?, pairs().map(|(x, y)| x & y)),
        Operation::Mul => same(&got(0)?, pairs().map(|(x, y)| x.wrapping_mul(*y) & mask(job.bits))),
        Operation::Eq => same(&got(0)?, pairs().map(|(x, y)| u128::from(x == y))),
        Operation::Lt => same(&got(0)?, pairs().map(|(x, y)| u128::from(x < y))),
        Operation::A2b => same(&got(0)?, plain[0].iter().map(|x| x & mask(job.bits))),
        Operation::B2a => same(&got(0)?, plain[0].iter().copied()),
        Operation::Shuffle => shuffled(&plain[0], got(0)?),
        Operation::Sort => moved(&plain[0], &got(0)?, &got(1)?, sorted(&plain[0])),
        Operation::Partition => {
            let ones_first: Vec<u128> = plain[0].iter().map(|bit| 1 - bit).collect();
            moved(&plain[1], &got(0)?, &got(1)?, sorted(&ones_first))
        }
        _ => Err("an operation that is not verified here".into()),
    }
}

fn same(got: &[u128], expected: impl ExactSizeIterator<Item = u128>) -> Result<(), String> {
    if got.len() != expected.len() {
        return Err(format!("{} rows instead of {}", got.len(), expected.len()));
    }
    match expected.zip(got).enumerate().find(|(_, (expected, got))| expected != *got) {
        None => Ok(()),
        Some((row, (expected, got))) => Err(format!("row {row} is {got} instead of {expected}")),
    }
}

/// The same values, and not in the order in which they came.
fn shuffled(plain: &[u128], mut got: Vec<u128>) -> Result<(), String> {
    let mut expected = plain.to_vec();
    expected.sort_unstable();
    // 100 rows or more of which most differ: a random permutation does not leave them in place.
    let differ = {
        let mut d = expected.clone();
        d.dedup();
        d.len()
    };
    if differ >= 100 && got == plain {
        return Err("the rows are where they were".into());
    }
    got.sort_unstable();
    same(&got, expected.into_iter())
}

/// Rows in stable ascending order of the key.
fn sorted(key: &[u128]) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..key.len()).collect();
    rows.sort_by_key(|&row| key[row]);
    rows
}

/// A column and the row numbers that moved with it.
fn moved(
    column: &[u128],
    got: &[u128],
    got_rows: &[u128],
    order: Vec<usize>,
) -> Result<(), String> {
    same(got, order.iter().map(|&row| column[row]))?;
    same(got_rows, order.iter().map(|&row| row as u128)).map_err(|e| format!("order: {e}"))
}

type Row = Vec<i128>;

/// Results of SQL: rows in any order, but for `ORDER BY`.
fn verify_rows(job: &Job, opened: &Opened) -> Result<(), String> {
    let mut rows = Vec::new();
    for row in 0..opened.columns.first().map_or(0, Vec::len) {
        let value = |column: &Vec<Option<i128>>| column.get(row).copied().flatten();
        let values: Option<Row> = opened.columns.iter().map(value).collect();
        rows.push(values.ok_or_else(|| format!("row {row} has a NULL"))?);
    }
    let tables = relational::tables(job);
    let table = tables.first().ok_or("no table")?;
    let wide = |v: &[i64]| v.iter().map(|v| i128::from(*v)).collect::<Vec<i128>>();
    let (keys, values) = (wide(table.values(0)), wide(table.values(1)));
    let mut expected: Vec<Row> = match job.operation {
        Operation::GroupbySum | Operation::GroupbySmall => {
            let mut groups: BTreeMap<i128, (i128, i128)> = BTreeMap::new();
            for (key, value) in keys.iter().zip(&values) {
                let group = groups.entry(*key).or_default();
                *group = (group.0 + value, group.1 + 1);
            }
            let row = |(key, (sum, count))| match job.operation {
                Operation::GroupbySum => vec![key, sum],
                _ => vec![key, sum, count],
            };
            groups.into_iter().map(row).collect()
        }
        Operation::JoinUnique => {
            let unique = tables.get(1).ok_or("no unique side")?;
            let payload: BTreeMap<i128, i128> =
                wide(unique.values(0)).into_iter().zip(wide(unique.values(1))).collect();
            let pair = |(k, v): (&i128, &i128)| payload.get(k).map(|p| vec![*k, *v, *p]);
            keys.iter().zip(&values).filter_map(pair).collect()
        }
        _ => return top(&rows, &keys, &values),
    };
    rows.sort_unstable();
    expected.sort_unstable();
    if rows.len() != expected.len() {
        return Err(format!("{} rows instead of {}", rows.len(), expected.len()));
    }
    match rows.iter().zip(&expected).find(|(got, expected)| got != expected) {
        None => Ok(()),
        Some((got, expected)) => Err(format!("a row {got:?} where {expected:?} is due")),
    }
}

/// The ten least keys in order, each with a value that stands beside it in the table.
fn top(rows: &[Row], keys: &[i128], values: &[i128]) -> Result<(), String> {
    let mut order: Vec<(i128, i128)> = keys.iter().copied().zip(values.iter().copied()).collect();
    order.sort_unstable();
    let least: Vec<i128> = order.iter().take(10).map(|(key, _)| *key).collect();
    let got: Vec<i128> = rows.iter().filter_map(|row| row.first().copied()).collect();
    if got != least {
        return Err(format!("keys {got:?} instead of {least:?}"));
    }
    for row in rows {
        let &[key, value] = row.as_slice() else { return Err("rows of two columns".into()) };
        let found = order.iter().position(|pair| *pair == (key, value));
        // Every row of the table is there once.
        order.remove(found.ok_or_else(|| format!("no row ({key}, {value}) in the table"))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(columns: &[&[u128]]) -> Opened {
        let column = |c: &&[u128]| c.iter().map(|v| Some(v.cast_signed())).collect();
        Opened { columns: columns.iter().map(column).collect() }
    }

    #[test]
    fn a_wrong_value_is_a_failure() {
        let job = Job::new(Operation::And, 100, 8);
        let plain = input::plain(&job);
        let right: Vec<u128> =
            plain[0].values.iter().zip(&plain[1].values).map(|(x, y)| x & y).collect();
        assert_eq!(verify(&job, &opened(&[&right])), Ok(()));
        let mut wrong = right.clone();
        wrong[42] ^= 1;
        let why = format!("row 42 is {} instead of {}", wrong[42], right[42]);
        assert_eq!(verify(&job, &opened(&[&wrong])), Err(why));
        let short = verify(&job, &opened(&[&right[..99]]));
        assert_eq!(short, Err("99 rows instead of 100".into()));
        assert_eq!(verify(&job, &opened(&[])), Err("a column is missing".into()));
    }

    #[test]
    fn a_shuffle_must_keep_the_values_and_move_them() {
        let job = Job::new(Operation::Shuffle, 500, 32);
        let plain = &input::plain(&job)[0].values;
        let why = verify(&job, &opened(&[plain])).unwrap_err();
        assert_eq!(why, "the rows are where they were");
        let turned: Vec<u128> = plain.iter().rev().copied().collect();
        assert_eq!(verify(&job, &opened(&[&turned])), Ok(()));
        let mut lost = turned;
        lost[3] = lost[4];
        assert!(verify(&job, &opened(&[&lost])).is_err());
    }

    #[test]
    fn a_sort_must_be_stable() {
        let job = Job::new(Operation::Sort, 50, 3);
        let keys = &input::plain(&job)[0].values;
        let order = sorted(keys);
        let moved: Vec<u128> = order.iter().map(|&row| keys[row]).collect();
        let mut rows: Vec<u128> = order.iter().map(|&row| row as u128).collect();
        assert_eq!(verify(&job, &opened(&[&moved, &rows])), Ok(()));
        let tie = moved.windows(2).position(|w| w[0] == w[1]).unwrap();
        rows.swap(tie, tie + 1);
        assert!(verify(&job, &opened(&[&moved, &rows])).unwrap_err().starts_with("order: row"));
    }

    #[test]
    fn groups_and_the_first_ten_are_compared() {
        let job = Job { groups: 3, ..Job::new(Operation::GroupbySum, 20, 8) };
        let rows = relational::tables(&job);
        let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
        for (key, value) in rows[0].values(0).iter().zip(rows[0].values(1)) {
            *sums.entry(*key).or_default() += value;
        }
        let wide =
            |v: Vec<i64>| v.into_iter().map(|v| u128::try_from(v).unwrap()).collect::<Vec<_>>();
        let keys = wide(sums.keys().copied().collect());
        let mut totals = wide(sums.values().copied().collect());
        assert_eq!(verify(&job, &opened(&[&keys, &totals])), Ok(()));
        totals[0] += 1;
        assert!(verify(&job, &opened(&[&keys, &totals])).is_err());
        let job = Job::new(Operation::Topk, 30, 16);
        let rows = relational::tables(&job);
        let mut pairs: Vec<(i64, i64)> =
            rows[0].values(0).iter().copied().zip(rows[0].values(1).iter().copied()).collect();
        pairs.sort_unstable();
        let (keys, values): (Vec<i64>, Vec<i64>) = pairs.into_iter().take(10).unzip();
        let (keys, mut values) = (wide(keys), wide(values));
        assert_eq!(verify(&job, &opened(&[&keys, &values])), Ok(()));
        values.swap(0, 1);
        assert!(verify(&job, &opened(&[&keys, &values])).is_err());
    }
}
