//! Why a component cannot be used, told before anything starts: each with a code, and with what the
//! user can do about it.

use std::borrow::Cow;

use weir_operator::Failure;

use crate::interfaces;

/// Why a component cannot be used. The file, or what else names the component, is told by
/// [`load`](crate::Engine::load)'s caller, who knows where in the job file it stands.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file.
    #[error("there is no file `{path}`")]
    Missing {
        /// The path.
        path: String,
        /// The name of a file beside it that is spelt nearly the same.
        similar: Option<String>,
    },
    /// The file cannot be read.
    #[error("`{path}` cannot be read: {message}")]
    Unreadable {
        /// The path.
        path: String,
        /// What the operating system says.
        message: String,
    },
    /// The bytes are not WebAssembly.
    #[error("this is not WebAssembly: it begins with {begins}")]
    NotWasm {
        /// The first bytes in words.
        begins: String,
    },
    /// A core module, or a component of another version of the format.
    #[error("this is {found}, not a component")]
    NotAComponent {
        /// What it is.
        found: &'static str,
        /// Whether it is what cargo makes without the linker of components.
        core_module: bool,
    },
    /// A component that does not validate or cannot be compiled.
    #[error("this component is not valid: {message}")]
    Invalid {
        /// What the compiler says.
        message: String,
    },
    /// The mandatory interface is not exported.
    #[error(
        "the component does not export `{}`; it exports {exports}",
        interfaces::LOGIC
    )]
    NoLogic {
        /// The names of what it does export.
        exports: String,
        /// What the component seems to be made for, where it can be told.
        hint: Option<&'static str>,
    },
    /// The mandatory interface is exported in a version that this host does not have.
    #[error(
        "the component exports `{found}`, this host runs `{}`",
        interfaces::LOGIC
    )]
    Version {
        /// The export.
        found: String,
    },
    /// The component wants something that nobody grants.
    #[error("the component imports what it is not granted: {imports}")]
    Imports {
        /// The names of the imports.
        imports: String,
    },
    /// It would wait in calls that do not.
    #[error(
        "the component imports `{}`, and does not export `{}`",
        interfaces::HTTP_IMPORT,
        interfaces::ENRICH_EXPORT
    )]
    HttpWithoutEnrich,
    /// A function has another type than the contract gives it.
    #[error("the component does not match the contract: {message}")]
    Types {
        /// Which function, and how it differs.
        message: String,
    },
    /// An instance could not be started, or `describe` failed.
    #[error("{during} failed: {failure}")]
    Describe {
        /// What was being done.
        during: &'static str,
        /// How it failed.
        failure: Failure,
    },
    /// `describe` said itself, as an error in the log, why it does not come back.
    #[error("{words}")]
    Refused {
        /// What it said.
        words: String,
    },
    /// `describe` declares what makes no sense.
    #[error("`describe` declares {problem}")]
    Descriptor {
        /// What is wrong, with the name of what it is about.
        problem: String,
    },
    /// The engine could not be set up on this machine.
    #[error("the WebAssembly engine cannot be set up: {message}")]
    Engine {
        /// What the engine says.
        message: String,
    },
}

impl Error {
    /// The code under which the error is documented.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "W0301",
            Self::Unreadable { .. } => "W0302",
            Self::NotWasm { .. } => "W0303",
            Self::NotAComponent { .. } => "W0304",
            Self::Invalid { .. } => "W0305",
            Self::NoLogic { .. } => "W0306",
            Self::HttpWithoutEnrich => "W0350",
            Self::Version { .. } => "W0307",
            Self::Imports { .. } => "W0308",
            Self::Types { .. } => "W0309",
            Self::Describe { .. } | Self::Refused { .. } => "W0310",
            Self::Descriptor { .. } => "W0311",
            Self::Engine { .. } => "W0313",
        }
    }

    /// What the user can do about it, where there is more to say than the error itself says.
    #[must_use]
    pub fn help(&self) -> Option<Cow<'static, str>> {
        if let Self::Missing {
            similar: Some(similar),
            ..
        } = self
        {
            let help = format!(
                "did you mean `{similar}`, which is there? cargo names the file after the crate, \
                 with `-` as `_`"
            );
            return Some(help.into());
        }
        self.fixed_help().map(Cow::Borrowed)
    }

    /// The help that does not depend on what was found.
    fn fixed_help(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => Some(
                "build the component first; cargo names the file after the crate, with `-` as `_`, \
                 and a crate without `crate-type = [\"cdylib\"]` makes none",
            ),
            Self::NotWasm { .. } => Some("a component is a `.wasm` file"),
            Self::NotAComponent {
                core_module: true, ..
            } => Some(
                "in Rust: put the linker into `.cargo/config.toml` beside `Cargo.toml` (see the \
                 book, your first operator) and run cargo in that folder; else: link it with \
                 `wasm-component-ld`, or wrap it with `wasm-tools component new`",
            ),
            Self::NotAComponent {
                core_module: false, ..
            } => Some("build it with tools that make components of WASI 0.2"),
            Self::NoLogic { hint, .. } => hint.or(Some(
                "in Rust: name the operator with `weir_guest::operator!(Type);`; else: build it \
                 against the world `weir:operator/operator`",
            )),
            Self::Version { .. } | Self::Types { .. } => {
                Some("build the component again with the SDK of this version of the host")
            }
            Self::Imports { .. } => Some(
                "an operator may import the interfaces of \
                 `weir:operator` and WASI 0.2, which gives it no files and no network",
            ),
            Self::HttpWithoutEnrich => Some(
                "only calls that wait may send requests: in the Rust SDK implement `Enrich`, and \
                 name the operator with `weir_guest::operator!(Type, enrich);`",
            ),
            Self::Invalid { .. } => Some(
                "build the component again; the file may be cut short, or made by tools newer \
                 than this host (`wasm-tools validate` tells which)",
            ),
            Self::Describe { .. } => Some(
                "`describe` only declares: it has no state, no \
                 configuration and no context, and may only log",
            ),
            Self::Unreadable { .. }
            | Self::Refused { .. }
            | Self::Descriptor { .. }
            | Self::Engine { .. } => None,
        }
    }
}
