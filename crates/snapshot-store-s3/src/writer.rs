//! An object that is written piece by piece: a small one by one request, a larger one in parts, of
//! which some are under way while the next one comes.
//!
//! INVARIANT: no more than [`Sizes::together`] parts and one in the making are in memory.

use std::collections::VecDeque;

use object_store::{PutPayload, multipart::PartId};
use weir_checkpoint::{ObjectWriter, StoreError};

use crate::{
    S3Store,
    store::{Answers, Written},
    upload::Upload,
};

/// See the module.
pub(crate) struct Writer<'a> {
    store: &'a S3Store,
    path: String,
    /// The part that is being filled.
    part: Vec<u8>,
    written: Written,
    /// `None` = it fits into one part so far.
    parts: Option<Parts>,
}

/// The parts of a larger object.
struct Parts {
    upload: Upload,
    done: Vec<PartId>,
    under_way: VecDeque<Answers<PartId>>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(store: &'a S3Store, path: &str) -> Self {
        Self {
            store,
            path: path.to_owned(),
            part: Vec::new(),
            written: Written::default(),
            parts: None,
        }
    }

    /// The bytes of the part that is being filled.
    fn part_bytes(&self) -> usize {
        let count = self.parts.as_ref().map_or(0, Parts::count);
        self.store.inner().sizes.of_part(count)
    }

    /// Sends what there is as a part.
    fn send(&mut self) -> Result<(), StoreError> {
        let Self {
            store, path, parts, ..
        } = self;
        let inner = store.inner();
        let parts = match parts {
            Some(parts) => parts,
            None => {
                let begin = Upload::begin(inner.clone(), path.clone());
                parts.insert(Parts {
                    upload: store.wait("write", path, begin)?,
                    done: Vec::new(),
                    under_way: VecDeque::new(),
                })
            }
        };
        while parts.under_way.len() >= inner.sizes.together {
            parts.take_one()?;
        }
        let payload = PutPayload::from(std::mem::take(&mut self.part));
        let send = parts.upload.clone().part(parts.count(), payload);
        let sent = store.begin("write", path, send)?;
        parts.under_way.push_back(sent);
        Ok(())
    }

    /// Nothing of it must stay: what does costs money until somebody tidies up.
    fn give_up(&mut self) {
        self.part = Vec::new();
        if let Some(parts) = self.parts.take() {
            for part in parts.under_way {
                let _ = part.wait();
            }
            let abort = parts.upload.abort();
            let _ = self.store.wait("write", &self.path, abort);
        }
    }
}

impl Parts {
    /// How many were sent.
    fn count(&self) -> usize {
        self.done.len() + self.under_way.len()
    }

    /// Waits for the oldest part under way.
    fn take_one(&mut self) -> Result<(), StoreError> {
        if let Some(part) = self.under_way.pop_front() {
            self.done.push(part.wait()?);
        }
        Ok(())
    }
}

impl ObjectWriter for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.written.add(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.part_bytes().saturating_sub(self.part.len());
            // Not before there is more: the last part is never empty, and one alone is no part.
            if room == 0 {
                self.send().inspect_err(|_| self.give_up())?;
                continue;
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.part.extend_from_slice(now);
            rest = later;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.parts.is_some() {
            self.send()?;
        }
        let Self {
            store,
            path,
            written,
            ..
        } = &*self;
        let (store, path, written) = (*store, path.clone(), *written);
        let inner = store.inner().clone();
        let Some(parts) = &mut self.parts else {
            let payload = PutPayload::from(std::mem::take(&mut self.part));
            let object = path.clone();
            let put = async move { inner.put(&object, payload).await };
            return store.wait("write", &path, put);
        };
        while !parts.under_way.is_empty() {
            parts.take_one()?;
        }
        let complete = parts.upload.clone();
        let done = std::mem::take(&mut parts.done);
        // It ends itself, one way or the other.
        self.parts = None;
        store.wait("write", &path, complete.complete(done, written))
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}
