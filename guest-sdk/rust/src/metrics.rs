//! Metrics, counted in the guest and handed over once a call. What a failed row counted is dropped.

use crate::bindings::weir::operator::data::Slots;
use crate::call::Binding;
use crate::describe::count_handle;
use crate::error::Result;
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
    /// Adds to the counter.
    pub fn add(&mut self, by: u64) {
        let value = self.0.change();
        *value = value.saturating_add(by);
    }
}

impl Gauge {
    /// Sets the gauge.
    pub fn set(&mut self, value: f64) {
        *self.0.change() = Some(value);
    }
}

impl Histogram {
    /// Records a value.
    pub fn record(&mut self, value: f64) {
        let count = self.before.change();
        self.values.truncate(*count);
        self.values.push(value);
        *count += 1;
    }
}

impl<T: Copy + Default> Pending<T> {
    fn new() -> Self {
        count_handle();
        Self {
            binding: None,
            value: T::default(),
            row: 0,
            before: T::default(),
            call: 0,
        }
    }

    /// The value to be changed by the row in hand. A handle that is not declared records nothing.
    fn change(&mut self) -> &mut T {
        if let Some(binding) = &self.binding {
            if self.call != binding.call.number() {
                self.call = binding.call.number();
                self.value = T::default();
            }
            if self.row != binding.call.row() {
                self.row = binding.call.row();
                self.before = self.value;
            }
        }
        &mut self.value
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
        Self(Pending::new())
    }
}

impl Default for Gauge {
    fn default() -> Self {
        Self(Pending::new())
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            before: Pending::new(),
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
