//! A store in memory that fails on demand, for tests of whatever uses a store.

#[expect(clippy::unwrap_used, reason = "a test, for whoever runs it")]
mod contract;
mod hooked;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use contract::contract;
pub use hooked::{Asked, Hooked};

use crate::{ObjectInfo, ObjectWriter, Refusal, SnapshotStore, StoreError};

/// What goes wrong with the write of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its first piece is not written, and the writer is told so.
    Refuse,
    /// It is written, but the writer is told that it failed.
    LoseReply,
    /// Half of it is written, and the writer is told that it failed. A store that keeps its promise
    /// does not do this; a disk may.
    Tear,
    /// Nothing is written, and from now on everything fails: what is left is the image that a crash
    /// leaves. See [`MemoryStore::thaw`].
    Freeze,
}

/// Objects in memory, with faults.
///
/// ```
/// use weir_checkpoint::{SnapshotStore, testing::{Fault, MemoryStore}};
///
/// let store = MemoryStore::new();
/// store.inject(1, Fault::LoseReply);
/// assert!(store.put("a", vec![b"x".to_vec()]).is_err());
/// assert_eq!(store.get("a").unwrap(), b"x");
/// assert!(store.put("b", vec![]).is_ok());
/// ```
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    writes: u64,
    faults: BTreeMap<u64, Fault>,
    frozen: bool,
    /// How many bytes there may be in all.
    room: Option<u64>,
    /// The bytes of objects that are being written.
    begun: u64,
}

/// An object that is being written.
struct Writer<'a> {
    store: &'a MemoryStore,
    path: String,
    bytes: Vec<u8>,
    fault: Option<Fault>,
}

impl MemoryStore {
    /// An empty store without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `fault` befall the `n`-th write of an object from now on, counted from 1.
    pub fn inject(&self, n: u64, fault: Fault) {
        let mut inner = self.lock();
        let at = inner.writes + n;
        inner.faults.insert(at, fault);
    }

    /// Lets so many bytes in all find room, those of objects in the making included, as on a disk
    /// of that size; `None` = as many as come.
    pub fn set_room(&self, room: Option<u64>) {
        self.lock().room = room;
    }

    /// The bytes of all objects, those in the making included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    /// How many writes were tried.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Whether everything fails since a [`Fault::Freeze`].
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.lock().frozen
    }

    /// Ends a freeze and forgets the faults to come: the machine has started again.
    pub fn thaw(&self) {
        let mut inner = self.lock();
        inner.frozen = false;
        inner.faults.clear();
    }

    /// Flips one bit of an object: `bit` is taken modulo its size. Says whether there is such an
    /// object, with a bit to flip.
    pub fn flip(&self, path: &str, bit: usize) -> bool {
        let mut inner = self.lock();
        let Some(bytes) = inner
            .objects
            .get_mut(path)
            .filter(|bytes| !bytes.is_empty())
        else {
            return false;
        };
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        true
    }

    /// The paths of all objects, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects, unless everything fails.
    fn awake(
        &self,
        operation: &'static str,
        path: &str,
    ) -> Result<MutexGuard<'_, Inner>, StoreError> {
        let inner = self.lock();
        if inner.frozen {
            Err(failed(operation, path, "the store is frozen"))
        } else {
            Ok(inner)
        }
    }
}

impl Inner {
    fn bytes(&self) -> u64 {
        let objects = self.objects.values();
        self.begun + objects.map(|bytes| bytes.len() as u64).sum::<u64>()
    }

    /// Never replaces an object.
    fn vacant(&self, path: &str) -> Result<(), StoreError> {
        if self.objects.contains_key(path) {
            let path = path.to_owned();
            return Err(StoreError::AlreadyExists { path });
        }
        Ok(())
    }
}

impl ObjectWriter for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut inner = self.store.awake("write", &self.path)?;
        if self.fault == Some(Fault::Refuse) {
            return Err(failed("write", &self.path, "injected fault"));
        }
        let more = bytes.len() as u64;
        if inner.room.is_some_and(|room| inner.bytes() + more > room) {
            return Err(StoreError::Refused {
                operation: "write",
                path: self.path.clone(),
                refusal: Refusal::Full {
                    message: "No space left on device (os error 28)".to_owned(),
                },
            });
        }
        inner.begun += more;
        drop(inner);
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let mut inner = self.store.awake("write", &self.path)?;
        inner.vacant(&self.path)?;
        let mut bytes = std::mem::take(&mut self.bytes);
        inner.begun -= bytes.len() as u64;
        let is_there = match self.fault {
            None | Some(Fault::LoseReply) => true,
            Some(Fault::Tear) => {
                bytes.truncate(bytes.len() / 2);
                true
            }
            Some(Fault::Refuse) => false,
            Some(Fault::Freeze) => {
                inner.frozen = true;
                false
            }
        };
        if is_there {
            inner.objects.insert(self.path.clone(), bytes);
        }
        match self.fault {
            None => Ok(()),
            Some(_) => Err(failed("write", &self.path, "injected fault")),
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.store.lock().begun -= self.bytes.len() as u64;
    }
}

impl SnapshotStore for MemoryStore {
    fn create<'a>(&'a self, path: &str) -> Result<Box<dyn ObjectWriter + 'a>, StoreError> {
        let mut inner = self.awake("write", path)?;
        inner.writes += 1;
        let at = inner.writes;
        let fault = inner.faults.remove(&at);
        inner.vacant(path)?;
        Ok(Box::new(Writer {
            store: self,
            path: path.to_owned(),
            bytes: Vec::new(),
            fault,
        }))
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let inner = self.awake("read", path)?;
        inner
            .objects
            .get(path)
            .cloned()
            .ok_or_else(|| not_found(path))
    }

    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let inner = self.awake("read", path)?;
        let bytes = inner.objects.get(path).ok_or_else(|| not_found(path))?;
        let start = usize::try_from(offset).ok();
        let end = offset
            .checked_add(length)
            .and_then(|end| usize::try_from(end).ok());
        let range = start
            .zip(end)
            .and_then(|(start, end)| bytes.get(start..end));
        range
            .map(<[u8]>::to_vec)
            .ok_or_else(|| StoreError::OutOfRange {
                path: path.to_owned(),
                offset,
                length,
                size: bytes.len() as u64,
            })
    }

    fn size(&self, path: &str) -> Result<u64, StoreError> {
        let inner = self.awake("read", path)?;
        let object = inner.objects.get(path);
        let size = object.map(|bytes| bytes.len() as u64);
        size.ok_or_else(|| not_found(path))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let inner = self.awake("list", prefix)?;
        let under = inner.objects.range(prefix.to_owned()..);
        let under = under.take_while(|(path, _)| path.starts_with(prefix));
        let info = |(path, bytes): (&String, &Vec<u8>)| ObjectInfo {
            path: path.clone(),
            length: bytes.len() as u64,
        };
        Ok(under.map(info).collect())
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.awake("delete", path)?.objects.remove(path);
        Ok(())
    }

    fn describe(&self) -> String {
        "memory:".into()
    }
}

fn failed(operation: &'static str, path: &str, message: &str) -> StoreError {
    StoreError::Failed {
        operation,
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

fn not_found(path: &str) -> StoreError {
    StoreError::NotFound {
        path: path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &MemoryStore, path: &str) -> Result<(), StoreError> {
        store.put(path, vec![b"ab".to_vec(), b"cd".to_vec()])
    }

    #[test]
    fn objects_are_created_once_and_listed_in_order() {
        let store = MemoryStore::new();
        for path in ["a/2", "a/1", "ab/1"] {
            put(&store, path).unwrap();
        }
        assert_eq!(
            put(&store, "a/1"),
            Err(StoreError::AlreadyExists { path: "a/1".into() })
        );
        let listed: Vec<_> = store
            .list("a/")
            .unwrap()
            .into_iter()
            .map(|o| (o.path, o.length))
            .collect();
        assert_eq!(listed, [("a/1".into(), 4), ("a/2".into(), 4)]);
        assert_eq!(store.get_range("a/1", 1, 2).unwrap(), b"bc");
        assert!(matches!(
            store.get_range("a/1", u64::MAX, 2),
            Err(StoreError::OutOfRange { size: 4, .. })
        ));
        store.delete("a/1").unwrap();
        store.delete("a/1").unwrap();
        assert_eq!(
            store.get("a/1"),
            Err(StoreError::NotFound { path: "a/1".into() })
        );
    }

    #[test]
    fn what_finds_no_room_is_not_there_and_takes_none() {
        let store = MemoryStore::new();
        put(&store, "a").unwrap();
        store.set_room(Some(9));
        let mut begun = store.create("b").unwrap();
        begun.write(b"12345").unwrap();
        assert_eq!(store.bytes(), 9);
        assert!(put(&store, "c").is_err(), "what is begun takes room, too");
        let error = begun.write(b"6").unwrap_err().to_string();
        assert!(error.contains("No space left"), "{error}");
        drop(begun);
        assert_eq!((store.bytes(), store.paths()), (4, vec!["a".to_owned()]));
        put(&store, "c").unwrap();
    }

    #[test]
    fn faults_befall_the_write_they_are_meant_for() {
        let store = MemoryStore::new();
        put(&store, "a").unwrap();
        for (n, fault) in (1..).zip([Fault::Refuse, Fault::LoseReply, Fault::Tear, Fault::Freeze]) {
            store.inject(n, fault);
        }
        for path in ["b", "c", "d", "e", "f"] {
            assert!(put(&store, path).is_err());
        }
        assert!(store.get("a").is_err() && store.is_frozen());
        store.thaw();
        assert_eq!(store.paths(), ["a", "c", "d"]);
        assert_eq!(store.get("d").unwrap(), b"ab");
        assert_eq!(store.writes(), 5);
        assert!(store.flip("d", 17) && !store.flip("e", 0));
        assert_eq!(store.get("d").unwrap(), b"cb");
    }
}
