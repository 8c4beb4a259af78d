//! JSON by serde: rows, state values and configuration.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::StateCodec;
use crate::error::{Context, Error, Result};
use crate::row::{Decode, Encode, EncodeAs};

/// A value that is written as JSON: as a row, in state, or as what is emitted.
///
/// As the type of an input it is seen as a `T`. Where it is the type of an output, a `T` or a `&T`
/// is emitted; where the output is text, a `Json(value)`, which may borrow.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use weir_guest::{Ctx, Json, Process, Result, Row};
///
/// #[derive(Deserialize)]
/// struct Payment { user: String, cents: u64 }
///
/// #[derive(Serialize)]
/// struct Large<'a> { user: &'a str, cents: u64 }
///
/// #[derive(Default)]
/// struct LargeOnes;
///
/// impl Process for LargeOnes {
///     type In = Json<Payment>;
///     type Out = String;
///
///     fn process(&mut self, row: Row<Json<Payment>>, ctx: &mut Ctx<String>) -> Result<()> {
///         if row.cents < 100_000 {
///             return Ok(());
///         }
///         ctx.emit(Json(Large { user: &row.user, cents: row.cents }))
///     }
/// }
///
/// # use weir_guest::testing::Harness;
/// # let mut large = Harness::open::<LargeOnes, _>("null").unwrap();
/// # let rows = [r#"{"user":"ann","cents":1}"#, r#"{"user":"ben","cents":100000}"#];
/// # assert_eq!(large.rows(rows).unwrap().main(), [rows[1]]);
/// ```
///
/// The format name of a state value is `json` whatever `T` is, so that a job is resumed after `T`
/// has changed; then `T` must read what was written before it changed. [`record!`](crate::record)
/// is stricter, and takes fewer bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// Reads JSON that may borrow from `bytes`: for a [`Decode`] that copies no text.
///
/// ```
/// use std::borrow::Cow;
/// use weir_guest::{Decode, Result, from_json};
///
/// struct Payment;
///
/// #[derive(serde::Deserialize)]
/// struct PaymentView<'a> {
///     #[serde(borrow)]
///     user: Cow<'a, str>,
///     cents: u64,
/// }
///
/// impl Decode for Payment {
///     type View<'a> = PaymentView<'a>;
///     fn decode(bytes: &[u8]) -> Result<PaymentView<'_>> {
///         from_json(bytes)
///     }
/// }
/// # let payment = Payment::decode(br#"{"user":"ann","cents":7}"#).unwrap();
/// # assert!(matches!(payment.user, Cow::Borrowed("ann")));
/// # assert_eq!(payment.cents, 7);
/// ```
///
/// # Errors
/// If `bytes` are not JSON, or not that of a `T`.
pub fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).context("not the expected JSON")
}

impl<T: DeserializeOwned + 'static> Decode for Json<T> {
    type View<'a> = T;

    fn decode(bytes: &[u8]) -> Result<T> {
        from_json(bytes).context("the row")
    }
}

impl<T: Serialize + 'static> Encode for Json<T> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        write(&self.0, out)
    }
}

impl<T: Serialize> EncodeAs<Json<T>> for T {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        write(self, out)
    }
}

impl<T: Serialize> EncodeAs<Json<T>> for &T {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        write(*self, out)
    }
}

impl<T: Serialize> EncodeAs<String> for Json<T> {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        write(&self.0, out)
    }
}

impl<T: Serialize + DeserializeOwned + 'static> StateCodec for Json<T> {
    fn format() -> String {
        "json".to_owned()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        write(&self.0, out)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        from_json(bytes).map(Self)
    }
}

/// How much of a configuration that does not fit is shown, in bytes.
const MAX_SHOWN: usize = 200;

/// Reads the configuration of an operator. Whoever wrote it wrote YAML, and knows nothing of lines
/// of the JSON that it came as.
pub(crate) fn config<T: DeserializeOwned>(config: &str) -> Result<T> {
    serde_json::from_str(config).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let why = error.to_string();
        let place = format!(" at line {line} column {column}");
        let why = why.strip_suffix(&place[..]).unwrap_or(&why);
        if config == "null" {
            return Error::new("this operator has no `config:` in the job file, and needs one");
        }
        let shown = &config[..config.floor_char_boundary(MAX_SHOWN)];
        let more = if shown.len() < config.len() {
            "…"
        } else {
            ""
        };
        Error::new(format_args!(
            "the `config:` of this operator in the job file is `{shown}{more}`, and does not fit: \
             {why}"
        ))
    })
}

fn write<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value).context("no JSON can be made of the value")
}

#[cfg(test)]
mod tests;
