//! The example operators as Rust code of this process, over the same state: what the sandbox is
//! compared with.

use weir_model::{Column, OptionalColumn, Rows};
use weir_operator::{
    Context, Descriptor, Emitted, Failure, Operator, OperatorFactory, Outcome, TaskInfo,
};
use weir_state::{StateDecl, StateIndex, StateKind, Which};

use crate::decimal::write_decimal;

/// Emits every row as it came, as `guest-examples/passthrough` does.
#[derive(Clone)]
pub(crate) struct Passthrough {
    descriptor: Descriptor,
}

/// Counts the rows of each key and emits `key=count`, as `guest-examples/keyed-count` does.
#[derive(Clone)]
pub(crate) struct Count {
    descriptor: Descriptor,
    /// What the state holds for the keys of a call, then what it is to hold.
    read: OptionalColumn,
    counts: Vec<u64>,
    written: OptionalColumn,
    bytes_out: usize,
}

const COUNT: StateIndex = StateIndex(0);

impl Passthrough {
    pub(crate) fn new() -> Self {
        Self {
            descriptor: descriptor(Vec::new()),
        }
    }
}

impl Count {
    pub(crate) fn new() -> Self {
        Self {
            descriptor: descriptor(vec![StateDecl {
                name: "count".into(),
                kind: StateKind::Value,
                format: "u64-le".into(),
                version: 1,
                prefetch: true,
                ttl: None,
            }]),
            read: OptionalColumn::new(),
            counts: Vec::new(),
            written: OptionalColumn::new(),
            bytes_out: 0,
        }
    }
}

fn descriptor(states: Vec<StateDecl>) -> Descriptor {
    Descriptor {
        states,
        inputs: 1,
        ..Descriptor::default()
    }
}

fn one(values: Column) -> Outcome {
    Outcome {
        emitted: vec![Emitted {
            values,
            ..Emitted::default()
        }],
        poisoned: None,
    }
}

fn wrong(message: &str) -> Failure {
    Failure::Internal {
        message: message.to_owned(),
    }
}

impl OperatorFactory for Passthrough {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn create(&self, _task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        Ok(Box::new(self.clone()))
    }
}

impl OperatorFactory for Count {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn create(&self, _task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        Ok(Box::new(self.clone()))
    }
}

impl Operator for Passthrough {
    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn process(
        &mut self,
        _: &mut Box<Context>,
        _: u32,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        let mut values = Column::with_capacity(rows.len(), rows.values.contents().len());
        for row in rows.values.iter() {
            values.push(row);
        }
        Ok(one(values))
    }

    fn end_of_input(&mut self, _: &mut Box<Context>, _: u32) -> Result<Vec<Emitted>, Failure> {
        Ok(Vec::new())
    }

    fn finish(&mut self, _: &mut Box<Context>) -> Result<Vec<Emitted>, Failure> {
        Ok(Vec::new())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Operator for Count {
    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn process(
        &mut self,
        cx: &mut Box<Context>,
        _: u32,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        let keyed = rows.keyed.ok_or_else(|| wrong("the input has no key"))?;
        self.read.clear();
        cx.state.value_get(COUNT, Which::All, &mut self.read)?;
        self.counts.clear();
        for value in self.read.iter() {
            self.counts.push(match value {
                None => 0,
                Some(bytes) => u64::from_le_bytes(
                    bytes
                        .try_into()
                        .map_err(|_| wrong("a count of another width"))?,
                ),
            });
        }
        let room = self.bytes_out + self.bytes_out / 8;
        let mut values = Column::with_capacity(rows.len(), room);
        for &key in keyed.key_of_row {
            let count = &mut self.counts[key as usize];
            *count += 1;
            values.push_with(|out| {
                write_key(keyed.keys.get(key as usize), out)?;
                out.push(b'=');
                write_decimal(*count, out);
                Ok::<(), Failure>(())
            })?;
        }
        self.bytes_out = values.byte_len();
        self.written.clear();
        for count in &self.counts {
            self.written.push(Some(&count.to_le_bytes()));
        }
        cx.state.put_slots(COUNT, &mut self.written)?;
        Ok(one(values))
    }

    fn end_of_input(&mut self, _: &mut Box<Context>, _: u32) -> Result<Vec<Emitted>, Failure> {
        Ok(Vec::new())
    }

    fn finish(&mut self, _: &mut Box<Context>) -> Result<Vec<Emitted>, Failure> {
        Ok(Vec::new())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Writes the parts of a key, which must be text, joined by commas.
fn write_key(mut key: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut is_first = true;
    while let Some((&length, rest)) = key.split_first() {
        // Keys of this benchmark are short: one byte tells their length.
        let part = rest.split_at_checked(usize::from(length));
        let (part, rest) = part.ok_or_else(|| wrong("a part of a key is cut short"))?;
        if !part.is_ascii() {
            std::str::from_utf8(part).map_err(|_| wrong("a key is not text"))?;
        }
        if !is_first {
            out.push(b',');
        }
        out.extend_from_slice(part);
        is_first = false;
        key = rest;
    }
    Ok(())
}
