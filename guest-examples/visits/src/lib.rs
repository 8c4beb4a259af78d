//! Counts the rows of each key twice: those of a burst, which a millisecond without a row ends, and
//! those of a visit, which ends after an hour. Emits `key=burst,visit`.

use std::time::Duration;

use weir_guest::{Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value, operator};

#[derive(Default)]
struct Visits {
    burst: Value<u64>,
    visit: Value<u64>,
}

impl KeyedProcess for Visits {
    type In = Vec<u8>;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("burst", &mut self.burst)
            .ttl(Duration::from_millis(1));
        d.value("visit", &mut self.visit)
            .ttl(Duration::from_secs(3600))
            .prefetch();
    }

    fn process(&mut self, _row: Row<Vec<u8>>, ctx: &mut Ctx<String>) -> Result<()> {
        let burst = self.burst.get()?.copied().unwrap_or(0) + 1;
        let visit = self.visit.get()?.copied().unwrap_or(0) + 1;
        self.burst.set(burst)?;
        self.visit.set(visit)?;
        ctx.emit((ctx.key(), "=", burst, ",", visit))
    }
}

operator!(Visits);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn a_burst_ends_before_its_visit() {
        let mut visits = Harness::open::<Visits, _>("null").unwrap();
        visits.set_processing_time(1_000);
        let out = visits.keyed([("a", "x"), ("a", "x"), ("b", "x")]).unwrap();
        assert_eq!(out.main(), ["a=1,1", "a=2,2", "b=1,1"]);
        visits.set_processing_time(1_001);
        assert_eq!(visits.keyed([("a", "x")]).unwrap().main(), ["a=1,3"]);
        visits.set_processing_time(1_001 + 3_600_000);
        assert_eq!(visits.keyed([("a", "x")]).unwrap().main(), ["a=1,1"]);
    }
}
