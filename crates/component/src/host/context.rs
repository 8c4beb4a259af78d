//! `weir:operator/context`: which instance this is, its configuration, and time.

use crate::{
    bindings::weir::operator::context::{Host, Task},
    guest::Guest,
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

    fn processing_time(&mut self) -> wasmtime::Result<i64> {
        Ok(self.context("context.processing-time")?.processing_time.0)
    }
}
