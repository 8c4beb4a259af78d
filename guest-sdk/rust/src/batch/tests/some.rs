//! Rows of a batch that some give and some do not.

use super::*;

/// How the rows that are chosen are written.
#[derive(Clone, Copy, Debug)]
enum Written {
    /// As bytes that are as many as the row has.
    Bytes,
    /// As two bytes, of which a place is made for each row.
    Narrow,
    /// As more bytes than a place is made of.
    Wide,
    /// As nothing.
    Empty,
    /// As a number that does not fill its place by itself.
    Slow,
}

const WRITTEN: [Written; 5] = [
    Written::Bytes,
    Written::Narrow,
    Written::Wide,
    Written::Empty,
    Written::Slow,
];

/// Of a row that begins with an odd byte, so it is chosen; one that begins with 255 is refused.
fn chosen(row: &[u8]) -> Result<bool> {
    match row.first() {
        Some(255) => Err(Error::new("not this one")),
        first => Ok(first.is_some_and(|first| first % 2 == 1)),
    }
}

struct Choice(Written);

impl Default for Choice {
    fn default() -> Self {
        Self(Written::Bytes)
    }
}

fn narrow(row: &[u8]) -> [u8; 2] {
    [row[0], row.len() as u8]
}

fn wide(row: &[u8]) -> [u8; 65] {
    [row[0]; 65]
}

fn slow(row: &[u8]) -> Slow {
    Slow(row[0] & 7)
}

/// As `Binary<Slow>` is written, in an output of bytes.
struct Slowly(Slow);

impl crate::EncodeAs<Vec<u8>> for Slowly {
    const ROW_WIDTH: Option<usize> = Some(1);

    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        self.0.encode(out)
    }
}

impl Process for Choice {
    type In = Vec<u8>;
    type Out = Vec<u8>;

    fn open(&mut self, env: Env) -> Result<()> {
        let config = env.config();
        let found = WRITTEN.into_iter().find(|it| config == format!("{it:?}"));
        self.0 = found.ok_or_else(|| Error::new(config))?;
        Ok(())
    }

    fn process(&mut self, row: Row<Vec<u8>>, ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
        let row = row.value;
        match (chosen(row)?, self.0) {
            (false, _) => Ok(()),
            (true, Written::Bytes) => ctx.emit(row),
            (true, Written::Narrow) => ctx.emit(narrow(row)),
            (true, Written::Wide) => ctx.emit(wide(row)),
            (true, Written::Empty) => ctx.emit([0; 0]),
            (true, Written::Slow) => ctx.emit(Slowly(slow(row))),
        }
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Vec<u8>>,
        ctx: &mut BatchCtx<Vec<u8>>,
    ) -> Result<Batched> {
        let rows = batch.rows().map(|row| {
            let row = row?.value;
            Ok(chosen(row)?.then_some(row))
        });
        match self.0 {
            Written::Bytes => ctx.emit_some(rows)?,
            Written::Narrow => ctx.emit_some(rows.map(|row| Ok(row?.map(narrow))))?,
            Written::Wide => ctx.emit_some(rows.map(|row| Ok(row?.map(wide))))?,
            Written::Empty => ctx.emit_some(rows.map(|row| Ok(row?.map(|_| [0; 0]))))?,
            Written::Slow => {
                ctx.emit_some(rows.map(|row| Ok(row?.map(|row| Slowly(slow(row))))))?;
            }
        }
        Ok(Batched::Done)
    }
}

#[test]
fn what_is_chosen_of_a_batch_is_what_is_chosen_row_by_row() {
    let mut numbers = 1_u64;
    let mut below = |bound: u64| {
        numbers = numbers
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (numbers >> 33) % bound
    };
    for written in WRITTEN {
        let mut guests = [false, true].map(|by_row| {
            let mut guest = Harness::open::<Choice, _>(&format!("{written:?}")).unwrap();
            if by_row {
                guest.row_by_row();
            }
            guest
        });
        // Calls one after the other, as room is left from each to the next: all rows are chosen,
        // none is, some are, one is refused.
        for round in 0..200 {
            let rows: Vec<Vec<u8>> = (0..below(7))
                .map(|_| {
                    let first = match round % 4 {
                        0 => 1,
                        1 => 2,
                        2 => below(254) as u8,
                        _ => [1, 2, 3, 255][below(4) as usize],
                    };
                    vec![first; 1 + below(90) as usize]
                })
                .collect();
            let refused = rows.iter().any(|row| row[0] == 255);
            let [by_batch, by_row] = guests.each_mut().map(|guest| {
                let out = guest.rows(rows.clone()).unwrap();
                (shown(&out), guest.was_whole())
            });
            assert_eq!(by_batch.0, by_row.0, "{written:?} {rows:?}");
            assert_eq!(by_batch.1, !refused, "{rows:?}");
            assert!(!by_row.1);
        }
    }
}

/// Gives so many values for the rows of a batch, narrow or not, behind a row or not.
#[derive(Default)]
struct Given {
    values: usize,
    narrow: bool,
    behind: bool,
    /// The value that there is none of.
    failing: Option<usize>,
}

impl Process for Given {
    type In = Vec<u8>;
    type Out = Vec<u8>;

    fn open(&mut self, env: Env) -> Result<()> {
        let config = env.config();
        let number = |name: &str| {
            let at = config.find(name)? + name.len();
            config[at..].split(' ').next()?.parse().ok()
        };
        self.values = number("values:").unwrap_or(3);
        self.failing = number("failing:");
        self.narrow = config.contains("narrow");
        self.behind = config.contains("behind");
        Ok(())
    }

    fn process(&mut self, row: Row<Vec<u8>>, ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
        ctx.emit(row.value)
    }

    fn process_batch(
        &mut self,
        _batch: &InputBatch<Vec<u8>>,
        ctx: &mut BatchCtx<Vec<u8>>,
    ) -> Result<Batched> {
        if self.behind {
            ctx.emit(0, &b"before"[..])?;
        }
        let values = (0..self.values).map(|value| match Some(value) == self.failing {
            true => Err(Error::new("no more")),
            false => Ok(Some([b'n'; 2])),
        });
        let given = match self.narrow {
            true => ctx.emit_some(values),
            false => ctx.emit_some(values.map(|value| Ok(value?.map(|_| &b"wide"[..])))),
        };
        if self.failing.is_some() {
            // What the author does then, where nothing has come of the values before.
            assert!(given.is_err());
            ctx.emit(1, &b"instead"[..])?;
            return Ok(Batched::Done);
        }
        given.map(|()| Batched::Done)
    }
}

#[test]
fn there_is_a_value_for_each_row_and_nothing_before_them() {
    let given = |config: &str| {
        let mut given = Harness::open::<Given, _>(config).unwrap();
        given.rows(["a", "b", "c"]).map(|out| shown(&out))
    };
    for narrow in ["", " narrow"] {
        for config in ["values:2", "values:4", "values:0", "behind"] {
            let error = given(&format!("{config}{narrow}")).unwrap_err();
            assert!(error.contains("a value for each of the 3 rows"), "{error}");
        }
        for failing in 0..3 {
            let out = given(&format!("failing:{failing}{narrow}")).unwrap();
            let instead: Vec<_> = vec![&b"instead"[..]];
            let only = format!("0 {instead:?} [1] []");
            assert_eq!(out, format!("{:?} None", [only]), "{failing}");
        }
    }
    assert!(given("narrow").unwrap().contains("[110, 110]"));
}
