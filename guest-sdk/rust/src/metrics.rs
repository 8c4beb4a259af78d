//! Metrics, counted in the guest and handed over once a call. What a failed row counted is dropped,
//! and what a row counts before its turn, in `prefetch`: the row may be looked at again.

use crate::bindings::weir::operator::data::Slots;
use crate::call::Binding;
use crate::error::Result;
use crate::handles::made_handle;
use crate::state::Handle;

/// A metric that only grows. A field of the operator, declared in `describe`.
pub struct Counter(Pending<u64>);

/// A metric that shows the last value it was set to. A field of the operator, declared in
/// `describe`.
pub struct Gauge(Pending<Option<f64>>);

/// A metric that shows how values are distributed. A field of the operator, declared in
/// `describe`.
pub struct Histogram {
    values: Vec<f64>,
    /// How many values there were before the row in hand, kept in the manner of a counter.
    before: Pending<usize>,
}

/// What the call recorded, and what it had recorded before the row in hand.
struct Pending<T> {
    binding: Option<Binding>,
    value: T,
    row: u64,
    before: T,
    call: u64,
}

impl Counter {
    /// Adds to the counter. In `prefetch` this does nothing.
    pub fn add(&mut self, by: u64) {
        if let Some(value) = self.0.change() {
            *value = value.saturating_add(by);
        }
    }
}

impl Gauge {
    /// Sets the gauge. In `prefetch` this does nothing.
    pub fn set(&mut self, value: f64) {
        if let Some(last) = self.0.change() {
            *last = Some(value);
        }
    }
}

impl Histogram {
    /// Records a value. In `prefetch` this does nothing.
    pub fn record(&mut self, value: f64) {
        if let Some(count) = self.before.change() {
            self.values.truncate(*count);
            self.values.push(value);
            *count += 1;
        }
    }
}

impl<T: Copy + Default> Pending<T> {
    /// Of a handle of type `H`.
    fn new<H>() -> Self {
        made_handle::<H>();
        Self {
            binding: None,
            value: T::default(),
            row: 0,
            before: T::default(),
            call: 0,
        }
    }

    /// The value to be changed by the row in hand; `None` where nothing is recorded: the handle is
    /// not declared, or the row is only looked at.
    fn change(&mut self) -> Option<&mut T> {
        let binding = self.binding.as_ref()?;
        if binding.call.is_looking() {
            return None;
        }
        if self.call != binding.call.number() {
            self.call = binding.call.number();
            self.value = T::default();
        }
        if self.row != binding.call.row() {
            self.row = binding.call.row();
            self.before = self.value;
        }
        Some(&mut self.value)
    }

    fn rollback(&mut self) {
        if self
            .binding
            .as_ref()
            .is_some_and(|binding| binding.call.row() == self.row)
        {
            self.value = self.before;
        }
    }

    /// What the call recorded.
    fn take(&mut self) -> Option<(&Binding, T)> {
        let binding = self.binding.as_ref()?;
        if self.call != binding.call.number() {
            return None;
        }
        Some((binding, std::mem::take(&mut self.value)))
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self(Pending::new::<Self>())
    }
}

impl Default for Gauge {
    fn default() -> Self {
        Self(Pending::new::<Self>())
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            before: Pending::new::<Self>(),
        }
    }
}

impl Handle for Counter {
    fn bind(&mut self, binding: Binding) -> bool {
        self.0.binding.replace(binding).is_none()
    }

    fn rollback(&mut self) {
        self.0.rollback();
    }

    fn flush(&mut self, _slots: &mut Vec<Slots>) -> Result<()> {
        if let Some((binding, by)) = self.0.take()
            && by > 0
        {
            binding.call.host.counter_add(&binding.name, by);
        }
        Ok(())
    }
}

impl Handle for Gauge {
    fn bind(&mut self, binding: Binding) -> bool {
        self.0.binding.replace(binding).is_none()
    }

    fn rollback(&mut self) {
        self.0.rollback();
    }

    fn flush(&mut self, _slots: &mut Vec<Slots>) -> Result<()> {
        if let Some((binding, Some(value))) = self.0.take() {
            binding.call.host.gauge_set(&binding.name, value);
        }
        Ok(())
    }
}

impl Handle for Histogram {
    fn bind(&mut self, binding: Binding) -> bool {
        self.before.binding.replace(binding).is_none()
    }

    fn rollback(&mut self) {
        self.before.rollback();
    }

    fn flush(&mut self, _slots: &mut Vec<Slots>) -> Result<()> {
        if let Some((binding, count)) = self.before.take()
            && count > 0
        {
            binding
                .call
                .host
                .histogram_record(&binding.name, &self.values[..count]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Harness;
    use crate::{Ctx, KeyedDescribe, KeyedProcess, Map, Row, bail};

    #[derive(Default)]
    struct Looks {
        map: Map<String, ()>,
        looked: Counter,
        last: Gauge,
        sizes: Histogram,
        rows: Counter,
    }

    impl KeyedProcess for Looks {
        type In = String;
        type Out = String;

        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.map("map", &mut self.map).prefetch();
            d.counter("looked", &mut self.looked);
            d.gauge("last", &mut self.last);
            d.histogram("sizes", &mut self.sizes);
            d.counter("rows", &mut self.rows);
        }

        fn prefetch(&mut self, row: &Row<String>) -> Result<()> {
            self.looked.add(1);
            self.rows.add(1);
            self.last.set(1.0);
            self.sizes.record(1.0);
            self.map.prefetch(row.value)
        }

        fn process(&mut self, row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
            self.rows.add(1);
            match row.value {
                "bad" => bail!("bad"),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn a_row_that_is_only_looked_at_counts_nothing() {
        let mut looks = Harness::open::<Looks, _>("null").unwrap();
        let rows = [("a", "1"), ("a", "bad"), ("a", "2")];
        let out = looks.keyed(rows).unwrap();
        assert_eq!(out.poisoned, Some((1, "bad".to_owned())));
        // The host sends what is behind a row that failed once more.
        looks.keyed([rows[2]]).unwrap();
        assert_eq!(looks.metric("rows"), Some(2.0));
        for metric in ["looked", "last", "sizes"] {
            assert_eq!(looks.metric(metric), None, "{metric}");
        }
    }
}
