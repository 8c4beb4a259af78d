//! A component that was loaded and found fit: what it is made of, what it declares, and the factory
//! of its instances.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::component as wasm;
use weir_operator::{
    AsyncOptions, Descriptor, Evolve, Failure, Operator, OperatorFactory, TaskInfo,
};

use crate::{
    ComponentEnrich, ComponentJoins, ComponentWindows, Engine, Error, Limits, Outside, Provider,
    bindings::OperatorPre,
    describe,
    evolving::ComponentEvolve,
    guest::Guest,
    instance::{Instance, NoInstance},
    interfaces::{self, Exported},
    operator::ComponentOperator,
};

/// A component, compiled and checked. Cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<Loaded>);

struct Loaded {
    info: ComponentInfo,
    descriptor: Descriptor,
    aggregates: bool,
    sees_windows: bool,
    triggers: bool,
    joins: bool,
    /// The states that go along with each call.
    prefetched: Vec<u32>,
    pre: OperatorPre<Guest>,
    /// For calls that wait, where they do.
    waiting: Option<wasm::InstancePre<Guest>>,
    /// Keeps the clock running that interrupts the instances.
    _engine: Engine,
}

/// What a component is made of, for people.
#[derive(Clone, Debug)]
pub struct ComponentInfo {
    /// The blake3 digest of the file, in hexadecimal digits.
    pub digest: String,
    /// The size of the file in bytes.
    pub size: usize,
    /// The world of the contract that the component satisfies.
    pub world: &'static str,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// The names of its imports and who offers each.
    pub imports: Vec<(String, Provider)>,
    /// How long it took to compile it, or to load the compiled code.
    pub compiled_in: Duration,
    /// Whether the compiled code came from the cache.
    pub cached: bool,
}

impl Engine {
    /// Loads a component from a file: compiles it, or takes its code from the cache, checks that it
    /// is an operator, and asks what it declares.
    ///
    /// # Errors
    /// [`Error`], which says what is wrong with the component and what can be done about it.
    pub fn load(&self, path: &Path, limits: &Limits) -> Result<Component, Error> {
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::Missing {
                path: path.display().to_string(),
                similar: similar(path),
            },
            _ => Error::Unreadable {
                path: path.display().to_string(),
                message: error.to_string(),
            },
        })?;
        self.load_bytes(&bytes, limits)
    }

    /// Loads a component out of memory, as [`load`](Self::load).
    ///
    /// # Errors
    /// [`Error`].
    pub fn load_bytes(&self, bytes: &[u8], limits: &Limits) -> Result<Component, Error> {
        check_header(bytes)?;
        let digest = blake3::hash(bytes);
        let begun = Instant::now();
        let (compiled, cached) = self.compile(bytes, &digest)?;
        let compiled_in = begun.elapsed();

        let (exports, imports) = names(&compiled, &self.shared.wasm);
        let optional = check_exports(&exports)?;
        let imports = check_imports(imports)?;
        let waits = optional.contains(&interfaces::ENRICH);
        if !waits
            && imports
                .iter()
                .any(|(import, _)| interfaces::is_http(import))
        {
            return Err(Error::HttpWithoutEnrich);
        }
        let types = |error: wasmtime::Error| Error::Types {
            message: format!("{error:#}"),
        };
        let pre = self
            .shared
            .linker
            .instantiate_pre(&compiled)
            .map_err(types)?;
        let pre = OperatorPre::new(pre).map_err(types)?;
        let waiting = waits.then(|| self.shared.waiting.instantiate_pre(&compiled));
        let waiting = waiting.transpose().map_err(types)?;
        let descriptor = describe::check(described(&pre, limits)?, &optional)?;
        let prefetched = (0..)
            .zip(&descriptor.states)
            .filter(|(_, state)| state.prefetch);
        Ok(Component(Arc::new(Loaded {
            info: ComponentInfo {
                digest: digest.to_hex().to_string(),
                size: bytes.len(),
                world: interfaces::world(&optional),
                exports,
                imports,
                compiled_in,
                cached,
            },
            aggregates: optional.contains(&interfaces::AGGREGATE),
            sees_windows: optional.contains(&interfaces::WINDOW_FUNCTION),
            triggers: optional.contains(&interfaces::TRIGGER),
            joins: optional.contains(&interfaces::JOIN),
            prefetched: prefetched.map(|(index, _)| index).collect(),
            descriptor,
            pre,
            waiting,
            _engine: self.clone(),
        })))
    }

    fn compile(
        &self,
        bytes: &[u8],
        digest: &blake3::Hash,
    ) -> Result<(wasm::Component, bool), Error> {
        let shared = &self.shared;
        let cached = shared
            .cache
            .as_ref()
            .and_then(|cache| cache.load(&shared.wasm, digest));
        if let Some(component) = cached {
            return Ok((component, true));
        }
        let component =
            wasm::Component::from_binary(&shared.wasm, bytes).map_err(|error| Error::Invalid {
                message: format!("{error:#}"),
            })?;
        if let Some(cache) = &shared.cache {
            cache.store(&component, digest);
        }
        Ok((component, false))
    }
}

impl Component {
    /// What it is made of.
    #[must_use]
    pub fn info(&self) -> &ComponentInfo {
        &self.0.info
    }

    /// What it declares.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.0.descriptor
    }

    /// A factory of instances with these limits.
    #[must_use]
    pub fn factory(&self, limits: Limits) -> ComponentFactory {
        ComponentFactory {
            component: self.clone(),
            limits,
        }
    }

    /// Whether it folds the rows of windows.
    #[must_use]
    pub fn aggregates(&self) -> bool {
        self.0.aggregates
    }

    /// Whether it sees all rows of windows.
    #[must_use]
    pub fn sees_windows(&self) -> bool {
        self.0.sees_windows
    }

    /// Whether it decides when windows give their results.
    #[must_use]
    pub fn triggers(&self) -> bool {
        self.0.triggers
    }

    /// Whether it makes the rows of joins.
    #[must_use]
    pub fn joins(&self) -> bool {
        self.0.joins
    }

    /// A factory of instances with these limits, as functions of joins. For one that
    /// [`joins`](Self::joins).
    #[must_use]
    pub fn joining(&self, limits: Limits) -> ComponentJoins {
        ComponentJoins::new(self.clone(), limits)
    }

    /// A factory of instances with these limits, as functions of windows: where `folds` is set for
    /// one that [`aggregates`](Self::aggregates), else for one that
    /// [`sees_windows`](Self::sees_windows).
    #[must_use]
    pub fn windows(&self, limits: Limits, folds: bool) -> ComponentWindows {
        ComponentWindows::new(self.clone(), limits, folds)
    }

    /// Whether its calls wait.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.0.waiting.is_some()
    }

    /// Whether it imports what requests are sent with.
    #[must_use]
    pub fn imports_http(&self) -> bool {
        let imports = &self.0.info.imports;
        imports
            .iter()
            .any(|(import, _)| interfaces::is_http(import))
    }

    /// An operator with these limits whose calls wait. For one that [`waits`](Self::waits).
    #[must_use]
    pub fn enriching(
        &self,
        limits: Limits,
        options: AsyncOptions,
        outside: Outside,
    ) -> ComponentEnrich {
        ComponentEnrich::new(self.clone(), limits, options, outside)
    }

    pub(crate) fn waiting_pre(&self) -> Option<&wasm::InstancePre<Guest>> {
        self.0.waiting.as_ref()
    }

    pub(crate) fn pre(&self) -> &OperatorPre<Guest> {
        &self.0.pre
    }

    pub(crate) fn prefetched(&self) -> &[u32] {
        &self.0.prefetched
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("info", &self.0.info)
            .field("descriptor", &self.0.descriptor)
            .finish_non_exhaustive()
    }
}

/// Makes the parallel instances of one operator out of a component.
#[derive(Clone, Debug)]
pub struct ComponentFactory {
    component: Component,
    limits: Limits,
}

impl ComponentFactory {
    /// Makes one instance, as [`OperatorFactory::create`] does.
    ///
    /// # Errors
    /// [`Failure`] where its start fails.
    pub fn instance(&self, task: &TaskInfo) -> Result<ComponentOperator, Failure> {
        ComponentOperator::new(self.component.clone(), self.limits.clone(), task.clone())
    }
}

impl OperatorFactory for ComponentFactory {
    fn descriptor(&self) -> &Descriptor {
        self.component.descriptor()
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        Ok(Box::new(self.instance(task)?))
    }

    fn evolve(&self) -> Result<Option<Box<dyn Evolve>>, Failure> {
        if !self.descriptor().evolving {
            return Ok(None);
        }
        let (component, limits) = (self.component.clone(), self.limits.clone());
        Ok(Some(Box::new(ComponentEvolve::new(component, limits))))
    }
}

/// The name of a file in the same folder that differs only in what cargo makes of the name of a
/// crate, or in capitals.
fn similar(path: &Path) -> Option<String> {
    let bare = |name: &str| name.replace('-', "_").to_lowercase();
    let wanted = bare(path.file_name()?.to_str()?);
    // Of a path without a folder that is the working directory.
    let folder = match path.parent()? {
        folder if folder.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    let files = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    names.filter(|name| bare(name) == wanted).min()
}

/// Tells what is not a component from its first bytes.
fn check_header(bytes: &[u8]) -> Result<(), Error> {
    const SHOWN: usize = 8;
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Error::NotAComponent {
            found: "a core module",
            core_module: true,
        }),
        [0, b'a', b's', b'm', ..] => Err(Error::NotAComponent {
            found: "WebAssembly of an unknown version",
            core_module: false,
        }),
        [] => Err(Error::NotWasm {
            begins: "nothing, it is empty".into(),
        }),
        [..] => {
            let begin = &bytes[..bytes.len().min(SHOWN)];
            Err(Error::NotWasm {
                begins: format!("\"{}\"", begin.escape_ascii()),
            })
        }
    }
}

/// The names of exports and imports.
fn names(compiled: &wasm::Component, engine: &wasmtime::Engine) -> (Vec<String>, Vec<String>) {
    let ty = compiled.component_type();
    let exports = ty
        .exports(engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    let imports = ty
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    (exports, imports)
}

/// The optional interfaces of the contract that are exported, if `logic` is.
fn check_exports(exports: &[String]) -> Result<Vec<&'static str>, Error> {
    let names: Vec<&str> = exports.iter().map(String::as_str).collect();
    match interfaces::exported(&names) {
        Exported::Operator { optional } => Ok(optional),
        Exported::OtherVersion(found) => Err(Error::Version {
            found: found.to_owned(),
        }),
        Exported::NoLogic { hint } => Err(Error::NoLogic {
            exports: listed(exports),
            hint,
        }),
    }
}

fn check_imports(imports: Vec<String>) -> Result<Vec<(String, Provider)>, Error> {
    let (mut granted, mut refused) = (Vec::new(), Vec::new());
    for import in imports {
        match interfaces::provider(&import) {
            Some(provider) => granted.push((import, provider)),
            None => refused.push(import),
        }
    }
    if refused.is_empty() {
        Ok(granted)
    } else {
        Err(Error::Imports {
            imports: listed(&refused),
        })
    }
}

/// Names for a message.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    if names.is_empty() {
        return "nothing".into();
    }
    let mut text = String::new();
    for (index, name) in names.iter().take(SHOWN).enumerate() {
        text.push_str(if index == 0 { "`" } else { ", `" });
        text.push_str(name);
        text.push('`');
    }
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// Asks an instance of its own what the component declares.
fn described(
    pre: &OperatorPre<Guest>,
    limits: &Limits,
) -> Result<crate::bindings::weir::operator::data::Descriptor, Error> {
    let mut instance = Instance::new(pre, limits, None).map_err(|error| match error {
        NoInstance::Failed(failure) => Error::Describe {
            during: "the start of an instance",
            failure,
        },
        NoInstance::Types(error) => Error::Types {
            message: format!("{error:#}"),
        },
    })?;
    instance.describe(limits).map_err(|failure| match failure {
        Failure::Guest { message, .. } => Error::Refused { words: message },
        failure => Error::Describe {
            during: "`describe`",
            failure,
        },
    })
}
