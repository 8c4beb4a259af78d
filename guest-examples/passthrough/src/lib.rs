//! Emits every row as it came.

use weir_guest::{Ctx, Process, Result, Row, operator};

#[derive(Default)]
struct Passthrough;

impl Process for Passthrough {
    type In = Vec<u8>;
    type Out = Vec<u8>;

    fn process(&mut self, row: Row<Vec<u8>>, ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
        ctx.emit(row.value)
    }
}

operator!(Passthrough);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn rows_stay_as_they_are() {
        let mut passthrough = Harness::open::<Passthrough, _>("null").unwrap();
        assert_eq!(
            passthrough.rows(["a", "", "b"]).unwrap().main(),
            ["a", "", "b"]
        );
    }
}
