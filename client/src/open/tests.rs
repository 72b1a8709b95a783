use super::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const CLUSTER: ClusterId = ClusterId([1; 16]);
const JOB: JobId = JobId([2; 16]);

fn column(name: &str, kind: OutputKind, form: ShareForm, bits: u32) -> wire::OutputColumn {
    let mut c = wire::OutputColumn { name: name.into(), bits, ..Default::default() };
    c.set_kind(kind);
    c.set_form(form);
    c
}

/// Bit planes of numbers, as a node holds them.
fn planes(values: &[u128], bits: usize) -> Vec<u8> {
    let plane_bytes = values.len().div_ceil(64) * 8;
    let mut out = vec![0; bits * plane_bytes];
    for (r, v) in values.iter().enumerate() {
        for p in (0..bits.min(128)).filter(|p| v >> p & 1 == 1) {
            out[p * plane_bytes + r / 8] |= 1 << (r % 8);
        }
    }
    out
}

/// Planes of zero-padded text.
fn text_planes(values: &[&str], length: usize) -> Vec<u8> {
    let plane_bytes = values.len().div_ceil(64) * 8;
    let mut out = vec![0; 8 * length * plane_bytes];
    for (r, v) in values.iter().enumerate() {
        for (i, byte) in v.bytes().enumerate() {
            for b in (0..8).filter(|b| byte >> b & 1 == 1) {
                out[((length - 1 - i) * 8 + b) * plane_bytes + r / 8] |= 1 << (r % 8);
            }
        }
    }
    out
}

/// Shares plain vectors (form, bytes) and adds the digests: what three honest nodes send.
fn parts(header: &ResultHeader, plain: &[(ShareForm, Vec<u8>)], noise: u64) -> [ResultPart; 3] {
    let mut stream = blake3::Hasher::new().update(&noise.to_le_bytes()).finalize_xof();
    let mut out = [(); 3].map(|()| ResultPart { header: header.clone(), vectors: Vec::new() });
    for (index, (form, bytes)) in plain.iter().enumerate() {
        let mut x = [vec![0; bytes.len()], vec![0; bytes.len()], bytes.clone()];
        stream.fill(&mut x[0]);
        stream.fill(&mut x[1]);
        let [a, b, c] = &mut x;
        if *form == ShareForm::Boolean {
            c.iter_mut().zip(a.iter().zip(&*b)).for_each(|(c, (a, b))| *c ^= a ^ b);
        } else {
            for i in 0..bytes.len() / 8 {
                let word = |v: &[u8]| u64::from_le_bytes(v[i * 8..i * 8 + 8].try_into().unwrap());
                let rest = word(c).wrapping_sub(word(a)).wrapping_sub(word(b));
                c[i * 8..i * 8 + 8].copy_from_slice(&rest.to_le_bytes());
            }
        }
        for party in Party::ALL {
            let next = party.next();
            let digest = result_digest(
                CLUSTER,
                JOB,
                header.attempt,
                index.try_into().unwrap(),
                header.rows,
                next,
                &x[next.index()],
            );
            out[party.index()].vectors.push(ResultVector {
                component: x[party.index()].clone(),
                next_digest: digest.to_vec(),
            });
        }
    }
    out
}

fn sample() -> (ResultHeader, Vec<(ShareForm, Vec<u8>)>) {
    use ShareForm::{Arithmetic as A, Boolean as B};
    let mut small = column("i", OutputKind::Int, B, 4);
    small.low = (-3_i128).to_le_bytes().to_vec();
    small.nullable = true;
    small.sql_type = "INT".into();
    let mut sum = column("s", OutputKind::Decimal, A, 64);
    sum.scale = 2;
    sum.sql_type = "DECIMAL(18,2)".into();
    let text = column("t", OutputKind::Text, B, 24);
    let mut kind = column("e", OutputKind::Enum, B, 1);
    kind.labels = vec!["no".into(), "yes".into()];
    let date = column("d", OutputKind::Date, B, 15);
    let mut mean = column("m", OutputKind::Double, B, 16);
    mean.fraction_bits = 4;
    let header = ResultHeader {
        kind: ResultKind::Shares.into(),
        rows: 3,
        columns: vec![small, sum, text, kind, date, mean],
        attempt: 4,
        ..Default::default()
    };
    let words = |v: [i64; 3]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let plain = vec![
        (B, planes(&[0, 0, 15], 4)),
        (B, planes(&[0, 1, 0], 1)),
        (A, words([-1, 5, 12345])),
        (B, text_planes(&["ab", "", "ü"], 3)),
        (B, planes(&[1, 0, 0], 1)),
        (B, planes(&[0, 0, 19782], 15)),
        (B, planes(&[8, 0, 40], 16)),
        (B, planes(&[1, 0, 1], 1)),
    ];
    (header, plain)
}

#[test]
fn a_result_opens_to_its_typed_rows() {
    let (header, plain) = sample();
    let table = open_result(CLUSTER, JOB, &parts(&header, &plain, 1)).unwrap();
    let shown: Vec<Vec<String>> =
        table.rows.iter().map(|r| r.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(
        shown,
        [
            ["-3", "-0.01", "ab", "yes", "1970-01-01", "0.5"],
            ["12", "123.45", "ü", "no", "2024-02-29", "2.5"],
        ]
    );
}

#[test]
fn a_failure_of_a_row_is_an_error_here_and_nowhere_else() {
    let (mut header, mut plain) = sample();
    let failure = |sqlstate: &str, message: &str| wire::Failure {
        sqlstate: sqlstate.into(),
        message: message.into(),
        hint: "guard the divisor".into(),
    };
    header.failures = vec![failure("22012", "division by zero"), failure("22003", "out of range")];
    plain.push((ShareForm::Boolean, planes(&[0], 1)));
    plain.push((ShareForm::Boolean, planes(&[0], 1)));
    assert_eq!(open_result(CLUSTER, JOB, &parts(&header, &plain, 3)).unwrap().rows.len(), 2);
    plain[8].1 = planes(&[1], 1);
    let error = open_result(CLUSTER, JOB, &parts(&header, &plain, 4)).unwrap_err();
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str(), error.hint.as_str()),
        ("22012", "division by zero", "guard the divisor")
    );
    plain.pop();
    let error = open_result(CLUSTER, JOB, &parts(&header, &plain, 5)).unwrap_err();
    assert_eq!(error.message, "node 0 sent 9 vectors of the result, 10 are due");
}

#[test]
fn nulls_and_empty_results() {
    let (mut header, mut plain) = sample();
    plain.last_mut().unwrap().1 = planes(&[0, 1, 0], 1);
    let table = open_result(CLUSTER, JOB, &parts(&header, &plain, 2)).unwrap();
    assert_eq!(table.rows.len(), 1);
    assert_eq!(table.rows[0][0], Value::Null);
    header.rows = 0;
    plain.iter_mut().for_each(|p| p.1.clear());
    let table = open_result(CLUSTER, JOB, &parts(&header, &plain, 3)).unwrap();
    assert!(table.rows.is_empty());
    assert_eq!(table.columns.len(), 6);
}

#[test]
fn a_changed_part_is_detected_and_its_column_named() {
    let (header, plain) = sample();
    let good = parts(&header, &plain, 4);
    for node in 0..3 {
        for vector in 0..plain.len() {
            let mut bad = good.clone();
            bad[node].vectors[vector].component[0] ^= 1;
            let error = open_result(CLUSTER, JOB, &bad).unwrap_err();
            assert_eq!(error.sqlstate, sqlstate::DATA_CORRUPTED);
            let previous = (node + 2) % 3;
            assert!(error.message.contains(&format!("nodes {previous} and {node}")), "{error}");
        }
    }
    let mut bad = good.clone();
    bad[1].vectors[3].next_digest[5] ^= 1;
    let error = open_result(CLUSTER, JOB, &bad).unwrap_err();
    assert_eq!(
        error.message,
        "column \"t\" of the result: nodes 1 and 2 disagree, one of them changed its part"
    );
    // The same parts under another job do not pass either.
    assert!(open_result(CLUSTER, JobId([9; 16]), &good).is_err());
}

#[test]
fn parts_of_the_wrong_shape_are_refused() {
    let (header, plain) = sample();
    let good = parts(&header, &plain, 5);
    let mut bad = good.clone();
    bad[2].vectors.pop();
    let error = open_result(CLUSTER, JOB, &bad).unwrap_err();
    assert!(error.message.contains("node 2 sent 7 vectors"), "{error}");
    let mut bad = good.clone();
    bad[0].vectors[2].component.pop();
    let error = open_result(CLUSTER, JOB, &bad).unwrap_err();
    assert!(error.message.contains("node 0 sent 23 bytes"), "{error}");
    let mut bad = good.clone();
    bad[1].header.attempt = 5;
    let error = open_result(CLUSTER, JOB, &bad).unwrap_err();
    assert!(error.message.contains("nodes 0 and 1 describe"), "{error}");
    let mut fine = good;
    fine[1].header.seconds = 1.5;
    assert!(open_result(CLUSTER, JOB, &fine).is_ok());
    let mut huge = fine;
    huge.iter_mut().for_each(|p| p.header.rows = u64::MAX);
    assert!(open_result(CLUSTER, JOB, &huge).is_err());
}

#[test]
fn a_value_outside_of_its_type_is_an_error() {
    let mut c = column("s", OutputKind::Int, ShareForm::Arithmetic, 64);
    c.sql_type = "INT".into();
    let mut header = ResultHeader {
        kind: ResultKind::Shares.into(),
        rows: 1,
        columns: vec![c],
        ..Default::default()
    };
    let plain = [
        (ShareForm::Arithmetic, (1_i64 << 31).to_le_bytes().to_vec()),
        (ShareForm::Boolean, planes(&[1], 1)),
    ];
    let error = open_result(CLUSTER, JOB, &parts(&header, &plain, 6)).unwrap_err();
    assert_eq!(error.sqlstate, sqlstate::NUMERIC_VALUE_OUT_OF_RANGE);
    header.columns[0].sql_type = "BIGINT".into();
    assert!(open_result(CLUSTER, JOB, &parts(&header, &plain, 6)).is_ok());
    assert_eq!(type_limits("DECIMAL(3,1)"), (-999, 999));
}

#[test]
fn any_numbers_come_back() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config { cases: 64, ..Config::default() }, rng);
    let rows = prop::collection::vec((any::<i64>(), any::<bool>(), any::<bool>()), 0..200);
    runner
        .run(&(rows, any::<u64>()), |(rows, noise)| {
            let mut c = column("v", OutputKind::Int, ShareForm::Boolean, 64);
            c.low = i128::from(i64::MIN).to_le_bytes().to_vec();
            c.nullable = true;
            let header = ResultHeader {
                kind: ResultKind::Shares.into(),
                rows: rows.len() as u64,
                columns: vec![c],
                ..Default::default()
            };
            let of =
                |f: &dyn Fn(&(i64, bool, bool)) -> u128| rows.iter().map(f).collect::<Vec<_>>();
            let offset = |v: i64| u128::from(v.wrapping_sub(i64::MIN).cast_unsigned());
            let plain = [
                (ShareForm::Boolean, planes(&of(&|r| offset(r.0)), 64)),
                (ShareForm::Boolean, planes(&of(&|r| u128::from(r.1)), 1)),
                (ShareForm::Boolean, planes(&of(&|r| u128::from(r.2)), 1)),
            ];
            let table = open_result(CLUSTER, JOB, &parts(&header, &plain, noise)).unwrap();
            let expected: Vec<Vec<Value>> = rows
                .iter()
                .filter(|r| r.2)
                .map(|r| vec![if r.1 { Value::Null } else { Value::Int(r.0.into()) }])
                .collect();
            prop_assert_eq!(table.rows, expected);
            Ok(())
        })
        .unwrap();
}

#[test]
fn doubles_are_read_as_they_were_written() {
    for value in [0.1, -8.82, 3973.47, 0.0, 1e9, 12_345.678_9, -0.000_001] {
        for bits in [28_i32, 40] {
            let steps = (value * 2_f64.powi(bits)).round();
            #[allow(clippy::cast_possible_truncation, reason = "small in this test")]
            let number = steps as i128;
            assert_eq!(shortest(number, bits.unsigned_abs()), value, "{value} in 2^-{bits}");
        }
    }
    // Beyond what decimal digits can be tried, the nearest double.
    let large = 12_345_678_901_234_567_890_123_i128;
    assert_eq!(shortest(large << 40, 40), 12_345_678_901_234_567_890_123.0);
}
