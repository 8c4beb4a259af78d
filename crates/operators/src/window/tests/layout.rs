//! From whose state windows go on.

use std::collections::BTreeSet;

use super::*;

#[test]
fn other_windows_do_not_go_on_from_what_these_keep() {
    let format = |rules: &Rules| {
        let states = WindowStates::of(rules, true).declared(rules);
        states[0].format.clone()
    };
    let rules = |assigner| Rules {
        assigner,
        trigger: Trigger::EventTime,
        lateness: Lateness::default(),
        evictor: None,
        event_time: true,
    };
    let tumbling = |size, offset| rules(Assigner::Tumbling { size, offset });
    let sliding = |size, slide| {
        rules(Assigner::Sliding {
            size,
            slide,
            offset: 0,
        })
    };
    let calendar = |zone| {
        rules(Assigner::Calendar(Calendar {
            each: Each::Day,
            zone: Zone::named(zone).unwrap(),
            offset: 0,
        }))
    };
    let session = |gap| rules(Assigner::Session { gap });
    let all = [
        tumbling(10, 0),
        tumbling(20, 0),
        tumbling(10, 5),
        sliding(10, 5),
        sliding(10, 2),
        calendar("UTC"),
        calendar("Europe/Berlin"),
        session(10),
        rules(Assigner::Global),
        // Content is in windows here, and in panes above.
        Rules {
            trigger: Trigger::Count(3),
            ..tumbling(10, 0)
        },
        Rules {
            trigger: Trigger::ContinuousEventTime(3),
            ..tumbling(10, 0)
        },
        Rules {
            trigger: Trigger::ProcessingTime,
            event_time: false,
            ..tumbling(10, 0)
        },
    ];
    let formats: BTreeSet<String> = all.iter().map(format).collect();
    assert_eq!(formats.len(), all.len(), "{formats:?}");
    assert_eq!(format(&session(10)), format(&session(20)));
    let later = Rules {
        lateness: Lateness { allowed_ms: 5 },
        ..tumbling(10, 0)
    };
    assert_eq!(format(&later), format(&tumbling(10, 0)));
    let count = |rows| Rules {
        trigger: Trigger::Count(rows),
        ..tumbling(10, 0)
    };
    assert_eq!(format(&count(3)), format(&count(5)));
}
