//! What a language runtime finds of WASI: standard error that leads to the log, a clock and random
//! numbers that repeat, and otherwise nothing.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use weir_component::{Component, Limits, Outside, Provider};
use weir_model::ProcessingTime;
use weir_operator::{
    AsyncOptions, Failure, HttpClient, HttpRequest, OperatorFactory as _, Sending,
};

use crate::{
    enrich::{begin, ready},
    support::{Hand, Host, OK, Running, data, engine, task, words_le},
};

/// Functions of WASI by the name that the guest calls them by: where they are from, and their core
/// parameters and results.
const FUNCTIONS: [(&str, &str, &str, &str); 14] = [
    ("block", "$poll", "[method]pollable.block", "(param i32)"),
    (
        "write",
        "$streams",
        "[method]output-stream.write",
        "(param i32 i32 i32 i32)",
    ),
    ("stderr", "$stderr", "get-stderr", "(result i32)"),
    ("exit", "$exit", "exit", "(param i32)"),
    (
        "environment",
        "$environment",
        "get-environment",
        "(param i32)",
    ),
    ("arguments", "$environment", "get-arguments", "(param i32)"),
    ("wall-now", "$wall-clock", "now", "(param i32)"),
    ("monotonic-now", "$monotonic-clock", "now", "(result i64)"),
    (
        "timer",
        "$monotonic-clock",
        "subscribe-duration",
        "(param i64) (result i32)",
    ),
    ("random", "$random", "get-random-u64", "(result i64)"),
    ("directories", "$preopens", "get-directories", "(param i32)"),
    ("tcp", "$tcp-create", "create-tcp-socket", "(param i32 i32)"),
    ("udp", "$udp-create", "create-udp-socket", "(param i32 i32)"),
    (
        "network",
        "$instance-network",
        "instance-network",
        "(result i32)",
    ),
];

/// Where the guest lets functions write their results.
const AREA: &str = "(i32.const 0xd00)";

/// A guest whose `process` does this, and whose module has these items.
fn guest(process: &str, items: &str) -> Component {
    hand(process, items).load(&engine()).unwrap()
}

fn hand(process: &str, items: &str) -> Hand {
    let mut host = Host::default();
    let memory = "(memory (core memory $libc \"memory\")) (realloc (core func $libc \"realloc\"))";
    let mut function = |name: &str, instance: &str, import: &str, ty: &str| {
        host.functions += &format!(
            "(core func $wasi-{name} (canon lower (func {instance} \"{import}\") {memory}))\n"
        );
        host.exports += &format!("(export \"wasi-{name}\" (func $wasi-{name}))\n");
        host.imports += &format!("(import \"host\" \"wasi-{name}\" (func $wasi-{name} {ty}))\n");
    };
    for (name, instance, import, ty) in FUNCTIONS {
        function(name, instance, import, ty);
    }
    function(
        "lookup",
        "$lookup",
        "resolve-addresses",
        "(param i32 i32 i32 i32)",
    );
    Hand {
        imports: include_str!("wasi.wat").into(),
        host,
        items: items.into(),
        ..Hand::process(format!("{process} i32.const {OK}"))
    }
}

/// Runs a guest whose `process` traps unless all is as expected.
#[track_caller]
fn check(process: &str, items: &str) {
    let mut running = Running::open(&guest(process, items), Limits::default());
    if let Err(failure) = running.process(&["a"]) {
        panic!("{failure}");
    }
}

/// The trap of a guest.
fn trap(process: &str, items: &str) -> String {
    let mut running = Running::open(&guest(process, items), Limits::default());
    match running.process(&["a"]).unwrap_err() {
        Failure::Trap(trap) => trap.message,
        other => panic!("{other:?}"),
    }
}

/// Traps unless this is so.
fn expect(condition: &str) -> String {
    format!("(if (i32.eqz {condition}) (then unreachable))\n")
}

#[test]
fn all_that_is_said_to_be_granted_is_there() {
    let names = [
        "cli/environment",
        "cli/exit",
        "cli/stderr",
        "cli/stdin",
        "cli/stdout",
        "cli/terminal-input",
        "cli/terminal-output",
        "cli/terminal-stderr",
        "cli/terminal-stdin",
        "cli/terminal-stdout",
        "clocks/monotonic-clock",
        "clocks/wall-clock",
        "filesystem/preopens",
        "filesystem/types",
        "io/error",
        "io/poll",
        "io/streams",
        "random/insecure",
        "random/insecure-seed",
        "random/random",
        "sockets/instance-network",
        "sockets/ip-name-lookup",
        "sockets/network",
        "sockets/tcp",
        "sockets/tcp-create-socket",
        "sockets/udp",
        "sockets/udp-create-socket",
    ];
    let imports = names.map(|name| format!("(import \"wasi:{name}@0.2.0\" (instance))"));
    let hand = Hand {
        imports: imports.concat(),
        ..Hand::default()
    };
    let component = hand.load(&engine()).unwrap();
    let granted = component.info().imports.iter();
    let wasi = granted.filter(|(_, by)| *by == Provider::Wasi).count();
    assert_eq!(wasi, names.len());
}

#[test]
fn there_is_no_environment_and_no_file() {
    // An empty list: two words, of which the second is the length.
    let empty = ["environment", "arguments", "directories"].map(|function| {
        let call =
            format!("(i32.store offset=4 {AREA} (i32.const 7)) (call $wasi-{function} {AREA})");
        call + &expect(&format!("(i32.eqz (i32.load offset=4 {AREA}))"))
    });
    check(&empty.concat(), "");
}

#[test]
fn there_is_no_network() {
    // `err`, and the code `access-denied`; of a name, `permanent-resolver-failure`.
    let refused = |call: &str, code: u32| {
        let is_err = expect(&format!("(i32.eq (i32.load8_u {AREA}) (i32.const 1))"));
        let code = expect(&format!(
            "(i32.eq (i32.load8_u offset=4 {AREA}) (i32.const {code}))"
        ));
        format!("{call} {is_err} {code}")
    };
    check(
        &refused(&format!("(call $wasi-tcp (i32.const 0) {AREA})"), 1),
        "",
    );
    check(
        &refused(&format!("(call $wasi-udp (i32.const 0) {AREA})"), 1),
        "",
    );
    let lookup =
        format!("(call $wasi-lookup (call $wasi-network) (i32.const 0xb00) (i32.const 9) {AREA})");
    check(&refused(&lookup, 20), &data(0xb00, b"localhost"));
}

#[test]
fn clocks_show_the_processing_time_of_the_call() {
    let is = |ms: i64| {
        let seconds = format!("(i64.eq (i64.load {AREA}) (i64.const {}))", ms / 1000);
        let nanos = format!(
            "(i32.eq (i32.load offset=8 {AREA}) (i32.const {}))",
            ms % 1000 * 1_000_000
        );
        let monotonic = format!(
            "(i64.eq (call $wasi-monotonic-now) (i64.const {}))",
            ms * 1_000_000
        );
        [
            format!("(call $wasi-wall-now {AREA})"),
            expect(&seconds),
            expect(&nanos),
            expect(&monotonic),
        ]
        .concat()
    };
    let component = guest(&is(12_345), "");
    let mut running = Running::open(&component, Limits::default());
    running.process(&["a"]).unwrap_err();
    running.cx.processing_time = ProcessingTime(12_345);
    running.operator.reset(&mut running.cx).unwrap();
    running.process(&["a"]).unwrap();
}

#[test]
fn random_numbers_repeat_from_run_to_run_and_differ_from_number_to_number() {
    // Eight characters of a number of 64 bits, as one row.
    let emit = "
        (i64.store (i32.const 0xb10) (i64.add (i64.const 0x3030303030303030)
            (i64.and (i64.const 0x3f3f3f3f3f3f3f3f) (call $wasi-random))))
        (i32.store (i32.const 0x904) (i32.const 0xa00))
        (i32.store (i32.const 0x908) (i32.const 1))
        (i32.store (i32.const 0xa04) (i32.const 0xb10))
        (i32.store (i32.const 0xa08) (i32.const 8))
        (i32.store (i32.const 0xa0c) (i32.const 0xb00))
        (i32.store (i32.const 0xa10) (i32.const 1))
        (return (i32.const 0x900))";
    let component = guest(emit, &data(0xb00, &words_le(&[8])));
    let run = || {
        let mut running = Running::open(&component, Limits::default());
        [
            running.process(&["a"]).unwrap(),
            running.process(&["a"]).unwrap(),
        ]
        .concat()
    };
    let first = run();
    assert_ne!(first[0], first[1]);
    assert_eq!(first, run());
}

#[test]
fn standard_error_explains_a_trap() {
    let items = data(0xb00, b"panic: no more eggs\n");
    let write = format!(
        "(call $wasi-write (call $wasi-stderr) (i32.const 0xb00) (i32.const 20) {AREA})
        unreachable"
    );
    let message = trap(&write, &items);
    assert!(
        message.ends_with("it said last: panic: no more eggs"),
        "{message}"
    );
    // Also where the line was not ended.
    let write = write.replace("(i32.const 20)", "(i32.const 19)");
    let message = trap(&write, &items);
    assert!(
        message.ends_with("it said last: panic: no more eggs"),
        "{message}"
    );
}

#[test]
fn a_stream_takes_no_more_than_it_says() {
    let write = |len: u32| {
        format!("(call $wasi-write (call $wasi-stderr) (i32.const 0) (i32.const {len}) {AREA})")
    };
    check(&write(64 << 10), "");
    let message = trap(&write((64 << 10) + 1), "");
    assert!(
        message.contains("65537 bytes at once to a stream, 65536 is the most"),
        "{message}"
    );
}

#[test]
fn who_waits_is_told_that_nothing_will_come() {
    let wait = |ns: u64| format!("(call $wasi-block (call $wasi-timer (i64.const {ns})))");
    check(&wait(0), "");
    let message = trap(&wait(1), "");
    assert!(
        message.contains("waited in `wasi:io/poll.block`"),
        "{message}"
    );
}

/// Nobody asks for it.
struct NoClient;

impl HttpClient for NoClient {
    fn send(&self, _: HttpRequest) -> Sending {
        unreachable!("nothing is sent")
    }
}

#[tokio::test]
async fn a_call_that_waits_waits_for_the_clock() {
    const HOUR_NS: u64 = 3_600_000_000_000;
    let wait = format!("(call $wasi-block (call $wasi-timer (i64.const {HOUR_NS})))");
    let clock = expect("(i64.ge_u (call $wasi-monotonic-now) (i64.const 1000000000))");
    let enrich = format!(
        "(func (export \"enrich\") (param i32 i32 i32 i64 i32 i32 i32) (result i32)
            {clock} {wait} i32.const {OK})"
    );
    let hand = Hand {
        exports: include_str!("enrich.wat").into(),
        ..hand("", &enrich)
    };
    let component = hand.load(&engine()).unwrap();
    let slept = Arc::new(Mutex::new(Vec::new()));
    let asked = slept.clone();
    let outside = Outside {
        http: Arc::new(NoClient),
        sleep: Arc::new(move |time| {
            asked.lock().unwrap().push(time);
            Box::pin(std::future::ready(()))
        }),
    };
    let enrich = component.enriching(Limits::default(), AsyncOptions::default(), outside);
    let factory = enrich.waits().unwrap();
    let mut operator = factory.create(&task(0), &"null".into()).unwrap();
    let called = begin(&mut *operator, "a").await.await.unwrap();
    assert!(called.emitted.is_empty());
    let slept = slept.lock().unwrap();
    let hour = Duration::from_nanos(HOUR_NS);
    // The first is how long it may take to open. What it took to get there has passed already.
    assert_eq!((slept.len(), slept[0]), (2, AsyncOptions::TIMEOUT));
    assert!(slept[1] <= hour, "{slept:?}");
    assert!(slept[1] > hour - Duration::from_secs(60), "{slept:?}");
}

#[tokio::test]
async fn what_waits_too_long_to_open_fails_the_task_and_not_for_ever() {
    const DAY_NS: u64 = 24 * 3_600_000_000_000;
    let wait = format!("(call $wasi-block (call $wasi-timer (i64.const {DAY_NS})))");
    let enrich = format!(
        "(func (export \"enrich\") (param i32 i32 i32 i64 i32 i32 i32) (result i32) i32.const {OK})"
    );
    let hand = Hand {
        exports: include_str!("enrich.wat").into(),
        open: format!("{wait} i32.const {OK}"),
        ..hand("", &enrich)
    };
    let component = hand.load(&engine()).unwrap();
    let outside = Outside {
        http: Arc::new(NoClient),
        // A day never ends here, and all that is shorter has.
        sleep: Arc::new(|time| match time > Duration::from_hours(1) {
            true => Box::pin(std::future::pending()),
            false => Box::pin(std::future::ready(())),
        }),
    };
    let enrich = component.enriching(Limits::default(), AsyncOptions::default(), outside);
    let factory = enrich.waits().unwrap();
    let mut operator = factory.create(&task(0), &"null".into()).unwrap();
    let failure = ready(&mut *operator, 1).await.unwrap_err();
    assert!(matches!(failure, Failure::External { .. }), "{failure}");
    assert!(
        failure.to_string().contains("`async.timeout` (10s)"),
        "{failure}"
    );
}

#[test]
fn who_exits_has_trapped() {
    let message = trap("(call $wasi-exit (i32.const 1))", "");
    assert!(
        message.contains("it called `exit` with status 1"),
        "{message}"
    );
}

#[test]
fn resources_are_few() {
    let message = trap("(loop $l (drop (call $wasi-stderr)) (br $l))", "");
    let words = "it holds more than 10000 streams and the like of WASI";
    assert!(message.contains(words), "{message}");
}
