//! How many instructions a program executes, by valgrind.

use std::{ffi::OsString, path::Path, process::Command};

use crate::Failure;

/// A valgrind that works.
pub(crate) struct Callgrind<'a> {
    program: &'a Path,
    version: String,
}

impl<'a> Callgrind<'a> {
    /// # Errors
    /// That there is none, and what to do about it.
    pub(crate) fn new(program: &'a Path) -> Result<Self, Failure> {
        let asked = Command::new(program).arg("--version").output();
        let asked = asked.map_err(|error| {
            format!(
                "starting {}: {error}; `./jw setup` installs valgrind where there is apt-get, \
                 elsewhere install it by hand",
                program.display()
            )
        })?;
        let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        Ok(Self { program, version })
    }

    /// What it calls itself: `valgrind-3.19.0`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The instructions of a program with these arguments, from its start to its end.
    ///
    /// # Errors
    /// What the program or valgrind said, where one of them fails.
    pub(crate) fn count(&self, program: &Path, arguments: &[OsString]) -> Result<u64, Failure> {
        let output = Command::new(self.program)
            // Nothing but the sum is wanted; threads take turns, so that runs are alike.
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .args(["--fair-sched=yes"])
            .arg(program)
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let collected = collected(&said).filter(|_| output.status.success());
        collected.ok_or_else(|| {
            let what = program.display();
            format!("counting {what} ({}): {said}", output.status).into()
        })
    }
}

/// The count in what callgrind says: `==1== Collected : 123`.
fn collected(said: &str) -> Option<u64> {
    let mut lines = said.lines().rev();
    lines.find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 2106537\n==7== \n";
        assert_eq!(collected(said), Some(2_106_537));
        assert_eq!(collected("==7== Collected : \n"), None);
    }
}
