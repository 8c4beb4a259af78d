//! What the host keeps beside an instance, in its store: the context of the call, the log, the
//! limits and the little there is of WASI.
//!
//! INVARIANT: `cx` is there exactly while a call with a context runs; an import that needs it and
//! is called at any other time traps with a text that says so.

use std::fmt;

use weir_operator::{Context, TaskInfo};

use crate::{
    Limits, Outside,
    breach::Breach,
    cpu::Cpu,
    log::{Log, Stream},
    memory::MemoryLimit,
    wasi::Wasi,
};

/// What the guest is being asked to do, in the words of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The instance is being made: start functions of language runtimes.
    Start,
    Describe,
    Initialize,
    Open,
    Process,
    OnTimers,
    OnKeys,
    Accumulate,
    Merge,
    GetResult,
    Accept,
    Apply,
    OnRows,
    OnWindowTimers,
    AcceptJoined,
    Project,
    Enrich,
    EndOfInput,
    Finish,
    Snapshot,
    Complete,
    Aborted,
    Migrate,
    Render,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "the start of the instance",
            Self::Describe => "`describe`",
            Self::Initialize => "`initialize`",
            Self::Open => "`open`",
            Self::Process => "`process`",
            Self::OnTimers => "`on-timers`",
            Self::OnKeys => "`on-keys`",
            Self::Accumulate => "`accumulate`",
            Self::Merge => "`merge`",
            Self::GetResult => "`get-result`",
            Self::Accept => "`accept`",
            Self::Apply => "`apply`",
            Self::OnRows => "`on-rows`",
            Self::OnWindowTimers => "`on-timers` of `trigger`",
            Self::AcceptJoined => "`accept` of `join`",
            Self::Project => "`project`",
            Self::Enrich => "`enrich`",
            Self::EndOfInput => "`end-of-input`",
            Self::Finish => "`finish`",
            Self::Snapshot => "`snapshot`",
            Self::Complete => "`complete`",
            Self::Aborted => "`aborted`",
            Self::Migrate => "`migrate`",
            Self::Render => "`render`",
        })
    }
}

/// Why a trigger has no state of its own.
const TRIGGER: &str = "what a trigger remembers of a window is what it returns";

/// The data of a store.
pub(crate) struct Guest {
    pub(crate) phase: Phase,
    pub(crate) cx: Option<Box<Context>>,
    pub(crate) log: Log,
    pub(crate) memory: MemoryLimit,
    pub(crate) wasi: Wasi,
    /// What calls that wait may wait for; only an instance of such calls has it.
    pub(crate) outside: Option<Outside>,
    /// How long the call has run, where it may wait.
    pub(crate) cpu: Option<Cpu>,
    /// How many bytes this call has written to state, what keeping them takes included.
    written: usize,
    max_written: usize,
}

impl Guest {
    pub(crate) fn new(task: Option<&TaskInfo>, limits: &Limits) -> Self {
        let log = Log::new(task);
        Self {
            phase: Phase::Start,
            cx: None,
            memory: MemoryLimit::new(limits.memory),
            wasi: Wasi::new(task, log.clone()),
            log,
            outside: None,
            cpu: None,
            written: 0,
            max_written: limits.output_bytes,
        }
    }

    /// A call begins.
    pub(crate) fn enter(&mut self, phase: Phase, cx: Option<Box<Context>>) {
        let now = cx.as_ref().map(|cx| cx.processing_time);
        let rehearsal = cx.as_ref().is_some_and(|cx| cx.rehearsal);
        self.phase = phase;
        self.cx = cx;
        self.written = 0;
        self.wasi.begin(now);
        self.log.begin(now, rehearsal);
        if phase == Phase::Describe {
            self.log.hold_errors();
        }
    }

    /// The call is over.
    pub(crate) fn leave(&mut self) {
        self.log.end_line(Stream::Out);
        self.log.end_line(Stream::Err);
    }

    /// The context of the call, for what any call of a task may use.
    pub(crate) fn context(&mut self, import: &'static str) -> Result<&mut Context, Breach> {
        let phase = self.phase;
        self.cx.as_deref_mut().ok_or_else(|| Breach::Contract {
            message: format!("`{import}` cannot be used in {phase}"),
        })
    }

    /// The context, for what is about the keys of the call.
    pub(crate) fn keyed(&mut self, import: &'static str) -> Result<&mut Context, Breach> {
        match self.phase {
            Phase::Process | Phase::OnTimers | Phase::OnKeys => self.context(import),
            Phase::Start | Phase::Describe | Phase::Migrate | Phase::Render => {
                Err(self.misplaced(import))
            }
            Phase::Accumulate | Phase::Merge | Phase::GetResult => {
                Err(self.misplaced_because(import, "what a window holds is in its accumulator"))
            }
            Phase::Accept | Phase::Apply => {
                Err(self.misplaced_because(import, "what a window holds is its rows"))
            }
            Phase::OnRows | Phase::OnWindowTimers => Err(self.misplaced_because(import, TRIGGER)),
            Phase::AcceptJoined | Phase::Project => {
                Err(self.misplaced_because(import, "the rows of a join are kept by the host"))
            }
            Phase::Enrich => {
                Err(self.misplaced_because(import, "an operator whose calls wait has no state"))
            }
            Phase::Initialize
            | Phase::Open
            | Phase::EndOfInput
            | Phase::Finish
            | Phase::Snapshot
            | Phase::Complete
            | Phase::Aborted => Err(self.misplaced_because(
                import,
                "keyed state belongs to the keys of a batch, and there is none",
            )),
        }
    }

    /// The context, for the state of the subtask itself.
    pub(crate) fn unkeyed(&mut self, import: &'static str) -> Result<&mut Context, Breach> {
        match self.phase {
            Phase::Initialize
            | Phase::Open
            | Phase::Process
            | Phase::OnTimers
            | Phase::OnKeys
            | Phase::EndOfInput
            | Phase::Finish
            | Phase::Snapshot => self.context(import),
            Phase::Accumulate | Phase::Merge | Phase::GetResult => {
                Err(self.misplaced_because(import, "what a window holds is in its accumulator"))
            }
            Phase::Accept | Phase::Apply => {
                Err(self.misplaced_because(import, "what a window holds is its rows"))
            }
            Phase::OnRows | Phase::OnWindowTimers => Err(self.misplaced_because(import, TRIGGER)),
            Phase::AcceptJoined | Phase::Project => {
                Err(self.misplaced_because(import, "the rows of a join are kept by the host"))
            }
            Phase::Enrich => {
                Err(self.misplaced_because(import, "an operator whose calls wait has no state"))
            }
            Phase::Start | Phase::Describe | Phase::Migrate | Phase::Render => {
                Err(self.misplaced(import))
            }
            Phase::Complete | Phase::Aborted => Err(self.misplaced_because(
                import,
                "it only tells what became of a checkpoint, and is no part of the next one",
            )),
        }
    }

    /// The context, for writing broadcast state. Whether the call is about a broadcast input is
    /// known to the state itself.
    pub(crate) fn broadcasting(&mut self, import: &'static str) -> Result<&mut Context, Breach> {
        match self.phase {
            Phase::Process => self.context(import),
            Phase::Start | Phase::Describe | Phase::Migrate | Phase::Render => {
                Err(self.misplaced(import))
            }
            Phase::Initialize
            | Phase::Open
            | Phase::OnTimers
            | Phase::OnKeys
            | Phase::Accumulate
            | Phase::Merge
            | Phase::GetResult
            | Phase::Accept
            | Phase::Apply
            | Phase::OnRows
            | Phase::OnWindowTimers
            | Phase::AcceptJoined
            | Phase::Project
            | Phase::Enrich
            | Phase::EndOfInput
            | Phase::Finish
            | Phase::Snapshot
            | Phase::Complete
            | Phase::Aborted => Err(self.misplaced_because(
                import,
                "broadcast state is written only while rows of a broadcast input are processed, so \
                 that it is the same in every subtask",
            )),
        }
    }

    fn misplaced(&self, import: &str) -> Breach {
        Breach::Contract {
            message: format!("`{import}` cannot be used in {}", self.phase),
        }
    }

    fn misplaced_because(&self, import: &str, why: &str) -> Breach {
        Breach::Contract {
            message: format!("`{import}` cannot be used in {}: {why}", self.phase),
        }
    }

    /// Counts bytes that the call writes to state.
    pub(crate) fn write(&mut self, bytes: usize) -> Result<(), Breach> {
        self.written = self.written.saturating_add(bytes);
        if self.written > self.max_written {
            return Err(Breach::Output {
                what: "wrote more to state in one call than it may",
            });
        }
        Ok(())
    }
}
