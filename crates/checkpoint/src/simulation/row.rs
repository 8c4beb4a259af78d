//! A row, with what it met on its way; a line of a file when a sink writes it.

use weir_model::SubtaskIndex;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) trail: Vec<Visit>,
}

/// What a vertex did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Visit {
    pub(super) vertex: usize,
    pub(super) subtask: SubtaskIndex,
    /// How many rows of this key it had seen there, this one included; 0 where nothing is counted.
    pub(super) count: u64,
}

impl Row {
    pub(super) fn way(&self) -> Vec<usize> {
        self.trail.iter().map(|visit| visit.vertex).collect()
    }

    /// The line: the number of the row, then vertex, subtask and count of each visit.
    pub(super) fn line(&self) -> String {
        let mut line = self.number.to_string();
        for Visit {
            vertex,
            subtask,
            count,
        } in &self.trail
        {
            line.push_str(&format!(" {vertex}.{subtask}.{count}"));
        }
        line
    }

    /// Reads a line again.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let number = words.next()?.parse().ok()?;
        let visit = |word: &str| {
            let mut numbers = word.split('.').map(|n| n.parse::<u64>().ok());
            Some(Visit {
                vertex: numbers.next()?? as usize,
                subtask: SubtaskIndex(numbers.next()?? as u32),
                count: numbers.next()??,
            })
        };
        let trail = words.map(visit).collect::<Option<_>>()?;
        Some(Self { number, trail })
    }
}
