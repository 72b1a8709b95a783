use super::*;
use crate::encode::Cell;
use crate::output::render_error;
use trine_proto::schema::{ColumnType, Secrecy};
use trine_proto::wire;
use trine_proto::wire::WriteKind;

fn one(text: &str) -> Statement {
    let mut all = parse_all(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

fn schema(text: &str) -> TableSchema {
    match one(text) {
        Statement::CreateTable { schema, .. } => schema,
        other => panic!("{other:?}"),
    }
}

/// SQLSTATE and the text from the position of the error on.
fn error(text: &str) -> (String, String) {
    let e = parse_all(text).expect_err(text);
    let at = (e.position as usize).checked_sub(1).expect("a position");
    (e.sqlstate, text.chars().skip(at).take(12).collect())
}

fn is_error(text: &str, sqlstate: &str, at: &str) {
    assert_eq!(error(text), (sqlstate.to_owned(), at.chars().take(12).collect()), "{text}");
}

#[test]
fn create_table_takes_every_type() {
    let s = schema(
        "CREATE TABLE public.Sales (id INTEGER PRIMARY KEY, n int2, big INT8 NOT NULL, ok bool, \
         price NUMERIC(10, 2), qty DECIMAL(5), day DATE, note VARCHAR(20) NULL, t text, \
         c CHAR(3), v CHARACTER VARYING(7), kind ENUM('a', 'it''s') PUBLIC, \"Odd Name\" INT)",
    );
    let types: Vec<String> = s.columns.iter().map(|c| c.ty.sql_name()).collect();
    assert_eq!(
        types,
        [
            "INT",
            "SMALLINT",
            "BIGINT",
            "BOOLEAN",
            "DECIMAL(10,2)",
            "DECIMAL(5,0)",
            "DATE",
            "VARCHAR(20)",
            "VARCHAR(64)",
            "VARCHAR(3)",
            "VARCHAR(7)",
            "ENUM('a','it''s')",
            "INT",
        ]
    );
    assert_eq!(s.name, "sales");
    assert_eq!(s.columns[12].name, "Odd Name");
    assert_eq!(s.primary_key, [0]);
    let nullable: Vec<usize> =
        s.columns.iter().enumerate().filter(|(_, c)| !c.nullable).map(|(i, _)| i).collect();
    assert_eq!(nullable, [0, 2]);
    assert_eq!(s.columns[11].secrecy, Secrecy::Public);
    assert!(s.columns.iter().filter(|c| c.secrecy == Secrecy::Public).count() == 1);
}

#[test]
fn create_table_takes_ranges_and_keys() {
    let s = schema(
        "create table if not exists t (a int range (-5, 9999) not null, d date range ('2000-01-01', \
         date '2009-12-31'), p decimal(6,2) range (0, 99.5), constraint k primary key (d, a))",
    );
    assert_eq!(s.columns[0].range, Some((-5, 9999)));
    assert_eq!(s.columns[1].range, Some((10957, 14609)));
    assert_eq!(s.columns[2].range, Some((0, 9950)));
    assert_eq!(s.primary_key, [1, 0]);
    assert!(!s.columns[1].nullable);
    assert!(matches!(
        one("create table if not exists t (a int)"),
        Statement::CreateTable { if_not_exists: true, .. }
    ));
    // Words of ours that are no keywords of SQL stay usable as names.
    let s = schema("create table t (range int range (0, 1), public int, check_ int)");
    assert_eq!(s.columns[0].name, "range");
    assert!(matches!(s.columns[1].ty, ColumnType::Int));
}

#[test]
fn create_table_points_at_what_is_wrong() {
    is_error("create table t (a double precision range (2, 1))", "42P16", "range (2, 1))");
    is_error("create table t (a double range (0, 1e30))", "22003", "1e30))");
    is_error("create table t (a float(54))", "42P16", "54))");
    is_error("create table t (a timestamptz)", "0A000", "timestamptz)");
    is_error("create table t (a timestamp with time zone)", "0A000", "timestamp with time zone)");
    is_error("create table t (a timestamp(3))", "0A000", "3))");
    is_error("create table t (a time)", "0A000", "time)");
    is_error("create table t (a int, a int)", "42701", "a int)");
    is_error("create table t (a decimal(19, 2))", "42P16", "19, 2))");
    is_error("create table t (a decimal(5, 6))", "42P16", "5, 6))");
    is_error("create table t (a numeric)", "0A000", "numeric)");
    is_error("create table t (a varchar(0))", "42P16", "0))");
    is_error("create table t (a enum('x', 'x'))", "42P16", "'x'))");
    is_error("create table t (a int range (5, 1))", "42P16", "range (5, 1))");
    is_error("create table t (a smallint range (0, 40000))", "22003", "40000))");
    is_error("create table t (a text range (0, 1))", "42P16", "range (0, 1))");
    is_error("create table t (a int default true)", "42804", "default true)");
    is_error("create table t (a int default now())", "0A000", "now())");
    is_error("create table t (a smallint default 99999)", "22003", "default 99999)");
    is_error("create table t (a int, check ())", "42601", "))");
    is_error("create table t (a int, check (a > 0)", "42601", "");
    is_error("create table t (a int, unique (b))", "42703", "b))");
    is_error("create table t (a int, unique (a, a))", "42701", "a))");
    is_error(
        "create table t (a int references u on delete cascade)",
        "0A000",
        "on delete cascade)",
    );
    is_error("create table t (a int, constraint c b int)", "42601", "b int)");
    is_error("create table t (a int generated always as (1))", "0A000", "generated always as (1))");
    is_error("create table t (a int, primary key (b))", "42703", "b))");
    is_error("create table t (a int primary key, b int primary key)", "42P16", "primary key)");
    is_error("create table t (a int,)", "42601", ")");
    is_error("create table t (a)", "42601", ")");
    is_error("create table t (order int)", "42601", "order int)");
    is_error("create table t ()", "42601", ")");
    is_error("create table t (a int", "42601", "");
    is_error("create table t (a int) x", "42601", "x");
    is_error("create table t as insert into u values (1)", "42601", "insert into u values (1)");
    is_error("create table t (a int) as select 1", "42601", "as select 1");
    is_error("create view v as insert into t values (1)", "42601", "insert into t values (1)");
    is_error("create view v (a,) as select 1", "42601", ") as select 1");
    is_error("create materialized view v as select 1", "0A000", "materialized view v as select 1");
    is_error("create secure view v as select 1", "42601", "secure view v as select 1");
    is_error("create table t (a int[])", "0A000", "int[])");
}

#[test]
fn insert_takes_literals_apart() {
    let Statement::Insert(insert) =
        one("INSERT INTO T (a, \"B\") VALUES (1, 'it''s'), (-2.50, NULL), (+3, TRUE), \
         (DATE '1970-01-03', e'a\\nb'), (.5, DEFAULT)")
    else {
        panic!("an INSERT");
    };
    assert_eq!(insert.table, "t");
    assert_eq!(insert.columns, Some(vec![("a".to_owned(), 16), ("B".to_owned(), 19)]));
    let cells: Vec<Vec<Given>> =
        insert.rows.iter().map(|r| r.iter().map(|c| c.0.clone()).collect()).collect();
    let number = |n: &str| Given::Cell(Cell::Number(n.into()));
    let text = |t: &str| Given::Cell(Cell::Text(t.into()));
    let cell = Given::Cell;
    assert!(
        cells
            == vec![
                vec![number("1"), text("it's")],
                vec![number("-2.50"), cell(Cell::Null)],
                vec![number("3"), cell(Cell::Bool(true))],
                vec![cell(Cell::Date(2)), text("a\nb")],
                vec![number("0.5"), Given::Default],
            ]
    );
    assert_eq!(insert.rows[0][1].1, 35);
}

#[test]
fn what_an_insert_cannot_hold_is_refused_here() {
    is_error("insert into t values (now())", "0A000", "now())");
    is_error("insert into t values ('x'::int)", "22P02", "::int)");
    is_error("insert into t values (default + 1)", "42601", "+ 1)");
    is_error("insert into t table u", "0A000", "table u");
    is_error("insert into t values (1), (1, 2)", "42601", "(1, 2)");
    is_error("insert into t values (1,)", "42601", ")");
    is_error("insert into t values ()", "42601", ")");
    is_error("insert into t values (1", "42601", "");
    is_error("insert into t (a, a) values (1, 2)", "42701", "a) values (1, 2)");
    is_error("insert into t values (date 'x')", "22007", "date 'x')");
    is_error("insert t values (1)", "42601", "t values (1)");
}

#[test]
fn no_error_quotes_a_literal() {
    for text in [
        "insert into t values (1 'SENTINEL')",
        "insert into t 'SENTINEL'",
        "insert into 'SENTINEL' values (1)",
        "insert into t values (date 'SENTINEL')",
        "insert into t values (1) 'SENTINEL'",
        "insert into t values ($$SENTINEL$$ + 'SENTINEL')",
        "'SENTINEL'",
        "insert into t values ('SENTINEL",
        "update t set a = interval 'SENTINEL'",
        "update t set a = b + X'5E4713'",
        "update 'SENTINEL' set a = 1",
    ] {
        let e = parse_all(text).unwrap_err();
        assert!(!format!("{e:?}").contains("SENTINEL"), "{e:?}");
    }
}

#[test]
fn queries_go_on_unchanged() {
    let text = " select 1 ;\n  EXPLAIN ANALYZE\nselect 'ü;', a -- x\n from t ; with x as (select 1) select * from x;\
                (select 1); values (1)";
    let statements = parse_all(text).unwrap();
    let queries: Vec<(&str, u32)> = statements
        .iter()
        .map(|s| match s {
            Statement::Query { sql, offset } => (sql.as_str(), *offset),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(queries[0], ("select 1", 1));
    assert_eq!(queries[1], ("EXPLAIN ANALYZE\nselect 'ü;', a -- x\n from t", 14));
    assert_eq!(queries[2].0, "with x as (select 1) select * from x");
    assert_eq!(queries[3].0, "(select 1)");
    assert_eq!(queries[4].0, "values (1)");
    // Words that write are no statements where they are names.
    one("select update, insert from t where delete = 1");
    one("select (update) from t");
}

#[test]
fn what_writes_inside_a_query_never_leaves() {
    is_error("explain insert into t values (1)", "0A000", "insert into t values (1)");
    is_error("explain analyze insert into t values (1)", "0A000", "insert into t values (1)");
    is_error("explain analyze update t set a = 1", "0A000", "update t set a = 1");
    match one("explain (format text) update t set a = 71, b = b + 72 where c = 3") {
        Statement::Explain(write) => {
            assert_eq!(
                write.sql.split_whitespace().collect::<Vec<_>>().join(" "),
                "explain (format text) update t set a = $1 , b = b + $2 where c = 3"
            );
            assert_eq!(write.parameters.len(), 2);
        }
        other => panic!("{other:?}"),
    }
    is_error(
        "with x as (insert into t values (1) returning a) select * from x",
        "0A000",
        "insert into t values (1)",
    );
    is_error("with x as (select 1) insert into t values (2)", "0A000", "insert into t values (2)");
    is_error("with x as (delete from t) select 1", "0A000", "delete from t) select 1");
}

#[test]
fn the_other_statements() {
    assert_eq!(
        one("drop table if exists T;"),
        Statement::DropTable { table: "t".into(), if_exists: true, cascade: false }
    );
    assert_eq!(
        one("GRANT SELECT ON TABLE t TO Ann"),
        Statement::Grant { grant: true, table: "t".into(), principal: "ann".into() }
    );
    assert_eq!(
        one("revoke select on t from public"),
        Statement::Grant { grant: false, table: "t".into(), principal: "public".into() }
    );
    assert_eq!(
        one("grant select on t to \"Clinic A\""),
        Statement::Grant { grant: true, table: "t".into(), principal: "Clinic A".into() }
    );
    assert_eq!(one("show tables"), Statement::ShowTables);
    let index = |name: &str, columns: &[&str], unique| {
        Statement::CreateIndex(wire::CreateIndex {
            name: name.into(),
            table: "t".into(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            unique,
            if_not_exists: false,
        })
    };
    assert_eq!(one("create index i on t (a)"), index("i", &["a"], false));
    let ordered = "CREATE UNIQUE INDEX ON public.t USING btree (a DESC NULLS LAST, \"B\" ASC)";
    assert_eq!(one(ordered), index("", &["a", "B"], true));
    let dropped = wire::DropIndex { name: "i".into(), if_exists: true };
    assert_eq!(one("drop index if exists i cascade"), Statement::DropIndex(dropped));
    assert_eq!(one("reindex table t"), Statement::Reindex);
    let view = wire::CreateView {
        name: "v".into(),
        sql: "select x, 'ü' from t".into(),
        columns: vec!["a".into()],
        or_replace: true,
        if_not_exists: false,
        depends: vec!["t".into()],
    };
    let text = "create or replace view v (a) as select x, 'ü' from t;";
    assert_eq!(one(text), Statement::CreateView { view, offset: 32 });
    let dropped = wire::DropView { name: "v".into(), if_exists: false, cascade: true };
    assert_eq!(one("drop view v cascade"), Statement::DropView(dropped));
    assert_eq!(one("set client_encoding = 'UTF8'"), Statement::Set);
    assert_eq!(one("set time zone 'UTC'"), Statement::Set);
    assert_eq!(one("reset all"), Statement::Set);
    let shown = vec![("timezone".to_owned(), "UTC".to_owned())];
    assert_eq!(one("show time zone"), Statement::Show(shown));
    assert!(parse_all(" -- nothing\n ; ").unwrap().is_empty());
}

#[test]
fn what_is_not_done_says_what_to_write() {
    is_error("select 1; update t set (a, b) = (1, 2, 3)", "42601", "(1, 2, 3)");
    is_error("update t set", "42601", "");
    is_error("update t set a = , b = 1", "42601", ", b = 1");
    is_error("update t set a = b + interval '1' day", "0A000", "interval '1' day");
    is_error("delete t", "42601", "t");
    is_error("truncate t, u", "0A000", ", u");
    is_error("truncate t cascade", "0A000", "cascade");
    is_error("copy t to 'x.csv'", "0A000", "to 'x.csv'");
    is_error("copy t from stdin", "0A000", "stdin");
    is_error("copy t from 'x'", "0A000", "t from 'x'");
    is_error("copy t from 'x' csv quote 'y'", "42601", "quote 'y'");
    is_error("copy t from 'x' (format csv, delimiter 'ab')", "0A000", "'ab')");
    is_error("alter view v rename to w", "0A000", "view v rename to w");
    is_error("alter table t alter a type bigint", "0A000", "type bigint");
    is_error("alter table t owner to bob", "0A000", "owner to bob");
    is_error("alter table t add b int first", "0A000", "first");
    is_error("alter table t add b int default 'x'", "22P02", "default 'x'");
    is_error("alter table t add b", "42601", "");
    is_error("alter table t", "42601", "");
    is_error("alter table t drop a, rename to b", "0A000", "rename to b");
    is_error("alter table t add check (a > 0) not valid", "0A000", "check (a > 0) not valid");
    is_error("drop sequence s", "0A000", "sequence s");
    is_error("drop view v, w", "0A000", ", w");
    is_error("create index i on t ((a + 1))", "0A000", "(a + 1))");
    is_error("create index i on t (lower(a))", "0A000", "lower(a))");
    is_error("create index i on t (a) where a > 1", "0A000", "where a > 1");
    is_error("create index i on t", "42601", "");
    is_error("show nix", "42704", "nix");
    is_error("set nix = 1", "42704", "nix = 1");
    is_error("set timezone", "42601", "");
    is_error("grant insert on t to a", "0A000", "insert on t to a");
    is_error("grant select on t, u to a", "0A000", ", u to a");
    is_error("grant select on t to a, b", "0A000", ", b");
    is_error("selct 1", "42601", "selct 1");
    is_error("1", "42601", "1");
    let text = "SELECT 1;\nALTER t";
    assert_eq!(
        render_error(&parse_all(text).unwrap_err(), text),
        "ERROR:  0A000: ALTER T is not supported\nLINE 2: ALTER t\n              ^\nHINT:  \
         Trine has ALTER TABLE"
    );
    let text = "selct 1";
    assert_eq!(
        render_error(&parse_all(text).unwrap_err(), text),
        "ERROR:  42601: syntax error at or near \"selct\"\nLINE 1: selct 1\n        ^\nHINT:  Trine \
         does SELECT, EXPLAIN, INSERT, UPDATE, DELETE, TRUNCATE, COPY, PREPARE, EXECUTE, CREATE and DROP of TABLE, VIEW and INDEX, ALTER TABLE, BEGIN, COMMIT, ROLLBACK, GRANT, REVOKE, SHOW, SET and REFRESH SHARES"
    );
}

fn write(text: &str) -> Write {
    match one(text) {
        Statement::Write(write) => write,
        other => panic!("{other:?}"),
    }
}

/// The text for the nodes, and the parameters with their targets.
fn written(text: &str) -> (String, Vec<(Given, Target)>) {
    let write = write(text);
    let parameters = write.parameters.into_iter().map(|p| (p.given, p.target)).collect();
    (write.sql.trim_end().to_owned(), parameters)
}

#[test]
fn values_that_are_written_become_parameters() {
    let number = |n: &str| Given::Cell(Cell::Number(n.into()));
    let text = |t: &str| Given::Cell(Cell::Text(t.into()));
    let column = |c: &str| Target::Column(c.into());
    let (sql, parameters) = written(
        "UPDATE t AS x SET a = 1 + 2, b = 'q', c = DEFAULT, d = d * -3 + CAST(e AS DECIMAL(8,2)) || \
         'z', f = NULL WHERE g = 5 AND h = 'open'",
    );
    assert_eq!(
        sql,
        "UPDATE t AS x SET a = $1 , b = $2 , c = $3 , d = d * - $4 + CAST(e AS DECIMAL(8,2)) || $5 , \
         f = $6 WHERE g = 5 AND h = 'open'"
    );
    let due = [
        (number("3"), column("a")),
        (text("q"), column("b")),
        (Given::Default, column("c")),
        (number("3"), Target::Expression),
        (text("z"), Target::Expression),
        (Given::Cell(Cell::Null), column("f")),
    ];
    assert!(parameters == due, "{:?}", parameters.iter().map(|p| &p.1).collect::<Vec<_>>());
    let (sql, parameters) = written(
        "insert into t (b, a) select 'x', u.v + 5 as s, - 7 from u where w = 'open' union select \
         'y' as n, 1, count(*) from v",
    );
    assert_eq!(
        sql,
        "insert into t (b, a) select $1 , u.v + 5 as s, $2 from u where w = 'open' union select $3 \
         as n, $4 , count(*) from v"
    );
    let due = [
        (text("x"), Target::Place(0)),
        (number("-7"), Target::Place(2)),
        (text("y"), Target::Place(0)),
        (number("1"), Target::Place(1)),
    ];
    assert!(parameters == due);
    let (sql, parameters) = written("insert into t select *, 5 from u");
    assert_eq!((sql.as_str(), parameters.len()), ("insert into t select *, $1 from u", 1));
    assert_eq!(parameters[0].1, Target::Expression);
    let (sql, parameters) = written("delete from t where a = 'open'");
    assert_eq!((sql.as_str(), parameters.len()), ("delete from t where a = 'open'", 0));
    let hidden = write("update t set a = 'SENTINEL'");
    assert!(!format!("{hidden:?}").contains("SENTINEL"));
}

#[test]
fn errors_of_the_nodes_point_into_the_text_given() {
    let text = "select 1; update t set a = 'long secret', b = 2 where nix = 5";
    let Statement::Write(write) = parse_all(text).unwrap().remove(1) else { panic!("an UPDATE") };
    assert_eq!(write.sql, "update t set a = $1 , b = $2 where nix = 5 ");
    let at = |word: &str| u32::try_from(write.sql.find(word).unwrap() + 1).unwrap();
    let origin = |word: &str| u32::try_from(text.find(word).unwrap() + 1).unwrap();
    for word in ["nix", "b = ", "update"] {
        let error = SqlError::new("42703", "x").at(at(word));
        assert_eq!(write.placed(error).position, origin(word), "{word}");
    }
    assert_eq!(write.placed(SqlError::new("42703", "x").at(at("$1"))).position, origin("'long"));
    assert_eq!(write.placed(SqlError::new("42703", "x")).position, 0);
}

#[test]
fn doubles_have_steps_that_fit_their_range() {
    let ty = |sql: &str| schema(sql).columns.remove(0).ty;
    for name in ["double precision", "double", "real", "float", "float8", "float4", "float(24)"] {
        let found = ty(&format!("create table t (a {name})"));
        assert_eq!(found, ColumnType::Double { fraction_bits: 28 }, "{name}");
    }
    let s = schema("create table t (a double precision range (-1, 1), b double range (0, 1e12))");
    assert_eq!(s.columns[0].ty, ColumnType::Double { fraction_bits: 40 });
    assert_eq!(s.columns[0].range, Some((-1 << 40, 1 << 40)));
    assert_eq!(s.columns[1].ty, ColumnType::Double { fraction_bits: 22 });
}

#[test]
fn truncate_and_copy_are_taken_apart() {
    let Statement::Write(write) = one("truncate table \"T\" restart identity") else { panic!() };
    assert_eq!((write.tag, write.sql.as_str()), ("TRUNCATE TABLE", "DELETE FROM \"T\""));
    let copied = |sql: &str| match one(sql) {
        Statement::Copy(copy) => copy,
        other => panic!("{other:?}"),
    };
    let copy =
        copied("copy t (b, a) from '/x.csv' with (format csv, header, delimiter ';', null 'NA')");
    assert_eq!(copy.columns, Some(vec!["b".to_owned(), "a".to_owned()]));
    assert_eq!(copy.file.to_str(), Some("/x.csv"));
    assert_eq!((copy.options.skip_lines, copy.options.delimiter), (1, b';'));
    assert_eq!(copy.options.null, "NA");
    let copy = copied("copy t from 'x.csv' csv header");
    assert_eq!((copy.columns, copy.options.skip_lines), (None, 1));
    let Statement::Write(write) = one("update t set (a, b) = (1, b + 2), c = 3 where d = 4") else {
        panic!()
    };
    assert_eq!(write.sql, "update t set (a, b) = ( $1 , b + $2 ), c = $3 where d = 4 ");
}

#[test]
fn shares_are_refreshed_by_table_or_all() {
    for text in ["refresh shares t", "REFRESH SHARES TABLE public.t"] {
        let found = write(text);
        assert_eq!((found.tag, found.table.as_str()), ("REFRESH SHARES", "t"));
        assert_eq!((found.kind, found.sql.as_str()), (WriteKind::Refresh, "REFRESH SHARES \"t\""));
    }
    assert_eq!(one("refresh shares all"), Statement::RefreshAll);
    assert_eq!(write("refresh shares \"all\"").table, "all");
    is_error("refresh t", "42601", "t");
    is_error("refresh shares", "42601", "");
    is_error("refresh shares t, u", "0A000", ", u");
    is_error("refresh shares all t", "42601", "t");
}

/// A statement's text without the names of its parameters.
fn without_parameters(sql: &str) -> String {
    let mut rest = sql.split('$');
    let mut out = rest.next().unwrap_or_default().to_owned();
    for part in rest {
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    out
}

#[test]
fn values_that_are_computed_stay_secret() {
    let text =
        "insert into t (a, b) values ((select 7 + x from u), 'geheim'), (8, 'auch' || 'das')";
    let Statement::Write(write) = parse_all(text).unwrap().remove(0) else { panic!("a write") };
    let public = without_parameters(&write.sql);
    let letters = |c: char| c.is_ascii_digit() || c == '\'';
    assert!(!public.contains(letters) && !public.contains("geheim"), "{}", write.sql);
    assert!(write.sql.contains("UNION ALL SELECT"), "{}", write.sql);
    assert!(write.parameters.len() >= 4, "{}", write.sql);
}

#[test]
fn the_rows_of_returning_stay_secret() {
    let table = "create table t (a int default 5, b varchar(8))";
    let Statement::CreateTable { schema, rules, .. } = parse_all(table).unwrap().remove(0) else {
        panic!("a table")
    };
    let table = crate::TableDefinition::new(schema, &rules).unwrap();
    let text = "insert into t values (41, 'geheim'), (default, null) returning b, a as x";
    let Statement::Returning(returning) = parse_all(text).unwrap().remove(0) else {
        panic!("with rows")
    };
    assert!(!returning.needs_snapshot());
    let Statement::Ask(asked) = returning.query(&table).unwrap() else { panic!("a question") };
    let due = "SELECT b, a as x FROM (SELECT $1 AS \"a\", $2 AS \"b\" UNION ALL SELECT $3 AS \"a\", \
               $4 AS \"b\") AS \"t\"";
    assert_eq!(asked.sql, due);
    assert_eq!(asked.parameters.len(), 4);
    assert!(!format!("{returning:?}{asked:?}").contains("geheim"));

    let text = "delete from t where a = 3 returning *";
    let Statement::Returning(returning) = parse_all(text).unwrap().remove(0) else {
        panic!("with rows")
    };
    assert!(returning.needs_snapshot());
    let query = Statement::Query { sql: "SELECT * from t where a = 3".into(), offset: 29 };
    assert_eq!(returning.query(&table).unwrap(), query);
    let Statement::Write(write) = returning.write() else { panic!("a write") };
    assert_eq!(write.sql.trim_end(), "delete from t where a = 3");
}

#[test]
fn the_rows_of_on_conflict_stay_secret() {
    let table = "create table t (k int primary key, b varchar(8), c int default 3)";
    let Statement::CreateTable { schema, rules, .. } = parse_all(table).unwrap().remove(0) else {
        panic!("a table")
    };
    let table = crate::TableDefinition::new(schema, &rules).unwrap();
    let text = "insert into t (k, b) values (41, 'geheim'), (42, 'auch') on conflict (k) do update \
                set b = excluded.b || 'geheim' where t.c < 41";
    let Statement::Upsert(upsert) = parse_all(text).unwrap().remove(0) else { panic!("an upsert") };
    assert!(upsert.needs_transaction());
    let statements = upsert.statements(&table).unwrap();
    let [Statement::Write(update), Statement::Write(insert)] = statements.as_slice() else {
        panic!("two statements")
    };
    assert_eq!(
        update.sql.split_whitespace().collect::<Vec<_>>().join(" "),
        "UPDATE \"t\" AS \"t\" SET \"b\" = CASE WHEN (\"t\".\"k\" = $1) THEN ($3 || $4 )WHEN \
         (\"t\".\"k\" = $2) THEN ($5 || $6 )ELSE \"t\".\"b\" END WHERE ((\"t\".\"k\" = $1) AND ((t.c < $7 ))) \
         OR ((\"t\".\"k\" = $2) AND ((t.c < $8 )))"
    );
    assert_eq!(update.parameters.len(), 8);
    assert_eq!(
        insert.sql,
        "INSERT INTO \"t\" (\"k\", \"b\", \"c\") SELECT \"k\", \"b\", \"c\" FROM (SELECT $1 AS \"k\", \
         $2 AS \"b\", $3 AS \"c\", $4 AS \"$kept\" UNION ALL SELECT $5 AS \"k\", $6 AS \"b\", $7 AS \"c\", \
         $8 AS \"$kept\") AS \"$new\" WHERE \"$kept\" AND NOT EXISTS (SELECT 1 FROM \"t\" AS \"$old\" \
         WHERE \"$old\".\"k\" = \"$new\".\"k\")"
    );
    assert!(!format!("{upsert:?}{statements:?}").contains("geheim"));
    is_error(
        "insert into t values (1) on conflict do update set a = 1",
        "42601",
        "update set a = 1",
    );
    is_error(
        "insert into t values (1) on conflict (a) where b do nothing",
        "0A000",
        "where b do nothing",
    );
    is_error("insert into t values (1) on conflict do nothing returning a", "0A000", "returning a");
}

#[test]
fn the_rows_of_an_update_are_asked_for_with_their_new_values() {
    let table = "create table t (a int, b varchar(8), c int default 3)";
    let Statement::CreateTable { schema, rules, .. } = parse_all(table).unwrap().remove(0) else {
        panic!("a table")
    };
    let table = crate::TableDefinition::new(schema, &rules).unwrap();
    let text = "update t as x set b = 'geheim', c = c + 41 where a > 7 returning x.b, c * 2";
    let Statement::Returning(returning) = parse_all(text).unwrap().remove(0) else {
        panic!("returning")
    };
    assert!(returning.needs_snapshot());
    let Statement::Ask(asked) = returning.query(&table).unwrap() else { panic!("a question") };
    assert_eq!(
        asked.sql.split_whitespace().collect::<Vec<_>>().join(" "),
        "SELECT x.b, c * 2 FROM (SELECT \"x\".\"a\" AS \"a\", $1 AS \"b\", CAST(c + $2 AS INT) AS \"c\" \
         FROM \"t\" AS \"x\" where a > 7 ) AS \"x\""
    );
    assert!(!format!("{returning:?}{asked:?}").contains("geheim"));
    is_error("update t set (a, b) = (1, 'x') returning a", "0A000", "returning a");
}

#[test]
fn schemas_stand_before_names() {
    let Statement::DropTable { table, .. } = parse_all("drop table S.\"T\"").unwrap().remove(0)
    else {
        panic!("a drop")
    };
    assert_eq!(table, "s.T");
    let Statement::DropTable { table, .. } = parse_all("drop table public.t").unwrap().remove(0)
    else {
        panic!("a drop")
    };
    assert_eq!(table, "t");
    is_error("drop table a.b.c", "0A000", "a.b.c");
    is_error("drop table \"a.b\"", "0A000", "\"a.b\"");
    is_error("create schema s authorization a", "0A000", "authorization a");
}

#[test]
fn a_temporary_table_is_a_table() {
    for text in ["create temp table t (a int)", "create local temporary table t as select 1"] {
        let Statement::Temporary(create) = parse_all(text).unwrap().remove(0) else {
            panic!("temporary")
        };
        let is_table =
            matches!(*create, Statement::CreateTable { .. } | Statement::CreateTableAs { .. });
        assert!(is_table);
    }
    let text = "create temp table t (a int) on commit drop";
    is_error(text, "0A000", "on commit drop");
    is_error("create temp view v as select 1", "0A000", "temp view v as select 1");
}
