//! A disk in memory that fails on demand, and forgets at a crash what was not put on it.
//!
//! It keeps what POSIX promises and no more: what was written to a file is there after a power loss
//! if the file was synced since, a name if its folder was; of the rest, any part may be. After a
//! sync that failed the data is gone, and the next one succeeds.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Cursor, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use weir_connectors::{Disk, DiskFile};

use super::rng::Rng;

/// What goes wrong with one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskFault {
    /// Nothing is done, and an error is told; a sync loses the data.
    Refuse,
    /// It is done, and an error is told.
    LoseReply,
    /// Half of a write is done, and an error is told.
    Half,
    /// The process dies: a write is half done, anything else not at all, and nothing works any
    /// more.
    Freeze,
}

#[derive(Clone, Debug, Default)]
pub(super) struct MemoryDisk(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    folders: BTreeMap<PathBuf, Folder>,
    steps: u64,
    faults: BTreeMap<u64, DiskFault>,
    fired: u64,
    links: u64,
    frozen: bool,
}

/// A file, whatever its names.
#[derive(Debug, Default)]
struct Node {
    bytes: Vec<u8>,
    /// How much of it survives.
    durable: usize,
}

#[derive(Debug, Default)]
struct Folder {
    names: BTreeMap<String, u64>,
    /// The names that survive.
    durable: BTreeMap<String, u64>,
    /// Whether it survives itself: its parent was synced.
    is_durable: bool,
}

impl MemoryDisk {
    /// Lets `fault` befall the `n`-th step from now on, counted from 1.
    pub(super) fn inject(&self, n: u64, fault: DiskFault) {
        let mut inner = self.lock();
        let at = inner.steps + n;
        inner.faults.insert(at, fault);
    }

    /// Takes back what was to go wrong and has not.
    pub(super) fn mend(&self) {
        self.lock().faults.clear();
    }

    /// How many steps were tried.
    pub(super) fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// How many faults have befallen a step.
    pub(super) fn fired(&self) -> u64 {
        self.lock().fired
    }

    /// How many names were given to files that had one.
    pub(super) fn links(&self) -> u64 {
        self.lock().links
    }

    /// Whether the process has died at a step.
    pub(super) fn is_frozen(&self) -> bool {
        self.lock().frozen
    }

    /// What is left when the process starts again: everything, or after a power loss what had been
    /// put on the disk and any part of the rest.
    pub(super) fn crash(&self, power_loss: bool, rng: &mut Rng) {
        let mut inner = self.lock();
        inner.frozen = false;
        inner.faults.clear();
        if !power_loss {
            return;
        }
        for node in inner.nodes.values_mut() {
            let rest = node.bytes.len() - node.durable;
            let kept = node.durable + rng.below(rest + 1);
            node.bytes.truncate(kept);
            node.durable = kept;
        }
        let mut lost: Vec<PathBuf> = Vec::new();
        // A folder comes before those in it, and takes them along.
        inner.folders.retain(|path, folder| {
            let is_lost = lost.iter().any(|above| path.starts_with(above))
                || (!folder.is_durable && rng.one_in(2));
            if is_lost {
                lost.push(path.clone());
            }
            !is_lost
        });
        for folder in inner.folders.values_mut() {
            folder.is_durable = true;
            let all: BTreeSet<_> = folder
                .names
                .keys()
                .chain(folder.durable.keys())
                .cloned()
                .collect();
            for name in all {
                let (now, then) = (folder.names.get(&name), folder.durable.get(&name));
                let kept = if rng.one_in(2) { now } else { then };
                match kept.copied() {
                    Some(node) => folder.names.insert(name, node),
                    None => folder.names.remove(&name),
                };
            }
            folder.durable.clone_from(&folder.names);
        }
    }

    /// The names in a folder, seen from outside.
    pub(super) fn look(&self, folder: &Path) -> Vec<String> {
        let inner = self.lock();
        let folder = inner.folders.get(folder);
        folder.map_or_else(Vec::new, |folder| folder.names.keys().cloned().collect())
    }

    /// The content of a file, seen from outside.
    pub(super) fn content(&self, path: &Path) -> Vec<u8> {
        let inner = self.lock();
        let node = inner.node(path).unwrap();
        inner.nodes[&node].bytes.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Inner {
    /// Counts a step; gives the fault that befalls it, or an error where nothing works any more.
    fn step(&mut self) -> io::Result<Option<DiskFault>> {
        if self.frozen {
            return Err(dead());
        }
        self.steps += 1;
        let fault = self.faults.remove(&self.steps);
        self.fired += u64::from(fault.is_some());
        self.frozen = fault == Some(DiskFault::Freeze);
        Ok(fault)
    }

    /// A step that is done or not.
    fn whole_step<T>(&mut self, act: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        match self.step()? {
            None => act(self),
            Some(DiskFault::LoseReply) => act(self).and(Err(injected())),
            Some(DiskFault::Refuse | DiskFault::Half) => Err(injected()),
            Some(DiskFault::Freeze) => Err(dead()),
        }
    }

    fn folder(&mut self, path: &Path) -> io::Result<(&mut Folder, String)> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let folder = self.folders.get_mut(path.parent().unwrap());
        Ok((folder.ok_or(io::ErrorKind::NotFound)?, name))
    }

    fn node(&self, path: &Path) -> io::Result<u64> {
        let folder = self.folders.get(path.parent().unwrap());
        let node = folder.and_then(|f| f.names.get(path.file_name().unwrap().to_str().unwrap()));
        Ok(*node.ok_or(io::ErrorKind::NotFound)?)
    }
}

fn injected() -> io::Error {
    io::Error::other("injected fault")
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl Disk for MemoryDisk {
    fn is_folder(&self, path: &Path) -> bool {
        path == Path::new("/") || self.lock().folders.contains_key(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.lock().whole_step(|inner| {
            let above = path.parent().ok_or(io::ErrorKind::AlreadyExists)?;
            if above.parent().is_some() && !inner.folders.contains_key(above) {
                return Err(io::ErrorKind::NotFound.into());
            }
            if inner.folders.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            inner.folders.insert(path.to_owned(), Folder::default());
            Ok(())
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.lock().whole_step(|inner| {
            for (child, folder) in &mut inner.folders {
                folder.is_durable |= child.parent() == Some(path);
            }
            if let Some(folder) = inner.folders.get_mut(path) {
                folder.durable.clone_from(&folder.names);
            }
            Ok(())
        })
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        self.lock().whole_step(|inner| {
            let folder = inner.folders.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(folder.names.keys().cloned().collect())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let node = self.lock().whole_step(|inner| {
            let node = inner.next_node;
            let (folder, name) = inner.folder(path)?;
            if folder.names.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            folder.names.insert(name, node);
            inner.nodes.insert(node, Node::default());
            inner.next_node += 1;
            Ok(node)
        })?;
        let disk = self.clone();
        Ok(Box::new(OpenFile { disk, node }))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        self.lock().whole_step(|inner| {
            let node = inner.node(path)?;
            let bytes = inner.nodes[&node].bytes.clone();
            Ok(Box::new(Cursor::new(bytes)) as Box<dyn Read>)
        })
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        self.lock().whole_step(|inner| {
            let node = inner.node(path)?;
            Ok(inner.nodes[&node].bytes.len() as u64)
        })
    }

    fn is_same(&self, a: &Path, b: &Path) -> io::Result<bool> {
        self.lock()
            .whole_step(|inner| Ok(inner.node(a)? == inner.node(b)?))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.lock().whole_step(|inner| {
            let node = inner.node(from)?;
            let (folder, name) = inner.folder(to)?;
            if folder.names.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            folder.names.insert(name, node);
            inner.links += 1;
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.lock().whole_step(|inner| {
            let (folder, name) = inner.folder(path)?;
            match folder.names.remove(&name) {
                Some(_) => Ok(()),
                None => Err(io::ErrorKind::NotFound.into()),
            }
        })
    }
}

struct OpenFile {
    disk: MemoryDisk,
    node: u64,
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.disk.lock();
        let fault = inner.step()?;
        let node = inner.nodes.get_mut(&self.node).unwrap();
        let half = &bytes[..bytes.len() / 2];
        match fault {
            None => {
                node.bytes.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Some(DiskFault::LoseReply) => {
                node.bytes.extend_from_slice(bytes);
                Err(injected())
            }
            Some(DiskFault::Refuse) => Err(injected()),
            Some(DiskFault::Half) => {
                node.bytes.extend_from_slice(half);
                Err(injected())
            }
            Some(DiskFault::Freeze) => {
                node.bytes.extend_from_slice(half);
                Err(dead())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for OpenFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let fault = inner.step()?;
        let node = inner.nodes.get_mut(&self.node).unwrap();
        match fault {
            None | Some(DiskFault::LoseReply) => node.durable = node.bytes.len(),
            // The kernel drops the pages, and knows of nothing to do the next time.
            Some(DiskFault::Refuse | DiskFault::Half) => node.bytes[node.durable..].fill(0),
            Some(DiskFault::Freeze) => return Err(dead()),
        }
        if fault.is_some() {
            Err(injected())
        } else {
            Ok(())
        }
    }
}
