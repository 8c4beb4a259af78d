//! `weir:operator/telemetry`: the log, at any time, and metrics, which are part of the transaction
//! of the call.

use tracing::Level;
use weir_operator::Metric;

use crate::{
    bindings::weir::operator::telemetry::{Host, Level as Wire},
    breach::Breach,
    guest::Guest,
};

/// The longest name of a metric, in bytes.
const MAX_NAME: usize = 128;

impl Host for Guest {
    fn log(&mut self, level: Wire, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Wire::Trace => Level::TRACE,
            Wire::Debug => Level::DEBUG,
            Wire::Info => Level::INFO,
            Wire::Warn => Level::WARN,
            Wire::Error => Level::ERROR,
        };
        self.log.log(level, &message);
        Ok(())
    }

    fn counter_add(&mut self, name: String, by: u64) -> wasmtime::Result<()> {
        self.report("telemetry.counter-add", &name, Metric::Counter(by))
    }

    fn gauge_set(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.report("telemetry.gauge-set", &name, Metric::Gauge(value))
    }

    fn histogram_record(&mut self, name: String, values: Vec<f64>) -> wasmtime::Result<()> {
        const IMPORT: &str = "telemetry.histogram-record";
        match summary(&values) {
            Some(histogram) => self.report(IMPORT, &name, histogram),
            None => Ok(self.context(IMPORT).map(drop)?),
        }
    }
}

impl Guest {
    fn report(&mut self, import: &'static str, name: &str, metric: Metric) -> wasmtime::Result<()> {
        let cx = self.context(import)?;
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(wasmtime::Error::new(Breach::Contract {
                message: format!(
                    "`{import}`: a name of a metric has 1 to {MAX_NAME} bytes, this one {}",
                    name.len()
                ),
            }));
        }
        cx.metrics.report(name, metric);
        Ok(())
    }
}

/// Count, sum, smallest and largest. What is not a number is not counted, since it would spoil the
/// sum for good.
fn summary(values: &[f64]) -> Option<Metric> {
    let mut values = values.iter().copied().filter(|v| !v.is_nan());
    let first = values.next()?;
    let (mut count, mut sum, mut min, mut max) = (1, first, first, first);
    for value in values {
        count += 1;
        sum += value;
        min = min.min(value);
        max = max.max(value);
    }
    Some(Metric::Histogram {
        count,
        sum,
        min,
        max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_leaves_out_what_is_not_a_number() {
        assert_eq!(summary(&[]), None);
        assert_eq!(summary(&[f64::NAN]), None);
        let expected = Metric::Histogram {
            count: 3,
            sum: 4.0,
            min: -1.0,
            max: 3.0,
        };
        assert_eq!(summary(&[2.0, f64::NAN, -1.0, 3.0]), Some(expected));
    }
}
