//! What an operator knows of its state, asked as the host asks it.

use crate::codec::StateCodec;
use crate::error::Result;
use crate::evolve::{Evolve, Evolving};
use crate::map_key::MapKey;

/// What an [`Evolving`] operator knows of its state.
///
/// See [`Evolving`] for an example.
pub struct Evolved(Evolve);

impl Evolved {
    /// Asks an operator.
    pub fn of<T: Evolving>() -> Self {
        Self(Evolve::of::<T>())
    }

    /// What a value of an older version becomes.
    ///
    /// # Errors
    /// What the operator says, or that it does not know the version.
    pub fn migrate<Old: StateCodec, New: StateCodec>(
        &self,
        state: &str,
        from: u32,
        old: &Old,
    ) -> Result<New> {
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        old.encode(&mut bytes)?;
        self.0.migrated(state, false, from, &bytes, &mut out)?;
        New::decode(&out)
    }

    /// What a key of a map of an older version becomes.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate).
    pub fn migrate_key<Old: MapKey, New: MapKey>(
        &self,
        state: &str,
        from: u32,
        old: &Old,
    ) -> Result<New> {
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        old.encode(&mut bytes);
        self.0.migrated(state, true, from, &bytes, &mut out)?;
        New::decode(&out)
    }

    /// How a value is shown.
    ///
    /// # Errors
    /// If it has no written form.
    pub fn show<T: StateCodec>(&self, state: &str, value: &T) -> Result<String> {
        let mut bytes = Vec::new();
        value.encode(&mut bytes)?;
        self.0.shown(state, false, &bytes)
    }
}
