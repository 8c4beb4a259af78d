//! What was sealed, as a checkpoint holds it: boundary types with a version.

use serde::{Deserialize, Serialize};
use weir_model::CheckpointId;
use weir_operator::{Committable, Failure};

use crate::sql::{Table, Target};

/// One sealed transaction. It names all it needs: the job may write elsewhere when it is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    v: u32,
    /// Whose mark says that it was committed.
    pub(crate) writer: String,
    pub(crate) subtask: u32,
    pub(crate) checkpoint: u64,
    /// The schema of the table, which the marks lie beside.
    schema: String,
    table: String,
    pub(crate) by: By,
}

/// Where its rows are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum By {
    /// On the server, in a transaction of this name.
    TwoPhaseCommit { gid: String },
    /// In the checkpoint, as `COPY` reads them.
    WriteAheadLog {
        rows: u64,
        columns: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<String>,
    },
}

/// Which transaction it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) writer: String,
    pub(crate) subtask: u32,
    pub(crate) checkpoint: CheckpointId,
}

impl Document {
    const VERSION: u32 = 1;

    pub(crate) fn new(mark: &Mark, table: &Table, by: By) -> Self {
        Self {
            v: Self::VERSION,
            writer: mark.writer.clone(),
            subtask: mark.subtask,
            checkpoint: mark.checkpoint.0,
            schema: table.schema.clone().unwrap_or_default(),
            table: table.name.clone(),
            by,
        }
    }

    pub(crate) fn table(&self) -> Table {
        Table {
            schema: Some(self.schema.clone()).filter(|schema| !schema.is_empty()),
            name: self.table.clone(),
        }
    }

    pub(crate) fn to_committable(&self) -> Result<Committable, Failure> {
        serde_json::to_value(self).map_err(|e| Failure::Internal {
            message: format!("what a PostgreSQL sink sealed has no document: {e}"),
        })
    }

    pub(crate) fn read(committable: &Committable) -> Result<Self, Failure> {
        let refuse = |message: String| Failure::Restore { message };
        let version = committable.get("v").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(Self::VERSION)) {
            return Err(refuse(format!(
                "what a PostgreSQL sink sealed has version {version:?}, this host reads {}",
                Self::VERSION
            )));
        }
        serde_json::from_value(committable.clone()).map_err(|e| {
            refuse(format!(
                "what is to be committed was not sealed by a PostgreSQL sink ({e}); restore with \
                 the connector that the sink had"
            ))
        })
    }
}

impl By {
    /// A log of rows for a target.
    pub(crate) fn log(target: &Target, rows: u64) -> Self {
        Self::WriteAheadLog {
            rows,
            columns: target.columns.clone(),
            left: target.left.clone(),
            keys: target.keys.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mark() -> Mark {
        Mark {
            writer: "w".into(),
            subtask: 2,
            checkpoint: CheckpointId(7),
        }
    }

    fn table() -> Table {
        Table {
            schema: Some("public".into()),
            name: "t".into(),
        }
    }

    #[test]
    fn documents_of_version_1_are_read() {
        let prepared = json!({
            "v": 1, "writer": "w", "subtask": 2, "checkpoint": 7, "schema": "public", "table": "t",
            "by": { "two-phase-commit": { "gid": "weir:j:s:2:7:w" } },
        });
        let document = Document::read(&prepared).unwrap();
        assert_eq!((document.subtask, document.checkpoint), (2, 7));
        assert_eq!(document.table(), table());
        assert_eq!(document.to_committable().unwrap(), prepared);
        let logged = json!({
            "v": 1, "writer": "w", "subtask": 2, "checkpoint": 7, "schema": "public", "table": "t",
            "by": { "write-ahead-log": { "rows": 3, "columns": ["a", "b"], "left": ["id"],
                "keys": ["a"] } },
        });
        let by = By::WriteAheadLog {
            rows: 3,
            columns: vec!["a".into(), "b".into()],
            left: vec!["id".into()],
            keys: vec!["a".into()],
        };
        let document = Document::read(&logged).unwrap();
        assert_eq!(document, Document::new(&mark(), &table(), by));
        assert_eq!(document.to_committable().unwrap(), logged);
    }

    #[test]
    fn what_another_sink_or_a_newer_host_sealed_is_refused() {
        let file = json!({ "v": 1, "temp": ".a", "final": "b", "length": 1, "crc32c": 2 });
        for (document, told) in [
            (file, "restore with the connector"),
            (json!({ "v": 2 }), "version Some(2), this host reads 1"),
            (json!(null), "version None"),
        ] {
            let failure = Document::read(&document).unwrap_err();
            assert!(matches!(failure, Failure::Restore { .. }));
            assert!(failure.to_string().contains(told), "{failure}");
        }
    }
}
