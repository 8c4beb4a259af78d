//! Whether a checkpoint is whole: every byte of it is read.
//!
//! INVARIANT: what is said to be whole can be restored: length and checksum of each file are those
//! in the metadata, and each block of state can be unpacked and read row by row.

use weir_checkpoint::{FileRef, StoreError};
use weir_model::ProcessingTime;
use weir_state::{ChannelFile, HeapBackend, SavedState, StateDecl};

use super::{METADATA, Problem, Saved, all_groups, steps};
use crate::storage::{Folder, Stores};

/// A file is read in pieces of so many bytes.
const PIECE_BYTES: u64 = 4 << 20;

/// Key groups are looked at in so many steps, where there are as many: a step is in memory.
const STEPS: u32 = 128;

/// What was found.
pub(crate) enum Verified {
    /// All of it is as it was written.
    Whole(Box<Saved>),
    /// What is wrong, file by file.
    Damaged(Vec<Problem>),
    /// Nothing wrong was found, but some of it cannot be read now.
    Unreadable(Vec<Problem>),
    /// It was removed while it was read.
    Gone,
}

/// Reads all of a checkpoint.
pub(crate) fn verify(path: &Folder, stores: &Stores) -> Verified {
    // What does not say is not gone.
    let is_there = || stores.has(path, METADATA).unwrap_or(true);
    let begun = is_there();
    let saved = match Saved::read(path, stores) {
        Ok(Ok(saved)) => saved,
        Ok(Err(_)) if begun && !is_there() => return Verified::Gone,
        Ok(Err(problem)) => return Verified::Damaged(vec![problem]),
        Err(e) => return Verified::Unreadable(vec![Problem::unread(METADATA, &e)]),
    };
    let mut problems = Vec::new();
    let mut damaged = false;
    for file in saved.metadata.files() {
        match check_file(file, &saved) {
            Found::Whole => {}
            Found::Wrong(what) => {
                damaged = true;
                problems.push(Problem::new(&file.path, what));
            }
            Found::Unread(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        return Verified::Whole(Box::new(saved));
    }
    match (is_there(), damaged) {
        (false, _) => Verified::Gone,
        (true, true) => Verified::Damaged(problems),
        (true, false) => Verified::Unreadable(problems),
    }
}

/// What is found of one file.
enum Found {
    Whole,
    Wrong(String),
    Unread(Problem),
}

/// Compares a file with what was written, and reads its state.
fn check_file(file: &FileRef, saved: &Saved) -> Found {
    let unread = |e: StoreError| match e.is_not_found() {
        true => Found::Wrong("missing".into()),
        false => Found::Unread(Problem::unread(&file.path, &e)),
    };
    let object = saved.object(file);
    let length = match saved.store.size(&object) {
        Ok(length) => length,
        Err(e) => return unread(e),
    };
    if length != file.length {
        return Found::Wrong(format!("{length} bytes, {} were written", file.length));
    }
    let (mut at, mut found) = (0, 0);
    while at < length {
        let piece = PIECE_BYTES.min(length - at);
        match saved.store.get_range(&object, at, piece) {
            Ok(bytes) => found = crc32c::crc32c_append(found, &bytes),
            Err(e) => return unread(e),
        }
        at += piece;
    }
    if found != file.crc32c {
        return Found::Wrong(format!(
            "checksum {found:08x}, {:08x} was written",
            file.crc32c
        ));
    }
    let read = match file.holds_channels() {
        true => check_channels(&object, saved),
        false => check_state(file, saved),
    };
    match read {
        Ok(()) => Found::Whole,
        Err(what) => Found::Wrong(what),
    }
}

/// Reads all state in a file as a restore does.
fn check_state(file: &FileRef, saved: &Saved) -> Result<(), String> {
    let mut reader = saved.open(file)?;
    let operators: Vec<_> = reader.operators().cloned().collect();
    let is_here = |part: &weir_checkpoint::SubtaskMeta| part.file.as_ref() == Some(file);
    let parts = || saved.metadata.operators.values().flat_map(|o| &o.subtasks);
    if !parts().any(is_here) {
        // An older file, of which others say what is in use: what else it says may be gone.
        return Ok(());
    }
    saved.refer(&mut reader, &saved.metadata.files())?;
    for (name, operator) in &saved.metadata.operators {
        if operator.subtasks.iter().any(is_here) && !operators.contains(name) {
            return Err(format!(
                "state of operator `{name}` should be in it and is not"
            ));
        }
    }
    let max = saved.metadata.max_parallelism;
    let range = all_groups(max);
    for name in operators {
        let wrong = |e: weir_state::Error| format!("operator `{name}`: {e}");
        if let Some(native) = reader.native(&name, range) {
            for (blob, _) in &native.blobs {
                let mut nowhere = std::io::sink();
                reader
                    .read_native(&name, blob, &mut nowhere)
                    .map_err(wrong)?;
            }
        } else {
            let states = reader.states(&name).unwrap_or_default();
            let keyed = states.iter().filter(|state| state.kind.is_keyed());
            let keyed: Vec<StateDecl> = keyed.map(declared).collect();
            for range in steps(max, STEPS) {
                let backend = HeapBackend::new(keyed.clone(), range);
                let mut backend = backend.map_err(|e| e.to_string())?;
                let loaded = reader.load(&name, &mut backend, range, ProcessingTime(0));
                loaded.map_err(wrong)?;
            }
        }
        reader.operator_state(&name).map_err(wrong)?;
    }
    Ok(())
}

/// Reads all that was in flight, as a restore does.
fn check_channels(object: &str, saved: &Saved) -> Result<(), String> {
    let bytes = saved.store.get(object).map_err(|e| e.to_string())?;
    let file = ChannelFile::open(bytes).map_err(|e| e.to_string())?;
    for channel in file.channels() {
        file.elements(channel.index).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// A declaration that a saved state fits. Without a time to live: what has expired is read too.
fn declared(saved: &SavedState) -> StateDecl {
    StateDecl {
        name: saved.name.clone(),
        kind: saved.kind,
        format: saved.format.clone(),
        version: saved.version,
        prefetch: false,
        ttl: None,
    }
}
