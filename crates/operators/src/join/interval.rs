//! The interval join (case C27). A row is put among those of its input and at once joined with
//! those of the other one that are near it in time.

use weir_model::{ColumnView, EventTime};
use weir_operator::{Context, Due, Failure, JoinFunction, Outcome};
use weir_state::StateIndex;
use weir_window::{Interval, Side, is_late};

use super::{
    KEYS, LEFT, MOST, RIGHT,
    buffer::{Arena, Puts, Run, row_key},
    keys::Keys,
    pairs::{Found, Given, Inputs, Pair, Rows},
};

/// The rows of a call.
#[derive(Clone, Copy)]
pub(super) struct Coming<'a> {
    pub(super) side: Side,
    pub(super) keys: ColumnView<'a>,
    pub(super) key_of_row: &'a [u32],
    pub(super) rows: Rows<'a>,
}

/// A row that may have partners.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asks {
    pub(super) key: u32,
    /// The first and the last time of partners.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) row: u32,
}

fn rows_of(side: Side) -> StateIndex {
    match side {
        Side::Left => LEFT,
        Side::Right => RIGHT,
    }
}

/// Joins the rows of a call; `late` gets those that come too late.
pub(super) fn rows(
    cx: &mut Box<Context>,
    function: &mut dyn JoinFunction,
    interval: Interval,
    coming: Coming<'_>,
    (late, out): (&mut Vec<u32>, &mut Given),
) -> Result<(), Failure> {
    let Coming { side, rows, .. } = coming;
    let mut keys = Keys::load(cx, KEYS, coming.keys.len())?;
    let mut asks = Vec::new();
    let mut puts = Puts::default();
    for ((row, &key), &time) in (0..).zip(coming.key_of_row).zip(rows.times) {
        if is_late(time, cx.watermark) {
            late.push(row);
            continue;
        }
        let known = keys.get(key)?;
        if let (Some((from, to)), Some((first, last))) =
            (interval.range(side, time), known.span(side.other()))
            && from <= last
            && first <= to
        {
            // What was removed from the front is not looked at again.
            let from = from.max(first);
            asks.push(Asks { key, from, to, row });
        }
        let number = known.add(side, time);
        known.wants(interval.goes_at(side, time).0);
        let value = rows.values.get(row as usize);
        puts.put(key, &row_key(time, number), Some(value));
    }
    let (arena, partners) = partners(cx, side, asks)?;
    puts.write(cx, rows_of(side))?;
    keys.write(cx)?;
    let mut found = Found::default();
    pair(cx, function, coming, (&arena, &partners), (&mut found, out))
}

/// The rows that belong to a row of the call: those of the arena from one to before another.
pub(super) struct Partners {
    row: u32,
    key: u32,
    from: usize,
    to: usize,
}

/// Finds the partners of rows: of each key from the first range to the last one, what is in several
/// of them is read once. They come in the order of the rows.
pub(super) fn partners(
    cx: &mut Context,
    side: Side,
    mut asks: Vec<Asks>,
) -> Result<(Arena, Vec<Partners>), Failure> {
    let state = rows_of(side.other());
    asks.sort_unstable();
    let mut arena = Arena::default();
    let mut all: Vec<Partners> = Vec::with_capacity(asks.len());
    let mut of_key: Option<(u32, Run)> = None;
    for ask in asks {
        let goes_on = |run: &Run| {
            let last = arena.times_of(run).last();
            run.is_whole || last.is_some_and(|last| ask.from <= *last)
        };
        let mut run = match of_key.take() {
            Some((key, run)) if key == ask.key && goes_on(&run) => run,
            _ => arena.run(state, ask.key, ask.from),
        };
        arena.read(cx, &mut run, ask.to, usize::MAX)?;
        let times = arena.times_of(&run);
        let from = run.begin + times.partition_point(|time| *time < ask.from);
        let to = run.begin + times.partition_point(|time| *time <= ask.to);
        let Asks { key, row, .. } = ask;
        if from < to {
            all.push(Partners { row, key, from, to });
        }
        of_key = Some((key, run));
    }
    all.sort_unstable_by_key(|partners| partners.row);
    Ok((arena, all))
}

/// Pairs each row with its partners, in order of their time. There may be far more pairs than rows,
/// and than a call may give: they are listed a part at a time.
pub(super) fn pair(
    cx: &mut Box<Context>,
    function: &mut dyn JoinFunction,
    coming: Coming<'_>,
    (arena, partners): (&Arena, &[Partners]),
    (found, out): (&mut Found, &mut Given),
) -> Result<(), Failure> {
    let other = Rows {
        values: arena.values().view(),
        times: arena.times(),
    };
    let inputs = Inputs::of(coming.keys, coming.side, coming.rows, other);
    for &Partners { row, key, from, to } in partners {
        let own = coming.rows.times.get(row as usize).copied();
        let own = own.unwrap_or_default();
        for (other, &time) in (from as u32..).zip(&arena.times()[from..to]) {
            let (left, right) = match coming.side {
                Side::Left => (row, other),
                Side::Right => (other, row),
            };
            found.push(&Pair {
                key,
                left: Some(left),
                right: Some(right),
                time: own.max(time),
                origin: row,
            });
            if found.is_part() {
                found.project(cx, function, inputs, out)?;
            }
        }
    }
    found.project(cx, function, inputs, out)
}

/// Rows that nobody can need any more go.
pub(super) fn timers(
    cx: &mut Box<Context>,
    interval: Interval,
    due: Due<'_>,
) -> Result<Outcome, Failure> {
    let watermark = cx.watermark;
    let mut keys = Keys::load(cx, KEYS, due.keyed.keys.len())?;
    let mut gone = [Puts::default(), Puts::default()];
    for &key in due.keyed.key_of_row {
        if !keys.fires(key, watermark)? {
            continue;
        }
        for (side, gone) in [Side::Left, Side::Right].into_iter().zip(&mut gone) {
            let Some((first, _)) = keys.get(key)?.span(side) else {
                continue;
            };
            let mut arena = Arena::default();
            let mut run = arena.run(rows_of(side), key, first);
            let goes = |time: i64| interval.goes_at(side, time) <= watermark;
            let count = first_of(cx, &mut arena, &mut run, goes)?;
            for at in 0..count {
                gone.put(key, arena.map_key(at), None);
            }
            // Where there are more than a call removes, it goes on at once from the last of them.
            let rest = arena.times().last().copied().filter(|_| !run.is_whole);
            let next = arena.times().get(count).copied().or(rest);
            let known = keys.get(key)?;
            known.begins(side, next);
            if let Some(next) = next {
                let EventTime(at) = interval.goes_at(side, next);
                known.wants(at);
            }
        }
    }
    let [left, right] = gone;
    left.write(cx, LEFT)?;
    right.write(cx, RIGHT)?;
    keys.write(cx)?;
    Ok(Outcome::default())
}

/// Reads rows until there is one that does not go, and no more than a call removes; gives back how
/// many go. All that is wanted are their keys: of the rows there is a page at a time.
pub(super) fn first_of(
    cx: &mut Context,
    arena: &mut Arena,
    run: &mut Run,
    goes: impl Fn(i64) -> bool,
) -> Result<usize, Failure> {
    loop {
        let known = arena.times().len();
        // There is no saying from the watermark which time is the last.
        arena.read(cx, run, i64::MAX, known + 1)?;
        arena.forget_values();
        let count = arena.times().partition_point(|time| goes(*time));
        if run.is_whole || count < arena.times().len() || count >= MOST {
            return Ok(count);
        }
    }
}
