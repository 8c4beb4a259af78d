//! Calls that wait: the guest `misbehaving-enrich`, compiled as any author's, against a server on
//! loopback that answers when the test lets it.

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use weir_component::{ComponentEnrich, Limits, Outside};
use weir_http_client::{GrantedClient, MAX_BODY};
use weir_model::{Batch, EventTime, Keyed, ProcessingTime, hash64};
use weir_operator::{
    AsyncCall, AsyncOperator, AsyncOptions, AsyncReady, BatchRow, Called, Calling, Failure,
    HttpOrigin, NotCalled, OperatorFactory,
};
use weir_state::StateDecl;

use crate::{
    guests::guest,
    support::{Hand, engine, task},
};

/// A server on loopback, and what it has been asked.
struct Server {
    origin: String,
    /// How many ask for `/held` and are not gone.
    asking: Arc<watch::Sender<usize>>,
    /// Whether those are answered.
    answers: watch::Sender<bool>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let asking = Arc::new(watch::Sender::new(0));
        let answers = watch::Sender::new(false);
        let (count, held) = (asking.clone(), answers.subscribe());
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, count.clone(), held.clone()));
            }
        });
        Self {
            origin,
            asking,
            answers,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    async fn asked(&self, count: usize) {
        let mut asking = self.asking.subscribe();
        asking.wait_for(|&now| now == count).await.unwrap();
    }
}

/// Answers one request: that for `/held` when it may, or never if the other side goes first.
async fn serve(
    mut socket: TcpStream,
    asking: Arc<watch::Sender<usize>>,
    mut held: watch::Receiver<bool>,
) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match socket.read(&mut buffer).await {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    let (status, body) = match path {
        "/500" => ("500 No", String::new()),
        "/large" => ("200 OK", "x".repeat(MAX_BODY + 1)),
        other => ("200 OK", format!("you asked for {other}")),
    };
    if path.starts_with("/held") {
        asking.send_modify(|asking| *asking += 1);
        let mut rest = [0; 1];
        tokio::select! {
            _ = held.wait_for(|&may| may) => {}
            _ = socket.read(&mut rest) => {}
        }
        asking.send_modify(|asking| *asking -= 1);
    }
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let _ = socket.write_all(head.as_bytes()).await;
    let _ = socket.write_all(body.as_bytes()).await;
}

fn limits() -> Limits {
    Limits {
        output_bytes: 4 << 20,
        ..Limits::default()
    }
}

fn operator_of(name: &str, grants: &[&str], config: &str) -> Box<dyn AsyncOperator> {
    limited(name, grants, config, limits())
}

/// Of one whose calls are ended when they have computed for a moment; others may take the time that
/// a busy machine needs.
fn impatient(grants: &[&str]) -> Box<dyn AsyncOperator> {
    let limits = Limits {
        time_per_call: Duration::from_millis(200),
        ..limits()
    };
    limited("misbehaving-enrich", grants, "{}", limits)
}

fn limited(name: &str, grants: &[&str], config: &str, limits: Limits) -> Box<dyn AsyncOperator> {
    let grants: Vec<HttpOrigin> = grants
        .iter()
        .map(|g| HttpOrigin::parse(g).unwrap())
        .collect();
    let outside = Outside {
        http: Arc::new(GrantedClient::new(grants).unwrap()),
        sleep: Arc::new(|time| Box::pin(tokio::time::sleep(time))),
    };
    let enrich: ComponentEnrich = guest(name).enriching(limits, AsyncOptions::default(), outside);
    enrich
        .waits()
        .unwrap()
        .create(&task(0), &config.into())
        .unwrap()
}

fn misbehaving(server: &Server) -> Box<dyn AsyncOperator> {
    operator_of("misbehaving-enrich", &[&server.origin], "{}")
}

fn call(row: &str) -> AsyncCall {
    let batch = Arc::new(Batch {
        values: [row.as_bytes()].into_iter().collect(),
        timestamps: vec![7],
        keyed: Some(Keyed {
            keys: [&b"k"[..]].into_iter().collect(),
            hashes: vec![hash64(b"k")],
            key_of_row: vec![0],
        }),
        ..Batch::default()
    });
    AsyncCall {
        row: BatchRow::all(&batch).next().unwrap(),
        watermark: EventTime(5),
        now: ProcessingTime(1_000),
    }
}

/// The rows that a call emitted, with output and origin checked.
fn rows(called: Result<Called, NotCalled>) -> Vec<String> {
    let mut rows = Vec::new();
    for emitted in called.unwrap().emitted {
        assert_eq!(emitted.origin, vec![0; emitted.values.len()]);
        let values = emitted.values.iter();
        rows.extend(values.map(|row| String::from_utf8(row.to_vec()).unwrap()));
    }
    rows
}

/// Until a call can be begun, of so many that are wanted.
pub(crate) async fn ready(operator: &mut dyn AsyncOperator, wanted: usize) -> Result<(), Failure> {
    let ready = AsyncReady {
        wanted,
        watermark: EventTime(5),
        now: ProcessingTime(1_000),
    };
    poll_fn(|cx| operator.poll_ready(ready, cx)).await
}

/// Begins a call as a task does.
pub(crate) async fn begin(operator: &mut dyn AsyncOperator, row: &str) -> Calling {
    ready(operator, 1).await.unwrap();
    operator.call(call(row))
}

async fn ask(operator: &mut dyn AsyncOperator, row: &str) -> Vec<String> {
    rows(begin(operator, row).await.await)
}

#[tokio::test]
async fn fifty_calls_wait_at_once_on_one_thread() {
    let server = Server::start().await;
    let mut operator = misbehaving(&server);
    let url = server.url("/held");
    let mut calls = Vec::new();
    for n in 0..50 {
        let calling = begin(&mut *operator, &format!("{url}/{n}")).await;
        calls.push(tokio::spawn(calling));
    }
    server.asked(50).await;
    server.answers.send_replace(true);
    for (n, waiting) in calls.into_iter().enumerate() {
        let answer = format!("200 you asked for /held/{n}");
        assert_eq!(rows(waiting.await.unwrap()), [answer]);
    }
    // Now there are fifty instances, each of which has seen a row.
    assert_eq!(ask(&mut *operator, "!rows").await, ["2"]);
}

#[tokio::test]
async fn an_instance_is_used_again_and_knows_configuration_and_time() {
    let server = Server::start().await;
    let mut operator = operator_of("misbehaving-enrich", &[], r#"{"a":1}"#);
    assert_eq!(ask(&mut *operator, "!config").await, [r#"{"a":1} at 1000"#]);
    assert_eq!(ask(&mut *operator, "!twice").await, ["one", "two"]);
    assert_eq!(ask(&mut *operator, "!rows").await, ["3"]);
    let refused = begin(&mut *operator, "!refuse").await.await;
    assert!(matches!(refused, Err(NotCalled::Refused(why)) if why == "not this row"));
    assert_eq!(ask(&mut *operator, "!rows").await, ["5"]);
    drop(server);
}

#[tokio::test]
async fn a_guest_that_computes_for_ever_ends_and_holds_nobody_up() {
    let mut operator = impatient(&[]);
    let mut looping = begin(&mut *operator, "!loop").await;
    // As in a task, all calls are one future: these have their turns while the other computes.
    for n in 1..4 {
        tokio::select! {
            biased;
            _ = &mut looping => panic!("it came back"),
            rows = ask(&mut *operator, "!rows") => assert_eq!(rows, [n.to_string()]),
        }
    }
    let Err(NotCalled::Lost(Failure::Limit(limit))) = looping.await else {
        panic!("it came back");
    };
    assert_eq!((limit.key, &*limit.value), ("time-per-call", "200ms"));
    assert!(limit.message.contains("`enrich` took too long"), "{limit}");
    assert!(limit.backtrace[0].contains("enrich"), "{limit}");
}

#[tokio::test]
async fn waiting_takes_nothing_of_the_time_of_a_call() {
    let server = Server::start().await;
    let mut operator = impatient(&[&server.origin]);
    let waiting = tokio::spawn(begin(&mut *operator, &server.url("/held")).await);
    server.asked(1).await;
    // Longer than the call may compute.
    let Err(NotCalled::Lost(_)) = begin(&mut *operator, "!loop").await.await else {
        panic!("it came back");
    };
    server.answers.send_replace(true);
    assert_eq!(rows(waiting.await.unwrap()), ["200 you asked for /held"]);
}

#[tokio::test]
async fn what_goes_wrong_concerns_its_row_alone() {
    let server = Server::start().await;
    let mut operator = misbehaving(&server);
    let Err(NotCalled::Lost(Failure::Trap(trap))) = begin(&mut *operator, "!panic").await.await
    else {
        panic!("no trap");
    };
    assert!(trap.message.contains("as told"), "{trap}");
    assert!(trap.message.contains("in `enrich`"), "{trap}");
    assert_eq!(
        ask(&mut *operator, "!rows").await,
        ["1"],
        "a fresh instance"
    );
    let Err(NotCalled::Lost(Failure::Limit(limit))) = begin(&mut *operator, "!memory").await.await
    else {
        panic!("no limit");
    };
    assert_eq!(limit.key, "memory");
    let Err(NotCalled::Lost(Failure::Limit(limit))) = begin(&mut *operator, "!flood").await.await
    else {
        panic!("no limit");
    };
    assert_eq!(limit.key, "output");
    let rows = ask(&mut *operator, "!rows").await;
    assert_eq!(rows, ["1"], "a fresh instance, whatever the limit");
    let fatal = begin(&mut *operator, "!fatal").await.await;
    assert!(
        matches!(&fatal, Err(NotCalled::Broken(Failure::Guest { message, row: None }))
            if message == "no row at all"),
        "{fatal:?}"
    );
}

#[tokio::test]
async fn an_answer_says_whether_to_ask_again() {
    let server = Server::start().await;
    let mut operator = misbehaving(&server);
    let failed = begin(&mut *operator, &server.url("/500")).await.await;
    assert!(
        matches!(&failed, Err(NotCalled::Failed(why)) if why == "status 500"),
        "{failed:?}"
    );
    let large = begin(&mut *operator, &server.url("/large")).await.await;
    assert!(
        matches!(&large, Err(NotCalled::Refused(why)) if why.contains("larger than 8388608 bytes")),
        "{large:?}"
    );
    let denied = begin(&mut *operator, "http://localhost:1/").await.await;
    assert!(
        matches!(&denied, Err(NotCalled::Broken(Failure::Guest { message, .. }))
            if message.contains("`http://localhost:1` is not granted")),
        "{denied:?}"
    );
}

#[tokio::test]
async fn a_call_that_is_dropped_is_given_up_and_its_instance_with_it() {
    let server = Server::start().await;
    let mut operator = misbehaving(&server);
    let waiting = tokio::spawn(begin(&mut *operator, &server.url("/held")).await);
    server.asked(1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    server.asked(0).await;
    assert_eq!(ask(&mut *operator, "!rows").await, ["1"]);
}

#[tokio::test]
async fn what_refuses_to_open_fails_the_task_and_not_the_row() {
    let mut operator = operator_of("misbehaving-enrich", &[], "refuse-open");
    let refused = ready(&mut *operator, 1).await;
    assert!(
        matches!(&refused, Err(Failure::Guest { message, .. })
            if message == "not with this configuration"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_example_asks_for_a_name() {
    let server = Server::start().await;
    let config = format!(r#"{{"url":"{}/name/"}}"#, server.origin);
    let mut operator = operator_of("enrich-http", &[&server.origin], &config);
    let expected = r#"{"carrier":"UA","name":"you asked for /name/UA"}"#;
    assert_eq!(ask(&mut *operator, "UA").await, [expected]);
}

#[test]
fn a_component_whose_calls_wait_has_one_state_of_the_hosts_own() {
    let component = guest("enrich-http");
    assert!(component.waits() && component.imports_http());
    let descriptor = component.descriptor();
    assert_eq!(descriptor.states, [StateDecl::waiting()]);
    assert_eq!(descriptor.side_outputs, ["unknown"]);
    assert!(!guest("passthrough").waits());
}

#[test]
fn http_is_only_for_calls_that_wait() {
    let hand = Hand {
        imports: "(import \"weir:operator/http@0.1.0\" (instance))".into(),
        ..Hand::default()
    };
    let error = hand.load(&engine()).unwrap_err();
    assert_eq!(error.code(), "W0350");
    let text = error.to_string();
    assert!(text.contains("weir:operator/http@0.1.0"), "{text}");
    assert!(error.help().unwrap().contains("`Enrich`"));
}
