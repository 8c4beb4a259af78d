//! Emits every row as it came.

use weir_guest::{BatchCtx, Batched, Ctx, InputBatch, Process, Result, Row, operator};

#[derive(Default)]
struct Passthrough;

impl Process for Passthrough {
    type In = Vec<u8>;
    type Out = Vec<u8>;

    fn process(&mut self, row: Row<Vec<u8>>, ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
        ctx.emit(row.value)
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        (0..batch.len()).try_for_each(|row| ctx.pass(row))?;
        Ok(Batched::Done)
    }
}

operator!(Passthrough);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn rows_stay_as_they_are() {
        for by_row in [false, true] {
            let mut passthrough = Harness::open::<Passthrough, _>("null").unwrap();
            if by_row {
                passthrough.row_by_row();
            }
            let out = passthrough.rows(["a", "", "b"]).unwrap();
            assert_eq!(out.main(), ["a", "", "b"]);
            assert_eq!(passthrough.was_whole(), !by_row);
            // Row by row: nothing needs to be said about where each came from.
            assert!(out.emitted[0].origin.is_empty());
            assert_eq!(
                passthrough.rows([b"\xff"]).unwrap().emitted[0].values.bytes,
                b"\xff"
            );
        }
    }
}
