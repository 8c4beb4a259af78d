//! The paths that are counted. Each is a program of its own that does the same work in each of so
//! many batches, so that the difference of two lengths is the work of batches and nothing else.
//!
//! INVARIANT: what a path does follows from the number of its batches: no clock, no random seed.

#[cfg(feature = "component")]
mod component;
mod heap;
mod job;
mod snapshot;
mod window;

use std::path::PathBuf;

use crate::Failure;

/// One path.
pub(crate) struct Path {
    /// What it is called in the file of counts.
    pub(crate) name: &'static str,
    /// The two lengths of a count, in batches.
    pub(crate) batches: [u32; 2],
    /// Does the work of so many batches.
    pub(crate) run: fn(&Setting, u32) -> Result<(), Failure>,
    /// By how many hundredths its count may be above the one that is kept.
    pub(crate) tolerance: f64,
    /// Whether it calls into a component: then the program that counts it is another one.
    pub(crate) calls_component: bool,
}

/// Where a path finds what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Where components lie.
    pub(crate) components: PathBuf,
    /// A folder for compiled code.
    #[cfg_attr(
        not(feature = "component"),
        expect(dead_code, reason = "without components nothing is compiled")
    )]
    pub(crate) cache: PathBuf,
}

/// Paths without a component.
const NATIVE: [Path; 5] = [
    // Selects the key of each row of csv, routes it, packs it into the channel, takes it out, and
    // counts the rows of each key: what a whole task does.
    job("keyed-count", |_, batches| job::count(batches)),
    // Reads and writes the state of the keys of a batch.
    native("heap-1e3", [200, 600], |_, batches| {
        heap::run(1_000, batches)
    }),
    native("heap-1e6", [100, 300], |_, batches| {
        heap::run(1_000_000, batches)
    }),
    // Adds the rows of a batch to the windows they are in.
    native("window", [100, 300], |_, batches| window::run(batches)),
    // Freezes and writes out the state of as many keys as a batch has rows, in each batch.
    native("snapshot", [20, 60], |_, batches| snapshot::run(batches)),
];

const fn native(
    name: &'static str,
    batches: [u32; 2],
    run: fn(&Setting, u32) -> Result<(), Failure>,
) -> Path {
    Path {
        name,
        batches,
        run,
        tolerance: 3.0,
        calls_component: false,
    }
}

/// A path with threads: how they divide the work depends on the time that it takes.
const fn job(name: &'static str, run: fn(&Setting, u32) -> Result<(), Failure>) -> Path {
    Path {
        tolerance: 8.0,
        ..native(name, [200, 600], run)
    }
}

/// Paths that call into a component.
const COMPONENT: [Path; 2] = [
    // A batch in and the same rows out.
    Path {
        name: "component-passthrough",
        batches: [100, 300],
        run: passthrough,
        tolerance: 3.0,
        calls_component: true,
    },
    // The same with state: keys, slots in, slots out.
    Path {
        name: "component-keyed-count",
        batches: [100, 300],
        run: keyed_count,
        tolerance: 3.0,
        calls_component: true,
    },
];

/// All paths, in the order in which they are told.
pub(crate) fn all() -> impl Iterator<Item = Path> {
    NATIVE.into_iter().chain(COMPONENT)
}

#[cfg(feature = "component")]
fn passthrough(setting: &Setting, batches: u32) -> Result<(), Failure> {
    component::run(setting, "passthrough.wasm", false, batches)
}

#[cfg(feature = "component")]
fn keyed_count(setting: &Setting, batches: u32) -> Result<(), Failure> {
    component::run(setting, "keyed-count.wasm", true, batches)
}

#[cfg(not(feature = "component"))]
fn passthrough(setting: &Setting, _: u32) -> Result<(), Failure> {
    keyed_count(setting, 0)
}

#[cfg(not(feature = "component"))]
fn keyed_count(setting: &Setting, _: u32) -> Result<(), Failure> {
    let folder = setting.components.display();
    Err(format!("this program was built without calls into the components of {folder}").into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_path_has_a_name_of_its_own_and_two_lengths() {
        let names: HashSet<&str> = all().map(|path| path.name).collect();
        assert_eq!(names.len(), all().count());
        for path in all() {
            assert!(path.batches[0] < path.batches[1], "{}", path.name);
        }
    }

    #[test]
    fn each_path_without_a_component_runs() {
        let nowhere = Setting {
            components: PathBuf::new(),
            cache: PathBuf::new(),
        };
        for path in NATIVE {
            // The keys of this one alone take seconds in a build for tests.
            if path.name != "heap-1e6" {
                (path.run)(&nowhere, 2).unwrap_or_else(|error| panic!("{}: {error}", path.name));
            }
        }
    }
}
