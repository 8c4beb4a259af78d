//! Operators that know older versions of their state, and show what is in it.

use crate::codec::StateCodec;
use crate::error::{Error, Result};
use crate::map_key::MapKey;

/// What an operator implements, beside the trait for its rows, to go on from state that was written
/// in an older version of its format. `operator!(Type, evolving)` says so.
///
/// A type that is kept in state has a version, [`StateCodec::VERSION`]; raise it when the type
/// changes, and keep the old type to read what was written.
///
/// ```
/// use weir_guest::{
///     Ctx, Evolve, Evolving, KeyedDescribe, KeyedProcess, Result, Row, Value, record,
/// };
///
/// record! {
///     version 2;
///     #[derive(Clone, Default)]
///     struct Total { rows: u64, bytes: u64 }
/// }
///
/// #[derive(Default)]
/// struct Count { total: Value<Total> }
///
/// impl KeyedProcess for Count {
///     type In = String;
///     type Out = String;
///
///     fn describe(&mut self, d: &mut KeyedDescribe) {
///         d.value("total", &mut self.total);
///     }
///
///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
///         let mut total = self.total.get()?.cloned().unwrap_or_default();
///         total.rows += 1;
///         total.bytes += row.len() as u64;
///         ctx.emit(format_args!("{} rows", total.rows))?;
///         self.total.set(total)
///     }
/// }
///
/// impl Evolving for Count {
///     fn evolve(e: &mut Evolve) {
///         // Version 1 counted rows only.
///         e.migrate("total", 1, |rows: u64| Ok(Total { rows, bytes: 0 }));
///         e.show("total", |total: &Total| format!("{} rows, {} bytes", total.rows, total.bytes));
///     }
/// }
///
/// weir_guest::operator!(Count, evolving);
/// # use weir_guest::testing::Evolved;
/// # let evolved = Evolved::of::<Count>();
/// # let total: Total = evolved.migrate("total", 1, &7u64).unwrap();
/// # assert_eq!((total.rows, total.bytes), (7, 0));
/// # assert_eq!(evolved.show("total", &total).unwrap(), "7 rows, 0 bytes");
/// # assert!(evolved.migrate::<u64, Total>("total", 3, &7).is_err());
/// ```
///
/// The host asks before the job runs, of all values of a state at once, in an instance that is not
/// opened. An error there refuses the start, and changes nothing.
pub trait Evolving {
    /// Says what is known. Called once in an instance.
    fn evolve(e: &mut Evolve);
}

type Migrate = dyn Fn(&[u8], &mut Vec<u8>) -> Result<()>;
type Show = dyn Fn(&[u8]) -> Result<String>;

/// What is known of older versions of state, and how it is shown.
#[derive(Default)]
pub struct Evolve {
    migrations: Vec<Known<(u32, Box<Migrate>)>>,
    shows: Vec<Known<Box<Show>>>,
}

/// Something that is known of a state.
struct Known<T> {
    state: String,
    /// Whether it is about the keys of a map.
    keys: bool,
    what: T,
}

impl Evolve {
    pub(crate) fn of<T: Evolving + ?Sized>() -> Self {
        let mut evolve = Self::default();
        T::evolve(&mut evolve);
        evolve
    }

    /// Makes of each value of an older version of a state one of the declared version: of the
    /// elements of a list, the values of a map, the accumulator of an aggregating state.
    pub fn migrate<Old: StateCodec, New: StateCodec>(
        &mut self,
        state: &str,
        from: u32,
        migrate: impl Fn(Old) -> Result<New> + 'static,
    ) {
        self.add(state, false, from, move |old, out| {
            migrate(Old::decode(old)?)?.encode(out)
        });
    }

    /// The same of the keys of a map, which otherwise stay as they are. No two keys of one map may
    /// become the same.
    pub fn migrate_keys<Old: MapKey, New: MapKey>(
        &mut self,
        state: &str,
        from: u32,
        migrate: impl Fn(Old) -> Result<New> + 'static,
    ) {
        self.add(state, true, from, move |old, out| {
            migrate(Old::decode(old)?)?.encode(out);
            Ok(())
        });
    }

    /// Says what a value of the declared version is, for `weir state`.
    pub fn show<T: StateCodec>(&mut self, state: &str, show: impl Fn(&T) -> String + 'static) {
        self.shows.push(Known {
            state: state.to_owned(),
            keys: false,
            what: Box::new(move |bytes| Ok(show(&T::decode(bytes)?))),
        });
    }

    /// Says what a key of a map is.
    pub fn show_keys<K: MapKey>(&mut self, state: &str, show: impl Fn(&K) -> String + 'static) {
        self.shows.push(Known {
            state: state.to_owned(),
            keys: true,
            what: Box::new(move |bytes| Ok(show(&K::decode(bytes)?))),
        });
    }

    fn add(
        &mut self,
        state: &str,
        keys: bool,
        from: u32,
        migrate: impl Fn(&[u8], &mut Vec<u8>) -> Result<()> + 'static,
    ) {
        self.migrations.push(Known {
            state: state.to_owned(),
            keys,
            what: (from, Box::new(migrate)),
        });
    }

    /// Appends what a value of an older version is. A part of which nothing is said stays, if
    /// something is said of the other part.
    pub(crate) fn migrated(
        &self,
        state: &str,
        keys: bool,
        from: u32,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let of_version =
            |known: &&Known<(u32, Box<Migrate>)>| known.state == state && known.what.0 == from;
        let mut known = self.migrations.iter().filter(of_version).peekable();
        if known.peek().is_none() {
            return Err(Error::new(format_args!(
                "version {from} of state `{state}` is not known"
            )));
        }
        match known.find(|known| known.keys == keys) {
            Some(known) => (known.what.1)(value, out),
            None => {
                out.extend_from_slice(value);
                Ok(())
            }
        }
    }

    /// What a value is, for people; text as it is and other bytes in hexadecimal digits where
    /// nothing is said of it.
    pub(crate) fn shown(&self, state: &str, keys: bool, value: &[u8]) -> Result<String> {
        let mut shows = self.shows.iter();
        match shows.find(|known| known.state == state && known.keys == keys) {
            Some(known) => (known.what)(value),
            None => Ok(match std::str::from_utf8(value) {
                Ok(text) => text.to_owned(),
                Err(_) => value.iter().map(|byte| format!("{byte:02x}")).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known;

    impl Evolving for Known {
        fn evolve(e: &mut Evolve) {
            e.migrate("list", 1, |old: u64| Ok(old.to_string()));
            e.migrate("map", 2, |old: u64| match old {
                0 => Err(Error::new("zero")),
                old => Ok(old + 1),
            });
            e.migrate_keys("map", 2, |old: String| Ok(old.to_uppercase()));
            e.show("list", |value: &String| format!("<{value}>"));
        }
    }

    fn migrated(state: &str, keys: bool, from: u32, value: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        Evolve::of::<Known>().migrated(state, keys, from, value, &mut out)?;
        Ok(out)
    }

    #[test]
    fn each_part_of_each_version_has_a_migration_of_its_own() {
        assert_eq!(
            migrated("list", false, 1, &7u64.to_le_bytes()).unwrap(),
            b"7"
        );
        assert_eq!(migrated("map", true, 2, b"a").unwrap(), b"A");
        let value = migrated("map", false, 2, &7u64.to_le_bytes()).unwrap();
        assert_eq!(value, 8u64.to_le_bytes());
        // Of the keys of `list` nothing is said.
        assert_eq!(migrated("list", true, 1, b"a").unwrap(), b"a");
    }

    #[test]
    fn what_is_not_known_or_cannot_be_read_is_an_error() {
        let why = |state, from, value: &[u8]| {
            let error = migrated(state, false, from, value).unwrap_err();
            error.into_message()
        };
        assert_eq!(
            why("list", 9, b""),
            "version 9 of state `list` is not known"
        );
        assert_eq!(
            why("other", 1, b""),
            "version 1 of state `other` is not known"
        );
        assert_eq!(why("map", 2, &0u64.to_le_bytes()), "zero");
        assert!(why("list", 1, b"short").contains("8 bytes"));
    }

    #[test]
    fn values_are_shown_as_they_are_said_or_as_they_are() {
        let evolve = Evolve::of::<Known>();
        assert_eq!(evolve.shown("list", false, b"a").unwrap(), "<a>");
        assert_eq!(evolve.shown("map", true, b"a").unwrap(), "a");
        assert_eq!(evolve.shown("map", false, &[255, 0]).unwrap(), "ff00");
    }
}
