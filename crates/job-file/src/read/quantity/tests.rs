//! Tests of `quantity`.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check_duration(text: &str, found: Result<u64, &str>) {
    let read = duration(text).map_err(|wrong| wrong.label);
    let found = found.map(Duration::from_millis).map_err(str::to_owned);
    assert_eq!(read, found, "{text}");
}

#[track_caller]
fn check_size(text: &str, found: Result<u64, &str>) {
    let read = size(text).map_err(|wrong| wrong.label);
    assert_eq!(read, found.map_err(str::to_owned), "{text}");
}

#[test]
fn quantities_have_a_unit_and_are_whole() {
    check_duration("200ms", Ok(200));
    check_duration("1s", Ok(1000));
    check_duration("1.5s", Ok(1500));
    check_duration("1.50000000000000000000000000000s", Ok(1500));
    check_duration("2 m", Ok(120_000));
    check_duration("0s", Ok(0));
    check_duration("007d", Ok(604_800_000));
    check_size("64MiB", Ok(64 << 20));
    check_size("1.5KiB", Ok(1536));
    check_size("10MB", Ok(10_000_000));
    check_size("0B", Ok(0));
    for text in [
        "", "s", "-1s", "+1s", ".5s", "1.s", "1..5s", "1.5.5s", " 1s", "∞",
    ] {
        check_duration(text, Err("this is no number"));
    }
    check_duration("0.0001s", Err("must come to whole milliseconds"));
    check_duration("0.33333333333333333333333333333333333333333333d", {
        Err("must come to whole milliseconds")
    });
    check_size("1.0001B", Err("must come to whole bytes"));
}

#[test]
fn a_number_alone_is_asked_for_its_unit() {
    check_duration("5", Err("a unit is missing"));
    check_duration("0", Err("a unit is missing"));
    check_size("1.5", Err("a unit is missing"));
}

#[test]
fn units_of_other_programs_are_named_in_our_way() {
    check_duration("5 min", Err("did you mean `5m`?"));
    check_duration("10S", Err("did you mean `10s`?"));
    check_duration("1.5 hours", Err("did you mean `1.5h`?"));
    check_duration("1h30m", Err("`h30m` is no unit"));
    check_duration("1s ", Err("`s ` is no unit"));
    check_duration("1 fortnight", Err("`fortnight` is no unit"));
    check_size("64M", Err("did you mean `64MiB`?"));
    check_size("64mib", Err("did you mean `64MiB`?"));
    check_size("64kb", Err("did you mean `64KiB`?"));
    check_size("1b", Err("did you mean `1B`?"));
    check_size("64ms", Err("`ms` is no unit"));
}

#[test]
fn what_no_clock_or_disk_could_hold_is_refused() {
    check_duration("36500d", Ok(36_500 * 86_400_000));
    check_duration("36500.1d", Err("must be at most 36500d"));
    check_duration("99999999999d", Err("must be at most 36500d"));
    check_duration("99999999999999999999999ms", Err("must be at most 36500d"));
    check_size("8388608TiB", Ok(1 << 63));
    check_size("8388608.5TiB", Err("must be at most 8388608TiB"));
    check_size("99999999999999999999B", Err("must be at most 8388608TiB"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_number_is_its_whole_and_its_part(whole in 0u64..30_000, thousandths in 0u64..1000) {
        let text = format!("{whole}.{thousandths:03}");
        for (unit, scale) in DURATION.units {
            let exact = (whole * 1000 + thousandths) * scale;
            let read = read(&format!("{text}{unit}"), &DURATION).ok();
            prop_assert_eq!(read, (exact % 1000 == 0).then_some(exact / 1000), "{}{}", text, unit);
        }
    }

    #[test]
    fn any_text_is_read_or_told_of(text in any::<String>()) {
        for wrong in [duration(&text).err(), size(&text).err()].into_iter().flatten() {
            prop_assert!(!wrong.label.is_empty());
        }
    }
}
