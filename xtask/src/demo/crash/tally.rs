//! What was struck in all runs, told.

use super::aim::Strike;
use super::plan::{Aim, Plan};

/// Sums over the runs.
#[derive(Default)]
pub(super) struct Tally {
    exact: u64,
    kills: u64,
    inside: u64,
    before_commit: u64,
    restoring: u64,
}

impl Tally {
    /// Counts a run and tells it in a line.
    pub(super) fn add(&mut self, seed: u64, plan: &Plan, strikes: &[Strike], problems: &[String]) {
        let exact = problems.is_empty();
        self.exact += u64::from(exact);
        for strike in strikes {
            self.kills += 1;
            self.inside += u64::from(strike.inside);
            self.before_commit += u64::from(strike.before_commit);
            self.restoring += u64::from(!strike.running);
        }
        let struck: Vec<String> = strikes.iter().map(shown).collect();
        let answer = if exact { "yes" } else { "NO" };
        println!(
            "{seed:>7}  exactly once: {answer}  killed {}",
            struck.join(", ")
        );
        if !exact {
            println!("         {plan}");
        }
        for problem in problems {
            println!("         {problem}");
        }
    }

    /// The last line; says whether all runs were exactly once.
    pub(super) fn closing(&self, runs: u64) -> bool {
        println!(
            "\n{} kills: {} inside a checkpoint, {} between completion and commit, {} before the job \
             ran again\n{} of {runs} exactly once",
            self.kills, self.inside, self.before_commit, self.restoring, self.exact
        );
        self.exact == runs
    }
}

fn shown(strike: &Strike) -> String {
    let aimed = match strike.aim {
        Aim::Anywhere(_) => "anywhere",
        Aim::Inside(_) => "in a checkpoint",
        Aim::BeforeCommit(_) => "before a commit",
        Aim::Restoring(_) => "restoring",
    };
    let hit = match strike.aim {
        Aim::Anywhere(_) => true,
        Aim::Inside(_) => strike.inside,
        Aim::BeforeCommit(_) => strike.before_commit,
        Aim::Restoring(_) => !strike.running,
    };
    let missed = if hit { "" } else { " (missed)" };
    format!("{aimed}{missed}")
}
