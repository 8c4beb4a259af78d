//! Which fields of an event are wanted, and the row that they make.

use nexmark::{Kind, no_event};
use weir_guest::{EncodeAs, Error, Result};

/// No event has more texts.
const TEXTS: usize = 6;
/// How many bytes say how long a text is.
const LENGTH_BYTES: usize = 2;
/// Stands for the row as it came, its kind included.
const WHOLE: &str = "*";

/// Some fields of one kind of event: numbers and then texts, each in the order in which they are
/// named.
pub(crate) struct Projection {
    kind: &'static Kind,
    /// Where the numbers begin that are copied one by one.
    numbers: Vec<usize>,
    /// Texts that stand side by side are copied as one, with the numbers right before them.
    runs: Vec<Run>,
    only: Option<Only>,
    /// How many texts have to be measured for all that.
    measured: usize,
}

#[derive(Clone, Copy)]
struct Run {
    from: Bound,
    to: Bound,
}

/// Where a field begins, or the one before it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// At this byte, in all rows.
    Byte(usize),
    /// Where this text begins.
    Text(usize),
    /// Where the row ends.
    End,
}

/// Rows are wanted only if a field is one of these.
enum Only {
    Number(usize, Vec<u64>),
    Text(usize, Vec<String>),
}

/// A row as it is wanted.
pub(crate) struct Projected<'a> {
    of: &'a Projection,
    row: &'a [u8],
    texts: [usize; TEXTS],
}

impl Projection {
    /// The wanted ones of the fields of a kind; nothing where none is.
    pub(crate) fn new(kind: &'static Kind, wanted: &[String]) -> Result<Option<Self>> {
        let mut numbers = Vec::new();
        let mut runs: Vec<Run> = Vec::new();
        for name in wanted {
            if wanted.len() == 1 && name == WHOLE {
                let (from, to) = (Bound::Byte(0), Bound::End);
                runs.push(Run { from, to });
            } else if let Some(index) = place(kind.numbers, name) {
                numbers.push(kind.number_at(index));
            } else if let Some(index) = place(kind.texts, name) {
                let (from, to) = (text_at(kind, index), text_at(kind, index + 1));
                match runs.last_mut() {
                    Some(run) if run.to == from => run.to = to,
                    _ => runs.push(Run { from, to }),
                }
            } else {
                return Err(Error::new(format_args!("there is no field `{name}`")));
            }
        }
        if let Some(first) = runs.first_mut() {
            while let Some(at) = numbers.pop_if(|at| first.from == Bound::Byte(*at + 8)) {
                first.from = Bound::Byte(at);
            }
        }
        let bounds = runs.iter().flat_map(|run| [run.from, run.to]);
        let measured = bounds.map(|bound| match bound {
            Bound::Text(index) => index,
            Bound::Byte(_) | Bound::End => 0,
        });
        let measured = measured.max().unwrap_or(0);
        Ok((!wanted.is_empty()).then_some(Self {
            kind,
            numbers,
            runs,
            only: None,
            measured,
        }))
    }

    /// Where the wanted fields begin if they are all that the row ends with; nothing where they are
    /// not, or not all rows are wanted.
    pub(crate) fn rest(&self) -> Option<usize> {
        match (self.only.as_ref(), &self.numbers[..], &self.runs[..]) {
            (None, [], [run]) => match (run.from, run.to) {
                (Bound::Byte(from), Bound::End) => Some(from),
                _ => None,
            },
            _ => None,
        }
    }

    /// Where the wanted fields begin if they are numbers and nothing else; nothing where they are
    /// not, or not all rows are wanted.
    pub(crate) fn numbers(&self) -> &[usize] {
        match (&self.only, self.runs.is_empty()) {
            (None, true) => &self.numbers,
            _ => &[],
        }
    }

    /// Rows are wanted only if this number is one of these; all where there are none.
    pub(crate) fn only_numbers(mut self, name: &str, wanted: Vec<u64>) -> Self {
        let index = place(self.kind.numbers, name).filter(|_| !wanted.is_empty());
        self.only = index.map(|index| Only::Number(self.kind.number_at(index), wanted));
        self
    }

    /// Rows are wanted only if this text is one of these; all where there are none.
    pub(crate) fn only_texts(mut self, name: &str, wanted: Vec<String>) -> Self {
        if let Some(index) = place(self.kind.texts, name).filter(|_| !wanted.is_empty()) {
            self.measured = self.measured.max(index + 1);
            self.only = Some(Only::Text(index, wanted));
        }
        self
    }

    /// The row that is wanted of this one, if it is.
    // In line wherever rows are processed, as what writes it: a call takes as long as either does.
    #[inline(always)]
    pub(crate) fn of<'a>(&'a self, row: &'a [u8]) -> Result<Option<Projected<'a>>> {
        if row.len() < self.kind.texts_at() {
            return Err(no_event(row));
        }
        let texts = match self.measured {
            0 => [0; TEXTS],
            _ => self.measure(row).ok_or_else(|| no_event(row))?,
        };
        let is_wanted = match &self.only {
            None => true,
            Some(Only::Number(at, wanted)) => {
                let number = row.get(*at..).and_then(<[u8]>::first_chunk);
                number.is_some_and(|number| wanted.contains(&u64::from_le_bytes(*number)))
            }
            Some(Only::Text(index, wanted)) => {
                let from = texts[*index] + LENGTH_BYTES;
                let to = texts.get(index + 1).copied().unwrap_or(row.len());
                let text = row.get(from..to).unwrap_or_default();
                wanted.iter().any(|wanted| wanted.as_bytes() == text)
            }
        };
        let of = self;
        Ok(is_wanted.then_some(Projected { of, row, texts }))
    }

    /// Where as many texts begin as have to be known.
    fn measure(&self, row: &[u8]) -> Option<[usize; TEXTS]> {
        let mut texts = [row.len(); TEXTS];
        let mut at = self.kind.texts_at();
        texts[0] = at;
        for next in texts.get_mut(1..=self.measured)? {
            let length = row.get(at..)?.first_chunk()?;
            at += LENGTH_BYTES + usize::from(u16::from_le_bytes(*length));
            row.get(..at)?;
            *next = at;
        }
        Some(texts)
    }
}

/// The number of an event that begins at this byte.
#[inline(always)]
pub(crate) fn number_at(row: &[u8], at: usize) -> Result<&[u8; 8]> {
    let number = row.get(at..).and_then(<[u8]>::first_chunk);
    number.ok_or_else(|| no_event(row))
}

fn place(names: &[&str], wanted: &str) -> Option<usize> {
    names.iter().position(|name| *name == wanted)
}

fn text_at(kind: &Kind, index: usize) -> Bound {
    match index {
        0 => Bound::Byte(kind.texts_at()),
        _ if index == kind.texts.len() => Bound::End,
        _ => Bound::Text(index),
    }
}

impl EncodeAs<Vec<u8>> for Projected<'_> {
    #[inline(always)]
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        for at in &self.of.numbers {
            out.extend_from_slice(number_at(self.row, *at)?);
        }
        let at = |bound| match bound {
            Bound::Byte(at) => at,
            Bound::Text(index) => self.texts[index],
            Bound::End => self.row.len(),
        };
        for run in &self.of.runs {
            let fields = self.row.get(at(run.from)..at(run.to));
            out.extend_from_slice(fields.ok_or_else(|| no_event(self.row))?);
        }
        Ok(())
    }
}
