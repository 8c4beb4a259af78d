//! The optional interface `join`: makes the rows of pairs; and components as functions of joins.
//!
//! INVARIANT: a call has each row and each key once, and no call has more than one pair where they
//! are more than [`CALL`] bytes.

use wasmtime::{
    Store,
    component::{self as wasm, ComponentType, Lift, Lower, TypedFunc},
    error::Context as _,
};
use weir_model::{Column, ColumnView};
use weir_operator::{
    Context, Emitted, Failure, JoinFunction, JoinFunctionFactory, Operator, Pairs, TaskInfo,
};

use crate::{
    Component, Limits,
    aggregate::refused,
    bindings::{ColumnIn, weir::operator::data},
    guest::{Guest, Phase},
    interfaces::JOIN_EXPORT,
    lookup::Lookup,
    operator::ComponentOperator,
    outcome::Check,
};

/// Up to how many bytes of rows and keys several pairs go to the guest in one call.
const CALL: usize = 1 << 20;
/// What a row takes beside its bytes: its time, and where it ends.
const PER_ROW: usize = 12;
/// What a pair takes: its time, and where its rows and its key are.
const PER_PAIR: usize = 20;

/// `join.pairs`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct PairsIn<'a> {
    keys: ColumnIn<'a>,
    #[component(name = "key-of-pair")]
    key_of_pair: &'a [u32],
    left: ColumnIn<'a>,
    #[component(name = "left-timestamps")]
    left_timestamps: &'a [i64],
    #[component(name = "left-of-pair")]
    left_of_pair: &'a [u32],
    right: ColumnIn<'a>,
    #[component(name = "right-timestamps")]
    right_timestamps: &'a [i64],
    #[component(name = "right-of-pair")]
    right_of_pair: &'a [u32],
    timestamps: &'a [i64],
}

/// `join.projected`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Projected {
    emitted: Vec<data::Emitted>,
    poisoned: Option<data::Poison>,
}

type AcceptIn<'a> = (u32, ColumnIn<'a>);
type AcceptOut = (Result<Option<data::Poison>, String>,);
type ProjectIn<'a> = (PairsIn<'a>,);
type ProjectOut = (Result<Projected, String>,);

/// The functions of `join`.
pub(crate) struct Joins {
    accept: TypedFunc<AcceptIn<'static>, AcceptOut>,
    project: TypedFunc<ProjectIn<'static>, ProjectOut>,
}

impl Joins {
    /// The functions of an instance; `None` where the component does not export the interface.
    ///
    /// # Errors
    /// That one is missing, or has another type than the contract gives it.
    pub(crate) fn of(
        component: &wasm::Component,
        store: &mut Store<Guest>,
        instance: &wasm::Instance,
    ) -> wasmtime::Result<Option<Self>> {
        let lookup = Lookup::of(JOIN_EXPORT, component, store, instance);
        let Some(mut lookup) = lookup else {
            return Ok(None);
        };
        Ok(Some(Self {
            accept: lookup.function("accept")?,
            project: lookup.function("project")?,
        }))
    }
}

/// Makes the parallel instances of a component as functions of joins.
pub struct ComponentJoins {
    component: Component,
    limits: Limits,
}

impl ComponentJoins {
    pub(crate) fn new(component: Component, limits: Limits) -> Self {
        Self { component, limits }
    }
}

impl JoinFunctionFactory for ComponentJoins {
    fn side_outputs(&self) -> &[String] {
        &self.component.descriptor().side_outputs
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn JoinFunction>, Failure> {
        let (component, limits) = (self.component.clone(), self.limits.clone());
        Ok(Box::new(Projection {
            operator: ComponentOperator::new(component, limits, task.clone())?,
            picked: Picked::default(),
        }))
    }
}

const MISSING: &str = "`join` was there when the component was loaded";

/// A component that makes the rows of pairs.
struct Projection {
    operator: ComponentOperator,
    /// Used again from call to call.
    picked: Picked,
}

impl JoinFunction for Projection {
    fn looks_at_rows(&self) -> bool {
        true
    }

    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        Operator::open(&mut self.operator, cx)
    }

    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        Operator::reset(&mut self.operator, cx)
    }

    fn accept(
        &mut self,
        cx: &mut Box<Context>,
        input: u32,
        rows: ColumnView<'_>,
    ) -> Result<(), Failure> {
        self.operator.renew_amid(cx)?;
        let mut ends = Vec::new();
        let values = ColumnIn {
            bytes: rows.contents(),
            ends: rows.relative_ends(&mut ends),
        };
        let phase = Phase::AcceptJoined;
        let poisoned = self.operator.call(phase, cx, |instance, cx, limits| {
            instance.call_with(phase, cx, limits, |exports, store| {
                let functions = exports.join.as_ref().context(MISSING)?;
                let accept: TypedFunc<AcceptIn<'_>, AcceptOut> = functions.accept;
                Ok(accept.call(store, (input, values))?.0)
            })
        })?;
        match poisoned {
            None => Ok(()),
            Some(poison) => Err(refused(phase, poison, rows.len())),
        }
    }

    fn project(
        &mut self,
        cx: &mut Box<Context>,
        pairs: Pairs<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let mut all = Vec::new();
        let mut from = 0;
        while from < pairs.len() {
            let to = self.picked.fill(pairs, from);
            let base = from as u32;
            let part = self.project_part(cx, pairs.timestamps.get(from..to).unwrap_or_default());
            let mut emitted = part.map_err(|failure| behind(failure, base))?;
            for one in &mut emitted {
                if one.origin.is_empty() {
                    one.origin = (0..one.values.len() as u32).collect();
                }
                one.origin.iter_mut().for_each(|pair| *pair += base);
            }
            all.append(&mut emitted);
            from = to;
        }
        Ok(all)
    }
}

impl Projection {
    /// The rows of the pairs that were picked; they are counted from the first of these.
    fn project_part(
        &mut self,
        cx: &mut Box<Context>,
        timestamps: &[i64],
    ) -> Result<Vec<Emitted>, Failure> {
        self.operator.renew_amid(cx)?;
        let Picked { keys, left, right } = &self.picked;
        let arguments = PairsIn {
            keys: keys.column(),
            key_of_pair: &keys.of_pair,
            left: left.column(),
            left_timestamps: &left.times,
            left_of_pair: &left.of_pair,
            right: right.column(),
            right_timestamps: &right.times,
            right_of_pair: &right.of_pair,
            timestamps,
        };
        let phase = Phase::Project;
        let projected = self.operator.call(phase, cx, |instance, cx, limits| {
            instance.call_with(phase, cx, limits, |exports, store| {
                let functions = exports.join.as_ref().context(MISSING)?;
                let project: TypedFunc<ProjectIn<'_>, ProjectOut> = functions.project;
                Ok(project.call(store, (arguments,))?.0)
            })
        })?;
        if let Some(poison) = projected.poisoned {
            return Err(refused(phase, poison, timestamps.len()));
        }
        let check = Check {
            rows: Some(timestamps.len()),
            ..self.operator.check(phase)
        };
        check.emitted(projected.emitted)
    }
}

/// A pair that is refused has its place among all pairs.
fn behind(failure: Failure, base: u32) -> Failure {
    match failure {
        Failure::Guest {
            message,
            row: Some(pair),
        } => Failure::Guest {
            message,
            row: Some(pair + base),
        },
        other => other,
    }
}

/// What some pairs are of.
#[derive(Default)]
struct Picked {
    keys: Once,
    left: Once,
    right: Once,
}

impl Picked {
    /// Picks what the pairs from there on are of, as many as one call may have; the first one that
    /// is not among them.
    fn fill(&mut self, pairs: Pairs<'_>, from: usize) -> usize {
        self.keys.begin(pairs.keys.len());
        self.left.begin(pairs.left.len());
        self.right.begin(pairs.right.len());
        let mut bytes = 0;
        for pair in from..pairs.len() {
            let key = pairs.key_of_pair[pair];
            let (left, right) = (pairs.left_of_pair[pair], pairs.right_of_pair[pair]);
            bytes += PER_PAIR
                + self.keys.room(pairs.keys, key)
                + self.left.room(pairs.left, left)
                + self.right.room(pairs.right, right);
            if bytes > CALL && pair > from {
                return pair;
            }
            self.keys.add(pairs.keys, &[], key);
            self.left.add(pairs.left, pairs.left_times, left);
            self.right.add(pairs.right, pairs.right_times, right);
        }
        pairs.len()
    }
}

/// The rows of a column that pairs are of, each once.
#[derive(Default)]
struct Once {
    rows: Column,
    times: Vec<i64>,
    /// Where the row of each pair is among them.
    of_pair: Vec<u32>,
    /// Where each row of the whole column is among them, if it is.
    place: Vec<u32>,
    /// Which rows of the whole column they are.
    known: Vec<u32>,
}

impl Once {
    /// Nothing is picked of a column of so many rows.
    fn begin(&mut self, rows: usize) {
        // Most rows of a large column are in no pair of this call, so only what was set is undone.
        for row in self.known.drain(..) {
            self.place[row as usize] = Pairs::ABSENT;
        }
        self.place.resize(rows, Pairs::ABSENT);
        self.rows.clear();
        self.times.clear();
        self.of_pair.clear();
    }

    /// How many bytes more there are with a row.
    fn room(&self, whole: ColumnView<'_>, row: u32) -> usize {
        match row {
            Pairs::ABSENT => 0,
            row if self.place[row as usize] != Pairs::ABSENT => 0,
            row => PER_ROW + whole.get(row as usize).len(),
        }
    }

    /// The next pair has this row.
    fn add(&mut self, whole: ColumnView<'_>, times: &[i64], row: u32) {
        if row == Pairs::ABSENT {
            self.of_pair.push(Pairs::ABSENT);
            return;
        }
        let place = &mut self.place[row as usize];
        if *place == Pairs::ABSENT {
            *place = self.known.len() as u32;
            self.known.push(row);
            self.rows.push(whole.get(row as usize));
            self.times.extend(times.get(row as usize));
        }
        self.of_pair.push(*place);
    }

    fn column(&self) -> ColumnIn<'_> {
        ColumnIn {
            bytes: self.rows.bytes(),
            ends: self.rows.ends(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: u32 = Pairs::ABSENT;

    fn column<'a>(rows: impl IntoIterator<Item = &'a [u8]>) -> Column {
        rows.into_iter().collect()
    }

    fn pairs<'a>(
        (keys, rows): (&'a Column, &'a Column),
        times: &'a [i64],
        (keys_of, left_of, right_of): (&'a [u32], &'a [u32], &'a [u32]),
    ) -> Pairs<'a> {
        Pairs {
            keys: keys.view(),
            key_of_pair: keys_of,
            left: rows.view(),
            left_times: times,
            left_of_pair: left_of,
            right: rows.view(),
            right_times: times,
            right_of_pair: right_of,
            timestamps: times,
        }
    }

    #[test]
    fn each_row_of_pairs_is_picked_once_and_no_other() {
        let keys = column([&b"a"[..], b"b"]);
        let rows = column([&b"zero"[..], b"one", b"two", b"three"]);
        let of = (&[1, 1, 1][..], &[3, 3, 1][..], &[2, NONE, 2][..]);
        let mut picked = Picked::default();
        for _ in 0..2 {
            let pairs = pairs((&keys, &rows), &[0, 10, 20, 30], of);
            assert_eq!(picked.fill(pairs, 0), 3);
            let Picked { keys, left, right } = &picked;
            assert_eq!(
                (keys.rows.bytes(), &keys.of_pair[..]),
                (&b"b"[..], &[0; 3][..])
            );
            assert_eq!(left.rows.bytes(), b"threeone");
            assert_eq!(
                (&left.times[..], &left.of_pair[..]),
                (&[30, 10][..], &[0, 0, 1][..])
            );
            assert_eq!(right.rows.bytes(), b"two");
            assert_eq!(
                (&right.times[..], &right.of_pair[..]),
                (&[20][..], &[0, NONE, 0][..])
            );
        }
    }

    #[test]
    fn pairs_share_a_call_until_their_rows_are_many() {
        let keys = column([&b"a"[..]]);
        let (large, small) = (vec![b'x'; CALL], vec![b'x'; CALL / 3]);
        let rows = column([&large[..], &small, &small, &small]);
        let of = (&[0; 6][..], &[0, 0, 1, 1, 2, 3][..], &[NONE; 6][..]);
        let pairs = pairs((&keys, &rows), &[0; 6], of);
        let mut picked = Picked::default();
        let mut ends = Vec::new();
        let mut from = 0;
        while from < pairs.len() {
            from = picked.fill(pairs, from);
            ends.push(from);
        }
        // A row that is too large for others to be there is alone, each time it is needed; what is
        // there already takes nothing.
        assert_eq!(ends, [1, 2, 5, 6]);
    }
}
