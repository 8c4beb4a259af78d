//! The three results of the flights job, computed plainly from the rows: a port of
//! `flights_expected.py` that yields the lines themselves.

use std::collections::HashMap;

const DAY_MS: i64 = 86_400_000;

/// The lines of each sink, in the order of the input.
#[derive(Default)]
pub(in crate::demo) struct Lines {
    pub(in crate::demo) carriers: Vec<String>,
    pub(in crate::demo) switches: Vec<String>,
    pub(in crate::demo) worst: Vec<String>,
}

impl Lines {
    pub(in crate::demo) fn sinks(&self) -> [(&'static str, &[String]); 3] {
        [
            ("carriers", &self.carriers),
            ("switches", &self.switches),
            ("worst", &self.worst),
        ]
    }
}

#[derive(Default)]
struct Carrier {
    flights: u64,
    cancelled: u64,
    arrived: u64,
    delay_sum: i64,
    delay_worst: Option<i64>,
}

/// Computes all lines for a csv text with a header.
pub(in crate::demo) fn lines(csv: &str) -> Lines {
    let mut lines = Lines::default();
    let mut carriers: HashMap<&str, Carrier> = HashMap::new();
    let mut last_origin: HashMap<&str, &str> = HashMap::new();
    let mut worst: HashMap<(&str, &str, i64), i64> = HashMap::new();
    for row in csv.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').collect();
        let [
            scheduled,
            departed,
            carrier,
            _,
            tail,
            origin,
            dest,
            dep_delay,
            arr_delay,
            _,
        ] = fields[..]
        else {
            panic!("a row of ten fields: {row}");
        };
        let scheduled: i64 = scheduled.parse().unwrap();
        let departed = !departed.is_empty();

        let known = carriers.entry(carrier).or_default();
        known.flights += 1;
        known.cancelled += u64::from(!departed);
        if let Ok(delay) = arr_delay.parse::<i64>() {
            known.arrived += 1;
            known.delay_sum += delay;
            known.delay_worst = known.delay_worst.max(Some(delay));
        }
        lines.carriers.push(carrier_line(carrier, known));

        if departed && !tail.is_empty() {
            let before = last_origin.insert(tail, origin);
            if let Some(before) = before.filter(|before| *before != origin) {
                lines.switches.push(format!(
                    r#"{{"tail":"{tail}","before":"{before}","now":"{origin}","scheduled_ms":{scheduled}}}"#
                ));
            }
        }
        if let (true, Ok(delay)) = (departed, dep_delay.parse::<i64>()) {
            let day = scheduled.div_euclid(DAY_MS);
            let known = worst.get(&(origin, dest, day));
            if known.is_none_or(|known| delay > *known) {
                worst.insert((origin, dest, day), delay);
                lines.worst.push(format!(
                    r#"{{"origin":"{origin}","dest":"{dest}","day":{day},"dep_delay_min":{delay}}}"#
                ));
            }
        }
    }
    lines
}

fn carrier_line(name: &str, carrier: &Carrier) -> String {
    let worst = carrier
        .delay_worst
        .map_or("null".to_owned(), |worst| worst.to_string());
    format!(
        concat!(
            r#"{{"carrier":"{}","flights":{},"cancelled":{},"arrived":{},"#,
            r#""arr_delay_sum":{},"arr_delay_worst":{}}}"#
        ),
        name, carrier.flights, carrier.cancelled, carrier.arrived, carrier.delay_sum, worst
    )
}
