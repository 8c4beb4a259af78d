//! The rows of all inputs of an operator as one type.

use std::marker::PhantomData;

use crate::error::{Error, Result};
use crate::row::{Decode, Row};

/// What the rows of an operator's inputs mean. A type that is [`Decode`] is that of all inputs;
/// where they differ, [`inputs!`](crate::inputs!) makes one type of theirs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type for the rows of an input",
    note = "implement `Decode` for it, or name the types of several inputs by `inputs!`"
)]
pub trait Inputs: 'static {
    /// How many inputs the type is for; `None` for any number.
    const COUNT: Option<u32>;

    /// Whether reading a row twice costs less than keeping what was read.
    #[doc(hidden)]
    const CHEAP: bool = false;

    /// What the author works with; it may borrow from the row.
    type View<'a>;

    /// Reads a row of input `input`.
    ///
    /// # Errors
    /// As [`Decode::decode`]; fatal if there is no such input.
    fn decode_row(input: u32, bytes: &[u8]) -> Result<Self::View<'_>>;
}

impl<T: Decode> Inputs for T {
    const COUNT: Option<u32> = None;
    const CHEAP: bool = T::CHEAP;

    type View<'a> = T::View<'a>;

    #[inline]
    fn decode_row(_input: u32, bytes: &[u8]) -> Result<T::View<'_>> {
        T::decode(bytes)
    }
}

/// The rows of two inputs, for the traits that have a function for each.
pub struct Two<A, B>(PhantomData<fn(A, B)>);

/// A row of one of two inputs.
pub enum Either<A, B> {
    First(A),
    Second(B),
}

impl<A: Decode, B: Decode> Inputs for Two<A, B> {
    const COUNT: Option<u32> = Some(2);
    const CHEAP: bool = A::CHEAP && B::CHEAP;

    type View<'a> = Either<A::View<'a>, B::View<'a>>;

    fn decode_row(input: u32, bytes: &[u8]) -> Result<Self::View<'_>> {
        match input {
            0 => A::decode(bytes).map(Either::First),
            1 => B::decode(bytes).map(Either::Second),
            _ => Err(no_input(input, 2)),
        }
    }
}

impl<'a, A: Decode, B: Decode> Row<'a, Two<A, B>> {
    /// The row as one of the input that it came in by.
    pub(crate) fn split(self) -> Either<Row<'a, A>, Row<'a, B>> {
        let Self {
            value,
            timestamp,
            input,
        } = self;
        match value {
            Either::First(value) => Either::First(Row {
                value,
                timestamp,
                input,
            }),
            Either::Second(value) => Either::Second(Row {
                value,
                timestamp,
                input,
            }),
        }
    }
}

/// The host sent rows of an input that the operator does not have.
#[cold]
#[doc(hidden)]
pub fn no_input(input: u32, inputs: u32) -> Error {
    Error::fatal(format_args!(
        "malformed call from the host: input {input} of {inputs}"
    ))
}

/// Names the types of several inputs: the first is that of input 0, and so on. It makes two types,
/// one for the inputs together, to be the `In` of an operator, and one for a row of any of them.
///
/// ```
/// use weir_guest::{Csv, Ctx, KeyedDescribe, KeyedProcess, Map, Result, Row, columns, inputs};
///
/// columns! { ORDER, CENTS }
///
/// inputs! {
///     /// The inputs, in the order of the job file.
///     struct Events;
///     /// What happens to an order.
///     enum Event {
///         Ordered(Csv),
///         Paid(Csv),
///         Cancelled(String),
///     }
/// }
///
/// /// What is to be paid of each order of a customer. All inputs have the customer as their key.
/// #[derive(Default)]
/// struct Due { cents: Map<String, i64> }
///
/// impl KeyedProcess for Due {
///     type In = Events;
///     type Out = String;
///
///     fn describe(&mut self, d: &mut KeyedDescribe) {
///         d.map("cents", &mut self.cents);
///     }
///
///     fn process(&mut self, row: Row<Events>, ctx: &mut Ctx<String>) -> Result<()> {
///         let (order, cents) = match &row.value {
///             Event::Ordered(row) => (row.text(ORDER)?, row.get::<i64>(CENTS)?),
///             Event::Paid(row) => (row.text(ORDER)?, -row.get::<i64>(CENTS)?),
///             Event::Cancelled(order) => return self.cents.remove(*order),
///         };
///         let due = self.cents.get(&order)?.copied().unwrap_or(0) + cents;
///         self.cents.put(&order, due)?;
///         ctx.emit(format_args!("{order}: {due}"))
///     }
/// }
///
/// weir_guest::operator!(Due);
/// # use weir_guest::testing::{Harness, Input};
/// # let mut due = Harness::open::<Due, _>("null").unwrap();
/// # let row = |text: &str| [Input::row(text).key(["ann"])];
/// # assert_eq!(due.batch(0, row("7,500")).unwrap().main(), ["7: 500"]);
/// # assert_eq!(due.batch(1, row("7,200")).unwrap().main(), ["7: 300"]);
/// # due.batch(2, row("7")).unwrap();
/// # assert_eq!(due.held("cents"), 0);
/// ```
#[macro_export]
macro_rules! inputs {
    (
        $(#[$inputs_attribute:meta])*
        $inputs_visibility:vis struct $inputs:ident;
        $(#[$row_attribute:meta])*
        $row_visibility:vis enum $row:ident {
            $($(#[$attribute:meta])* $input:ident($type:ty)),+ $(,)?
        }
    ) => {
        $(#[$inputs_attribute])*
        $inputs_visibility struct $inputs;

        $(#[$row_attribute])*
        $row_visibility enum $row<'a> {
            $($(#[$attribute])* $input(<$type as $crate::Decode>::View<'a>)),+
        }

        impl $crate::Inputs for $inputs {
            const COUNT: ::core::option::Option<u32> = ::core::option::Option::Some(
                [$(::core::stringify!($input)),+].len() as u32,
            );

            type View<'a> = $row<'a>;

            fn decode_row(input: u32, bytes: &[u8]) -> $crate::Result<$row<'_>> {
                let mut number = 0;
                $(
                    if input == number {
                        let view = <$type as $crate::Decode>::decode(bytes)?;
                        return ::core::result::Result::Ok($row::$input(view));
                    }
                    number += 1;
                )+
                ::core::result::Result::Err($crate::inputs::no_input(input, number))
            }
        }
    };
}
