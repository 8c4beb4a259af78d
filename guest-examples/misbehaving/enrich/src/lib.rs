//! Does to its host, in calls that wait, what a row tells it to: `!` and a deed, or a URL to get.

use weir_guest::{Ctx, Enrich, Env, Error, Result, Row, bail, http, operator};

#[derive(Default)]
struct Misbehaving {
    config: String,
    /// How many rows the instance has seen.
    rows: u32,
}

impl Enrich for Misbehaving {
    type In = String;
    type Out = String;

    fn open(&mut self, env: Env) -> Result<()> {
        self.config = env.config();
        if self.config.contains("refuse-open") {
            return Err(Error::fatal("not with this configuration"));
        }
        Ok(())
    }

    fn enrich(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        self.rows += 1;
        match row.value {
            "!loop" => loop {
                std::hint::black_box(&self.rows);
            },
            "!panic" => trap(),
            "!refuse" => bail!("not this row"),
            "!fatal" => Err(Error::fatal("no row at all")),
            "!memory" => {
                let hoard: Vec<Vec<u8>> = (0..10_000).map(|_| vec![1; 1 << 20]).collect();
                ctx.emit(format_args!("{}", hoard.len()))
            }
            "!flood" => {
                let row = "x".repeat(1 << 20);
                (0..8).try_for_each(|_| ctx.emit(&row[..]))
            }
            "!rows" => ctx.emit(format_args!("{}", self.rows)),
            "!config" => ctx.emit(format_args!("{} at {}", self.config, ctx.processing_time())),
            "!twice" => {
                ctx.emit("one")?;
                ctx.emit("two")
            }
            url => {
                let answer = http::get(url)?.ok()?;
                ctx.emit(format_args!("{} {}", answer.status, answer.text()?))
            }
        }
    }
}

#[expect(clippy::panic, reason = "it is told to")]
fn trap() -> ! {
    panic!("as told")
}

operator!(Misbehaving, enrich);
