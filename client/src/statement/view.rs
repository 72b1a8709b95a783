//! CREATE VIEW, DROP VIEW. The SELECT goes on as text: its literals are public, as in any SELECT.

use super::Statement;
use super::parser::Parser;
use sqlparser::ast::{Query, Statement as Ast, TableFactor, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::Token as Sql;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use trine_proto::status::SqlError;
use trine_proto::wire;

/// What follows CREATE [OR REPLACE] VIEW.
pub(super) fn create(p: &mut Parser<'_>, or_replace: bool) -> Result<Statement, SqlError> {
    let if_not_exists = p.if_not_exists();
    let name = p.name()?;
    let columns = if p.peek() == Some(&Sql::LParen) {
        p.name_list()?.into_iter().map(|(name, _)| name).collect()
    } else {
        Vec::new()
    };
    p.expect_word("AS")?;
    let offset = p.position() - 1;
    let select = p.query_in_parentheses()
        || ["SELECT", "WITH", "VALUES"].iter().any(|w| p.words_follow(&[w]));
    if !select {
        return Err(p.unexpected("SELECT is expected"));
    }
    let sql = p.rest().to_owned();
    let depends = relations(&sql);
    let view = wire::CreateView { name, sql, columns, or_replace, if_not_exists, depends };
    Ok(Statement::CreateView { view, offset })
}

/// What follows DROP VIEW.
pub(super) fn drop_view(p: &mut Parser<'_>) -> Result<Statement, SqlError> {
    let if_exists = p.if_exists();
    let name = p.name()?;
    let cascade = p.cascade();
    p.refuse_list("DROP VIEW")?;
    p.end()?;
    Ok(Statement::DropView(wire::DropView { name, if_exists, cascade }))
}

/// Relations that a SELECT names, CTEs apart. Of what does not parse: none; the nodes say why.
pub(super) fn relations(sql: &str) -> Vec<String> {
    let parsed = sqlparser::parser::Parser::parse_sql(&PostgreSqlDialect {}, sql);
    let Ok([Ast::Query(query)]) = parsed.as_deref() else { return Vec::new() };
    let mut names = Names::default();
    let _: ControlFlow<()> = query.visit(&mut names);
    names.found.difference(&names.ctes).cloned().collect()
}

#[derive(Default)]
struct Names {
    found: BTreeSet<String>,
    ctes: BTreeSet<String>,
}

fn folded(ident: &sqlparser::ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.extend(ctes.map(|cte| folded(&cte.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor
            && let Some(parts) =
                name.0.iter().map(|p| p.as_ident().map(folded)).collect::<Option<Vec<_>>>()
        {
            self.found.extend(match parts.as_slice() {
                [schema, _] if schema == "information_schema" => None,
                [schema, name] if schema == "public" => Some(name.clone()),
                parts => Some(parts.join(".")),
            });
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_found_wherever_they_stand() {
        let sql = "WITH c AS (SELECT * FROM A) SELECT (SELECT max(x) FROM \"B\") FROM c JOIN d ON \
                   c.x IN (SELECT y FROM public.e) UNION SELECT 1 FROM (SELECT 2 FROM f) g";
        assert_eq!(relations(sql), ["B", "a", "d", "e", "f"]);
        assert!(relations("SELECT (").is_empty());
    }
}
