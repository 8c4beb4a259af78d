//! Windows of the calendar: against what Python's zoneinfo says of days on which clocks did
//! something, and against all windows of a zone laid out one after the other.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that something is wrong"
)]

use proptest::prelude::*;
use weir_window::{Assigner, BadWindow, Calendar, Each, Window, Zone};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn calendar(zone: &str, each: Each, offset: i64) -> Calendar {
    let zone = Zone::named(zone).unwrap();
    Calendar { each, zone, offset }
}

fn each(word: &str) -> Each {
    match word {
        "day" => Each::Day,
        "week" => Each::Week,
        "month" => Each::Month,
        "quarter" => Each::Quarter,
        other => {
            assert_eq!(other, "year");
            Each::Year
        }
    }
}

#[test]
fn windows_are_those_that_another_library_computes() {
    let (mut count, mut odd) = (0, 0);
    for line in include_str!("calendar/vectors.txt").lines() {
        let [zone, of, offset, time, start, end] = line
            .split(' ')
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_else(|_| panic!("{line}"));
        let [offset, time, start, end] = [offset, time, start, end].map(|n| n.parse().unwrap());
        let window = calendar(zone, each(of), offset).window(time);
        assert_eq!(window, Window { start, end }, "{line}");
        count += 1;
        odd += usize::from(of == "day" && end - start != DAY);
    }
    // The vectors are there, and there are days among them that are no 24 hours long.
    assert!(count > 1_500 && odd > 200, "{count} {odd}");
}

#[test]
fn a_day_has_as_many_hours_as_its_clocks_show() {
    let berlin = calendar("Europe/Berlin", Each::Day, 0);
    let hours = |noon: i64| {
        let day = berlin.window(noon);
        (day.end - day.start) / HOUR
    };
    assert_eq!(hours(1_711_882_800_000), 23, "2024-03-31");
    assert_eq!(hours(1_730_030_400_000), 25, "2024-10-27");
    assert_eq!(hours(1_730_116_800_000), 24, "2024-10-28");
}

#[test]
fn names_of_zones_are_known_whatever_their_case() {
    assert_eq!(
        Zone::named("europe/berlin").unwrap().name(),
        "Europe/Berlin"
    );
    assert_eq!(Zone::named("UTC").unwrap(), Zone::utc());
    assert_eq!(Zone::utc().name(), "UTC");
    assert_eq!(Zone::named("Europe/Berlim"), None);
    assert_eq!(Zone::named(""), None);
    let names = Zone::names();
    assert!(names.len() > 400, "{}", names.len());
    assert!(names.iter().all(|name| Zone::named(name).is_some()));
}

#[test]
fn an_offset_is_shorter_than_the_shortest_window() {
    let refused = calendar("UTC", Each::Month, 28 * DAY).check();
    assert!(matches!(refused, Err(BadWindow::Offset { .. })));
    assert!(calendar("UTC", Each::Month, 28 * DAY - 1).check().is_ok());
    assert!(calendar("UTC", Each::Day, -1).check().is_err());
}

/// All windows of a calendar within these years, from its rule told once more: day by day, the day
/// begins when the clocks pass over it.
fn laid_out(calendar: &Calendar, from: i64, to: i64) -> Vec<Window> {
    let mut all = Vec::new();
    let mut window = calendar.window(from);
    while window.start < to {
        all.push(window);
        window = calendar.window(window.end);
    }
    all
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    let names = Zone::names();
    let each = prop_oneof![
        Just(Each::Day),
        Just(Each::Week),
        Just(Each::Month),
        Just(Each::Quarter),
        Just(Each::Year)
    ];
    let offset = prop_oneof![Just(0), 0..DAY, Just(DAY - 1)];
    (0..names.len(), each, offset)
        .prop_map(move |(name, each, offset)| calendar(&names[name], each, offset))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn windows_follow_each_other_without_a_gap_in_every_zone(
        calendar in any_calendar(),
        // From 1850 to 2100.
        time in -3_786_825_600_000_i64..4_102_444_800_000,
    ) {
        let window = calendar.window(time);
        prop_assert!(window.start <= time && time < window.end);
        // Each of its times is in it, so that whoever has found it once need not ask again.
        prop_assert_eq!(calendar.window(window.start), window);
        prop_assert_eq!(calendar.window(window.end - 1), window);
        prop_assert_eq!(calendar.window(window.end).start, window.end);
        prop_assert_eq!(calendar.window(window.start - 1).end, window.start);
    }

    #[test]
    fn a_time_is_in_the_last_window_that_has_begun(
        calendar in any_calendar(),
        from in -3_786_825_600_000_i64..4_102_444_800_000,
        within in 0_i64..40 * DAY,
    ) {
        let all = laid_out(&calendar, from, from + 40 * DAY);
        let time = from + within;
        let begun = all.iter().rfind(|window| window.start <= time);
        prop_assert_eq!(begun.copied(), Some(calendar.window(time)));
    }

    #[test]
    fn no_time_breaks_it(calendar in any_calendar(), time: i64) {
        let window = Assigner::Calendar(calendar.clone()).assign(time).next().unwrap();
        prop_assert!(window.start <= time);
        prop_assert!(time < window.end || time == i64::MAX);
        prop_assert!(window != Window::GLOBAL);
    }
}

#[test]
fn what_is_beyond_the_calendar_is_in_one_window_at_each_side() {
    let year = calendar("Asia/Tokyo", Each::Year, 0);
    let (before, behind) = (year.window(i64::MIN), year.window(i64::MAX));
    assert_eq!(before.start, i64::MIN);
    assert_eq!(year.window(before.end - 1), before);
    assert_eq!(year.window(before.end).start, before.end);
    assert_eq!(behind.end, i64::MAX);
    assert_eq!(year.window(behind.start), behind);
    assert_eq!(year.window(behind.start - 1).end, behind.start);
}
