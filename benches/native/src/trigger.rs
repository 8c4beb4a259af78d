//! Windows that ask the operator when they give their results.

use weir_guest::{
    TimerKind as Kind, Verdict as Said, Window,
    native::{AskedWindows, Change, Decided as Answer, Happened, OptionalColumn as Absent},
};
use weir_model::{EventTime, OptionalColumn, ProcessingTime};
use weir_operator::{Added, Asked, Context, Decided, DueTimers, Failure, TimerChange, Verdict};
use weir_state::TimerKind;

use crate::{
    alone::Alone,
    columns::{copied, optional_taken, wrong},
    window::refused,
};

/// Asks about rows that were added to windows.
pub(crate) fn rows(
    alone: &mut Alone,
    cx: &mut Box<Context>,
    asked: Asked<'_>,
    added: Added<'_>,
) -> Result<Decided, Failure> {
    let happened = Happened::Rows {
        rows: copied(added.rows),
        timestamps: added.timestamps.to_vec(),
        row_of: added.row_of.to_vec(),
    };
    ask(alone, cx, asked, happened, added.window_of)
}

/// Asks about timers that are due.
pub(crate) fn timers(
    alone: &mut Alone,
    cx: &mut Box<Context>,
    asked: Asked<'_>,
    due: DueTimers<'_>,
) -> Result<Decided, Failure> {
    let happened = Happened::Timers {
        kind: match due.kind {
            TimerKind::EventTime => Kind::EventTime,
            TimerKind::ProcessingTime => Kind::ProcessingTime,
        },
        at: due.at.to_vec(),
    };
    ask(alone, cx, asked, happened, due.window_of)
}

fn ask(
    alone: &mut Alone,
    cx: &mut Box<Context>,
    asked: Asked<'_>,
    happened: Happened,
    window_of: &[u32],
) -> Result<Decided, Failure> {
    let window = |window: &weir_operator::Window| Window {
        start: window.start,
        end: window.end,
    };
    let windows = AskedWindows {
        keys: copied(asked.keys),
        windows: asked.windows.iter().map(window).collect(),
        remembered: remembered(asked.remembered),
        watermark: asked.watermark.0,
        processing_time: asked.now.0,
    };
    let decided = alone.call(cx, |logic| {
        logic.decide(windows, happened, window_of.to_vec())
    })?;
    match decided {
        Ok(decided) => answer(decided),
        Err(poison) => refused(Some(poison)).map(|()| Decided::default()),
    }
}

fn remembered(column: &OptionalColumn) -> Absent {
    Absent {
        present: column.present().to_vec(),
        column: copied(column.column().view()),
    }
}

fn answer(decided: Answer) -> Result<Decided, Failure> {
    let verdict = |said| Verdict {
        fire: matches!(said, Said::Fire | Said::FireAndPurge),
        purge: matches!(said, Said::Purge | Said::FireAndPurge),
    };
    let remembered = optional_taken(decided.remembered);
    Ok(Decided {
        verdicts: decided.verdicts.into_iter().map(verdict).collect(),
        remembered: remembered.map_err(|error| wrong("what is remembered", error))?,
        timers: decided.timers.iter().map(change).collect(),
    })
}

fn change(change: &Change) -> (u32, TimerChange) {
    let set = match change.kind {
        Kind::EventTime => TimerChange::Event(EventTime(change.at)),
        Kind::ProcessingTime => TimerChange::Processing(ProcessingTime(change.at)),
    };
    let set = match change.set {
        true => set,
        false => set.taken_back(),
    };
    (change.window, set)
}
