//! The demo judged: on a slice of the real data, with a stand-in for `weir` that is a shell script,
//! so that kill, restart and comparison run whole. The stand-in is exact, or has one fault by
//! design.

mod oracle;

use std::fs;
use std::time::Duration;

use self::oracle::Lines;
use super::*;

const SLICE: &str = include_str!("slice.csv");

/// What `flights_expected.py` makes of the slice.
const SLICE_EXPECTED: &str = include_str!("slice-expected.json");

fn slice_expected() -> Expected {
    serde_json::from_str(SLICE_EXPECTED).unwrap()
}

/// A run of the demo on `stand-in.sh`, which commits `output`.
struct StandIn {
    scratch: tempfile::TempDir,
    output: Lines,
    /// Shell lines that set what goes wrong.
    plan: &'static str,
}

impl StandIn {
    fn exact() -> Self {
        Self {
            scratch: tempfile::tempdir().unwrap(),
            output: oracle::lines(SLICE),
            plan: "",
        }
    }

    fn with(plan: &'static str) -> Self {
        Self {
            plan,
            ..Self::exact()
        }
    }

    fn demonstrate(&self) -> Result<Outcome> {
        let folder = self.scratch.path();
        for (sink, lines) in self.output.sinks() {
            let (first, second) = lines.split_at(lines.len() / 2);
            for (number, lines) in [first, second].iter().enumerate() {
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                fs::write(folder.join(format!("prepared-{sink}-{number}")), text).unwrap();
            }
        }
        fs::write(folder.join("plan"), self.plan).unwrap();
        let job = Job {
            weir: workspace::root().join("xtask/src/demo/stand-in.sh"),
            file: folder.join("job.yaml"),
            rate: Some(1_000_000),
            scratch: folder.join("scratch"),
            options: Vec::new(),
        };
        fs::create_dir(&job.scratch).unwrap();
        demonstrate(&job, &slice_expected(), Some(Duration::from_millis(1)))
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        let outcome = self.demonstrate().unwrap();
        let killed = outcome.killed.expect("the first run is killed");
        assert_eq!(killed.complete, [1, 2]);
        assert_eq!(
            outcome.problems.len(),
            expected.len(),
            "{:#?}",
            outcome.problems
        );
        for (problem, expected) in outcome.problems.iter().zip(expected) {
            assert!(problem.contains(expected), "{problem:?} lacks {expected:?}");
        }
    }
}

#[test]
fn two_ways_to_compute_the_figures_agree() {
    let lines = oracle::lines(SLICE);
    let expected = slice_expected();
    let counts = lines.sinks().map(|(_, lines)| lines.len() as u64);
    assert_eq!(counts, expected::SINKS.map(|sink| expected.of(sink).0));
}

#[test]
fn an_exact_run_has_no_problem() {
    StandIn::exact().check(&[]);
}

#[test]
fn a_lost_row_is_found_and_placed() {
    let mut stand_in = StandIn::exact();
    let at = stand_in
        .output
        .carriers
        .iter()
        .position(|line| line.contains(r#""carrier":"B6","flights":50,"#));
    stand_in.output.carriers.remove(at.unwrap());
    stand_in.check(&[
        "carriers: 129 rows, expected 130",
        "carriers: the rows have SHA-256",
        "carriers: B6: 1 updates are missing, between flight 50 and 50",
    ]);
}

#[test]
fn a_doubled_row_is_found_and_shown() {
    let mut stand_in = StandIn::exact();
    let line = stand_in.output.switches[7].clone();
    stand_in.output.switches.push(line.clone());
    stand_in.check(&[
        "switches: 67 rows, expected 66",
        "switches: the rows have SHA-256",
        "switches: 1 rows were written more than once",
        &line,
    ]);
}

#[test]
fn a_wrong_row_is_found_though_the_count_is_right() {
    let mut stand_in = StandIn::exact();
    stand_in.output.worst[3] = stand_in.output.worst[3].replace("\"day\":", "\"day\":1");
    stand_in.check(&["worst: the rows have SHA-256"]);
}

#[test]
fn a_wrong_end_of_a_carrier_is_found() {
    let mut stand_in = StandIn::exact();
    let last = stand_in
        .output
        .carriers
        .iter_mut()
        .rfind(|line| line.contains("\"B6\""))
        .unwrap();
    *last = last.replace("\"arr_delay_sum\":697", "\"arr_delay_sum\":698");
    stand_in.check(&[
        "carriers: the rows have SHA-256",
        "delay sum 698, worst 164",
    ]);
}

#[test]
fn a_file_that_is_not_committed_is_found() {
    let stand_in = StandIn::with(
        "epilogue() { echo x >worst/.flights-worst-1-0-0.open; echo y >worst/other; }",
    );
    stand_in.check(&[
        "worst: .flights-worst-1-0-0.open is not committed",
        "worst: other is no whole part file",
    ]);
}

#[test]
fn a_half_done_checkpoint_and_a_missing_end_are_found() {
    let stand_in = StandIn::with(
        "epilogue() { mkdir checkpoints/flights/chk-4; rm checkpoints/flights/FINISHED; }",
    );
    stand_in.check(&["chk-4 has no _metadata", "FINISHED is missing"]);
}

#[test]
fn damaged_metadata_are_found() {
    let stand_in = StandIn::with("epilogue() { echo >>checkpoints/flights/chk-3/_metadata; }");
    stand_in.check(&["chk-3/_metadata begins with"]);
}

#[test]
fn a_restore_of_an_older_checkpoint_is_found() {
    let stand_in = StandIn::with("restored=1");
    stand_in.check(&["restored checkpoint 1, the newest complete one was 2"]);
}

#[test]
fn a_summary_that_claims_too_many_rows_is_found() {
    let mut summary = StandIn::exact().demonstrate().unwrap().summary;
    summary.restored_from = None;
    summary.rows_out.insert("worst".to_owned(), 124);
    summary.rows_out.remove("carriers");
    let problems = verdict::of_summary(&slice_expected(), &summary, None);
    assert_eq!(
        problems,
        [
            "read 60 rows from the start, expected 130",
            "the summary says 0 rows into carriers from the start, expected 130",
            "the summary says 40 rows into switches from the start, expected 66",
            "the summary says 124 rows into worst from the start, expected 123",
        ]
    );
}

#[test]
fn a_run_that_fails_says_why() {
    let stand_in = StandIn::with("epilogue() { echo 'the disk is full' >&2; exit 1; }");
    let error = stand_in.demonstrate().err().unwrap().to_string();
    assert!(
        error.contains("exit status: 1") && error.contains("the disk is full"),
        "{error}"
    );
}
