//! The codes of the errors of a job file; each has a page in `docs/errors/`.

/// All of them, for the tests that each has a page and a case.
pub const ALL: &[&str] = &[
    UNREADABLE,
    SYNTAX,
    YAML_FEATURE,
    DUPLICATE_KEY,
    UNKNOWN_KEY,
    MISSING_KEY,
    WRONG_TYPE,
    BAD_VALUE,
    QUANTITY,
    SET,
    NOT_AVAILABLE,
    API_VERSION,
    NAME,
    UNKNOWN_INPUT,
    CYCLE,
    PARALLELISM,
    NOTHING_TO_READ,
    KEY,
    CONTRADICTION,
    UNRESOLVED,
    UNKNOWN_SINK,
    MORE,
    BOUND,
];

/// The file is too large.
pub const UNREADABLE: &str = "W0200";
/// The text is not YAML.
pub const SYNTAX: &str = "W0201";
/// Something of YAML that has no place in a job file.
pub const YAML_FEATURE: &str = "W0202";
/// A key is there twice.
pub const DUPLICATE_KEY: &str = "W0203";
/// A key that nobody knows.
pub const UNKNOWN_KEY: &str = "W0204";
/// A key is missing.
pub const MISSING_KEY: &str = "W0205";
/// A value of another type than expected.
pub const WRONG_TYPE: &str = "W0206";
/// A value of the right type that cannot be.
pub const BAD_VALUE: &str = "W0207";
/// Not a size or not a duration.
pub const QUANTITY: &str = "W0208";
/// A `--set` that cannot be applied.
pub const SET: &str = "W0209";
/// Something that this version does not have.
pub const NOT_AVAILABLE: &str = "W0210";
/// A file of another version of the format.
pub const API_VERSION: &str = "W0211";
/// A name that breaks the rule of names, or is taken.
pub const NAME: &str = "W0212";
/// An input that reads nothing.
pub const UNKNOWN_INPUT: &str = "W0213";
/// Operators that wait for each other.
pub const CYCLE: &str = "W0214";
/// Parallelisms that do not fit together.
pub const PARALLELISM: &str = "W0215";
/// A job without a source, an operator without inputs, a sink that nothing feeds.
pub const NOTHING_TO_READ: &str = "W0216";
/// A key that cannot be selected from the rows of an input.
pub const KEY: &str = "W0217";
/// Two settings that exclude each other.
pub const CONTRADICTION: &str = "W0218";
/// Something that the graph depends on cannot be found out: a header, a component.
pub const UNRESOLVED: &str = "W0219";
/// Dead letters that go to no sink.
pub const UNKNOWN_SINK: &str = "W0220";
/// More errors than are told.
pub const MORE: &str = "W0221";
/// More than the host file allows.
pub const BOUND: &str = "W0222";
