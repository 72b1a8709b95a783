//! Random queries of the wider surface, where only PostgreSQL is a fit oracle: quantified and correlated
//! subqueries, derived tables, grouping sets, frames, functions, moments, percentiles. As before, a query
//! has one right answer: what depends on the order of rows orders them by a key.

use super::expression::{Expressions, Field};
use super::query::{Query, fields_of};
use super::random::{Random, decimal};
use super::table::{Kind, Table, value};

/// A query over some of the tables.
pub(super) fn query(random: &mut Random, tables: &[Table]) -> Query {
    let table = random.pick(tables);
    let fields = fields_of(table, "x0", false);
    let from = format!("{} AS x0", table.name);
    let mut make = Wide { random, tables, fields, query: Query { from, ..Query::default() } };
    match make.random.below(10) {
        0 | 1 => make.functions(),
        2 => make.grouping_sets(),
        3 | 4 => make.window(table),
        5 => make.correlated(),
        6 => make.quantified(),
        7 => make.derived(),
        8 => make.join(),
        _ => make.moments(),
    }
    let Wide { random, mut query, .. } = make;
    if random.chance(40) {
        query.order = vec![String::new(); query.items.len()];
        if random.chance(40) {
            query.limit = Some(format!(" LIMIT {}", random.below(7)));
        }
    }
    query
}

struct Wide<'a> {
    random: &'a mut Random,
    tables: &'a [Table],
    fields: Vec<Field>,
    query: Query,
}

impl Wide<'_> {
    fn column(&mut self) -> Field {
        self.random.pick(&self.fields).clone()
    }

    fn of_kind(&mut self, wanted: impl Fn(&Kind) -> bool) -> Option<Field> {
        let fitting: Vec<Field> =
            self.fields.iter().filter(|f| wanted(&f.column.kind)).cloned().collect();
        (!fitting.is_empty()).then(|| self.random.pick(&fitting).clone())
    }

    fn number(&mut self) -> Option<Field> {
        self.of_kind(|kind| match kind {
            Kind::Integer { high, .. } => *high < 1 << 20,
            Kind::Decimal { .. } => true,
            _ => false,
        })
    }

    fn integer(&mut self) -> String {
        let fields = &self.fields;
        Expressions { random: self.random, fields }.integer_text(1)
    }

    fn predicate(&mut self) -> String {
        let fields = &self.fields;
        Expressions { random: self.random, fields }.predicate(1)
    }

    fn functions(&mut self) {
        for _ in 0..=self.random.below(3) {
            let field = self.column();
            let item = self.function(&field);
            self.query.items.push(item);
        }
        if self.random.chance(50) {
            let field = self.column();
            let condition = self.comparison(&field);
            self.query.filters.push(condition);
        }
    }

    fn function(&mut self, field: &Field) -> String {
        let x = &field.text;
        match &field.column.kind {
            Kind::Boolean => {
                self.random.word(&["{} IS NOT TRUE", "{} IS UNKNOWN", "CAST({} AS INT)", "NOT {}"])
            }
            Kind::Integer { .. } => self.random.word(&[
                "greatest({}, 2, NULL)",
                "least({}, -1)",
                "CAST({} AS DECIMAL(14,2))",
                "sign({})",
                "mod({}, 3)",
                "CASE {} WHEN 1 THEN 'one' WHEN -1 THEN 'minus' ELSE 'other' END",
                "nullif({}, 2)",
                "coalesce({}, 7) * 2 + 1",
                "- {}",
                "round({} / 2.0, 1)",
                "({} % 2) IS NOT DISTINCT FROM 1",
            ]),
            Kind::Decimal { .. } => self.random.word(&[
                "round({})",
                "round({}, 1)",
                "floor({})",
                "ceil({})",
                "trunc({})",
                "abs({})",
                "CAST({} AS INT)",
                "CAST({} AS DECIMAL(12,1))",
                "{} * {}",
                "{} - 0.05",
                "greatest({}, 1.5)",
                "{} % 3",
                "sign({})",
            ]),
            Kind::Date => self.random.word(&[
                "extract(quarter from {})",
                "extract(dow from {})",
                "extract(doy from {})",
                "extract(week from {})",
                "{} + 3",
                "{} - DATE '2000-01-31'",
                "CAST(date_trunc('month', {}) AS DATE)",
                "CAST({} + INTERVAL '1' month AS DATE)",
                "greatest({}, DATE '1999-12-31')",
            ]),
            Kind::Text { .. } | Kind::Enum { .. } => self.random.word(&[
                "trim({})",
                "ltrim({})",
                "concat({}, '-', {})",
                "position('a' in {})",
                "replace({}, 'a', 'bb')",
                "left({}, 2)",
                "right({}, 2)",
                "substring({} from 2)",
                "char_length({})",
                "starts_with({}, 'a')",
                "{} || {}",
                "lpad({}, 4, '*')",
                "coalesce({}, 'none')",
                "nullif({}, 'a')",
                "{} < 'b'",
            ]),
        }
        .replace("{}", x)
    }

    fn comparison(&mut self, field: &Field) -> String {
        let (x, kind) = (&field.text, &field.column.kind);
        let [a, b] = [0, 1].map(|_| value(self.random, kind));
        match self.random.below(6) {
            0 => format!("{x} IN ({a}, NULL, {b})"),
            1 => format!("{x} NOT IN ({a}, {b})"),
            2 => format!("{x} BETWEEN SYMMETRIC {a} AND {b}"),
            3 => format!("({x} = {a}) IS NOT TRUE"),
            4 => format!("coalesce({x} > {a}, FALSE)"),
            _ => format!("{x} IS NOT DISTINCT FROM {a}"),
        }
    }

    fn grouping_sets(&mut self) {
        let (a, b) = (self.column().text, self.column().text);
        let sets = self.random.word(&[
            "ROLLUP ($a, $b)",
            "CUBE ($a, $b)",
            "GROUPING SETS (($a), ($b))",
            "GROUPING SETS (($a, $b), ())",
            "ROLLUP ($a)",
        ]);
        let both = sets.contains("$b");
        self.query.groups = vec![sets.replace("$a", &a).replace("$b", &b)];
        self.query.items = if both { vec![a, b] } else { vec![a] };
        let integer = self.integer();
        let more = self.random.word(&["count(*)", "sum({})", "min({})", "max({})", "count({})"]);
        self.query.items.extend(["count(*)".to_owned(), more.replace("{}", &integer)]);
        if self.random.chance(30) {
            let key = self.query.items[0].clone();
            self.query.items.push(format!("grouping({key})"));
        }
    }

    fn window(&mut self, table: &Table) {
        let partition = match self.random.chance(60) {
            true => format!("PARTITION BY {} ", self.column().text),
            false => String::new(),
        };
        let any = self.column().text;
        let (x, integer) = (self.column().text, self.integer());
        let descending = self.random.word(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
        // Without a key only what is the same for peers.
        let (order, choices): (String, &[&str]) = if table.keyed && self.random.chance(75) {
            (
                format!("x0.{}", table.columns[0].name),
                &[
                    "row_number() OVER ($w)",
                    "lag({}) OVER ($w)",
                    "lead({}, 2) OVER ($w)",
                    "first_value({}) OVER ($w)",
                    "last_value({}) OVER ($w)",
                    "nth_value({}, 2) OVER ($w)",
                    "ntile(3) OVER ($w)",
                    "sum(#) OVER ($w ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING)",
                    "count({}) OVER ($w ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
                    "max(#) OVER ($w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING)",
                    "min(#) OVER ($w ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)",
                    "avg(#) OVER ($w)",
                    "first_value({}) OVER ($w ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING)",
                ],
            )
        } else {
            (
                any,
                &[
                    "rank() OVER ($w)",
                    "dense_rank() OVER ($w)",
                    "sum(#) OVER ($w)",
                    "count({}) OVER ($w)",
                    "min(#) OVER ($w)",
                    "sum(#) OVER ($w RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
                    "percent_rank() OVER ($w)",
                    "cume_dist() OVER ($w)",
                    "sum(#) OVER ($w RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)",
                ],
            )
        };
        let over = format!("{partition}ORDER BY {order}{descending}");
        self.query.items = vec![order];
        for _ in 0..=self.random.below(2) {
            let item = self.random.word(choices).replace("$w", &over);
            self.query.items.push(item.replace("{}", &x).replace('#', &integer));
        }
        self.query.inexact = true;
    }

    /// Another table's columns under `y`, two of which meet a column of ours.
    fn other(&mut self) -> (String, Vec<Field>, Option<(String, String)>) {
        let table = self.random.pick(self.tables);
        let inner = fields_of(table, "y", false);
        let mut pairs = Vec::new();
        for a in &self.fields {
            for b in &inner {
                if alike(&a.column.kind, &b.column.kind) {
                    pairs.push((a.text.clone(), b.text.clone()));
                }
            }
        }
        let pair = (!pairs.is_empty()).then(|| self.random.pick(&pairs).clone());
        (format!("{} AS y", table.name), inner, pair)
    }

    fn correlated(&mut self) {
        let (from, inner, pair) = self.other();
        let Some((a, b)) = pair else { return self.functions() };
        let mut make = Expressions { random: self.random, fields: &inner };
        let (integer, condition) = (make.integer_text(1), make.predicate(1));
        let compare = self.random.word(&["=", "=", "=", "<", ">=", "<>"]);
        let aggregate = self.random.word(&["count(*)", "sum({})", "min({})", "max({})", "avg({})"]);
        let aggregate = aggregate.replace("{}", &integer);
        let subquery =
            format!("(SELECT {aggregate} FROM {from} WHERE {b} {compare} {a} AND {condition})");
        match self.random.below(3) {
            0 => {
                let own = self.column().text;
                self.query.items = vec![own, subquery];
            }
            1 => {
                let own = self.column().text;
                self.query.items = vec![own];
                let than = self.random.below(4);
                self.query.filters = vec![format!("{subquery} > {than}")];
            }
            _ => {
                let not = self.random.word(&["", "NOT "]);
                self.query.items = vec![self.column().text];
                self.query.filters = vec![format!(
                    "{not}EXISTS (SELECT 1 FROM {from} WHERE {b} {compare} {a} AND {condition})"
                )];
            }
        }
    }

    fn quantified(&mut self) {
        let (from, inner, pair) = self.other();
        let Some((a, b)) = pair else { return self.functions() };
        let condition = Expressions { random: self.random, fields: &inner }.predicate(1);
        let compare = self.random.word(&["=", "<>", "<", "<=", ">", ">="]);
        let which = self.random.word(&["ALL", "ANY"]);
        let test = format!("{a} {compare} {which} (SELECT {b} FROM {from} WHERE {condition})");
        let own = self.column().text;
        self.query.items = vec![own];
        if self.random.chance(50) {
            self.query.items.push(format!("({test})"));
        } else {
            self.query.filters = vec![test];
        }
    }

    fn derived(&mut self) {
        let (inner_from, inner, _) = self.other();
        let key = self.random.pick(&inner).clone();
        let mut make = Expressions { random: self.random, fields: &inner };
        let (integer, condition) = (make.integer_text(1), make.predicate(1));
        let aggregate = self.random.word(&["count(*)", "sum({})", "min({})", "max({})"]);
        let body = format!(
            "SELECT {k} AS g0, {} AS g1 FROM {inner_from} WHERE {condition} GROUP BY {k}",
            aggregate.replace("{}", &integer),
            k = key.text,
        );
        let derived = match self.random.chance(50) {
            true => format!("({body}) AS d"),
            false => format!("(WITH c AS ({body}) SELECT * FROM c WHERE g1 IS NOT NULL) AS d"),
        };
        let mine: Vec<String> = self
            .fields
            .iter()
            .filter(|f| alike(&f.column.kind, &key.column.kind))
            .map(|f| f.text.clone())
            .collect();
        self.query.items = vec!["d.g0".to_owned(), "d.g1".to_owned()];
        if mine.is_empty() || self.random.chance(30) {
            self.query.from = derived;
        } else {
            let kind = self.random.word(&["JOIN", "LEFT JOIN", "RIGHT JOIN"]);
            let on = self.random.pick(&mine).clone();
            self.query.from = format!("{} {kind} {derived} ON d.g0 = {on}", self.query.from);
            let own = self.column().text;
            self.query.items.push(own);
        }
    }

    /// More than an equality, or none at all.
    fn join(&mut self) {
        let (from, inner, pair) = self.other();
        let both: Vec<Field> = self.fields.iter().chain(&inner).cloned().collect();
        let residual = Expressions { random: self.random, fields: &both }.predicate(1);
        let kind = self.random.word(&["JOIN", "LEFT JOIN", "CROSS JOIN"]);
        let on = match (kind.as_str(), pair) {
            ("CROSS JOIN", _) => String::new(),
            (_, Some((a, b))) if self.random.chance(70) => format!(" ON {a} = {b} AND {residual}"),
            _ => format!(" ON {residual}"),
        };
        self.query.from = format!("{} {kind} {from}{on}", self.query.from);
        self.fields = both;
        if self.random.chance(50) {
            self.query.items = vec!["count(*)".to_owned()];
            let integer = self.integer();
            self.query.items.push(format!("sum({integer})"));
        } else {
            self.query.items = vec![self.column().text, self.column().text];
        }
    }

    fn moments(&mut self) {
        let (Some(x), Some(y)) = (self.number(), self.number()) else { return self.functions() };
        if self.random.chance(60) {
            let group = self.column().text;
            self.query.groups = vec![group.clone()];
            self.query.items = vec![group];
        }
        for _ in 0..=self.random.below(2) {
            let item = self.random.word(&[
                "stddev_pop($x)",
                "stddev($x)",
                "var_pop($x)",
                "var_samp($x)",
                "corr($x, $y)",
                "covar_pop($x, $y)",
                "covar_samp($x, $y)",
                "regr_slope($x, $y)",
                "regr_count($x, $y)",
                "avg(DISTINCT $x)",
                "sum(DISTINCT $x)",
                "percentile_cont(0.5) WITHIN GROUP (ORDER BY $x)",
                "percentile_disc(0.25) WITHIN GROUP (ORDER BY $x)",
                "bool_and($x > $y)",
                "bool_or($x > $y)",
                "sum($x) FILTER (WHERE $p)",
                "avg($x) FILTER (WHERE $p)",
                "sum(CASE WHEN $p THEN $x ELSE 0 END)",
                "max($x) - min($y)",
                "sum($x) * 2 + count(*)",
            ]);
            let condition = self.predicate();
            let item = item.replace("$x", &x.text).replace("$y", &y.text).replace("$p", &condition);
            self.query.items.push(item);
        }
        if !self.query.groups.is_empty() && self.random.chance(30) {
            let than = decimal(self.random.number(-50, 50), 1);
            self.query.having = Some(format!("avg({}) > {than} OR count(*) > 1", x.text));
        }
        self.query.inexact = true;
    }
}

/// Whether two columns may be compared.
fn alike(a: &Kind, b: &Kind) -> bool {
    let text = |kind: &Kind| matches!(kind, Kind::Text { .. } | Kind::Enum { .. });
    let number = |kind: &Kind| matches!(kind, Kind::Integer { .. } | Kind::Decimal { .. });
    text(a) && text(b) || number(a) && number(b) || *a == Kind::Date && *b == Kind::Date
}
