//! What counts against the time of a row.

use std::sync::atomic::{AtomicBool, Ordering};

use weir_model::Batch;
use weir_operator::{Order, Retry};

use super::*;

/// An operator that is ready, and answers, when a test says so.
#[derive(Clone, Default)]
struct Held {
    is_ready: Arc<AtomicBool>,
    answers: Arc<AtomicBool>,
}

impl AsyncOperator for Held {
    fn poll_ready(
        &mut self,
        _ready: AsyncReady,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        match self.is_ready.load(Ordering::SeqCst) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn call(&mut self, _call: AsyncCall) -> Calling {
        assert!(self.is_ready.load(Ordering::SeqCst));
        let answers = self.answers.clone();
        Box::pin(std::future::poll_fn(move |cx| {
            // Nobody else tells that it is to be asked again.
            cx.waker().wake_by_ref();
            match answers.load(Ordering::SeqCst) {
                true => Poll::Ready(Ok(Called::default())),
                false => Poll::Pending,
            }
        }))
    }
}

/// A row of an operator that gives it a second.
fn node(held: &Held) -> WaitingNode {
    let options = AsyncOptions {
        order: Order::Ordered,
        capacity: 1,
        timeout: Duration::from_secs(1),
        retry: Retry::Never,
    };
    let decls = vec![StateDecl::waiting()];
    let state = OperatorState::new(&decls);
    let mut node = WaitingNode::new(Box::new(held.clone()), options, (decls, state));
    let batch = Arc::new(Batch {
        values: [&b"row"[..]].into_iter().collect(),
        ..Batch::default()
    });
    BatchRow::all(&batch).for_each(|row| node.push(row));
    node
}

fn at(ms: i64) -> Now {
    Now {
        monotonic: ProcessingTime(ms),
        clock: ProcessingTime(0),
    }
}

/// Whether the row leaves with an answer; `None` where it does not leave.
fn answered(node: &mut WaitingNode) -> Option<bool> {
    match node.leave()? {
        Leaving::Row(_, settled) => Some(matches!(settled, Settled::Called(_))),
        Leaving::Mark(_) => None,
    }
}

#[test]
fn what_an_operator_needs_before_a_call_takes_nothing_of_the_time_of_a_row() {
    let held = Held::default();
    let mut node = node(&held);
    for now in [0, 5_000] {
        node.work(at(now)).unwrap();
        assert_eq!(answered(&mut node), None);
        // Whoever waits for calls waits for this one too.
        assert_eq!((node.queue.begun(), node.queue.under_way()), (0, 1));
    }
    held.is_ready.store(true, Ordering::SeqCst);
    node.work(at(6_000)).unwrap();
    node.work(at(6_999)).unwrap();
    assert_eq!((answered(&mut node), node.queue.begun()), (None, 1));
    held.answers.store(true, Ordering::SeqCst);
    node.work(at(6_999)).unwrap();
    assert_eq!(answered(&mut node), Some(true));
}

#[test]
fn a_row_has_the_rest_of_its_time_when_what_held_it_is_over() {
    for (rest, is_answered) in [(499, None), (500, Some(false))] {
        let held = Held::default();
        held.is_ready.store(true, Ordering::SeqCst);
        let mut node = node(&held);
        node.work(at(0)).unwrap();
        node.work(at(500)).unwrap();
        for now in [500, 5_000] {
            node.hold(at(now));
        }
        node.work(at(5_000)).unwrap();
        node.work(at(5_000 + rest)).unwrap();
        assert_eq!(answered(&mut node), is_answered, "{rest}");
    }
}
