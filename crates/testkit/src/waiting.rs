//! Operators whose calls wait for what a test says.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use weir_operator::{
    AsyncCall, AsyncOperator, AsyncOperatorFactory, AsyncOptions, Called, Calling, Descriptor,
    Emitted, Failure, NotCalled, Operator, OperatorFactory, TaskInfo,
};
use weir_state::StateDecl;

/// What a call comes to: rows, or why there are none.
type Answer = Pin<Box<dyn Future<Output = Result<Vec<String>, NotCalled>> + Send>>;

/// An operator that asks a closure about each row, and waits for what it says.
#[derive(Clone)]
pub struct Asking {
    descriptor: Descriptor,
    options: AsyncOptions,
    ask: Arc<dyn Fn(String) -> Answer + Send + Sync>,
}

impl Asking {
    /// An operator that does this with each row.
    pub fn new<A>(options: AsyncOptions, ask: impl Fn(String) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<Vec<String>, NotCalled>> + Send + 'static,
    {
        Self {
            descriptor: Descriptor {
                states: vec![StateDecl::waiting()],
                inputs: 1,
                ..Descriptor::default()
            },
            options,
            ask: Arc::new(move |row| Box::pin(ask(row))),
        }
    }
}

impl OperatorFactory for Asking {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn create(&self, _task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        Err(Failure::Internal {
            message: "its calls wait".into(),
        })
    }

    fn waits(&self) -> Option<&dyn AsyncOperatorFactory> {
        Some(self)
    }
}

impl AsyncOperatorFactory for Asking {
    fn options(&self) -> AsyncOptions {
        self.options
    }

    fn create(&self, _: &TaskInfo, _: &Arc<str>) -> Result<Box<dyn AsyncOperator>, Failure> {
        Ok(Box::new(self.clone()))
    }
}

impl AsyncOperator for Asking {
    fn call(&mut self, call: AsyncCall) -> Calling {
        let row = String::from_utf8(call.row.value().to_vec()).unwrap();
        let answer = (self.ask)(row);
        Box::pin(async move {
            let mut emitted = Emitted::default();
            for row in answer.await? {
                emitted.values.push(row.as_bytes());
                emitted.origin.push(0);
            }
            Ok(Called {
                emitted: vec![emitted],
                metrics: Vec::new(),
            })
        })
    }
}

/// Answers that a test holds back, and what was asked.
#[derive(Clone)]
pub struct Answers {
    given: Arc<watch::Sender<(bool, BTreeSet<String>)>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            given: Arc::new(watch::Sender::new((false, BTreeSet::new()))),
            asked: Arc::default(),
        }
    }
}

impl Answers {
    /// Asks, and waits for the answer: it comes when the test gives it.
    pub async fn ask(&self, row: String) -> Result<Vec<String>, NotCalled> {
        let mut given = self.given.subscribe();
        self.lock().push(row.clone());
        let ready = |(all, rows): &(bool, BTreeSet<String>)| *all || rows.contains(&row);
        let _ = given.wait_for(ready).await;
        Ok(vec![row])
    }

    /// Gives the answer for a row, once and for all.
    pub fn give(&self, row: &str) {
        self.given.send_modify(|(_, rows)| {
            rows.insert(row.to_owned());
        });
    }

    /// Gives all answers.
    pub fn give_all(&self) {
        self.given.send_modify(|(all, _)| *all = true);
    }

    /// The rows that were asked about, in that order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
