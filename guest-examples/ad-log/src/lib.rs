//! Lines of an ad log, `uuid,itemCode,behavior,price`: the columns, and prices as exact decimals.
//! Not a guest of its own; what the `seed-` guests share.

mod decimal;

pub use decimal::Decimal;
use weir_guest::Column;

/// The user.
pub const USER: Column = column(0, "uuid");
/// The item.
pub const ITEM: Column = column(1, "itemCode");
/// What the user did with it: `add`, `pay` or `del`.
pub const BEHAVIOR: Column = column(2, "behavior");
/// What it costs, in decimal.
pub const PRICE: Column = column(3, "price");

const fn column(index: usize, name: &'static str) -> Column {
    Column { index, name }
}
