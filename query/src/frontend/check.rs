//! Refuses, with a position, what the syntax tree already shows to be out of reach: before a name
//! is resolved and long before a node starts.

use super::functions::Functions;
use super::ordered_sets::ORDERED_SETS;
use super::position::Positions;
use super::walk::{self, Flow};
use sqlparser::ast::{
    CeilFloorKind, DataType, DateTimeField, Expr, Function, FunctionArguments, GroupByExpr,
    JoinOperator, LimitClause, OrderByKind, Query, Select, SelectFlavor, SelectItem, SetExpr,
    SetQuantifier, Spanned, TableFactor, Value, ValueWithSpan, Visit, Visitor,
};
use std::ops::ControlFlow;
use trine_proto::status::{SqlError, sqlstate};

/// Depth of one expression at most.
pub(crate) const EXPRESSION_DEPTH_MAX: usize = 400;

/// Arguments of GROUPING at most: its value is an integer of 32 bits.
const GROUPING_MAX: usize = 31;

/// Checks a whole query.
pub(crate) fn check(
    query: &Query,
    functions: &Functions,
    positions: &Positions<'_>,
) -> Result<(), SqlError> {
    let mut checker = Checker { functions, positions, depth: 0 };
    walk::finished(query.visit(&mut checker))
}

struct Checker<'a> {
    functions: &'a Functions,
    positions: &'a Positions<'a>,
    depth: usize,
}

/// Operators of PostgreSQL whose operands are arrays, ranges, JSON or text search.
const FOREIGN_OPERATORS: [&str; 12] =
    ["->", "->>", "#>", "#>>", "#-", "@>", "<@", "@?", "@@", "?", "?|", "?&"];

/// `ceil(x, 1)`.
fn no_places(name: &str) -> SqlError {
    SqlError::new(
        sqlstate::UNDEFINED_FUNCTION,
        format!("function {name}(numeric, integer) does not exist"),
    )
    .hint("round(x, n) takes a number of places")
}

fn refuse(message: impl Into<String>, hint: &str) -> SqlError {
    SqlError::unsupported(message, hint)
}

impl Checker<'_> {
    fn place(&self, node: &impl Spanned) -> u32 {
        let start = node.span().start;
        self.positions.character(start.line, start.column)
    }

    /// At the keyword that the message begins with, if it stands in the statement; else at the node.
    fn stop(&self, node: &impl Spanned, error: SqlError) -> Flow {
        let keyword = error.message.split(' ').next().filter(|w| w.chars().all(char::is_uppercase));
        let place = keyword
            .map(|word| self.positions.identifier(&word.to_lowercase()))
            .filter(|place| *place != 0)
            .unwrap_or_else(|| self.place(node));
        ControlFlow::Break(Box::new(error.at(place)))
    }

    fn check_function(&self, function: &Function) -> Result<(), SqlError> {
        let name = match function.name.0.as_slice() {
            [part] => match part.as_ident() {
                Some(ident) if ident.quote_style.is_none() => ident.value.to_lowercase(),
                Some(ident) => ident.value.clone(),
                None => function.name.to_string(),
            },
            _ => {
                return Err(refuse(
                    format!("function name {} with a schema is not supported", function.name),
                    "write the bare function name",
                ));
            }
        };
        if name == "grouping" && arguments(function) > GROUPING_MAX {
            let message = "GROUPING must have fewer than 32 arguments";
            return Err(SqlError::new("54023", message));
        }
        if !self.functions.exists(&name) {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_FUNCTION,
                format!("function {name} does not exist"),
            ));
        }
        let windowed = self.functions.is_window_only(&name);
        if windowed && function.over.is_none() && !self.functions.aggregate.contains_key(&name) {
            return Err(SqlError::new(
                "42809",
                format!("window function {name} requires an OVER clause"),
            ));
        }
        if !windowed && self.functions.is_unsupported_aggregate(&name) {
            return Err(refuse(
                format!("aggregate {name} is not supported"),
                "the aggregates are COUNT, SUM, AVG, MIN, MAX, BOOL_AND, BOOL_OR, variances, standard deviations, covariances, CORR, the REGR functions, MEDIAN and percentiles",
            ));
        }
        let clauses = match &function.args {
            FunctionArguments::List(list) => !list.clauses.is_empty(),
            _ => false,
        };
        check_within_group(&name, function)?;
        if clauses || function.null_treatment.is_some() {
            return Err(refuse(
                format!("ORDER BY and other clauses inside {name}(…) are not supported"),
                "leave the clause out",
            ));
        }
        Ok(())
    }

    fn check_expr(&self, expr: &Expr) -> Result<(), SqlError> {
        match expr {
            Expr::Function(function) => self.check_function(function),
            Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) => {
                let message = format!("there is no parameter {name}");
                Err(SqlError::new(sqlstate::UNDEFINED_PARAMETER, message)
                    .hint("PREPARE the statement and EXECUTE it with values"))
            }
            Expr::Cast { data_type, .. } => check_cast(data_type),
            Expr::AtTimeZone { .. } => {
                Err(refuse("time zones are not supported", "use DATE columns"))
            }
            Expr::BinaryOp { op, .. } if FOREIGN_OPERATORS.contains(&op.to_string().as_str()) => {
                Err(SqlError::new(
                    sqlstate::UNDEFINED_FUNCTION,
                    format!("operator does not exist: {op}"),
                )
                .hint("it works on arrays, ranges and JSON, which are not among Trine's types"))
            }
            Expr::Ceil { field: CeilFloorKind::Scale(_), .. } => Err(no_places("ceil")),
            Expr::Floor { field: CeilFloorKind::Scale(_), .. } => Err(no_places("floor")),
            Expr::Ceil { field: CeilFloorKind::DateTimeField(unit), .. }
            | Expr::Floor { field: CeilFloorKind::DateTimeField(unit), .. }
                if *unit != DateTimeField::NoDateTime =>
            {
                Err(SqlError::new(sqlstate::SYNTAX_ERROR, "syntax error at or near \"to\"")
                    .hint("use date_trunc"))
            }
            Expr::Array(array) if !array.named => {
                Err(SqlError::new(sqlstate::SYNTAX_ERROR, "syntax error at or near \"[\"")
                    .hint("arrays are not among Trine's types"))
            }
            Expr::Array(_) | Expr::Struct { .. } | Expr::Map(_) | Expr::Dictionary(_) => {
                Err(refuse("arrays, structs and maps are not supported", "use plain columns"))
            }
            Expr::JsonAccess { .. } | Expr::CompoundFieldAccess { .. } => {
                Err(refuse("access to parts of a value is not supported", "use plain columns"))
            }
            Expr::Tuple(_) => Err(refuse(
                "row values are not supported",
                "compare the columns one by one, joined by AND",
            )),
            Expr::Overlay { .. } => {
                Err(refuse("OVERLAY is not supported", "concatenate parts that substring takes"))
            }
            Expr::SimilarTo { .. } | Expr::RLike { .. } => {
                Err(refuse("regular expressions are not supported", "use LIKE"))
            }
            _ => Ok(()),
        }
    }

    fn check_query(&self, query: &Query) -> Result<(), SqlError> {
        if query.with.as_ref().is_some_and(|w| w.recursive) {
            return Err(refuse(
                "WITH RECURSIVE is not supported",
                "a recursion's depth would depend on secret data; write the steps out",
            ));
        }
        if !query.locks.is_empty() {
            return Err(refuse(
                "FOR UPDATE and FOR SHARE are not supported",
                "leave the clause out: a query reads a snapshot",
            ));
        }
        let both = query.fetch.is_some()
            && matches!(
                query.limit_clause,
                Some(
                    LimitClause::LimitOffset { limit: Some(_), .. }
                        | LimitClause::OffsetCommaLimit { .. }
                )
            );
        if both {
            let message = "multiple LIMIT clauses not allowed";
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
        }
        if query.fetch.as_ref().is_some_and(|f| f.with_ties || f.percent) {
            return Err(refuse(
                "FETCH FIRST with TIES or PERCENT is not supported",
                "write FETCH FIRST n ROWS ONLY, or filter by RANK() OVER (…)",
            ));
        }
        if query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
        {
            return Err(refuse("this clause is not supported", "write a plain SELECT"));
        }
        if let Some(LimitClause::LimitOffset { limit_by, .. }) = &query.limit_clause
            && !limit_by.is_empty()
        {
            return Err(refuse("LIMIT BY is not supported", "write LIMIT"));
        }
        if let Some(order_by) = &query.order_by {
            let OrderByKind::Expressions(_) = &order_by.kind else {
                return Err(refuse("ORDER BY ALL is not supported", "name the columns"));
            };
        }
        if let Some(order_by) = &query.order_by
            && let OrderByKind::Expressions(keys) = &order_by.kind
            && keys.iter().any(|key| is_odd_constant(&key.expr))
        {
            let message = "non-integer constant in ORDER BY";
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
        }
        check_set_operations(&query.body)
    }
}

/// WITHIN GROUP goes with ordered-set aggregates, and they with it.
fn check_within_group(name: &str, function: &Function) -> Result<(), SqlError> {
    let is_set = ORDERED_SETS.contains(&name);
    if is_set && function.over.is_some() {
        return Err(refuse(
            format!("OVER is not supported for ordered-set aggregate {name}"),
            "compute it in a subquery with GROUP BY and join",
        ));
    }
    match (is_set, function.within_group.len()) {
        (true, 1) | (false, 0) => Ok(()),
        (true, 0) => Err(SqlError::new(
            "42809",
            format!("WITHIN GROUP is required for ordered-set aggregate {name}"),
        )
        .hint(format!("write {name}(0.5) WITHIN GROUP (ORDER BY …)"))),
        (true, _) => {
            Err(SqlError::new(sqlstate::UNDEFINED_FUNCTION, format!("{name} orders by one value")))
        }
        (false, _) => Err(SqlError::new(
            "42809",
            format!("{name} is not an ordered-set aggregate, so it cannot have WITHIN GROUP"),
        )),
    }
}

fn arguments(function: &Function) -> usize {
    match &function.args {
        FunctionArguments::List(list) => list.args.len(),
        _ => 0,
    }
}

fn check_cast(data_type: &DataType) -> Result<(), SqlError> {
    match data_type {
        DataType::Varchar(Some(_))
        | DataType::Char(Some(_))
        | DataType::Character(Some(_))
        | DataType::CharacterVarying(Some(_))
        | DataType::CharVarying(Some(_)) => Err(refuse(
            format!("CAST to {data_type} is not supported"),
            "cast to VARCHAR without a length: nothing is cut",
        )),
        _ => Ok(()),
    }
}

fn check_set_operations(body: &SetExpr) -> Result<(), SqlError> {
    if let SetExpr::SetOperation { op, set_quantifier, left, right } = body {
        let by_name = !matches!(
            set_quantifier,
            SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None
        );
        if by_name {
            return Err(refuse(
                format!("{op} {set_quantifier} is not supported"),
                "UNION, INTERSECT and EXCEPT are, with and without ALL",
            ));
        }
        check_set_operations(left)?;
        check_set_operations(right)?;
    }
    Ok(())
}

/// A constant that is no number of a column.
fn is_odd_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Value(ValueWithSpan { value, .. }) => match value {
            Value::Number(text, _) => text.contains(['.', 'e', 'E']),
            Value::SingleQuotedString(_) | Value::Boolean(_) => true,
            _ => false,
        },
        _ => false,
    }
}

/// Whether an expression has a window function outside of its subqueries.
fn has_window(expr: &Expr) -> bool {
    struct Finder(usize);
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if function.over.is_some() && self.0 == 0 => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Finder(0)).is_break()
}

fn check_select(select: &Select) -> Result<(), SqlError> {
    for (clause, condition) in [("WHERE", &select.selection), ("HAVING", &select.having)] {
        if condition.as_ref().is_some_and(has_window) {
            let message = format!("window functions are not allowed in {clause}");
            return Err(SqlError::new("42P20", message)
                .hint("compute them in a subquery and filter around it"));
        }
    }
    for item in &select.projection {
        if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item
            && options.opt_alias.is_some()
        {
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "syntax error at or near \"AS\""));
        }
    }
    if select.into.is_some() {
        return Err(refuse("SELECT INTO is not supported", "leave INTO out"));
    }
    if select.qualify.is_some() {
        return Err(refuse("QUALIFY is not PostgreSQL's", "filter in a query around this one"));
    }
    match &select.group_by {
        GroupByExpr::All(_) => {
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "GROUP BY ALL is not PostgreSQL's")
                .hint("name the columns"));
        }
        GroupByExpr::Expressions(_, modifiers) if !modifiers.is_empty() => {
            return Err(refuse(
                "GROUP BY … WITH is not PostgreSQL's",
                "write GROUP BY ROLLUP (…), CUBE (…) or GROUPING SETS (…)",
            ));
        }
        GroupByExpr::Expressions(..) => {}
    }
    let odd = select.top.is_some()
        || select.prewhere.is_some()
        || select.value_table_mode.is_some()
        || !select.lateral_views.is_empty()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || select.flavor != SelectFlavor::Standard;
    if odd {
        return Err(refuse("this clause is not PostgreSQL's SELECT", "write a plain SELECT"));
    }
    for join in select.from.iter().flat_map(|table| &table.joins) {
        check_join(&join.join_operator)?;
    }
    Ok(())
}

fn check_join(operator: &JoinOperator) -> Result<(), SqlError> {
    use JoinOperator as J;
    match operator {
        J::Join(_)
        | J::Inner(_)
        | J::Left(_)
        | J::LeftOuter(_)
        | J::Right(_)
        | J::RightOuter(_)
        | J::FullOuter(_)
        | J::CrossJoin(_) => Ok(()),
        _ => Err(SqlError::new(sqlstate::SYNTAX_ERROR, "this kind of join is not PostgreSQL's")
            .hint("use INNER, LEFT, RIGHT, FULL or CROSS JOIN")),
    }
}

fn check_table_factor(factor: &TableFactor) -> Result<(), SqlError> {
    match factor {
        TableFactor::Table { args: None, version: None, sample: None, json_path: None, .. }
        | TableFactor::NestedJoin { .. } => Ok(()),
        TableFactor::Derived { lateral: false, sample: None, .. } => Ok(()),
        TableFactor::Derived { .. } => Err(refuse(
            "LATERAL and TABLESAMPLE are not supported",
            "write a join with an equality instead",
        )),
        TableFactor::Table { sample: Some(_), .. } => Err(refuse(
            "TABLESAMPLE is not supported",
            "there is no sample without a trace of which rows were taken",
        )),
        _ => Err(refuse(
            "table functions are not supported in FROM",
            "name a table or write a subquery",
        )),
    }
}

impl Visitor for Checker<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        match self.check_query(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => self.stop(query, error),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        match check_select(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => self.stop(select, error),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        match check_table_factor(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => self.stop(factor, error),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            let message =
                format!("an expression is nested deeper than {EXPRESSION_DEPTH_MAX} levels");
            return ControlFlow::Break(Box::new(
                SqlError::new(sqlstate::LIMIT_EXCEEDED, message)
                    .hint("write long lists with IN, or split the expression"),
            ));
        }
        match self.check_expr(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error.at(self.place(expr)))),
        }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> Flow {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}
