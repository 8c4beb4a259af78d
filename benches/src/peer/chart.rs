//! The chart: for each cell how many times Flink's rows a second Weir has, as a bar on a scale of
//! powers, with a mark where it is to be. Its colours follow the light or the dark of the page.

use std::fmt::Write;

use super::record::Record;

/// Where bars begin, in pixels.
const LEFT: f64 = 330.0;
/// How long the scale is.
const WIDTH: f64 = 520.0;
const ROW: f64 = 22.0;
const TOP: f64 = 56.0;
/// The ends of the scale.
const FROM: f64 = 0.5;
const TO: f64 = 64.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#222}.dim{fill:#666}\
    .grid{stroke:#ddd}.even{stroke:#888}.bar{fill:#2f6fb3}.less{fill:#b3562f}\
    .goal{stroke:#111;stroke-width:2}.title{font-weight:600;font-size:15px}\
    @media(prefers-color-scheme:dark){text{fill:#e6e6e6}.dim{fill:#a0a0a0}.grid{stroke:#3a3a3a}\
    .even{stroke:#999}.bar{fill:#6fa8dc}.less{fill:#e08a5f}.goal{stroke:#fff}}";

/// Draws what was compared.
pub(super) fn draw(records: &[Record]) -> String {
    let bars: Vec<(String, f64, Option<f64>)> = records
        .iter()
        .filter_map(|record| {
            let times = record.times_rate()?;
            Some((record.cell.name(), times, record.cell.goal()))
        })
        .collect();
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_chart(&mut out, &bars);
    out
}

fn write_chart(out: &mut String, bars: &[(String, f64, Option<f64>)]) -> std::fmt::Result {
    let bottom = TOP + ROW * bars.len() as f64;
    let (width, height) = (LEFT + WIDTH + 70.0, bottom + 40.0);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>Rows a second, Weir to Flink</title>\n<style>{STYLE}</style>\n\
         <text class=\"title\" x=\"16\" y=\"24\">Rows a second: how many times those of Flink \
         Weir has</text>"
    )?;
    let powers = (-1..=6).map(|power| 2_f64.powi(power));
    for at in powers {
        let (x, class) = (place(at), if at == 1.0 { "even" } else { "grid" });
        writeln!(
            out,
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.0}\" y2=\"{bottom:.0}\"/>\
             <text class=\"dim\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.0}\">{at}×</text>",
            TOP - 6.0,
            TOP - 12.0
        )?;
    }
    for (at, (name, times, goal)) in bars.iter().enumerate() {
        let y = TOP + ROW * at as f64;
        let (from, to) = (place(1.0).min(place(*times)), place(1.0).max(place(*times)));
        let class = if *times < 1.0 { "less" } else { "bar" };
        writeln!(
            out,
            "<text text-anchor=\"end\" x=\"{:.0}\" y=\"{:.1}\">{name}</text>\
             <rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             rx=\"2\"/><text x=\"{:.1}\" y=\"{:.1}\">{times:.1}</text>",
            LEFT - 10.0,
            y + 15.5,
            y + 4.0,
            (to - from).max(1.0),
            ROW - 8.0,
            to + 6.0,
            y + 15.5
        )?;
        if let Some(goal) = goal {
            writeln!(
                out,
                "<line class=\"goal\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\"/>",
                place(*goal),
                y + 2.0,
                y + ROW - 2.0
            )?;
        }
    }
    writeln!(
        out,
        "<text class=\"dim\" x=\"{LEFT}\" y=\"{:.0}\">A mark tells what is to be reached.</text>\n\
         </svg>",
        bottom + 24.0
    )
}

/// Where a ratio is, in pixels.
fn place(times: f64) -> f64 {
    let share = (times.clamp(FROM, TO) / FROM).log2() / (TO / FROM).log2();
    LEFT + WIDTH * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_power_and_no_longer_than_the_scale() {
        assert!((place(FROM) - LEFT).abs() < 1e-9);
        assert!((place(1e9) - LEFT - WIDTH).abs() < 1e-9);
        assert!((place(4.0) - place(2.0) - (place(2.0) - place(1.0))).abs() < 1e-9);
        let mut out = String::new();
        let bars = [
            ("hop-heap-p1".to_owned(), 8.0, Some(5.0)),
            ("window-heap-p1".to_owned(), 0.7, None),
        ];
        write_chart(&mut out, &bars).unwrap();
        assert_eq!(out.matches("<rect class=\"bar\"").count(), 1);
        assert_eq!(out.matches("<rect class=\"less\"").count(), 1);
        assert_eq!(out.matches("<line class=\"goal\"").count(), 1);
        assert!(out.contains(">hop-heap-p1<") && out.ends_with("</svg>\n"));
    }
}
