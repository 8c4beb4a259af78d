//! The temporal lookup: a left row waits until the watermark passes it; then it is known which
//! version was the latest at its time.
//!
//! INVARIANT: behind a watermark at most one version of a key is left that is not after it.

use weir_model::EventTime;
use weir_operator::{Context, Due, Failure, JoinFunction};
use weir_window::{JoinKind, Side, Temporal, is_late};

use super::{
    KEYS, LEFT, MOST, MOST_BYTES, VERSIONS,
    buffer::{Arena, Puts, Run, row_key},
    interval::Coming,
    keys::Keys,
    pairs::{Found, Given, Inputs, Pair, Rows},
};

/// Keeps the rows of a call; `late` gets those that come too late.
pub(super) fn rows(
    cx: &mut Box<Context>,
    rules: Temporal,
    coming: Coming<'_>,
    late: &mut Vec<u32>,
) -> Result<(), Failure> {
    let Coming { side, rows, .. } = coming;
    let mut keys = Keys::load(cx, KEYS, coming.keys.len())?;
    let mut puts = Puts::default();
    for ((row, &key), &time) in (0..).zip(coming.key_of_row).zip(rows.times) {
        if is_late(time, cx.watermark) {
            late.push(row);
            continue;
        }
        let known = keys.get(key)?;
        let value = Some(rows.values.get(row as usize));
        match side {
            Side::Left => {
                let number = known.add(side, time);
                known.wants(time);
                puts.put(key, &row_key(time, number), value);
            }
            Side::Right => {
                // From when on only one of them is needed.
                if let Some((first, _)) = known.span(side) {
                    known.wants(first.max(time));
                }
                if let Some(EventTime(at)) = rules.goes_at(time) {
                    known.wants(at);
                }
                known.add(side, time);
                puts.put(key, &row_key(time, 0), value);
            }
        }
    }
    let state = match side {
        Side::Left => LEFT,
        Side::Right => VERSIONS,
    };
    puts.write(cx, state)?;
    keys.write(cx)
}

/// What was read for the keys of a call.
#[derive(Default)]
pub(super) struct Call {
    pub(super) left: Arena,
    pub(super) versions: Arena,
    found: Found,
    gone_left: Puts,
    gone_versions: Puts,
}

/// The watermark has passed left rows, or versions that are no longer needed.
pub(super) fn timers(
    cx: &mut Box<Context>,
    function: &mut dyn JoinFunction,
    rules: Temporal,
    due: Due<'_>,
    out: &mut Given,
) -> Result<(), Failure> {
    let mut keys = Keys::load(cx, KEYS, due.keyed.keys.len())?;
    let Call {
        left,
        versions,
        mut found,
        gone_left,
        gone_versions,
    } = Call::of(cx, &mut keys, rules, due)?;
    gone_left.write(cx, LEFT)?;
    gone_versions.write(cx, VERSIONS)?;
    keys.write(cx)?;
    let inputs = Inputs {
        keys: due.keyed.keys,
        left: Rows {
            values: left.values().view(),
            times: left.times(),
        },
        right: Rows {
            values: versions.values().view(),
            times: versions.times(),
        },
    };
    found.project(cx, function, inputs, out)
}

impl Call {
    /// Looks up the rows of all keys, as far as a call takes them. Keys that are left are due at
    /// once again.
    pub(super) fn of(
        cx: &mut Context,
        keys: &mut Keys,
        rules: Temporal,
        due: Due<'_>,
    ) -> Result<Self, Failure> {
        let watermark = cx.watermark;
        let mut call = Self::default();
        for (timer, &key) in (0..).zip(due.keyed.key_of_row) {
            if !keys.fires(key, watermark)? {
                continue;
            }
            match call.is_full() {
                true => keys.get(key)?.wants(watermark.0),
                false => call.look_up(cx, keys, rules, (timer, key))?,
            }
        }
        Ok(call)
    }

    /// Whether it has read what a call takes.
    fn is_full(&self) -> bool {
        let of = [&self.left, &self.versions];
        let rows: usize = of.iter().map(|arena| arena.times().len()).sum();
        let bytes: usize = of.iter().map(|arena| arena.values().byte_len()).sum();
        rows >= MOST || bytes >= MOST_BYTES
    }

    /// Looks up the rows of a key that the watermark has passed.
    fn look_up(
        &mut self,
        cx: &mut Context,
        keys: &mut Keys,
        rules: Temporal,
        (timer, key): (u32, u32),
    ) -> Result<(), Failure> {
        let known = keys.get(key)?;
        let (first_left, first_version) = (known.span(Side::Left), known.span(Side::Right));
        let mut up_to = cx.watermark;
        let left = read(cx, &mut self.left, (LEFT, key), first_left, up_to)?;
        let versions = (VERSIONS, key);
        let versions = read(cx, &mut self.versions, versions, first_version, up_to)?;
        let times = self.versions.times_of(&versions);
        // Where there is more than a call takes, it is taken as far as all versions are known; the
        // rest is due at once.
        let last = times.last().filter(|_| !versions.is_whole);
        if let Some(last) = last.filter(|last| EventTime(**last) <= up_to) {
            up_to = EventTime(last.saturating_sub(1));
        }
        let lefts = self.left.times_of(&left);
        let ready = lefts.partition_point(|time| EventTime(*time) <= up_to);
        // What follows the last one that was read is not known.
        let ready = ready.min(lefts.len().saturating_sub(usize::from(!left.is_whole)));
        let next_left = lefts.get(ready).copied();
        up_to = next_left.map_or(up_to, |next| up_to.min(EventTime(next)));
        let ready = left.begin..left.begin + ready;
        let before = times.partition_point(|time| EventTime(*time) <= up_to);
        let mut at = 0;
        for row in ready.clone() {
            let time = self.left.times()[row];
            at += times[at..before].partition_point(|version| *version <= time);
            let latest = at.checked_sub(1);
            let latest = latest.filter(|&at| rules.counts(times[at], time));
            if latest.is_some() || rules.kind != JoinKind::Inner {
                self.found.push(&Pair {
                    key,
                    left: Some(row as u32),
                    right: latest.map(|at| (versions.begin + at) as u32),
                    time,
                    origin: timer,
                });
            }
        }
        for row in ready {
            self.gone_left.put(key, self.left.map_key(row), None);
        }
        let stays = stays(rules, &times[..before], up_to, next_left);
        for version in 0..stays {
            let at = versions.begin + version;
            self.gone_versions.put(key, self.versions.map_key(at), None);
        }
        let known = keys.get(key)?;
        known.begins(Side::Left, next_left);
        known.begins(Side::Right, times.get(stays).copied());
        next_left.into_iter().for_each(|next| known.wants(next));
        if let Some(next) = times.get(before) {
            known.wants(*next);
        }
        if let Some(EventTime(at)) = times.get(stays).and_then(|first| rules.goes_at(*first)) {
            known.wants(at);
        }
        Ok(())
    }
}

/// The first version that stays, of those that are not after the watermark: the latest, unless it
/// is too old.
fn stays(rules: Temporal, times: &[i64], up_to: EventTime, next_left: Option<i64>) -> usize {
    let Some((&latest, others)) = times.split_last() else {
        return 0;
    };
    // Behind the last time there is none: that it goes then is not so for rows left at it.
    let is_old = rules.goes_at(latest).is_some_and(|at| at <= up_to)
        && next_left.is_none_or(|next| !rules.counts(latest, next));
    others.len() + usize::from(is_old)
}

/// The fewest rows of a key that are read if there are as many: of two versions the first may be
/// needed still and the second is not looked at, so that only a third makes one go.
const FEWEST: usize = 3;

/// Reads what a key has up to a watermark, and one more, or as much as a call takes.
fn read(
    cx: &mut Context,
    arena: &mut Arena,
    (state, key): (weir_state::StateIndex, u32),
    span: Option<(i64, i64)>,
    watermark: EventTime,
) -> Result<Run, Failure> {
    let mut run = arena.run(state, key, span.map_or(0, |(first, _)| first));
    if span.is_none() {
        run.is_whole = true;
    }
    let before = arena.values().byte_len();
    let mut most = FEWEST;
    loop {
        arena.read(cx, &mut run, watermark.0, most)?;
        let count = arena.times_of(&run).len();
        let is_enough = count > MOST || arena.values().byte_len() - before >= MOST_BYTES;
        if run.is_whole || is_enough || is_behind(arena, &run, watermark) {
            return Ok(run);
        }
        // Another page.
        most = count + 1;
    }
}

/// Whether the last row that was read is one that the watermark has not passed.
fn is_behind(arena: &Arena, run: &Run, watermark: EventTime) -> bool {
    let last = arena.times_of(run).last();
    last.is_some_and(|last| EventTime(*last) > watermark)
}
