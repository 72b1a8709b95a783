//! Random queries in parts, so that a failing one can be cut down.

use super::expression::{Expressions, Field};
use super::random::Random;
use super::table::{Kind, Table};

/// A query in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Items of the SELECT list, without aliases.
    pub items: Vec<String>,
    /// SELECT DISTINCT.
    pub distinct: bool,
    /// What follows FROM.
    pub from: String,
    /// Conditions of WHERE, all of which must hold.
    pub filters: Vec<String>,
    /// Expressions of GROUP BY.
    pub groups: Vec<String>,
    /// HAVING.
    pub having: Option<String>,
    /// A second query with its set operation in front: `UNION ALL SELECT …`.
    pub set: Option<String>,
    /// Per item ` ASC` or the like: rows come in the order of all items.
    pub order: Vec<String>,
    /// LIMIT and OFFSET.
    pub limit: Option<String>,
    /// Whether its last digits are an engine's own, whatever its functions.
    pub inexact: bool,
}

/// How an answer to a query is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Whether the order of the rows counts.
    pub ordered: bool,
    /// Whether it has averages or quotients, whose last digits are an engine's own.
    pub inexact: bool,
}

impl Query {
    /// As text.
    #[must_use]
    pub fn sql(&self) -> String {
        let items: Vec<String> =
            self.items.iter().enumerate().map(|(i, e)| format!("{e} AS r{i}")).collect();
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let mut sql = format!("SELECT {distinct}{} FROM {}", items.join(", "), self.from);
        if !self.filters.is_empty() {
            sql.push_str(&format!(" WHERE {}", self.filters.join(" AND ")));
        }
        if !self.groups.is_empty() {
            sql.push_str(&format!(" GROUP BY {}", self.groups.join(", ")));
        }
        if let Some(having) = &self.having {
            sql.push_str(&format!(" HAVING {having}"));
        }
        if let Some(set) = &self.set {
            sql.push_str(&format!(" {set}"));
        }
        let order: Vec<String> = self
            .order
            .iter()
            .take(self.items.len())
            .zip(1..)
            .map(|(o, i)| format!("{i}{o}"))
            .collect();
        if !order.is_empty() {
            sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
        }
        if let Some(limit) = &self.limit {
            sql.push_str(limit);
        }
        sql
    }

    /// How its answers are compared.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let sql = self.sql();
        let inexact = ["avg(", "stddev", "var_"].iter().any(|f| sql.contains(f));
        Shape { ordered: !self.order.is_empty(), inexact: inexact || self.inexact }
    }

    /// Every query with one part less.
    #[must_use]
    pub fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut cut = |change: &dyn Fn(&mut Self)| {
            let mut less = self.clone();
            change(&mut less);
            if less != *self && !less.items.is_empty() {
                all.push(less);
            }
        };
        cut(&|q| q.limit = None);
        cut(&|q| q.order.clear());
        cut(&|q| q.set = None);
        cut(&|q| q.having = None);
        cut(&|q| q.distinct = false);
        for i in 0..self.filters.len() {
            cut(&|q| drop(q.filters.remove(i)));
        }
        if self.set.is_none() {
            for i in 0..self.items.len() {
                cut(&|q| drop(q.items.remove(i)));
            }
        }
        if self.groups.len() > 1 {
            for i in 0..self.groups.len() {
                cut(&|q| drop(q.groups.remove(i)));
            }
        }
        all
    }
}

/// A query over some of the tables.
pub(super) fn query(random: &mut Random, tables: &[Table]) -> Query {
    let mut query = Query::default();
    let fields = from(random, tables, &mut query);
    for _ in 0..random.below(3) {
        let filter = filter(random, &fields, tables);
        query.filters.push(filter);
    }
    match random.below(10) {
        0..=3 => rows(random, &fields, tables, &mut query),
        4 => set(random, tables, &mut query),
        5 | 6 => aggregate(random, &fields, &mut query),
        7 | 8 => group(random, &fields, &mut query),
        _ => window(random, &fields, &mut query),
    }
    if query.set.is_none() && random.chance(10) && query.groups.is_empty() {
        query.distinct = true;
    }
    if random.chance(45) {
        let items = query.items.len();
        let one = |_| random.word(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
        query.order = (0..items).map(one).collect();
        if random.chance(50) {
            let offset = if random.chance(30) { " OFFSET 2" } else { "" };
            query.limit = Some(format!(" LIMIT {}{offset}", random.below(9)));
        }
    }
    query
}

pub(super) fn fields_of(table: &Table, alias: &str, outer: bool) -> Vec<Field> {
    let field = |c: &super::Column| Field {
        text: format!("{alias}.{}", c.name),
        column: c.clone(),
        nullable: c.nullable || outer,
    };
    table.columns.iter().map(field).collect()
}

/// One table, or two or three joined on columns of one kind.
fn from(random: &mut Random, tables: &[Table], query: &mut Query) -> Vec<Field> {
    let first = random.pick(tables);
    query.from = format!("{} AS x0", first.name);
    let mut fields = fields_of(first, "x0", false);
    let joins = *random.pick(&[0, 0, 0, 1, 1, 2]);
    for i in 1..=joins {
        let table = random.pick(tables);
        let alias = format!("x{i}");
        let kind =
            random.word(&["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let left_outer = matches!(kind.as_str(), "RIGHT JOIN" | "FULL JOIN");
        let added = fields_of(table, &alias, matches!(kind.as_str(), "LEFT JOIN" | "FULL JOIN"));
        let Some(on) = condition(random, &fields, &added, table) else { continue };
        query.from.push_str(&format!(" {kind} {} AS {alias} ON {on}", table.name));
        fields.iter_mut().for_each(|f| f.nullable |= left_outer);
        fields.extend(added);
    }
    fields
}

/// An equality of an old and a new column of one kind, mostly of a key.
fn condition(random: &mut Random, old: &[Field], new: &[Field], table: &Table) -> Option<String> {
    let alike = |a: &Kind, b: &Kind| match (a, b) {
        (Kind::Integer { .. }, Kind::Integer { .. }) => true,
        (Kind::Decimal { scale: a, .. }, Kind::Decimal { scale: b, .. }) => a == b,
        (Kind::Date, Kind::Date) => true,
        (Kind::Text { .. }, Kind::Text { .. }) => true,
        _ => false,
    };
    let keys = if table.keyed && random.chance(75) { &new[..1] } else { new };
    let mut pairs = Vec::new();
    for a in old {
        for b in keys {
            if alike(&a.column.kind, &b.column.kind) {
                pairs.push(format!("{} = {}", a.text, b.text));
            }
        }
    }
    if pairs.is_empty() {
        return None;
    }
    let mut on = random.pick(&pairs).clone();
    if random.chance(15) {
        let both: Vec<Field> = old.iter().chain(new).cloned().collect();
        let residual = Expressions { random, fields: &both }.predicate(0);
        on.push_str(&format!(" AND {residual}"));
    }
    Some(on)
}

fn filter(random: &mut Random, fields: &[Field], tables: &[Table]) -> String {
    if random.chance(75) {
        return Expressions { random, fields }.predicate(2);
    }
    let table = random.pick(tables);
    let inner = fields_of(table, "y", false);
    let integers = |fields: &[Field]| -> Vec<String> {
        let integer = |f: &&Field| matches!(f.column.kind, Kind::Integer { .. });
        fields.iter().filter(integer).map(|f| f.text.clone()).collect()
    };
    let (outer, own) = (integers(fields), integers(&inner));
    if outer.is_empty() || own.is_empty() {
        return "1 = 1".to_owned();
    }
    let (outer, own) = (random.pick(&outer).clone(), random.pick(&own).clone());
    let condition = Expressions { random, fields: &inner }.predicate(1);
    let from = format!("FROM {} AS y", table.name);
    let not = random.word(&["", "", "NOT "]);
    match random.below(5) {
        0 | 1 => format!("{outer} {not}IN (SELECT {own} {from} WHERE {condition})"),
        2 => format!("{not}EXISTS (SELECT 1 {from} WHERE {own} = {outer} AND {condition})"),
        3 => {
            let function = random.word(&["min", "max", "count"]);
            let compare = random.word(&["<", "=", ">="]);
            format!("{outer} {compare} (SELECT {function}({own}) {from} WHERE {condition})")
        }
        _ => format!("(SELECT count(*) {from} WHERE {own} = {outer}) > {}", random.below(2)),
    }
}

fn rows(random: &mut Random, fields: &[Field], tables: &[Table], query: &mut Query) {
    for _ in 0..=random.below(4) {
        let item = Expressions { random, fields }.any(2);
        query.items.push(item);
    }
    if random.chance(8) {
        let table = random.pick(tables);
        query.items.push(format!("(SELECT count(*) FROM {} AS z)", table.name));
    }
}

fn set(random: &mut Random, tables: &[Table], query: &mut Query) {
    let mut other = Query::default();
    // Items of one type on both sides: integers, one to two of them.
    let mine = {
        let mut fresh = Query::default();
        let fields = from(random, tables, &mut fresh);
        query.from = fresh.from;
        query.filters.clear();
        fields
    };
    let yours = from(random, tables, &mut other);
    for _ in 0..=random.below(2) {
        query.items.push(Expressions { random, fields: &mine }.integer_text(1));
        other.items.push(Expressions { random, fields: &yours }.integer_text(1));
    }
    let operation =
        random.word(&["UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"]);
    query.set = Some(format!("{operation} {}", other.sql()));
}

fn aggregates(random: &mut Random, fields: &[Field], items: &mut Vec<String>) {
    for _ in 0..=random.below(3) {
        let mut make = Expressions { random, fields };
        let column = make.column();
        let integer = make.integer_text(1);
        let condition = make.predicate(1);
        let ordered = !matches!(column.column.kind, Kind::Boolean);
        let summable = matches!(column.column.kind, Kind::Decimal { .. })
            || matches!(column.column.kind, Kind::Integer { high, .. } if high < 1 << 20);
        let column = column.text;
        let aggregate = match make.random.below(10) {
            0 => "count(*)".to_owned(),
            1 => format!("count({column})"),
            2 => format!("sum({integer})"),
            3 if summable => format!("sum({column})"),
            4 if summable => format!("avg({column})"),
            5 if ordered => format!("min({column})"),
            6 if ordered => format!("max({column})"),
            7 => format!("count(DISTINCT {column})"),
            8 => format!("sum({integer}) FILTER (WHERE {condition})"),
            _ => format!("count(*) FILTER (WHERE {condition})"),
        };
        items.push(aggregate);
    }
}

fn aggregate(random: &mut Random, fields: &[Field], query: &mut Query) {
    aggregates(random, fields, &mut query.items);
}

fn group(random: &mut Random, fields: &[Field], query: &mut Query) {
    for _ in 0..=random.below(2) {
        let mut make = Expressions { random, fields };
        let key = if make.random.chance(80) { make.column().text } else { make.integer_text(1) };
        // A number would be a position in the SELECT list.
        if key.parse::<i64>().is_err() && !query.groups.contains(&key) {
            query.groups.push(key);
        }
    }
    query.items = query.groups.clone();
    aggregates(random, fields, &mut query.items);
    if random.chance(30) {
        query.having = Some(format!("count(*) > {}", random.below(3)));
    }
}

/// Functions whose values do not depend on how ties are broken.
fn window(random: &mut Random, fields: &[Field], query: &mut Query) {
    let mut make = Expressions { random, fields };
    let (partition, order) = (make.column().text, make.column().text);
    let integer = make.integer_text(1);
    let descending = make.random.word(&["", " DESC"]);
    let over = format!("OVER (PARTITION BY {partition} ORDER BY {order}{descending})");
    let item = match make.random.below(6) {
        0 => format!("rank() {over}"),
        1 => format!("dense_rank() {over}"),
        2 => format!("sum({integer}) {over}"),
        3 => format!("count(*) OVER (PARTITION BY {partition})"),
        4 => format!("max({integer}) OVER (PARTITION BY {partition})"),
        _ => format!("count(*) {over}"),
    };
    query.items = vec![partition, order, item];
}
