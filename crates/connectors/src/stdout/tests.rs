//! The sink of lines as the engine drives it, with an output that can be looked at and can fail.

use std::thread;

use serde_json::json;
use weir_model::{Attempt, Batch, MaxParallelism, Name, Parallelism, SubtaskIndex};

use super::*;

/// What was written so far, and how the next write fails.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<(Vec<u8>, Option<io::ErrorKind>)>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut shared = self.0.lock().unwrap();
        if let Some(kind) = shared.1 {
            return Err(kind.into());
        }
        // Never all of it at once, as with a pipe.
        let taken = bytes.len().div_ceil(2);
        shared.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
    }

    fn fail(&self, kind: io::ErrorKind) {
        self.0.lock().unwrap().1 = Some(kind);
    }
}

fn factory() -> (Shared, StdoutSink) {
    let out = Shared::default();
    (out.clone(), StdoutSink::new(Name::new("out").unwrap(), out))
}

fn writer(factory: &StdoutSink, subtask: u32) -> Box<dyn Sink> {
    let task = TaskInfo {
        job: Name::new("job").unwrap(),
        operator: Name::new("out").unwrap(),
        subtask: SubtaskIndex(subtask),
        parallelism: Parallelism::new(2).unwrap(),
        max_parallelism: MaxParallelism::new(128).unwrap(),
        attempt: Attempt(1),
    };
    factory.create(&task).unwrap()
}

fn batch(rows: &[&str]) -> Batch {
    Batch {
        values: rows.iter().map(|row| row.as_bytes()).collect(),
        ..Batch::default()
    }
}

#[test]
fn rows_are_lines_once_the_input_is_dry_or_a_barrier_passes() {
    let (out, factory) = factory();
    let mut sink = writer(&factory, 0);
    sink.write(batch(&["a", "", "c"]).rows()).unwrap();
    assert_eq!(out.text(), "");
    sink.flush().unwrap();
    assert_eq!(out.text(), "a\n\nc\n");
    sink.write(batch(&["d"]).rows()).unwrap();
    let slow = sink.pre_commit(CheckpointId(1)).unwrap();
    assert_eq!(out.text(), "a\n\nc\nd\n");
    // Rows behind the barrier, though the slow part is still to run.
    sink.write(batch(&["e"]).rows()).unwrap();
    sink.flush().unwrap();
    assert!(slow().unwrap().is_empty());
    assert_eq!(out.text(), "a\n\nc\nd\ne\n");
}

#[test]
fn much_is_written_before_it_is_asked_for() {
    let (out, factory) = factory();
    let mut sink = writer(&factory, 0);
    let row = "x".repeat(BUFFER_BYTES / 4);
    sink.write(batch(&[row.as_str(); 5]).rows()).unwrap();
    assert_eq!(out.text(), format!("{row}\n").repeat(4));
}

#[test]
fn lines_of_several_subtasks_are_not_mixed() {
    let (out, factory) = factory();
    thread::scope(|scope| {
        for subtask in 0..4_u32 {
            let mut sink = writer(&factory, subtask);
            scope.spawn(move || {
                for n in 0..50 {
                    let rows = [
                        format!("{subtask}:{n}:begin-end"),
                        format!("{subtask}:{n}:again"),
                    ];
                    let rows: Vec<_> = rows.iter().map(String::as_str).collect();
                    sink.write(batch(&rows).rows()).unwrap();
                    sink.flush().unwrap();
                }
            });
        }
    });
    let text = out.text();
    for subtask in 0..4 {
        let prefix = format!("{subtask}:");
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with(&prefix))
            .collect();
        let expected = (0..50).flat_map(|n| {
            [
                format!("{subtask}:{n}:begin-end"),
                format!("{subtask}:{n}:again"),
            ]
        });
        assert!(lines.into_iter().eq(expected), "subtask {subtask}");
    }
    assert_eq!(text.lines().count(), 400);
}

#[test]
fn an_output_that_fails_is_a_failure_that_says_what_happened() {
    let cases = [
        (io::ErrorKind::BrokenPipe, "nobody reads it any more"),
        (io::ErrorKind::StorageFull, "no storage space"),
    ];
    for (kind, told) in cases {
        let (out, factory) = factory();
        let mut sink = writer(&factory, 0);
        sink.write(batch(&["a"]).rows()).unwrap();
        out.fail(kind);
        let failure = sink.flush().unwrap_err();
        assert!(matches!(failure, Failure::External { .. }));
        let text = failure.to_string();
        assert!(text.contains("sink `out`") && text.contains(told), "{text}");
        sink.write(batch(&["b"]).rows()).unwrap();
        assert!(sink.pre_commit(CheckpointId(1)).is_err());
    }
}

#[test]
fn what_a_sink_of_another_kind_sealed_is_not_dropped_silently() {
    let (_, factory) = factory();
    assert_eq!(factory.recover(&[]).unwrap(), Recovered::default());
    let failure = factory.recover(&[json!({ "v": 1 }).into()]).unwrap_err();
    assert!(matches!(failure, Failure::Restore { .. }), "{failure}");
    assert_eq!(factory.existing().unwrap().committed, 0);
}
