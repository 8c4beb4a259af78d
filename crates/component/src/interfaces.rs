//! Names of interfaces: what the host offers, what a component must export, and what is made of the
//! names that a component has instead.

/// The interface that every operator exports.
pub(crate) const LOGIC: &str = "weir:operator/logic@0.1.0";
/// The interface of a component that uses timers.
pub(crate) const TIMED: &str = "timed";
/// The same by its full name.
pub(crate) const TIMED_EXPORT: &str = "weir:operator/timed@0.1.0";
/// The interface of a component that is called for all keys of a state.
pub(crate) const KEYED_BROADCAST: &str = "keyed-broadcast";
/// The same by its full name.
pub(crate) const KEYED_BROADCAST_EXPORT: &str = "weir:operator/keyed-broadcast@0.1.0";
/// The interface of a component that folds the rows of windows.
pub(crate) const AGGREGATE: &str = "aggregate";
/// The same by its full name.
pub(crate) const AGGREGATE_EXPORT: &str = "weir:operator/aggregate@0.1.0";
/// The interface of a component that sees all rows of windows.
pub(crate) const WINDOW_FUNCTION: &str = "window-function";
/// The same by its full name.
pub(crate) const WINDOW_FUNCTION_EXPORT: &str = "weir:operator/window-function@0.1.0";
/// The interface of a component that decides when windows give their results.
pub(crate) const TRIGGER: &str = "trigger";
/// The same by its full name.
pub(crate) const TRIGGER_EXPORT: &str = "weir:operator/trigger@0.1.0";
/// The interface of a component that makes the rows of a join.
pub(crate) const JOIN: &str = "join";
/// The same by its full name.
pub(crate) const JOIN_EXPORT: &str = "weir:operator/join@0.1.0";
/// The interface of a component that saves and restores something of its own.
pub(crate) const CHECKPOINTED: &str = "checkpointed";
/// The same by its full name.
pub(crate) const CHECKPOINTED_EXPORT: &str = "weir:operator/checkpointed@0.1.0";
/// The interface of a component that knows older versions of its state.
pub(crate) const EVOLVING: &str = "evolving";
/// The same by its full name.
pub(crate) const EVOLVING_EXPORT: &str = "weir:operator/evolving@0.1.0";

/// The interface of a component whose calls wait.
pub(crate) const ENRICH: &str = "enrich";
/// The same by its full name.
pub(crate) const ENRICH_EXPORT: &str = "weir:operator/enrich@0.1.0";
/// What the calls of such a component may wait for.
pub(crate) const HTTP: &str = "http";
/// The same by its full name.
pub(crate) const HTTP_IMPORT: &str = "weir:operator/http@0.1.0";

/// The interfaces of `weir:operator` that a component may import.
const HOST: [&str; 6] = ["context", "data", HTTP, "state", "telemetry", "timers"];
/// The interfaces of `weir:operator` that a component may export beside `logic`.
const OPTIONAL: [&str; 10] = [
    AGGREGATE,
    CHECKPOINTED,
    ENRICH,
    EVOLVING,
    JOIN,
    KEYED_BROADCAST,
    "selector",
    TIMED,
    TRIGGER,
    WINDOW_FUNCTION,
];
/// The packages of WASI 0.2 that are linked.
const WASI: [(&str, &[&str]); 6] = [
    (
        "cli",
        &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
        ],
    ),
    ("clocks", &["monotonic-clock", "wall-clock"]),
    ("filesystem", &["preopens", "types"]),
    ("io", &["error", "poll", "streams"]),
    ("random", &["insecure", "insecure-seed", "random"]),
    (
        "sockets",
        &[
            "instance-network",
            "ip-name-lookup",
            "network",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
];

/// Who offers what a component imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The host, by the contract of operators.
    Weir,
    /// The host, as WASI with nothing behind it.
    Wasi,
}

/// The parts of `namespace:package/interface@version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: &'a str,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (path, version) = name.split_once('@')?;
        let (package, interface) = path.split_once('/')?;
        Some(Self {
            package,
            interface,
            version,
        })
    }
}

/// Who offers an import; `None` where it is not granted.
pub(crate) fn provider(import: &str) -> Option<Provider> {
    let name = Name::parse(import)?;
    if name.package == "weir:operator" {
        let ours = HOST.contains(&name.interface) && same_minor(name.version);
        return ours.then_some(Provider::Weir);
    }
    let package = name.package.strip_prefix("wasi:")?;
    let (_, interfaces) = WASI.iter().find(|(known, _)| *known == package)?;
    let linked = interfaces.contains(&name.interface) && name.version.starts_with("0.2.");
    linked.then_some(Provider::Wasi)
}

/// Whether an import is what only calls that wait may use.
pub(crate) fn is_http(import: &str) -> bool {
    let name = Name::parse(import);
    name.is_some_and(|name| name.package == "weir:operator" && name.interface == HTTP)
}

/// What is exported of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exported<'a> {
    /// `logic` in a version that fits, and these optional interfaces.
    Operator { optional: Vec<&'static str> },
    /// `logic` in another version.
    OtherVersion(&'a str),
    /// No `logic`; what the component may be made for instead.
    NoLogic { hint: Option<&'static str> },
}

/// Looks through the names of all exports.
pub(crate) fn exported<'a>(exports: &[&'a str]) -> Exported<'a> {
    let of_weir = |interface: &str| {
        exports.iter().copied().find_map(|export| {
            let name = Name::parse(export)?;
            (name.package == "weir:operator" && name.interface == interface)
                .then_some((export, name.version))
        })
    };
    match of_weir("logic") {
        Some((_, version)) if same_minor(version) => Exported::Operator {
            optional: OPTIONAL
                .into_iter()
                .filter(|interface| of_weir(interface).is_some_and(|(_, v)| same_minor(v)))
                .collect(),
        },
        Some((export, _)) => Exported::OtherVersion(export),
        None => {
            let exports_of = |package: &str| {
                let prefix = format!("{package}/");
                exports.iter().any(|export| export.starts_with(&prefix))
            };
            let hint = if of_weir(AGGREGATE).is_some() {
                Some("it folds windows (`aggregate`), and must export `logic` as operators do")
            } else if of_weir(WINDOW_FUNCTION).is_some() {
                Some(
                    "it is a function of windows (`window-function`), and must export `logic` as \
                     operators do",
                )
            } else if of_weir(JOIN).is_some() {
                Some("it makes the rows of joins (`join`), and must export `logic` as operators do")
            } else if exports_of("wasi:cli") {
                Some("it is a program (`wasi:cli/run`), not an operator")
            } else if exports_of("wasi:http") {
                Some("it is an HTTP service, not an operator")
            } else {
                None
            };
            Exported::NoLogic { hint }
        }
    }
}

/// The world that a component with these optional exports satisfies.
pub(crate) fn world(optional: &[&str]) -> &'static str {
    // What waits is another kind of operator, and in no world with the rest.
    let others = optional.iter().filter(|&&name| name != ENRICH).count();
    if others == OPTIONAL.len() - 1 {
        "weir:operator/full-operator@0.1.0"
    } else {
        "weir:operator/operator@0.1.0"
    }
}

/// Whether a version is 0.1.x: below 1, another second number is another contract.
fn same_minor(version: &str) -> bool {
    version.starts_with("0.1.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_granted_by_name_and_version() {
        assert_eq!(provider("weir:operator/state@0.1.0"), Some(Provider::Weir));
        assert_eq!(provider("weir:operator/state@0.1.7"), Some(Provider::Weir));
        assert_eq!(provider("wasi:io/poll@0.2.6"), Some(Provider::Wasi));
        for refused in [
            "weir:operator/state@0.2.0",
            "weir:operator/state",
            "weir:operator/logic@0.1.0",
            "wasi:io/poll@0.3.0",
            "wasi:http/outgoing-handler@0.2.0",
            "env",
            "acme:db/query@1.0.0",
        ] {
            assert_eq!(provider(refused), None, "{refused}");
        }
    }

    #[test]
    fn exports_tell_what_a_component_is_made_for() {
        let all = [
            LOGIC,
            "cabi:extra/thing@1.0.0",
            "weir:operator/timed@0.1.0",
            "weir:operator/selector@0.9.0",
        ];
        assert_eq!(
            exported(&all),
            Exported::Operator {
                optional: vec![TIMED]
            }
        );
        assert_eq!(
            exported(&["weir:operator/logic@0.2.0"]),
            Exported::OtherVersion("weir:operator/logic@0.2.0")
        );
        let hints = [
            ("weir:operator/aggregate@0.1.0", "windows"),
            ("weir:operator/window-function@0.1.0", "function of windows"),
            ("weir:operator/join@0.1.0", "rows of joins"),
            ("wasi:cli/run@0.2.0", "program"),
            ("wasi:http/incoming-handler@0.2.0", "HTTP"),
        ];
        for (export, word) in hints {
            let Exported::NoLogic { hint: Some(hint) } = exported(&[export]) else {
                panic!("{export} gives no hint");
            };
            assert!(hint.contains(word), "{hint}");
        }
        assert_eq!(exported(&["run"]), Exported::NoLogic { hint: None });
    }
}
