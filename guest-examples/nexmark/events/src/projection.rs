//! Which fields of a row are wanted, and the row that they make.

use weir_guest::{EncodeAs, Error, Result};

/// The most fields of an event, with its kind.
const FIELDS: usize = 11;
/// Where the first field behind the kind begins.
const FIRST: usize = 2;

/// Some fields of one kind of event, in any order. Field 0 is the kind.
pub(crate) struct Projection {
    fields: &'static [&'static str],
    /// Fields that stand side by side are copied as one.
    runs: Vec<Run>,
    only: Option<Only>,
    /// How many ends of fields have to be found for all that.
    ends: usize,
}

#[derive(Clone, Copy)]
struct Run {
    from: usize,
    to: usize,
}

/// Rows are wanted only if a field has one of these texts.
struct Only {
    field: usize,
    texts: Vec<Vec<u8>>,
}

/// A row as it is wanted.
pub(crate) struct Projected<'a> {
    row: &'a [u8],
    ends: [usize; FIELDS],
    runs: &'a [Run],
}

impl Projection {
    /// The wanted ones of the fields of a kind; nothing where none is.
    pub(crate) fn new(fields: &'static [&'static str], wanted: &[String]) -> Result<Option<Self>> {
        let mut runs: Vec<Run> = Vec::new();
        for name in wanted {
            let at = number_of(fields, name);
            let at = at.ok_or_else(|| Error::new(format_args!("there is no field `{name}`")))?;
            match runs.last_mut() {
                Some(run) if run.to + 1 == at => run.to = at,
                _ => runs.push(Run { from: at, to: at }),
            }
        }
        // The end of the last field is that of the row, and is not searched for.
        let ends = |run: &Run| match run.to == fields.len() {
            true => run.from,
            false => run.to + 1,
        };
        Ok((!runs.is_empty()).then(|| Self {
            fields,
            ends: runs.iter().map(ends).max().unwrap_or(0),
            runs,
            only: None,
        }))
    }

    /// Rows are wanted only if this field is one of these texts; all where there are none.
    pub(crate) fn only(mut self, field: &str, texts: &[String]) -> Self {
        let field = number_of(self.fields, field).filter(|_| !texts.is_empty());
        if let Some(field) = field {
            self.ends = self.ends.max(field + 1);
            let texts = texts.iter().map(|text| text.clone().into_bytes()).collect();
            self.only = Some(Only { field, texts });
        }
        self
    }

    /// The row that is wanted of this one, if it is.
    #[inline]
    pub(crate) fn of<'a>(&'a self, row: &'a [u8]) -> Result<Option<Projected<'a>>> {
        let ends = self.find_ends(row).ok_or_else(|| self.cut_short(row))?;
        if let Some(only) = &self.only {
            let from = ends[only.field - 1] + 1;
            let text = row.get(from..ends[only.field]).unwrap_or_default();
            if only.texts.iter().all(|wanted| wanted != text) {
                return Ok(None);
            }
        }
        let runs = &self.runs;
        Ok(Some(Projected { row, ends, runs }))
    }

    /// Where as many fields end as have to be known.
    #[inline]
    fn find_ends(&self, row: &[u8]) -> Option<[usize; FIELDS]> {
        // What is not searched for ends with the row.
        let mut ends = [row.len(); FIELDS];
        ends[0] = FIRST - 1;
        let mut at = FIRST;
        for end in ends.get_mut(1..self.ends)? {
            at += row.get(at..)?.iter().position(|&byte| byte == b',')?;
            *end = at;
            at += 1;
        }
        Some(ends)
    }

    #[cold]
    fn cut_short(&self, row: &[u8]) -> Error {
        Error::new(format_args!(
            "`{}` does not have the fields {}",
            row.escape_ascii(),
            self.fields.join(", ")
        ))
    }
}

fn number_of(fields: &[&str], name: &str) -> Option<usize> {
    let at = fields.iter().position(|field| *field == name)?;
    Some(at + 1)
}

impl EncodeAs<Vec<u8>> for Projected<'_> {
    #[inline]
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        for (number, run) in self.runs.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            let fields = self.row.get(self.ends[run.from - 1] + 1..self.ends[run.to]);
            out.extend_from_slice(fields.unwrap_or_default());
        }
        Ok(())
    }
}
