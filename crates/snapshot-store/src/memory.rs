//! Objects in the memory of this process: gone with it.
//!
//! What one task writes for a checkpoint is limited, as a Flink job manager limits it: checkpoints
//! in memory are for small state.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use weir_checkpoint::{JobPaths, ObjectInfo, ObjectWriter, Refusal, SnapshotStore, StoreError};

use crate::local::{checked_object, checked_prefix};

/// A store in memory. Clones share their objects.
///
/// ```
/// use weir_checkpoint::SnapshotStore;
/// use weir_snapshot_store::MemoryStore;
///
/// let store = MemoryStore::new(4);
/// store.put("flights/chk-1/count/0/state", vec![b"ab".to_vec(), b"cd".to_vec()]).unwrap();
/// let error = store.put("flights/chk-1/count/1/state", vec![vec![0; 5]]).unwrap_err();
/// assert_eq!(error.refusal().unwrap().code(), "W0130");
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore {
    limit: u64,
    objects: Arc<RwLock<BTreeMap<String, Arc<[u8]>>>>,
}

impl MemoryStore {
    /// The limit of Flink's `MemoryStateBackend`, in bytes (semantics 1.17).
    pub const DEFAULT_LIMIT: u64 = 5 * 1024 * 1024;

    /// An empty store whose objects have at most `limit` bytes; `_metadata`, which the coordinator
    /// writes, may have more.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            objects: Arc::default(),
        }
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let objects = self.objects.read();
        let objects = objects.unwrap_or_else(std::sync::PoisonError::into_inner);
        objects.values().map(|bytes| bytes.len() as u64).sum()
    }

    fn object(&self, path: &str) -> Result<Arc<[u8]>, StoreError> {
        checked_object(path, "read")?;
        let objects = self.objects.read();
        let objects = objects.unwrap_or_else(std::sync::PoisonError::into_inner);
        let object = objects.get(path).cloned();
        object.ok_or_else(|| StoreError::NotFound {
            path: path.to_owned(),
        })
    }
}

/// An object that is being written.
struct Writer<'a> {
    store: &'a MemoryStore,
    path: String,
    bytes: Vec<u8>,
}

impl Writer<'_> {
    fn exists(&self) -> StoreError {
        StoreError::AlreadyExists {
            path: self.path.clone(),
        }
    }
}

impl ObjectWriter for Writer<'_> {
    /// Refuses what is too large as soon as it is: nothing beyond the limit is ever in memory.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let (length, limit) = ((self.bytes.len() + bytes.len()) as u64, self.store.limit);
        if length > limit && !JobPaths::is_metadata(&self.path) {
            self.bytes = Vec::new();
            return Err(StoreError::Refused {
                operation: "write",
                path: self.path.clone(),
                refusal: Refusal::TooLarge { length, limit },
            });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let mut objects = self
            .store
            .objects
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if objects.contains_key(&self.path) {
            return Err(self.exists());
        }
        objects.insert(self.path.clone(), self.bytes.as_slice().into());
        Ok(())
    }
}

impl SnapshotStore for MemoryStore {
    fn create<'a>(&'a self, path: &str) -> Result<Box<dyn ObjectWriter + 'a>, StoreError> {
        checked_object(path, "write")?;
        let writer = Writer {
            store: self,
            path: path.to_owned(),
            bytes: Vec::new(),
        };
        let objects = self.objects.read();
        let objects = objects.unwrap_or_else(std::sync::PoisonError::into_inner);
        match objects.contains_key(path) {
            true => Err(writer.exists()),
            false => Ok(Box::new(writer)),
        }
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        Ok(self.object(path)?.to_vec())
    }

    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.object(path)?;
        let end = offset.checked_add(length);
        let range = usize::try_from(offset)
            .ok()
            .zip(end.and_then(|end| usize::try_from(end).ok()));
        let part = range.and_then(|(start, end)| bytes.get(start..end));
        part.map(<[u8]>::to_vec)
            .ok_or_else(|| StoreError::OutOfRange {
                path: path.to_owned(),
                offset,
                length,
                size: bytes.len() as u64,
            })
    }

    fn size(&self, path: &str) -> Result<u64, StoreError> {
        Ok(self.object(path)?.len() as u64)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        checked_prefix(prefix, "list")?;
        let objects = self.objects.read();
        let objects = objects.unwrap_or_else(std::sync::PoisonError::into_inner);
        let under = objects.range(prefix.to_owned()..);
        let under = under.take_while(|(path, _)| path.starts_with(prefix));
        let info = |(path, bytes): (&String, &Arc<[u8]>)| ObjectInfo {
            path: path.clone(),
            length: bytes.len() as u64,
        };
        Ok(under.map(info).collect())
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        checked_object(path, "delete")?;
        let mut objects = self
            .objects
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        objects.remove(path);
        Ok(())
    }

    fn describe(&self) -> String {
        "memory:".into()
    }
}

#[cfg(test)]
mod tests {
    use weir_checkpoint::testing::contract;

    use super::*;

    #[test]
    fn it_keeps_the_promises_of_a_store() {
        contract(&MemoryStore::new(MemoryStore::DEFAULT_LIMIT), 200);
    }

    #[test]
    fn what_is_too_large_is_refused_by_the_name_of_its_key_and_takes_no_room() {
        let store = MemoryStore::new(10);
        store.put("a/chk-1/x/0/state", vec![vec![1; 10]]).unwrap();
        let error = store.put("a/chk-1/x/1/state", vec![vec![1; 6], vec![1; 5]]);
        let told = error.unwrap_err().told();
        for part in [
            "`a/chk-1/x/1/state`",
            "11 bytes",
            "10",
            "`checkpoint.max-state-size`",
            "W0130",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(store.bytes(), 10);
        // What the coordinator keeps beside the state is not the state of a task.
        store.put("a/chk-1/_metadata", vec![vec![1; 11]]).unwrap();
        assert_eq!(store.clone().bytes(), 21);
    }
}
