//! The chart: for each cell how many times Flink's rows a second Weir has, as a bar on a scale of
//! powers, with a mark where it is to be and a ring for the CPU time a row. Cells that differ only
//! in how parallel they are stand together. Colours follow the light or the dark of the page.

use std::fmt::Write;

use super::{
    reach::{Mean, means},
    record::Record,
};
use crate::backend::Store;

/// Where bars begin, in pixels.
const LEFT: f64 = 400.0;
/// How long the scale is.
const WIDTH: f64 = 500.0;
/// How high a bar is with what is free around it, and what is free between groups.
const ROW: f64 = 18.0;
const GAP: f64 = 7.0;
const TOP: f64 = 64.0;
/// How high a heading is.
const HEADING: f64 = 28.0;
/// The scale has at least these ends.
const FROM: f64 = 0.5;
const TO: f64 = 16.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#222}.dim{fill:#666}\
    .grid{stroke:#ddd}.even{stroke:#777}.reached{fill:#2f6fb3}.missed{fill:#c9762b}\
    .free{fill:#999}.ring{fill:#fff;stroke:#222;stroke-width:1.5}\
    .goal{stroke:#111;stroke-width:2}.title{font-weight:600;font-size:15px}\
    .heading{font-weight:600}\
    @media(prefers-color-scheme:dark){text{fill:#e6e6e6}.dim{fill:#a0a0a0}.grid{stroke:#3a3a3a}\
    .even{stroke:#999}.reached{fill:#6fa8dc}.missed{fill:#e5a05c}.free{fill:#888}\
    .ring{fill:#222;stroke:#e6e6e6}.goal{stroke:#fff}}";

/// One bar.
struct Bar {
    /// What a pointer over it is told.
    name: String,
    parallelism: u32,
    /// How many times, or in words why not.
    found: Result<Ratios, &'static str>,
    goal: Option<f64>,
}

#[derive(Clone, Copy)]
struct Ratios {
    rate: f64,
    cost: f64,
}

/// Bars that stand together under one label.
struct Group {
    /// Above it, where it is another one than before.
    heading: &'static str,
    label: String,
    bars: Vec<Bar>,
}

/// The ends of the scale, which are powers of two.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    from: f64,
    to: f64,
}

/// Draws what was compared.
pub(super) fn draw(records: &[Record]) -> String {
    let mut groups = Vec::new();
    for of in records.chunk_by(|left, right| label(left) == label(right)) {
        let bars: Vec<Bar> = of.iter().filter_map(bar).collect();
        if let (Some(first), false) = (of.first(), bars.is_empty()) {
            groups.push(Group {
                heading: heading(first),
                label: label(first),
                bars,
            });
        }
    }
    let means = means(records);
    if let Some(first) = means.first() {
        groups.push(Group {
            heading: "Nexmark",
            label: format!(
                "geometric mean of {} of {} queries",
                first.queries, first.of
            ),
            bars: means.iter().map(mean_bar).collect(),
        });
    }
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_chart(&mut out, &groups);
    out
}

fn heading(record: &Record) -> &'static str {
    match (record.cell.is_query(), record.cell.goal()) {
        (true, _) => "Nexmark",
        (false, Some(_)) => "One operator",
        (false, None) => "Without a number to be reached",
    }
}

/// The cell without its parallelism.
fn label(record: &Record) -> String {
    let cell = &record.cell;
    let words = cell.workload.in_words();
    let words = words.strip_prefix("Nexmark ").unwrap_or(&words);
    let store = match cell.setting.store {
        Store::Heap => "",
        Store::RocksDb => ", RocksDB",
    };
    let saved = if cell.setting.checkpoints {
        ", checkpoints"
    } else {
        ""
    };
    format!("{words}{store}{saved}")
}

fn bar(record: &Record) -> Option<Bar> {
    let found = match &record.failed {
        Some(_) => Err("failed"),
        None => Ok(Ratios {
            rate: record.times_rate()?,
            cost: record.times_cost()?,
        }),
    };
    Some(Bar {
        name: record.cell.name(),
        parallelism: record.cell.setting.parallelism,
        found,
        goal: record.cell.goal(),
    })
}

fn mean_bar(mean: &Mean) -> Bar {
    Bar {
        name: format!("geometric mean at parallelism {}", mean.parallelism),
        parallelism: mean.parallelism,
        found: Ok(Ratios {
            rate: mean.times_rate,
            cost: mean.times_cost,
        }),
        goal: Some(Mean::GOAL),
    }
}

impl Scale {
    /// One that all bars, rings and marks are on, as far as they are numbers.
    fn of(groups: &[Group]) -> Self {
        let mut scale = Self { from: FROM, to: TO };
        for bar in groups.iter().flat_map(|group| &group.bars) {
            let found = bar.found.iter().flat_map(|found| [found.rate, found.cost]);
            let numbers = found.chain(bar.goal);
            for number in numbers.filter(|number| number.is_finite() && *number > 0.0) {
                scale.from = scale.from.min(2_f64.powf(number.log2().floor()));
                scale.to = scale.to.max(2_f64.powf(number.log2().ceil()));
            }
        }
        scale
    }

    /// Where a ratio is, in pixels.
    fn place(self, times: f64) -> f64 {
        let times = times.max(self.from).min(self.to);
        LEFT + WIDTH * (times / self.from).log2() / (self.to / self.from).log2()
    }

    fn powers(self) -> impl Iterator<Item = f64> {
        let (first, last) = (self.from.log2().round(), self.to.log2().round());
        (first as i32..=last as i32).map(|power| 2_f64.powi(power))
    }
}

fn write_chart(out: &mut String, groups: &[Group]) -> std::fmt::Result {
    let scale = Scale::of(groups);
    let mut body = String::new();
    let (mut y, mut heading) = (TOP, "");
    for group in groups {
        if group.heading != heading {
            heading = group.heading;
            writeln!(
                body,
                "<text class=\"heading\" x=\"16\" y=\"{:.1}\">{heading}</text>",
                y + 18.0
            )?;
            y += HEADING;
        }
        write_group(&mut body, scale, group, y)?;
        y += ROW * group.bars.len() as f64 + GAP;
    }
    let (width, height) = (LEFT + WIDTH + 70.0, y + 70.0);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>Rows a second, Weir to Flink</title>\n<style>{STYLE}</style>\n\
         <text class=\"title\" x=\"16\" y=\"24\">Weir to Flink: how many times its rows a second, by \
         parallelism</text>"
    )?;
    for at in scale.powers() {
        let (x, class) = (scale.place(at), if at == 1.0 { "even" } else { "grid" });
        writeln!(
            out,
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.0}\" y2=\"{y:.0}\"/>\
             <text class=\"dim\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.0}\">{at}×</text>",
            TOP - 6.0,
            TOP - 12.0
        )?;
    }
    out.push_str(&body);
    write_legend(out, y + 16.0)?;
    writeln!(out, "</svg>")
}

/// Its label and its bars, from this height on.
fn write_group(out: &mut String, scale: Scale, group: &Group, top: f64) -> std::fmt::Result {
    let middle = top + ROW * group.bars.len() as f64 / 2.0 + 4.5;
    writeln!(
        out,
        "<text text-anchor=\"end\" x=\"{:.0}\" y=\"{middle:.1}\">{}</text>",
        LEFT - 28.0,
        group.label
    )?;
    for (at, bar) in group.bars.iter().enumerate() {
        let y = top + ROW * at as f64;
        writeln!(
            out,
            "<g><title>{}</title><text class=\"dim\" text-anchor=\"end\" x=\"{:.0}\" \
             y=\"{:.1}\">{}</text>",
            bar.name,
            LEFT - 10.0,
            y + 13.5,
            bar.parallelism
        )?;
        match bar.found {
            Ok(found) => write_bar(out, scale, (found, bar.goal), y)?,
            Err(why) => writeln!(
                out,
                "<text class=\"dim\" x=\"{:.1}\" y=\"{:.1}\">{why}</text>",
                scale.place(1.0) + 6.0,
                y + 13.5
            )?,
        }
        if let Some(goal) = bar.goal {
            writeln!(
                out,
                "<line class=\"goal\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\"/>",
                scale.place(goal),
                y,
                y + ROW
            )?;
        }
        writeln!(out, "</g>")?;
    }
    Ok(())
}

fn write_bar(
    out: &mut String,
    scale: Scale,
    (found, goal): (Ratios, Option<f64>),
    y: f64,
) -> std::fmt::Result {
    let (even, rate, cost) = (
        scale.place(1.0),
        scale.place(found.rate),
        scale.place(found.cost),
    );
    let class = match goal {
        None => "free",
        Some(goal) if found.rate >= goal => "reached",
        Some(_) => "missed",
    };
    let (from, to) = (even.min(rate), even.max(rate));
    // The number stands right of all that is drawn.
    let right = to.max(cost + 4.0).max(match goal {
        Some(goal) if (scale.place(goal) - to).abs() < 40.0 => scale.place(goal),
        Some(_) | None => to,
    });
    writeln!(
        out,
        "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
         rx=\"2\"/><circle class=\"ring\" cx=\"{cost:.1}\" cy=\"{:.1}\" r=\"3.5\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{:.1}</text>",
        y + 3.0,
        (to - from).max(1.0),
        ROW - 6.0,
        y + ROW / 2.0,
        right + 6.0,
        y + 13.5,
        found.rate
    )
}

/// What colours, marks and rings say.
fn write_legend(out: &mut String, y: f64) -> std::fmt::Result {
    let words = [
        ("reached", "reached"),
        ("missed", "not reached"),
        ("free", "no number is to be reached"),
    ];
    let mut x = LEFT;
    for (class, text) in words {
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x:.0}\" y=\"{y:.0}\" width=\"20\" height=\"12\" \
             rx=\"2\"/><text class=\"dim\" x=\"{:.0}\" y=\"{:.0}\">{text}</text>",
            x + 26.0,
            y + 10.5
        )?;
        x += 46.0 + 7.0 * text.len() as f64;
    }
    let (line, below) = (y + 22.0, y + 32.5);
    writeln!(
        out,
        "<line class=\"goal\" x1=\"{0:.0}\" x2=\"{0:.0}\" y1=\"{line:.0}\" y2=\"{1:.0}\"/>\
         <text class=\"dim\" x=\"{2:.0}\" y=\"{below:.0}\">what is to be reached</text>\
         <circle class=\"ring\" cx=\"{3:.0}\" cy=\"{4:.0}\" r=\"3.5\"/>\
         <text class=\"dim\" x=\"{5:.0}\" y=\"{below:.0}\">how many times Weir's CPU time a row Flink \
         has</text>",
        LEFT + 10.0,
        line + 14.0,
        LEFT + 26.0,
        LEFT + 185.0,
        line + 7.0,
        LEFT + 196.0
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::record::{Side, tests::record},
        *,
    };

    const FLINK: (Side, &[u64]) = (Side::Flink, &[10]);

    #[test]
    fn a_bar_is_as_long_as_its_power_and_the_scale_has_room_for_it() {
        let scale = Scale {
            from: 0.5,
            to: 16.0,
        };
        assert!((scale.place(0.5) - LEFT).abs() < 1e-9);
        assert!((scale.place(1e9) - LEFT - WIDTH).abs() < 1e-9);
        let [one, two, four] = [1.0, 2.0, 4.0].map(|times| scale.place(times));
        assert!((four - two - (two - one)).abs() < 1e-9);
        let group = |rate, cost| Group {
            heading: "",
            label: String::new(),
            bars: vec![Bar {
                name: String::new(),
                parallelism: 1,
                found: Ok(Ratios { rate, cost }),
                goal: None,
            }],
        };
        let room = Scale::of(&[group(0.2, 40.0), group(f64::NAN, f64::INFINITY)]);
        assert_eq!(
            room,
            Scale {
                from: 0.125,
                to: 64.0
            }
        );
        assert_eq!(room.powers().count(), 10);
        assert_eq!(Scale::of(&[]), scale);
    }

    #[test]
    fn cells_stand_together_and_say_whether_they_reach_their_number() {
        let mut failed = record("q1-heap-p2", &[FLINK]);
        failed.failed = Some("no".to_owned());
        let drawn = draw(&[
            record("hop-heap-p1", &[FLINK, (Side::Weir, &[80])]),
            record("hop-heap-p2", &[FLINK, (Side::Weir, &[7])]),
            record("broadcast-heap-p1", &[FLINK, (Side::Weir, &[20])]),
            record("q1-heap-p1", &[FLINK, (Side::Weir, &[30])]),
            failed,
            record("q2-heap-p1", &[(Side::Weir, &[30])]),
        ]);
        let count = |text: &str| drawn.matches(text).count();
        // And one each in the legend; the mean of one query is less than it is to be.
        assert_eq!(count("<rect class=\"reached\""), 3, "{drawn}");
        assert_eq!(count("<rect class=\"missed\""), 3, "{drawn}");
        assert_eq!(count("<rect class=\"free\""), 2, "{drawn}");
        assert_eq!(count("<circle class=\"ring\""), 6, "{drawn}");
        assert_eq!(count("<line class=\"goal\""), 6, "{drawn}");
        assert_eq!(count(">passthrough over a hop<"), 1, "{drawn}");
        assert_eq!(count("<title>hop-heap-p2</title>"), 1, "{drawn}");
        assert_eq!(count(">failed<"), 1, "{drawn}");
        assert_eq!(count(">geometric mean of 1 of 14 queries<"), 1, "{drawn}");
        assert_eq!(count(">q2: "), 0, "{drawn}");
        assert!(drawn.ends_with("</svg>\n"));
    }
}
