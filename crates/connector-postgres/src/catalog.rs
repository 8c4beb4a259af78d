//! What there is on the server: the table, its columns, its unique indexes, what may be prepared.

use weir_operator::Failure;

use crate::{
    link::{Link, Told},
    options::PostgresSinkOptions,
    shape::{Form, Known, KnownColumn, Shape},
    sql::{self, Table},
};

/// The oldest server that has all that is asked for.
const VERSION_MIN: i32 = 120_000;

const COLUMNS: &str = "SELECT a.attname, a.attnotnull, a.atthasdef OR a.attidentity <> '', \
     a.attgenerated <> '' OR a.attidentity = 'a', \
     coalesce(b.typname, t.typname), t.typcategory = 'A', \
     coalesce(e.typname, '') \
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_type b ON b.oid = t.typbasetype \
     LEFT JOIN pg_type e ON e.oid = coalesce(nullif(b.typelem, 0), t.typelem) \
     WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Of an index with more columns than those it is unique in, only these.
const UNIQUE: &str = "SELECT i.indexrelid, a.attname FROM pg_index i \
     JOIN LATERAL unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k(attnum) ON true \
     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
     WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate \
     AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY i.indexrelid";

/// What is wrong with what the sink writes to.
pub(crate) fn target(options: &PostgresSinkOptions, message: impl Into<String>) -> Failure {
    Failure::Target {
        what: format!(
            "table `{}` of sink `{}` at {}",
            options.table, options.sink, options.server
        ),
        message: message.into(),
    }
}

/// A statement that was to look something up, and did not.
pub(crate) fn not_looked(options: &PostgresSinkOptions, told: &Told) -> Failure {
    match told.is("42501") {
        true => target(options, told.message.clone()),
        false => Failure::External {
            what: format!("look at {} for sink `{}`", options.server, options.sink),
            message: told.message.clone(),
        },
    }
}

/// Finds the table by its whole name.
pub(crate) fn find(options: &PostgresSinkOptions, link: &Link) -> Result<Table, Failure> {
    oid(options, link).map(|(table, _)| table)
}

fn oid(options: &PostgresSinkOptions, link: &Link) -> Result<(Table, u32), Failure> {
    let sql = "SELECT c.oid, n.nspname, c.relname, c.relkind::text \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.oid = to_regclass($1)";
    let rows = link.query(sql, &[&options.table.quoted()]);
    let rows = rows.map_err(|told| not_looked(options, &told))?;
    let Some(row) = rows.first() else {
        return Err(target(
            options,
            "there is no such table; upper and lower case count, and so does the search path of \
             the role where no schema is named",
        ));
    };
    let kind: String = get(row, 3)?;
    if !matches!(kind.as_str(), "r" | "p") {
        return Err(target(
            options,
            "it is a view or something else, and no table",
        ));
    }
    let table = Table {
        schema: Some(get(row, 1)?),
        name: get(row, 2)?,
    };
    Ok((table, get(row, 0)?))
}

/// How rows become columns of the table there is.
pub(crate) fn shape(options: &PostgresSinkOptions, link: &Link) -> Result<Shape, Failure> {
    let failed = |told: Told| not_looked(options, &told);
    let sql = "SELECT current_setting('server_version_num')::integer";
    let version = link.query(sql, &[]).map_err(failed)?;
    let version: i32 = version.first().map_or(Ok(0), |row| get(row, 0))?;
    if version < VERSION_MIN {
        let message = format!("the server is of version {version}, needed is 12 or later");
        return Err(target(options, message));
    }
    let (table, oid) = oid(options, link)?;
    let mut known = Known::default();
    for row in link.query(COLUMNS, &[&oid]).map_err(failed)? {
        let (base, element): (String, String) = (get(&row, 4)?, get(&row, 6)?);
        let is_json = |name: &str| matches!(name, "json" | "jsonb");
        let form = match (get(&row, 5)?, is_json(&base)) {
            (true, _) => Form::Array {
                json: is_json(&element),
            },
            (false, true) => Form::Json,
            (false, false) => Form::Text,
        };
        known.columns.push(KnownColumn {
            name: get(&row, 0)?,
            not_null: get(&row, 1)?,
            has_default: get(&row, 2)?,
            generated: get(&row, 3)?,
            form,
        });
    }
    let mut last = None;
    for row in link.query(UNIQUE, &[&oid]).map_err(failed)? {
        let index: u32 = get(&row, 0)?;
        if last.replace(index) != Some(index) {
            known.unique.push(Vec::new());
        }
        if let Some(columns) = known.unique.last_mut() {
            columns.push(get(&row, 1)?);
        }
    }
    Shape::new(options, table, &known).map_err(|message| target(options, message))
}

/// Makes the table of marks where it is missing.
pub(crate) fn create_commits(
    options: &PostgresSinkOptions,
    link: &Link,
    table: &Table,
) -> Result<(), Failure> {
    let commits = table.commits();
    if has_commits(options, link, table)? {
        return Ok(());
    }
    let sql = sql::create_commits(&commits);
    match link.execute(&sql) {
        Ok(()) => Ok(()),
        // Another job makes it at the same moment.
        Err(told) if told.class() == "23" || told.is("42P07") => Ok(()),
        Err(told) if told.class() == "42" => Err(target(
            options,
            format!(
                "table `{commits}`, which says what was committed, is missing and cannot be made: \
                 {}; let somebody who may make it with: {sql}",
                told.message
            ),
        )),
        Err(told) => Err(not_looked(options, &told)),
    }
}

/// Whether there is a table of marks.
pub(crate) fn has_commits(
    options: &PostgresSinkOptions,
    link: &Link,
    table: &Table,
) -> Result<bool, Failure> {
    let sql = "SELECT to_regclass($1) IS NOT NULL";
    let rows = link.query(sql, &[&table.commits().quoted()]);
    let rows = rows.map_err(|told| not_looked(options, &told))?;
    rows.first().map_or(Ok(false), |row| get(row, 0))
}

/// Checks that the server lets transactions be prepared.
pub(crate) fn check_prepared(options: &PostgresSinkOptions, link: &Link) -> Result<(), Failure> {
    let sql = "SELECT current_setting('max_prepared_transactions')::integer";
    let rows = link.query(sql, &[]);
    let rows = rows.map_err(|told| not_looked(options, &told))?;
    let most: i32 = rows.first().map_or(Ok(0), |row| get(row, 0))?;
    if most > 0 {
        return Ok(());
    }
    Err(target(
        options,
        "the server lets no transaction be prepared, which `by: two-phase-commit` needs: set \
         `max_prepared_transactions` in its postgresql.conf to twice the writers of all such sinks \
         or more, and start it again; `by: write-ahead-log` needs nothing of the kind",
    ))
}

/// A value of a row.
pub(crate) fn get<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r tokio_postgres::Row,
    at: usize,
) -> Result<T, Failure> {
    row.try_get(at).map_err(|e| Failure::Internal {
        message: format!("column {at} of what the catalog says: {e}"),
    })
}
