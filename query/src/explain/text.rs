//! Operators and expressions as a reader of EXPLAIN sees them.

use crate::executor::inputs;
use crate::plan::{
    Aggregate, Bound, Compare, Expr, ExprKind, Field, Frame, Function, JoinKind, JoinMethod,
    LikePattern, LikeToken, Literal, Operator, Plan, ResultSize, Rounding, SegmentScan, SortKey,
    TextFunction, Which, WindowFunction, WindowKind,
};
use crate::types::{NumberKind, Type};
use chrono::{DateTime, Days, NaiveDate};

/// Characters of an expression at most.
const TEXT_MAX: usize = 400;

/// One line: operator, columns, widths.
pub(super) fn operator(plan: &Plan) -> String {
    match &plan.op {
        Operator::Public { source, .. } => {
            let columns =
                plan.fields.iter().map(|f| format!("{} {}", f.name, width(&f.ty, f.nullable)));
            let columns: Vec<String> = columns.collect();
            format!("Public ({}) from {source} [public]", shortened(columns.join(", ")))
        }
        Operator::PublicFilter { input, kept } => {
            format!(
                "PublicFilter {} keeps {} of {} [public]",
                kept.condition, plan.rows, input.rows
            )
        }
        Operator::PublicColumns { input, .. } => {
            let made: Vec<&str> =
                plan.fields.iter().skip(input.fields.len()).map(|f| f.name.as_str()).collect();
            format!("PublicColumns {} [public]", shortened(made.join(", ")))
        }
        Operator::PublicAggregate { input, keys, aggregates, .. } => {
            let by: Vec<&str> =
                plan.fields.iter().take(keys.columns().len()).map(|f| f.name.as_str()).collect();
            let made = after(aggregates, &input.fields);
            format!("PublicAggregate by {}{made} [groups public]", by.join(", "))
        }
        Operator::PublicJoin { condition, .. } => {
            format!("PublicJoin on {condition} [public]")
        }
        Operator::Scan { schema, segments, kept, .. } => {
            let columns: Vec<String> = plan
                .fields
                .iter()
                .map(|f| format!("{} {}", f.name, width(&f.ty, f.nullable)))
                .collect();
            let parts = if segments.len() == 1 { "segment" } else { "segments" };
            let scan = format!(
                "Scan {} ({}), {} {parts}",
                schema.name,
                columns.join(", "),
                segments.len()
            );
            let Some(kept) = kept else { return scan };
            let all: u64 = segments.iter().map(|s| s.rows).sum();
            let read = read_segments(segments, kept.rows.rows());
            let pruned =
                if read < segments.len() { format!(", {read} read") } else { String::new() };
            format!("{scan}{pruned}, {} keeps {} of {all} [public]", kept.condition, plan.rows)
        }
        Operator::Values(_) => format!("Values ({} columns)", plan.fields.len()),
        Operator::Filter { input, predicate } => {
            format!("Filter {}", expr(predicate, &input.fields))
        }
        Operator::Project { input, exprs } => {
            let columns: Vec<String> = exprs
                .iter()
                .zip(&plan.fields)
                .map(|(e, f)| {
                    let shown = expr(e, &input.fields);
                    if shown == f.name { shown } else { format!("{shown} AS {}", f.name) }
                })
                .collect();
            format!("Project {}", shortened(columns.join(", ")))
        }
        Operator::UnionAll(inputs) => format!("UnionAll of {}", inputs.len()),
        Operator::ScalarAggregate { input, aggregates } => {
            format!("ScalarAggregate {}", list(aggregates, &input.fields))
        }
        Operator::SmallDomainAggregate { input, keys, aggregates } => {
            let by = exprs(keys, &input.fields);
            format!("SmallDomainAggregate by {by}{}", after(aggregates, &input.fields))
        }
        Operator::SortAggregate { input, keys, determined, presorted, aggregates } => {
            let needed = keys.len().saturating_sub(*determined as usize);
            let (keys, more) = keys.split_at(needed);
            let mut by = exprs(keys, &input.fields);
            if !more.is_empty() {
                by.push_str(&format!(" (determines {})", exprs(more, &input.fields)));
            }
            let bits: usize = keys.iter().map(|k| k.ty.bits() + usize::from(k.nullable)).sum();
            let sort =
                if *presorted { "sorted already".to_owned() } else { format!("key {bits} bits") };
            format!("SortAggregate by {by}{} [{sort}]", after(aggregates, &input.fields))
        }
        Operator::UniqueKeyJoin { .. } => join(plan),
        Operator::CrossJoin { .. } => "CrossJoin".to_owned(),
        Operator::PairAggregate { left, right, condition, aggregates } => {
            let mut both = left.fields.clone();
            both.extend(right.fields.iter().cloned());
            let on =
                condition.as_ref().map_or_else(String::new, |c| format!(" on {}", expr(c, &both)));
            format!("PairAggregate{on}{}", after(aggregates, &both))
        }
        Operator::Window { input, partition, order, functions } => {
            window(&input.fields, partition, order, functions)
        }
        Operator::Again { node } => format!("Again (line {})", node + 1),
        Operator::OneRowJoin { one, .. } => {
            let columns: Vec<&str> = one.fields.iter().map(|f| f.name.as_str()).collect();
            format!("OneRowJoin with {}", columns.join(", "))
        }
        Operator::Sort { input, keys } => {
            let bits: usize =
                keys.iter().map(|k| k.expr.ty.bits() + usize::from(k.expr.nullable)).sum();
            let by: Vec<String> = keys.iter().map(|k| sort_key(k, &input.fields)).collect();
            format!("Sort by {} [key {bits} bits]", by.join(", "))
        }
        Operator::Limit { skip, fetch, .. } => match (fetch, skip) {
            (Some(fetch), 0) => format!("Limit {fetch}"),
            (Some(fetch), skip) => format!("Limit {fetch} offset {skip}"),
            (None, skip) => format!("Limit offset {skip}"),
        },
        Operator::Reveal { size, ordered, .. } => {
            let order = if *ordered { "in order" } else { "shuffled" };
            let size = match size {
                ResultSize::Hidden => "size hidden",
                ResultSize::Padded => "size padded",
            };
            let columns: Vec<&str> = plan.fields.iter().map(|f| f.name.as_str()).collect();
            format!("Reveal {} ({order}, {size})", columns.join(", "))
        }
    }
}

fn window(
    fields: &[Field],
    partition: &[Expr],
    order: &[SortKey],
    functions: &[WindowFunction],
) -> String {
    let name = |f: &WindowFunction| match &f.kind {
        WindowKind::RowNumber => "row_number".to_owned(),
        WindowKind::Rank => "rank".to_owned(),
        WindowKind::DenseRank => "dense_rank".to_owned(),
        WindowKind::Ntile(n) => format!("ntile({n})"),
        WindowKind::Shift { value, back, .. } if *back < 0 => {
            format!("lead({}, {})", expr(value, fields), back.unsigned_abs())
        }
        WindowKind::Shift { value, back, .. } => format!("lag({}, {back})", expr(value, fields)),
        WindowKind::Value { value, which, frame } => {
            let value = expr(value, fields);
            match which {
                Which::First => format!("first_value({value}){}", framed(*frame)),
                Which::Last => format!("last_value({value}){}", framed(*frame)),
                Which::Nth(n) => format!("nth_value({value}, {n}){}", framed(*frame)),
            }
        }
        WindowKind::Aggregate { aggregate: a, frame } => {
            format!("{}{}", aggregate(a, fields), framed(*frame))
        }
    };
    let names: Vec<String> = functions.iter().map(name).collect();
    let mut text = format!("Window {}", shortened(names.join(", ")));
    if !partition.is_empty() {
        text.push_str(&format!(" partition by {}", exprs(partition, fields)));
    }
    if !order.is_empty() {
        let by: Vec<String> = order.iter().map(|k| sort_key(k, fields)).collect();
        text.push_str(&format!(" order by {}", shortened(by.join(", "))));
    }
    text
}

fn framed(frame: Frame) -> String {
    let bound = |bound: Bound| match bound {
        Bound::Unbounded => "unbounded".to_owned(),
        Bound::Peers => "peers".to_owned(),
        Bound::Rows(rows) => format!("{rows:+} rows"),
    };
    format!(" [{} to {}]", bound(frame.start), bound(frame.end))
}

fn join(plan: &Plan) -> String {
    let Operator::UniqueKeyJoin { kind, many, unique, many_keys, unique_keys, residual, method } =
        &plan.op
    else {
        return String::new();
    };
    let mut both = many.fields.clone();
    both.extend(unique.fields.iter().cloned());
    let equal: Vec<String> = many_keys
        .iter()
        .zip(unique_keys)
        .map(|(m, u)| format!("{} = {}", expr(m, &many.fields), expr(u, &unique.fields)))
        .collect();
    let kind = match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Semi => "semi",
        JoinKind::Anti => "anti",
    };
    let and = residual.as_ref().map_or_else(String::new, |r| format!(" and {}", expr(r, &both)));
    let bits: usize =
        many_keys.iter().zip(unique_keys).map(|(m, u)| m.ty.bits().max(u.ty.bits())).sum();
    let name = match method {
        JoinMethod::Sort => "UniqueKeyJoin",
        JoinMethod::Merge => "MergeJoin",
        JoinMethod::Lookup => "LookupJoin",
    };
    format!("{name} {kind} on {}{and} [key {bits} bits]", equal.join(" and "))
}

fn width(ty: &Type, nullable: bool) -> String {
    let null = if nullable { "+null" } else { "" };
    format!("{}b{null}", ty.bits())
}

fn after(aggregates: &[Aggregate], fields: &[Field]) -> String {
    if aggregates.is_empty() { String::new() } else { format!(": {}", list(aggregates, fields)) }
}

fn list(aggregates: &[Aggregate], fields: &[Field]) -> String {
    let all: Vec<String> = aggregates.iter().map(|a| aggregate(a, fields)).collect();
    shortened(all.join(", "))
}

fn aggregate(aggregate: &Aggregate, fields: &[Field]) -> String {
    let name = match aggregate.function {
        Function::CountStar | Function::Count => "count",
        Function::Sum => "sum",
        Function::Avg => "avg",
        Function::Min => "min",
        Function::Max => "max",
        Function::BoolAnd => "bool_and",
        Function::BoolOr => "bool_or",
    };
    let argument = aggregate.argument.as_ref().map_or_else(|| "*".to_owned(), |a| expr(a, fields));
    let distinct = if aggregate.distinct { "distinct " } else { "" };
    let filter = aggregate
        .filter
        .as_ref()
        .map_or_else(String::new, |f| format!(" filter ({})", expr(f, fields)));
    format!("{name}({distinct}{argument}){filter}")
}

fn sort_key(key: &SortKey, fields: &[Field]) -> String {
    let direction = if key.descending { " desc" } else { "" };
    let nulls = match (key.expr.nullable, key.nulls_first) {
        (false, _) => "",
        (true, true) => " nulls first",
        (true, false) => " nulls last",
    };
    format!("{}{direction}{nulls}", expr(&key.expr, fields))
}

fn exprs(all: &[Expr], fields: &[Field]) -> String {
    let shown: Vec<String> = all.iter().map(|e| expr(e, fields)).collect();
    shortened(shown.join(", "))
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Segments of which a row is kept.
fn read_segments(segments: &[SegmentScan], kept: &[u32]) -> usize {
    let mut kept = kept.iter().map(|row| u64::from(*row)).peekable();
    let mut end = 0_u64;
    let mut read = 0;
    for segment in segments {
        end = end.saturating_add(segment.rows);
        let mut hit = false;
        while kept.next_if(|row| *row < end).is_some() {
            hit = true;
        }
        read += usize::from(hit);
    }
    read
}

/// How a relation is computed: operators, the last one first.
pub(super) fn source(plan: &Plan) -> String {
    let own = match &plan.op {
        Operator::Public { source, .. } => return source.clone(),
        Operator::Scan { schema, .. } => return schema.name.clone(),
        _ => operator(plan),
    };
    let below: Vec<String> = inputs(plan).into_iter().map(source).collect();
    let own = own.trim_end_matches(" [public]");
    shortened(if below.is_empty() {
        own.to_owned()
    } else {
        format!("{own} of {}", below.join(" and "))
    })
}

/// An expression over columns of these names; changes of scale and type do not show.
pub(super) fn expr(e: &Expr, fields: &[Field]) -> String {
    shortened(render(e, fields, 24))
}

/// `depth` levels at most.
fn render(e: &Expr, fields: &[Field], depth: usize) -> String {
    let Some(depth) = depth.checked_sub(1) else { return "…".into() };
    let show = |x: &Expr| render(x, fields, depth);
    let inner = |x: &Expr| {
        let text = render(x, fields, depth);
        if is_atom(x) { text } else { format!("({text})") }
    };
    let join =
        |parts: &[Expr], word: &str| parts.iter().map(inner).collect::<Vec<String>>().join(word);
    match &e.kind {
        ExprKind::Column(index) => fields.get(*index).map_or("?", |f| &f.name).to_owned(),
        ExprKind::Literal(value) => literal(value, &e.ty),
        ExprKind::Not(x) => match &x.kind {
            ExprKind::IsNull(y) => format!("{} IS NOT NULL", inner(y)),
            _ => format!("NOT {}", inner(x)),
        },
        ExprKind::And(parts) => join(parts, " AND "),
        ExprKind::Or(parts) => join(parts, " OR "),
        ExprKind::Compare { op, left, right } => {
            let op = match op {
                Compare::Eq => "=",
                Compare::Ne => "<>",
                Compare::Lt => "<",
                Compare::Le => "<=",
                Compare::Gt => ">",
                Compare::Ge => ">=",
            };
            format!("{} {op} {}", inner(left), inner(right))
        }
        ExprKind::IsNull(x) => format!("{} IS NULL", inner(x)),
        ExprKind::Add(x, y) => format!("{} + {}", inner(x), inner(y)),
        ExprKind::Subtract(x, y) => format!("{} - {}", inner(x), inner(y)),
        ExprKind::Multiply(x, y) => format!("{} * {}", inner(x), inner(y)),
        ExprKind::Scale(x, factor) if changes_scale(&x.ty, &e.ty) => {
            let _ = factor;
            show(x)
        }
        ExprKind::Scale(x, factor) => format!("{} * {factor}", inner(x)),
        ExprKind::Absolute(x) => format!("abs({})", show(x)),
        ExprKind::Case { branches, otherwise } => {
            let mut text = String::from("CASE");
            for (condition, value) in branches {
                text.push_str(&format!(" WHEN {} THEN {}", show(condition), show(value)));
            }
            format!("{text} ELSE {} END", show(otherwise))
        }
        ExprKind::Lookup { argument, table } => {
            let wanted: Vec<usize> = table
                .iter()
                .enumerate()
                .filter(|(_, l)| matches!(l, Literal::Boolean(true)))
                .map(|(i, _)| i)
                .collect();
            match &argument.ty {
                Type::Number { kind: NumberKind::Enum { labels }, .. }
                    if e.ty == Type::Boolean && wanted.len() <= 8 =>
                {
                    let names: Vec<String> =
                        wanted.iter().filter_map(|i| labels.get(*i)).map(|l| quoted(l)).collect();
                    format!("{} IN ({})", inner(argument), names.join(", "))
                }
                _ => format!("table of {} over {}", table.len(), inner(argument)),
            }
        }
        ExprKind::Retype(x) => show(x),
        ExprKind::Divide { left, right, .. } => format!("{} / {}", inner(left), inner(right)),
        ExprKind::Modulo(x, y) => format!("{} % {}", inner(x), inner(y)),
        ExprKind::DivideBy { argument, divisor, rounding } => {
            let how = match rounding {
                Rounding::Floor => "floor",
                Rounding::Ceil => "ceil",
                Rounding::Truncate => "trunc",
                Rounding::Nearest | Rounding::Even => "round",
            };
            format!("{how}({} / {divisor})", inner(argument))
        }
        ExprKind::SquareRoot { argument, .. } => format!("sqrt({})", show(argument)),
        ExprKind::Steps { argument, thresholds, .. } => {
            format!("{} steps over {}", thresholds.len(), inner(argument))
        }
        ExprKind::Check { value, .. } => show(value),
        ExprKind::Let { value, body } => format!("let v = {} in {}", show(value), show(body)),
        ExprKind::Bound(_) => "v".into(),
        ExprKind::Text { function, arguments } => {
            let all: Vec<String> = arguments.iter().map(&show).collect();
            format!("{}({})", text_function(function), all.join(", "))
        }
    }
}

fn text_function(function: &TextFunction) -> String {
    match function {
        TextFunction::Slice { start } => format!("from byte {start}"),
        TextFunction::Lower => "lower".into(),
        TextFunction::Upper => "upper".into(),
        TextFunction::IsAscii => "is ascii".into(),
        TextFunction::Length => "length".into(),
        TextFunction::Like(pattern) => format!("like {}", quoted(&like(pattern))),
        TextFunction::Position(needle) => {
            format!("position of {} in", quoted(&String::from_utf8_lossy(needle)))
        }
        TextFunction::TrimStart(_) => "ltrim".into(),
        TextFunction::TrimEnd(_) => "rtrim".into(),
        TextFunction::Right(count) => format!("last {count} of"),
        TextFunction::Concat => "concat".into(),
        TextFunction::Decimal { .. } => "text".into(),
    }
}

fn like(pattern: &LikePattern) -> String {
    let pieces: Vec<String> = pattern
        .pieces
        .iter()
        .map(|piece| {
            let bytes: Vec<u8> = piece
                .iter()
                .map(|token| match token {
                    LikeToken::Byte(byte) => *byte,
                    LikeToken::Any => b'_',
                })
                .collect();
            String::from_utf8_lossy(&bytes).into_owned()
        })
        .collect();
    let sign = |fixed: bool| if fixed { "" } else { "%" };
    format!("{}{}{}", sign(pattern.at_start), pieces.join("%"), sign(pattern.at_end))
}

fn changes_scale(from: &Type, to: &Type) -> bool {
    let scale = |ty: &Type| match ty {
        Type::Number { kind, .. } => crate::planner::numbers::scale(kind),
        _ => None,
    };
    scale(from) != scale(to)
}

fn is_atom(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Column(_)
        | ExprKind::Literal(_)
        | ExprKind::Absolute(_)
        | ExprKind::Case { .. } => true,
        ExprKind::Retype(x) | ExprKind::Check { value: x, .. } => is_atom(x),
        ExprKind::DivideBy { .. } | ExprKind::Bound(_) | ExprKind::Text { .. } => true,
        ExprKind::Scale(x, _) => changes_scale(&x.ty, &e.ty) && is_atom(x),
        _ => false,
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn literal(value: &Literal, ty: &Type) -> String {
    match (value, ty) {
        (Literal::Null, _) => "NULL".into(),
        (Literal::Boolean(b), _) => b.to_string(),
        (Literal::Text(bytes), _) => quoted(&String::from_utf8_lossy(bytes)),
        (Literal::Number(v), Type::Number { kind, .. }) => number(*v, kind),
        (Literal::Number(v), _) => v.to_string(),
    }
}

fn number(v: i128, kind: &NumberKind) -> String {
    match kind {
        NumberKind::Decimal { scale, .. } if *scale > 0 => {
            let digits = usize::from(*scale);
            let all = format!("{:0>width$}", v.unsigned_abs(), width = digits + 1);
            let (whole, part) = all.split_at(all.len() - digits);
            format!("{}{whole}.{part}", if v < 0 { "-" } else { "" })
        }
        NumberKind::Double { fraction_bits } if *fraction_bits > 0 => {
            format!("{v}/2^{fraction_bits}")
        }
        NumberKind::Date => date(v).unwrap_or_else(|| v.to_string()),
        NumberKind::Timestamp => timestamp(v).unwrap_or_else(|| v.to_string()),
        NumberKind::Enum { labels } => usize::try_from(v)
            .ok()
            .and_then(|i| labels.get(i))
            .map_or_else(|| v.to_string(), |l| quoted(l)),
        _ => v.to_string(),
    }
}

fn timestamp(micros: i128) -> Option<String> {
    let moment = DateTime::from_timestamp_micros(i64::try_from(micros).ok()?)?;
    Some(format!("'{}'", moment.naive_utc()))
}

fn date(days: i128) -> Option<String> {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    let shift = Days::new(u64::try_from(days.unsigned_abs()).ok()?);
    let day =
        if days < 0 { epoch.checked_sub_days(shift)? } else { epoch.checked_add_days(shift)? };
    Some(format!("'{day}'"))
}
