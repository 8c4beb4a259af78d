//! What a source, operator or sink was called before.

use weir_model::Name;

use super::{
    fields::{Fields, name_of},
    job::Around,
    keys::Key,
    kinds::NameText,
};
use crate::{code, report::Report, wording::quote};

pub(super) const RENAMED_FROM: Key<NameText> = Key::of("renamed-from", NameText)
    .about(
        "What it was called when the checkpoint was taken that the job goes on from: what that \
         holds is found by name. It may stay when the job has completed a checkpoint under the new \
         name.",
    )
    .without("it has always had its name")
    .example("clicks-old");

/// The old name of a node. It is nobody's any more: else what is saved under it would have two
/// homes.
pub(super) fn read(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<Name> {
    let (text, span) = fields.text(&RENAMED_FROM, report)?;
    let name = name_of(text, span, report)?;
    if let Some(node) = around.names.named(text) {
        let message = format!("{} was renamed from {}", fields.what, quote(text));
        report
            .error(code::CONTRADICTION, message)
            .at(span, "this name is in use")
            .at(node.key_span, "here")
            .help("what a checkpoint holds under a name goes to whoever has that name now");
        return None;
    }
    let mut others = around.names.with_text(RENAMED_FROM.name, text);
    if let Some(first) = others.next()
        && first.node.span != fields.entry(&RENAMED_FROM)?.node.span
    {
        let message = format!("two are renamed from {}", quote(text));
        report
            .error(code::CONTRADICTION, message)
            .at(span, "again here")
            .at(first.node.span, "first here");
        return None;
    }
    Some(name)
}
