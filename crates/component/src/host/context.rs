//! `weir:operator/context`: which instance this is, its configuration, and time.

use crate::{
    bindings::weir::operator::context::{Host, Task},
    breach::Breach,
    guest::{Guest, Phase},
    limits::ENTRY,
};

impl Host for Guest {
    fn this_task(&mut self) -> wasmtime::Result<Task> {
        let task = &self.context("context.this-task")?.task;
        Ok(Task {
            job: task.job.to_string(),
            operator: task.operator.to_string(),
            subtask: task.subtask.0,
            parallelism: task.parallelism.get(),
            max_parallelism: task.max_parallelism.get(),
            attempt: task.attempt.0,
        })
    }

    fn config(&mut self) -> wasmtime::Result<String> {
        Ok(self.context("context.config")?.config.to_string())
    }

    fn current_watermark(&mut self) -> wasmtime::Result<i64> {
        Ok(self.context("context.current-watermark")?.watermark.0)
    }

    fn emit_watermark(&mut self, at: i64, behind: u32) -> wasmtime::Result<()> {
        const IMPORT: &str = "context.emit-watermark";
        self.write(ENTRY)?;
        if !matches!(self.phase, Phase::Process | Phase::OnTimers | Phase::OnKeys) {
            let message = format!(
                "`{IMPORT}` cannot be used in {}: watermarks are said between rows",
                self.phase
            );
            return Err(Breach::Contract { message }.into());
        }
        let said = &mut self.context(IMPORT)?.said_watermarks;
        if said.last().is_some_and(|(before, _)| *before > behind) {
            let message = format!("`{IMPORT}`: behind fewer rows than the one before it");
            return Err(Breach::Contract { message }.into());
        }
        said.push((behind, at));
        Ok(())
    }

    fn processing_time(&mut self) -> wasmtime::Result<i64> {
        Ok(self.context("context.processing-time")?.processing_time.0)
    }
}
