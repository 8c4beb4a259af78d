//! What plugs into the engine: operators, sources, sinks, key selectors, and what each may do.
//!
//! The engine drives these traits and knows nothing of WebAssembly, files or clients; a component,
//! a closure of a test or a connector implements them.

mod asynchronous;
mod context;
mod evolve;
mod failure;
mod http;
mod join;
mod operator;
mod selector;
mod sink;
mod source;
mod trigger;
mod window;

pub use asynchronous::{
    AsyncCall, AsyncOperator, AsyncOperatorFactory, AsyncOptions, AsyncReady, BatchRow, Called,
    Calling, NotCalled, Order, Retry,
};
pub use context::{Context, Metric, Metrics, TaskInfo};
pub use evolve::{Evolve, Part};
pub use failure::{Domain, Failure, Limit, RowInfo, Trap};
pub use http::{HttpClient, HttpError, HttpOrigin, HttpRequest, HttpResponse, Sending};
pub use join::{JoinFunction, JoinFunctionFactory, Pairs};
pub use operator::{Descriptor, Due, Emitted, Operator, OperatorFactory, Outcome, Poison};
pub use selector::{BadKey, KeySelector};
pub use sink::{
    Committable, Delivery, Existing, OnLost, PreCommit, Recovered, Sealed, Sink, SinkFactory,
    SinkGuarantee,
};
pub use source::{
    Discovery, Enumerator, ReadStatus, SavedSource, SourceFactory, SourceReader, SourceRows, Split,
    SplitRun, TimeSaid, Waker,
};
pub use trigger::{Added, Asked, Decided, DueTimers};
pub use weir_window::{TimerChange, Verdict, Window};
pub use window::{Contents, FiredWindows, WindowFunction, WindowFunctionFactory};
