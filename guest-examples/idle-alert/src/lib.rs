//! Tells which keys have had no row for some time, and how many they had before. Rows may be
//! anything; `config` says how long, and by which time:
//! `{ after_ms: 10000, by: event-time }`.

use serde::Deserialize;
use weir_guest::{
    Counter, Ctx, Env, KeyedDescribe, KeyedProcess, Result, Row, Timer, Timers, Value, bail,
    object, record,
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    after_ms: u32,
    #[serde(default)]
    by: By,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum By {
    #[default]
    EventTime,
    ProcessingTime,
}

record! {
    /// A key that had rows of late.
    #[derive(Clone, Default)]
    struct Busy {
        /// When its last row was.
        last: i64,
        /// How many it had since it was idle.
        rows: u64,
    }
}

#[derive(Default)]
struct IdleAlert {
    busy: Value<Busy>,
    timers: Timers,
    alerts: Counter,
    config: Config,
}

impl IdleAlert {
    /// When a key is idle whose last row was then.
    fn deadline(&self, last: i64) -> i64 {
        last.saturating_add(i64::from(self.config.after_ms))
    }
}

impl KeyedProcess for IdleAlert {
    type In = Vec<u8>;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("busy", &mut self.busy).prefetch();
        d.timers(&mut self.timers);
        d.counter("alerts", &mut self.alerts);
    }

    fn open(&mut self, env: Env) -> Result<()> {
        self.config = env.config_as()?;
        Ok(())
    }

    fn process(&mut self, row: Row<Vec<u8>>, ctx: &mut Ctx<String>) -> Result<()> {
        let now = match (self.config.by, row.timestamp) {
            (By::ProcessingTime, _) => ctx.processing_time(),
            (By::EventTime, Some(at)) => at,
            (By::EventTime, None) => bail!("the row has no event time"),
        };
        // One timer a key: it looks again when it is due, which is cheaper than to move it each
        // time.
        let Some(busy) = self.busy.get()?.cloned() else {
            self.busy.set(Busy { last: now, rows: 1 })?;
            return self.set(now);
        };
        let mut next = Busy {
            last: busy.last.max(now),
            rows: busy.rows + 1,
        };
        if now >= self.deadline(busy.last) {
            // Its timer is due, and comes only when the watermark is there.
            self.tell(&busy, ctx)?;
            next.rows = 1;
        }
        self.busy.set(next)
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Ctx<String>) -> Result<()> {
        let Some(busy) = self.busy.get()?.cloned() else {
            return Ok(());
        };
        if self.deadline(busy.last) > timer.at {
            return self.set(busy.last);
        }
        self.busy.clear()?;
        self.tell(&busy, ctx)
    }
}

impl IdleAlert {
    /// Tells that a key was or is idle, as of the time at which that was so.
    fn tell(&mut self, busy: &Busy, ctx: &mut Ctx<String>) -> Result<()> {
        self.alerts.add(1);
        let key = ctx.key().to_string();
        let out = match self.config.by {
            By::EventTime => ctx.main().at(self.deadline(busy.last)),
            By::ProcessingTime => ctx.main(),
        };
        out.emit(object! { "key": key, "idle_since_ms": busy.last, "rows": busy.rows })
    }

    fn set(&mut self, last: i64) -> Result<()> {
        let at = self.deadline(last);
        match self.config.by {
            By::EventTime => self.timers.set_event(at),
            By::ProcessingTime => self.timers.set_processing(at),
        }
    }
}

weir_guest::operator!(IdleAlert, timed);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::{
        TimerKind,
        testing::{Harness, Input},
    };

    fn idle(key: &str, since: i64, rows: u64) -> String {
        format!(r#"{{"key":"{key}","idle_since_ms":{since},"rows":{rows}}}"#)
    }

    #[test]
    fn a_key_is_told_when_it_has_been_idle_by_event_time() {
        let mut alert = Harness::open::<IdleAlert, _>(r#"{"after_ms":10}"#).unwrap();
        let row = |key: &str, at: i64| Input::row("x").key([key]).at(at);
        let rows = [row("a", 0), row("b", 3), row("a", 8)];
        alert.batch(0, rows).unwrap().expect_all();
        assert_eq!(alert.timers().len(), 2, "one a key");
        let told = alert.advance_watermark(13).unwrap().main();
        assert_eq!(told, [idle("b", 3, 1)]);
        alert.restart().unwrap();
        alert.batch(0, [row("b", 40)]).unwrap().expect_all();
        let (end, _) = alert.finish().unwrap();
        assert_eq!(end.main(), [idle("a", 8, 2), idle("b", 40, 1)]);
    }

    #[test]
    fn a_row_after_the_end_of_the_time_is_told_of_as_well_as_a_timer_is() {
        let mut alert = Harness::open::<IdleAlert, _>(r#"{"after_ms":10}"#).unwrap();
        let row = |at: i64| Input::row("x").key(["a"]).at(at);
        let out = alert.batch(0, [row(0), row(9), row(19), row(20)]).unwrap();
        assert_eq!(out.main(), [idle("a", 9, 2)]);
        // The timer of the first row looks again.
        assert!(alert.advance_watermark(29).unwrap().main().is_empty());
        assert_eq!(alert.timers(), [(TimerKind::EventTime, 30, "a".to_owned())]);
        assert_eq!(
            alert.advance_watermark(30).unwrap().main(),
            [idle("a", 20, 2)]
        );
    }

    #[test]
    fn by_the_clock_no_event_time_is_needed() {
        let config = r#"{"after_ms":10,"by":"processing-time"}"#;
        let mut alert = Harness::open::<IdleAlert, _>(config).unwrap();
        alert.set_processing_time(5);
        alert.keyed([("a", "x")]).unwrap().expect_all();
        assert!(alert.advance_processing_time(14).unwrap().main().is_empty());
        assert_eq!(
            alert.advance_processing_time(15).unwrap().main(),
            [idle("a", 5, 1)]
        );
    }

    #[test]
    fn a_row_without_event_time_is_refused() {
        let mut alert = Harness::open::<IdleAlert, _>(r#"{"after_ms":10}"#).unwrap();
        let outcome = alert.keyed([("a", "x")]).unwrap();
        assert!(outcome.poisoned.unwrap().1.contains("no event time"));
        assert!(alert.timers().is_empty());
    }
}
