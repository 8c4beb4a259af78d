//! The tables, and where they stand in a document.

use std::{fmt::Write as _, fs, process::Command};

use crate::{
    bare::{Access, Call, SIZES},
    engine::Operator,
    measure::Figures,
};

const BEGIN: &str = "<!-- boundary: written by `weir-boundary --write` -->";
const END: &str = "<!-- end of boundary -->";

/// All that was measured.
pub(crate) struct Results {
    pub(crate) calls: Vec<Call>,
    pub(crate) state: Vec<Access>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) rounds: u32,
}

impl Results {
    /// Three tables in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut out = format!(
            "`./jw bench-boundary`; {}. Nanoseconds of CPU, medians of {} rounds.\n\n",
            machine(),
            self.rounds
        );
        let sizes: String = SIZES.iter().map(|size| format!(" {size} |")).collect();
        let line = "| --- |".to_owned() + &" --- |".repeat(SIZES.len());
        out += &format!("| a row, in batches of |{sizes}\n{line}\n");
        let mut names: Vec<&str> = self.calls.iter().map(|call| call.name).collect();
        names.dedup();
        for name in names {
            let of = |figure: &dyn Fn(&Call) -> f64| -> String {
                let calls = self.calls.iter().filter(|call| call.name == name);
                calls.map(|call| cell(figure(call))).collect()
            };
            let rows = [
                ("native", of(&|call| call.native.median())),
                ("component", of(&|call| call.wasm.median())),
                (
                    "into the guest and back",
                    of(&|call| call.wasm.above(&call.native)),
                ),
            ];
            for (what, cells) in rows {
                let _ = writeln!(out, "| {name}, {what} |{cells}");
            }
        }
        out += &format!("\n| state of a key, in calls with rows |{sizes}\n{line}\n");
        let of = |figure: &dyn Fn(&Access) -> f64| -> String {
            self.state
                .iter()
                .map(|access| cell(figure(access)))
                .collect()
        };
        let above =
            |these: fn(&Access) -> &Figures| of(&|access| these(access).above(&access.none));
        for (what, cells) in [
            (
                "the keys cross, nothing is read",
                of(&|access| access.none.median()),
            ),
            (
                "one by one: `value-get` and `value-put` add",
                above(|access| &access.single),
            ),
            (
                "all in one: `value-get` and `value-put` add",
                above(|access| &access.many),
            ),
            (
                "`slots` of the SDK, a row emitted, add",
                above(|access| &access.slots),
            ),
        ] {
            let _ = writeln!(out, "| {what} |{cells}");
        }
        out += "\n| operator | alone, native | component | adds | in a job, native | component | adds |\n";
        out += "| --- | --- | --- | --- | --- | --- | --- |\n";
        for operator in &self.operators {
            let both = |[native, wasm]: &[Figures; 2]| {
                let all = [native.median(), wasm.median(), wasm.above(native)];
                all.map(cell).concat()
            };
            let (bare, engine) = (both(&operator.bare), both(&operator.engine));
            let _ = writeln!(out, "| {} |{bare}{engine}", operator.name);
        }
        out
    }
}

fn cell(figure: f64) -> String {
    match figure.abs() < 10.0 {
        true => format!(" {figure:.1} |"),
        false => format!(" {figure:.0} |"),
    }
}

/// Date, commit, compiler and processor.
fn machine() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.filter(|text| !text.is_empty())
            .unwrap_or_else(|| "unknown".into())
    };
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = info.lines().filter(|line| line.starts_with("model name"));
    let model = lines.next().and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, commit {}, {}, release build; {}, {cores} cores",
        said("date", &["+%F"]),
        said("git", &["rev-parse", "--short=10", "HEAD"]),
        said("rustc", &["--version"]),
        model.unwrap_or("unknown processor"),
    )
}

/// The text with the table between its markers.
///
/// # Errors
/// That the markers are not there.
pub(crate) fn put(text: &str, table: &str) -> Result<String, String> {
    let missing = || format!("there is no `{BEGIN}` before a `{END}`");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_goes_between_the_markers_and_nothing_else_changes() {
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let put_once = put(&text, "new\n").unwrap();
        assert_eq!(put_once, format!("above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"));
        assert_eq!(put(&put_once, "new\n").unwrap(), put_once);
        assert!(put("nothing", "new").unwrap_err().contains("there is no"));
    }
}
