//! What the program makes of the table of keys is written down, so that a change of it is seen.

use std::path::Path;

use libtest_mimic::Failed;

use crate::compare;

/// The schema as `weir schema` prints it.
pub(crate) fn schema() -> String {
    format!("{:#}\n", weir_job_file::schema())
}

/// That of the host file, as `weir schema --host` prints it.
pub(crate) fn host_schema() -> String {
    format!("{:#}\n", weir_job_file::host_schema())
}

/// That of tests, as `weir schema --test` prints it.
pub(crate) fn test_schema() -> String {
    format!("{:#}\n", weir_job_file::test_schema())
}

/// Compares with a file of the crate.
pub(crate) fn check(file: &str, found: &str) -> Result<(), Failed> {
    compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file), found)
}
