//! JSON by serde: rows, state values and configuration.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::StateCodec;
use crate::error::{Context, Result};
use crate::row::{Decode, Encode, EncodeAs};

/// A value that is written as JSON. As the type of an input it is seen as a `T`; where it is the
/// type of an output, a `&T` can be emitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> Decode for Json<T> {
    type View<'a> = T;

    fn decode(bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).context("the row is not the expected JSON")
    }
}

impl<T: Serialize + 'static> Encode for Json<T> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        Ok(serde_json::to_writer(out, &self.0)?)
    }
}

impl<T: Serialize> EncodeAs<Json<T>> for &T {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        Ok(serde_json::to_writer(out, self)?)
    }
}

impl<T: Serialize + DeserializeOwned + 'static> StateCodec for Json<T> {
    fn format() -> String {
        "json".to_owned()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        Ok(serde_json::to_writer(out, &self.0)?)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(Self(serde_json::from_slice(bytes)?))
    }
}
