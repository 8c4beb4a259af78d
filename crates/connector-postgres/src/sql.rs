//! The statements, as text. Names are quoted, values are parameters or come over `COPY`.
//!
//! INVARIANT: whatever characters a name holds, it stays one identifier.

use std::fmt;

/// A table by its name. Upper and lower case count, as in the catalog of the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// The schema; `None` = the first of the search path that has it.
    pub schema: Option<String>,
    /// The table.
    pub name: String,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Table {
    /// As it stands in a statement.
    pub(crate) fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", ident(schema), ident(&self.name)),
            None => ident(&self.name),
        }
    }

    /// The table of marks beside this one.
    pub(crate) fn commits(&self) -> Self {
        Self {
            schema: self.schema.clone(),
            name: COMMITS.to_owned(),
        }
    }
}

/// The table that says what was committed; one in each schema that is written to.
pub(crate) const COMMITS: &str = "weir_commits";
/// A table of the session that rows pass through on their way.
const STAGE: &str = "pg_temp.weir_stage";
/// The column of the stage that keeps rows in order; no honest table has it.
const NUMBER: &str = "\"weir:row\"";

/// A name as an identifier.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal, for the few places that take no parameter.
fn literal(text: &str) -> String {
    // `E''` means the same whatever `standard_conforming_strings` says.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| ident(name)).collect();
    quoted.join(", ")
}

/// Where and into which columns rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) table: Table,
    pub(crate) columns: Vec<String>,
    /// Those of the table that are left to the server.
    pub(crate) left: Vec<String>,
    /// Those by which a row replaces another; none = rows are added.
    pub(crate) keys: Vec<String>,
}

impl Target {
    /// Whether rows carry a number behind their columns, by which the last of those with one key is
    /// found.
    pub(crate) fn numbered(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Takes rows into the table.
    pub(crate) fn copy(&self) -> String {
        let columns = list(&self.columns);
        format!("COPY {} ({columns}) FROM STDIN", self.table.quoted())
    }

    /// Takes rows into the stage.
    pub(crate) fn copy_to_stage(&self) -> String {
        let columns = list(&self.columns);
        match self.numbered() {
            true => format!("COPY {STAGE} ({columns}, {NUMBER}) FROM STDIN"),
            false => format!("COPY {STAGE} ({columns}) FROM STDIN"),
        }
    }

    /// Makes the stage: the columns with their types and checks, and no rows.
    pub(crate) fn stage(&self) -> String {
        let number = match self.numbered() {
            true => format!(", {NUMBER} bigint"),
            false => String::new(),
        };
        let table = self.table.quoted();
        let mut sql = format!(
            "DROP TABLE IF EXISTS {STAGE};\n\
             CREATE TEMP TABLE weir_stage (LIKE {table} INCLUDING CONSTRAINTS{number}) \
             ON COMMIT DELETE ROWS"
        );
        // A check over a column that is not written goes with it.
        let left = self.left.iter();
        let left = left.map(|column| format!("DROP COLUMN {}", ident(column)));
        // A key that is null equals no other, so such rows would pile up.
        let keys = self.keys.iter();
        let keys = keys.map(|column| format!("ALTER COLUMN {} SET NOT NULL", ident(column)));
        let changes: Vec<String> = left.chain(keys).collect();
        if !changes.is_empty() {
            sql.push_str(&format!(";\nALTER TABLE {STAGE} {}", changes.join(", ")));
        }
        sql
    }

    /// Takes what is in the stage into the table: of rows with one key the last.
    pub(crate) fn upsert(&self) -> String {
        let (columns, keys) = (list(&self.columns), list(&self.keys));
        let others = self.columns.iter().filter(|c| !self.keys.contains(c));
        let set: Vec<String> = others
            .map(|column| format!("{0} = EXCLUDED.{0}", ident(column)))
            .collect();
        let action = match set.is_empty() {
            true => "NOTHING".to_owned(),
            false => format!("UPDATE SET {}", set.join(", ")),
        };
        format!(
            "INSERT INTO {} ({columns}) SELECT DISTINCT ON ({keys}) {columns} FROM {STAGE} ORDER BY \
             {keys}, {NUMBER} DESC ON CONFLICT ({keys}) DO {action}",
            self.table.quoted()
        )
    }
}

/// Makes the table of marks.
pub(crate) fn create_commits(commits: &Table) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (job text NOT NULL, sink text NOT NULL, subtask integer NOT \
         NULL, writer text NOT NULL, checkpoint bigint NOT NULL, committed_at timestamptz NOT NULL \
         DEFAULT now(), PRIMARY KEY (writer, checkpoint))",
        commits.quoted()
    )
}

/// Marks something as committed: `$1` job, `$2` sink, `$3` subtask, `$4` writer, `$5` checkpoint.
pub(crate) fn mark(commits: &Table) -> String {
    format!(
        "INSERT INTO {} (job, sink, subtask, writer, checkpoint) VALUES ($1, $2, $3, $4, $5)",
        commits.quoted()
    )
}

/// The highest mark of a writer `$1`. A writer's transactions are committed in order, so it stands
/// for all below.
pub(crate) fn marked(commits: &Table) -> String {
    let commits = commits.quoted();
    format!("SELECT max(checkpoint) FROM {commits} WHERE writer = $1")
}

/// Drops the marks of a writer `$1` below `$2`.
pub(crate) fn unmark(commits: &Table) -> String {
    let commits = commits.quoted();
    format!("DELETE FROM {commits} WHERE writer = $1 AND checkpoint < $2")
}

/// How many marks job `$1` and sink `$2` have, and the highest.
pub(crate) fn marks(commits: &Table) -> String {
    let commits = commits.quoted();
    format!("SELECT count(*), max(checkpoint) FROM {commits} WHERE job = $1 AND sink = $2")
}

/// Drops all marks of job `$1` and sink `$2`.
pub(crate) fn clear_marks(commits: &Table) -> String {
    let commits = commits.quoted();
    format!("DELETE FROM {commits} WHERE job = $1 AND sink = $2")
}

/// Whether there is a row.
pub(crate) fn has_rows(table: &Table) -> String {
    format!("SELECT EXISTS (SELECT 1 FROM {})", table.quoted())
}

/// Drops all rows.
pub(crate) fn clear(table: &Table) -> String {
    format!("DELETE FROM {}", table.quoted())
}

/// Prepares the open transaction.
pub(crate) fn prepare(gid: &str) -> String {
    format!("PREPARE TRANSACTION {}", literal(gid))
}

/// Commits a prepared one.
pub(crate) fn commit_prepared(gid: &str) -> String {
    format!("COMMIT PREPARED {}", literal(gid))
}

/// Drops a prepared one.
pub(crate) fn rollback_prepared(gid: &str) -> String {
    format!("ROLLBACK PREPARED {}", literal(gid))
}

/// What a session of ours wants of the server. A transaction of ours may be open for as long as it
/// is between two checkpoints; one that waits for a lock longer than this waits for ever: what
/// holds it may be a prepared one that only a restart drops; and what we call committed is on disk.
pub(crate) const SESSION: &str = "SET idle_in_transaction_session_timeout = 0;\n\
     SET lock_timeout = '60s';\n\
     SET client_min_messages = warning;\n\
     SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') = 'off'";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(columns: &[&str], keys: &[&str]) -> Target {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Target {
            table: Table {
                schema: Some("app".into()),
                name: "t".into(),
            },
            columns: owned(columns),
            left: vec!["id".into()],
            keys: owned(keys),
        }
    }

    #[test]
    fn statements_are_what_they_should_be() {
        let plain = target(&["a", "b c"], &[]);
        assert_eq!(plain.copy(), r#"COPY "app"."t" ("a", "b c") FROM STDIN"#);
        assert_eq!(
            plain.copy_to_stage(),
            r#"COPY pg_temp.weir_stage ("a", "b c") FROM STDIN"#
        );
        let keyed = target(&["k", "a", "b"], &["k"]);
        assert_eq!(
            keyed.copy_to_stage(),
            r#"COPY pg_temp.weir_stage ("k", "a", "b", "weir:row") FROM STDIN"#
        );
        assert_eq!(
            keyed.upsert(),
            r#"INSERT INTO "app"."t" ("k", "a", "b") SELECT DISTINCT ON ("k") "k", "a", "b" FROM pg_temp.weir_stage ORDER BY "k", "weir:row" DESC ON CONFLICT ("k") DO UPDATE SET "a" = EXCLUDED."a", "b" = EXCLUDED."b""#
        );
        // What is key alone is there or not.
        assert!(target(&["k"], &["k"]).upsert().ends_with("DO NOTHING"));
        let stage = keyed.stage();
        let like = r#"(LIKE "app"."t" INCLUDING CONSTRAINTS, "weir:row" bigint)"#;
        assert!(stage.contains(like), "{stage}");
        let changes = r#"DROP COLUMN "id", ALTER COLUMN "k" SET NOT NULL"#;
        assert!(stage.ends_with(changes), "{stage}");
    }

    /// What is left of a statement without its quoted parts; `None` where a quote is not closed.
    fn outside(sql: &str, quote: char) -> Option<String> {
        let mut parts = sql.split(quote);
        let mut left = parts.next()?.to_owned();
        while let Some(_inside) = parts.next() {
            left.push_str(parts.next()?);
        }
        Some(left)
    }

    proptest! {
        #[test]
        fn a_name_stays_one_identifier(name in any::<String>()) {
            // A doubled quote closes and opens again with nothing between.
            prop_assert_eq!(outside(&ident(&name), '"'), Some(String::new()));
            let inner = ident(&name);
            prop_assert_eq!(inner[1..inner.len() - 1].replace("\"\"", "\""), name);
        }

        #[test]
        fn a_gid_stays_one_literal(gid in any::<String>()) {
            let sql = commit_prepared(&gid);
            prop_assert_eq!(outside(&sql, '\''), Some("COMMIT PREPARED E".to_owned()));
            // No backslash can take a quote out of it.
            let inner = sql.trim_start_matches("COMMIT PREPARED E'");
            prop_assert!(inner.matches('\\').count().is_multiple_of(2));
        }
    }
}
