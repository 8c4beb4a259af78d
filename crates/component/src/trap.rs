//! From an error of wasmtime to a failure that a user can act on.

use std::{collections::BTreeSet, time::Duration};

use wasmtime::{FrameInfo, WasmBacktrace, component::ResourceTableError};
use weir_operator::{Failure, Limit, Trap};

use crate::{
    Limits,
    breach::Breach,
    engine::MAX_FRAMES,
    guest::Phase,
    limits::{bytes_in_words, duration_in_words},
    log::cut,
    wasi::MAX_RESOURCES,
};

/// The most frames of a backtrace that are shown.
const MAX_SHOWN: usize = 16;
/// The longest name of a function that is shown; names of generic functions grow without bound.
const MAX_NAME: usize = 200;
/// The most functions that call each other in a circle for a deep stack to be told as recursion.
const MAX_CIRCLE: usize = 4;
/// How wasmtime says that more was handed over than the store allows; it has no type for it.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

/// The call that failed, as far as a failure tells of it.
pub(crate) struct FailedCall<'a> {
    pub(crate) phase: Phase,
    pub(crate) limits: &'a Limits,
    /// The time that the call had.
    pub(crate) time: Duration,
    /// What the guest said last.
    pub(crate) last_words: Option<String>,
    /// What it logged last as an error, where that stands for an error of a function whose type has
    /// none.
    pub(crate) refusal: Option<String>,
}

impl FailedCall<'_> {
    /// What became of the call.
    pub(crate) fn failure(self, error: &wasmtime::Error) -> Failure {
        let frames = frames(error);
        let recursive = is_recursive(&frames);
        let backtrace = shown(frames);
        if let Some(breach) = error.downcast_ref::<Breach>() {
            return self.breach(breach, backtrace);
        }
        if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            let kind = format!("it called `exit` with status {}", exit.0);
            return self.trap(&kind, backtrace);
        }
        if let Some(ResourceTableError::Full) = error.downcast_ref() {
            let kind = format!("it holds more than {MAX_RESOURCES} streams and the like of WASI");
            return self.trap(&kind, backtrace);
        }
        match error.downcast_ref::<wasmtime::Trap>() {
            Some(wasmtime::Trap::Interrupt) => {
                let message = format!("{} took too long", self.phase);
                limit(
                    "time-per-call",
                    duration_in_words(self.time),
                    message,
                    backtrace,
                )
            }
            Some(wasmtime::Trap::UnreachableCodeReached) => match self.refusal {
                Some(message) => Failure::Guest { message, row: None },
                None => self.trap("it ran into `unreachable`: a panic or an abort", backtrace),
            },
            // The stack of compiled code lies at the bottom of its memory; below it there is none.
            Some(wasmtime::Trap::MemoryOutOfBounds) if recursive => {
                let kind = "its stack seems to have run out, it calls itself too deep (out of \
                            bounds memory access)";
                self.trap(kind, backtrace)
            }
            Some(trap) => {
                let text = trap.to_string();
                self.trap(text.strip_prefix("wasm trap: ").unwrap_or(&text), backtrace)
            }
            None => self.neither_trap_nor_breach(error, backtrace),
        }
    }

    fn breach(self, breach: &Breach, backtrace: Vec<String>) -> Failure {
        match breach {
            // Not the guest's doing.
            Breach::State {
                error: weir_state::Error::Local { what, message },
                ..
            } => Failure::LocalState {
                what: what.clone(),
                message: message.clone(),
            },
            Breach::Contract { .. } | Breach::State { .. } => Failure::Contract {
                message: breach.to_string() + &in_lines(&backtrace),
            },
            Breach::Memory { wanted } => limit(
                "memory",
                bytes_in_words(self.limits.memory),
                format!(
                    "{} wanted {} of memory",
                    self.phase,
                    bytes_in_words(*wanted)
                ),
                backtrace,
            ),
            Breach::Output { what } => self.output(what, backtrace),
            Breach::Wait { .. } | Breach::Excess { .. } => {
                self.trap(&breach.to_string(), backtrace)
            }
        }
    }

    /// wasmtime refused what the guest handed over.
    fn neither_trap_nor_breach(self, error: &wasmtime::Error, backtrace: Vec<String>) -> Failure {
        let cause = error.root_cause().to_string();
        if cause.contains(FUEL_EXHAUSTED) {
            return self.output("handed over more than it may in one call", backtrace);
        }
        Failure::Contract {
            message: format!("{}: {cause}{}", self.phase, in_lines(&backtrace)),
        }
    }

    fn output(self, what: &str, backtrace: Vec<String>) -> Failure {
        let message = format!("{} {what}", self.phase);
        limit(
            "output",
            bytes_in_words(self.limits.output_bytes),
            message,
            backtrace,
        )
    }

    fn trap(self, kind: &str, backtrace: Vec<String>) -> Failure {
        let mut message = format!("{kind}, in {}", self.phase);
        if let Some(words) = self.last_words {
            message.push_str("; it said last: ");
            message.push_str(&words);
        }
        Failure::Trap(Box::new(Trap {
            message,
            backtrace,
            row: None,
        }))
    }
}

fn limit(key: &'static str, value: String, message: String, backtrace: Vec<String>) -> Failure {
    Failure::Limit(Box::new(Limit {
        key,
        value,
        message,
        backtrace,
        row: None,
    }))
}

/// A backtrace as a failure that has a place for one shows it.
fn in_lines(backtrace: &[String]) -> String {
    let lines = backtrace.iter().enumerate();
    lines
        .map(|(depth, frame)| format!("\n  {depth:>2}: {frame}"))
        .collect()
}

/// The functions on the guest's stack, innermost first; [`MAX_FRAMES`] where there are more.
fn frames(error: &wasmtime::Error) -> Vec<String> {
    let frames = error
        .downcast_ref::<WasmBacktrace>()
        .map(WasmBacktrace::frames);
    frames.unwrap_or_default().iter().map(name).collect()
}

/// Whether the stack is deep and made of a few functions. What the innermost ones were just doing
/// does not count.
fn is_recursive(names: &[String]) -> bool {
    let outer: BTreeSet<&String> = names.iter().skip(MAX_FRAMES / 2).collect();
    names.len() >= MAX_FRAMES && outer.len() <= MAX_CIRCLE
}

fn name(frame: &FrameInfo) -> String {
    let Some(name) = frame.func_name() else {
        return format!("function {}", frame.func_index());
    };
    // `{:#}` leaves the hash out.
    let name = match rustc_demangle::try_demangle(name) {
        Ok(demangled) => format!("{demangled:#}"),
        Err(_) => name.to_owned(),
    };
    cut(&name, MAX_NAME).to_owned()
}

/// What is shown of a backtrace: not the innermost frames if they belong to how a panic is done,
/// and once what calls itself.
fn shown(mut names: Vec<String>) -> Vec<String> {
    let more = if names.len() >= MAX_FRAMES { "+" } else { "" };
    let machinery = names.iter().take_while(|name| is_machinery(name)).count();
    if machinery < names.len() {
        names.drain(..machinery);
    }
    let runs: Vec<&[String]> = names.chunk_by(|a, b| a == b).collect();
    let last = runs.len().saturating_sub(1);
    let lines = runs.iter().take(MAX_SHOWN).enumerate();
    lines
        .map(|(index, run)| match (run, index == last) {
            ([name], _) => name.clone(),
            ([name, ..], true) => format!("{name} ({}{more} times)", run.len()),
            ([name, ..], false) => format!("{name} ({} times)", run.len()),
            ([], _) => String::new(),
        })
        .collect()
}

fn is_machinery(name: &str) -> bool {
    const BEGIN: [&str; 17] = [
        "abort",
        "__rust",
        "rust_begin_unwind",
        "rust_panic",
        "alloc::alloc::handle_alloc_error",
        "alloc::raw_vec::",
        "core::cell::panic_",
        "core::option::expect_failed",
        "core::option::unwrap_failed",
        "core::panicking::",
        "core::result::unwrap_failed",
        "core::slice::index::slice_",
        "core::str::slice_error_fail",
        "std::alloc::",
        "std::panicking::",
        "std::process::abort",
        "std::sys::",
    ];
    let name = name.strip_prefix('<').unwrap_or(name);
    BEGIN.iter().any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().copied().map(String::from).collect()
    }

    #[test]
    fn frames_of_a_panic_are_left_out_at_the_top_only() {
        let names = strings(&[
            "__rustc::__rust_start_panic",
            "std::panicking::panic_with_hook",
            "core::panicking::panic_fmt",
            "core::option::unwrap_failed",
            "cart::take",
            "std::panicking::try",
            "cart::process",
        ]);
        let expected = strings(&["cart::take", "std::panicking::try", "cart::process"]);
        assert_eq!(shown(names), expected);
        let only = strings(&["std::process::abort"]);
        assert_eq!(shown(only.clone()), only);
        assert_eq!(shown(numbered(30)).len(), MAX_SHOWN);
        assert_eq!(shown(Vec::new()), strings(&[]));
    }

    /// So many functions that are all different.
    fn numbered(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("f{index}")).collect()
    }

    #[test]
    fn what_calls_itself_is_shown_once() {
        let names = strings(&["f", "f", "g", "f", "f", "f"]);
        let expected = strings(&["f (2 times)", "g", "f (3 times)"]);
        assert_eq!(shown(names), expected);
        let expected = strings(&["f (40+ times)"]);
        assert_eq!(shown(vec!["f".to_owned(); MAX_FRAMES]), expected);
    }

    #[test]
    fn a_deep_stack_of_few_functions_is_recursion() {
        let circle = |functions: usize| -> Vec<String> {
            numbered(functions)
                .into_iter()
                .cycle()
                .take(MAX_FRAMES)
                .collect()
        };
        assert!(is_recursive(&circle(1)));
        assert!(is_recursive(&circle(MAX_CIRCLE)));
        assert!(!is_recursive(&circle(MAX_CIRCLE + 1)));
        assert!(!is_recursive(&circle(1)[1..]), "it is not deep");
        let mut busy = circle(2);
        busy[..5].clone_from_slice(&strings(&["a", "b", "c", "d", "e"]));
        assert!(is_recursive(&busy));
    }
}
