//! The table of what a savepoint and a checkpoint can do, in `docs/transcripts/savepoints.md`: each
//! cell is tried, and says what came of it.
//!
//! A column is a test. What it is about is taken once of a job on each backend, by the real
//! program, which is then killed; each cell of the column begins there, or looks at it.
//!
//! INVARIANT: no cell without a check, no check without a cell.

mod broken;
mod checks;
mod taken;

use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, bail, ensure};

pub(crate) use self::{broken::run as run_broken, taken::Kind};
use self::{checks::CHECKS, taken::Column};

/// The page with the table.
const PAGE: &str = "../docs/transcripts/savepoints.md";

/// What the first head of the table says.
const HEAD: &str = "it";

/// How many cells of a column are tried at once.
const AT_ONCE: usize = 3;

/// Tries all cells of a column.
pub(crate) fn run(kind: Kind) -> Result<()> {
    let cells = Table::read()?.column(kind)?;
    let column = Column::new(kind)?;
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let tell = |told: String| {
        let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.push(told);
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((check, says)) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match check.run(&column) {
                        Ok(is) if is == *says => {}
                        Ok(is) => tell(format!(
                            "`{}`: the page says {}, and it is {}",
                            check.row,
                            shown(*says),
                            shown(is)
                        )),
                        Err(error) => tell(format!("`{}`: {error:#}", check.row)),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(wrong.is_empty(), "{}:\n{}", kind.head(), wrong.join("\n"));
    Ok(())
}

/// The rows and columns of the table are those that are checked.
pub(crate) fn run_shape() -> Result<()> {
    let table = Table::read()?;
    let heads: Vec<&str> = Kind::ALL.iter().map(|kind| kind.head()).collect();
    ensure!(table.heads == heads, "{:?}, not {heads:?}", table.heads);
    let rows: Vec<&str> = table.rows.iter().map(|(row, _)| row.as_str()).collect();
    let checks: Vec<&str> = CHECKS.iter().map(|check| check.row).collect();
    ensure!(rows == checks, "{rows:#?}, not {checks:#?}");
    Ok(())
}

fn shown(is: bool) -> &'static str {
    match is {
        true => "yes",
        false => "no",
    }
}

/// The table as it stands on the page.
struct Table {
    heads: Vec<String>,
    rows: Vec<(String, Vec<bool>)>,
}

impl Table {
    fn read() -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let cells = |line: &str| -> Vec<String> {
            let line = line.trim().trim_start_matches('|').trim_end_matches('|');
            line.split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        let mut lines = text
            .lines()
            .skip_while(|line| !line.starts_with(&format!("| {HEAD} ")));
        let mut heads = cells(lines.next().context("the page has no table")?);
        heads.remove(0);
        let mut rows = Vec::new();
        for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
            let mut cells = cells(line);
            let row = cells.remove(0);
            let says = |cell: &String| match cell.as_str() {
                "yes" => Ok(true),
                "no" => Ok(false),
                other => bail!("`{row}`: a cell says `{other}`"),
            };
            let says = cells.iter().map(says).collect::<Result<Vec<bool>>>()?;
            ensure!(
                says.len() == heads.len(),
                "`{row}` has {} cells",
                says.len()
            );
            rows.push((row, says));
        }
        Ok(Self { heads, rows })
    }

    /// What the cells of a column say, each with its check.
    fn column(&self, kind: Kind) -> Result<Vec<(&'static checks::Check, bool)>> {
        let at = self.heads.iter().position(|head| head == kind.head());
        let at = at.with_context(|| format!("there is no column `{}`", kind.head()))?;
        let check = |(row, says): &(String, Vec<bool>)| {
            let check = CHECKS.iter().find(|check| check.row == row);
            let check = check.with_context(|| format!("nothing checks `{row}`"))?;
            Ok((check, says[at]))
        };
        self.rows.iter().map(check).collect()
    }
}
