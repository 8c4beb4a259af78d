//! What a job guarantees: each source and sink by itself, the way to each sink, and the job from
//! end to end, with what keeps it from more. Pure: facts in, verdict out.
//!
//! INVARIANT: a chain is as strong as its weakest link: what holds for a sink is the least of its
//! own guarantee, that of the checkpoints and that of every source whose rows reach it.

use std::{collections::BTreeSet, fmt};

use weir_graph::{Link, NodeKind, Plan};
use weir_model::Name;
use weir_operator::Delivery;

/// How often a row counts in spite of failures, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::enum_variant_names,
    reason = "the names that everybody knows them by"
)]
pub(crate) enum Level {
    AtMostOnce,
    AtLeastOnce,
    /// A row may be shown again, and changes nothing then.
    EffectivelyOnce,
    ExactlyOnce,
}

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AtMostOnce => "at-most-once",
            Self::AtLeastOnce => "at-least-once",
            Self::EffectivelyOnce => "effectively-once",
            Self::ExactlyOnce => "exactly-once",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of the checkpoints of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checkpoints {
    /// None are taken.
    None,
    /// They are gone with the process.
    InMemory,
    /// Rows may be in them and come again.
    AtLeastOnce,
    /// Each row is in them or comes again.
    ExactlyOnce,
}

/// What is known of a source.
#[derive(Clone, Debug)]
pub(crate) struct SourceFacts {
    pub(crate) name: Name,
    /// Whether it can go back to a position.
    pub(crate) replayable: bool,
}

/// What is known of a sink.
#[derive(Clone, Debug)]
pub(crate) struct SinkFacts {
    pub(crate) name: Name,
    /// How it comes to what it guarantees.
    pub(crate) delivery: Delivery,
    /// The sources whose rows reach it.
    pub(crate) sources: BTreeSet<Name>,
}

/// A part of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Source,
    Checkpoints,
    Sink,
}

impl Part {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Checkpoints => "checkpoints",
            Self::Sink => "sink",
        }
    }
}

/// What one part guarantees by itself, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfPart {
    pub(crate) part: Part,
    /// `None` for the checkpoints.
    pub(crate) name: Option<Name>,
    pub(crate) level: Level,
    pub(crate) because: &'static str,
}

/// What holds for one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfSink {
    pub(crate) own: OfPart,
    pub(crate) sources: BTreeSet<Name>,
    /// From its sources to here.
    pub(crate) end_to_end: Level,
    /// What is no stronger than that; nothing where it is exactly-once.
    pub(crate) weakest: Vec<OfPart>,
}

/// What a job guarantees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guarantees {
    pub(crate) sources: Vec<OfPart>,
    pub(crate) checkpoints: OfPart,
    pub(crate) sinks: Vec<OfSink>,
    /// The least of all sinks; of a job without sinks, of what its state is made of.
    pub(crate) job: Level,
    /// What is no stronger than that; nothing where it is exactly-once.
    pub(crate) weakest: Vec<OfPart>,
}

/// The verdict on a job.
pub(crate) fn judge(
    sources: &[SourceFacts],
    checkpoints: Checkpoints,
    sinks: &[SinkFacts],
) -> Guarantees {
    let sources: Vec<OfPart> = sources.iter().map(of_source).collect();
    let checkpoints = of_checkpoints(checkpoints);
    let sinks: Vec<OfSink> = sinks
        .iter()
        .map(|sink| {
            let own = of_sink(sink);
            let reach = |source: &&OfPart| {
                let name = source.name.as_ref();
                name.is_some_and(|name| sink.sources.contains(name))
            };
            let links = sources.iter().filter(reach);
            let (end_to_end, weakest) = least(links.chain([&checkpoints, &own]));
            OfSink {
                sources: sink.sources.clone(),
                own,
                end_to_end,
                weakest,
            }
        })
        .collect();
    let (job, weakest) = match sinks.is_empty() {
        true => least(sources.iter().chain([&checkpoints])),
        false => {
            let job = sinks.iter().map(|sink| sink.end_to_end).min();
            let job = job.unwrap_or(Level::ExactlyOnce);
            let mut weakest: Vec<OfPart> = Vec::new();
            for sink in sinks.iter().filter(|sink| sink.end_to_end == job) {
                let new = sink.weakest.iter().filter(|part| !weakest.contains(part));
                let new: Vec<_> = new.cloned().collect();
                weakest.extend(new);
            }
            (job, weakest)
        }
    };
    Guarantees {
        sources,
        checkpoints,
        sinks,
        job,
        weakest,
    }
}

/// The least level of some parts, and the parts that have it where it is less than could be.
fn least<'a>(parts: impl Iterator<Item = &'a OfPart> + Clone) -> (Level, Vec<OfPart>) {
    let level = parts.clone().map(|part| part.level).min();
    let level = level.unwrap_or(Level::ExactlyOnce);
    let weakest = match level {
        Level::ExactlyOnce => Vec::new(),
        Level::AtMostOnce | Level::AtLeastOnce | Level::EffectivelyOnce => {
            parts.filter(|part| part.level == level).cloned().collect()
        }
    };
    (level, weakest)
}

fn of_source(source: &SourceFacts) -> OfPart {
    let (level, because) = match source.replayable {
        true => (
            Level::ExactlyOnce,
            "replayable: it can be read again from a checkpoint on",
        ),
        false => (
            Level::AtMostOnce,
            "not replayable: what was read since a checkpoint is lost",
        ),
    };
    OfPart {
        part: Part::Source,
        name: Some(source.name.clone()),
        level,
        because,
    }
}

fn of_checkpoints(checkpoints: Checkpoints) -> OfPart {
    let (level, because) = match checkpoints {
        Checkpoints::None => (
            Level::AtMostOnce,
            "none are taken, so a failure loses the state",
        ),
        Checkpoints::InMemory => (
            Level::AtLeastOnce,
            "kept in memory: a process that ends begins anew, and sinks show everything again",
        ),
        Checkpoints::AtLeastOnce => (
            Level::AtLeastOnce,
            "barriers are not aligned: a row may be in the state and come again",
        ),
        Checkpoints::ExactlyOnce => (Level::ExactlyOnce, "each row is in the state once"),
    };
    OfPart {
        part: Part::Checkpoints,
        name: None,
        level,
        because,
    }
}

fn of_sink(sink: &SinkFacts) -> OfPart {
    let (level, because) = match sink.delivery {
        Delivery::TwoPhaseCommit => (
            Level::ExactlyOnce,
            "transactional: rows are shown once, with their checkpoint",
        ),
        Delivery::WriteAheadLog => (
            Level::ExactlyOnce,
            "write-ahead log: rows are written once, out of their checkpoint",
        ),
        Delivery::Idempotent => (
            Level::EffectivelyOnce,
            "idempotent: a row that is shown again replaces itself by its key",
        ),
        Delivery::Plain => (
            Level::AtLeastOnce,
            "not transactional: after a failure rows are shown again",
        ),
    };
    OfPart {
        part: Part::Sink,
        name: Some(sink.name.clone()),
        level,
        because,
    }
}

/// The sources whose rows reach a node of the plan.
pub(crate) fn sources_of(plan: &Plan, node: &Name) -> BTreeSet<Name> {
    let mut sources = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![node.clone()];
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        for chain in &plan.chains {
            for from in &chain.nodes {
                if from.name == name && matches!(from.kind, NodeKind::Source { .. }) {
                    sources.insert(name.clone());
                }
                let leads = from.links.iter().any(|(_, link)| match link {
                    Link::Chained(next) => chain.nodes[*next].name == name,
                    Link::Edge(_) => false,
                });
                if leads {
                    open.push(from.name.clone());
                }
            }
        }
        // Of edges all count, whatever of a node they carry.
        let edges = plan
            .edges
            .iter()
            .filter(|edge| plan.chains[edge.to.0].name == name);
        open.extend(edges.map(|edge| plan.chains[edge.from.0].nodes[edge.from_node].name.clone()));
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    /// A job of sources `name` or `name!`, which is not replayable, and of sinks
    /// `name < sources`, or `name! < sources`, which is not transactional, `name~` idempotent, and
    /// `name+` has a write-ahead log.
    fn judged(sources: &str, checkpoints: Checkpoints, sinks: &[&str]) -> Guarantees {
        let weak = |text: &str| match text.trim().strip_suffix('!') {
            Some(text) => (name(text), true),
            None => (name(text.trim().trim_end_matches(['~', '+'])), false),
        };
        let sources = sources.split(' ').map(|source| {
            let (name, weak) = weak(source);
            SourceFacts {
                name,
                replayable: !weak,
            }
        });
        let sinks = sinks.iter().map(|sink| {
            let (own, sources) = sink.split_once('<').unwrap();
            let delivery = match own.trim().chars().last() {
                Some('!') => Delivery::Plain,
                Some('~') => Delivery::Idempotent,
                Some('+') => Delivery::WriteAheadLog,
                _ => Delivery::TwoPhaseCommit,
            };
            let (own, _) = weak(own);
            let sources = sources.split_whitespace().map(name).collect();
            SinkFacts {
                name: own,
                delivery,
                sources,
            }
        });
        judge(
            &sources.collect::<Vec<_>>(),
            checkpoints,
            &sinks.collect::<Vec<_>>(),
        )
    }

    fn shown(parts: &[OfPart]) -> String {
        let one = |part: &OfPart| match &part.name {
            Some(name) => format!("{} {name}", part.part.as_str()),
            None => part.part.as_str().to_owned(),
        };
        parts.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_job_is_as_good_as_its_weakest_link() {
        use Level::{AtLeastOnce, AtMostOnce, EffectivelyOnce, ExactlyOnce};
        let (exactly, least) = (Checkpoints::ExactlyOnce, Checkpoints::AtLeastOnce);
        let none = Checkpoints::None;
        for (sources, checkpoints, sink, level, weakest) in [
            ("s", exactly, "k < s", ExactlyOnce, ""),
            ("s", exactly, "k! < s", AtLeastOnce, "sink k"),
            ("s", exactly, "k+ < s", ExactlyOnce, ""),
            ("s", exactly, "k~ < s", EffectivelyOnce, "sink k"),
            ("s", least, "k~ < s", AtLeastOnce, "checkpoints"),
            ("s", none, "k~ < s", AtMostOnce, "checkpoints"),
            ("s!", exactly, "k~ < s", AtMostOnce, "source s"),
            ("s", least, "k < s", AtLeastOnce, "checkpoints"),
            ("s", least, "k! < s", AtLeastOnce, "checkpoints, sink k"),
            (
                "s",
                Checkpoints::InMemory,
                "k < s",
                AtLeastOnce,
                "checkpoints",
            ),
            ("s", none, "k < s", AtMostOnce, "checkpoints"),
            ("s", none, "k! < s", AtMostOnce, "checkpoints"),
            ("s!", exactly, "k < s", AtMostOnce, "source s"),
            ("s!", exactly, "k! < s", AtMostOnce, "source s"),
            ("s!", least, "k < s", AtMostOnce, "source s"),
            ("s!", none, "k < s", AtMostOnce, "source s, checkpoints"),
            ("s t!", exactly, "k < s", ExactlyOnce, ""),
            ("s t!", exactly, "k < s t", AtMostOnce, "source t"),
            ("s t!", exactly, "k! < s", AtLeastOnce, "sink k"),
        ] {
            let what = format!("{sources}, {checkpoints:?}, {sink}");
            let judged = judged(sources, checkpoints, &[sink]);
            assert_eq!(judged.job, level, "{what}");
            assert_eq!(judged.sinks[0].end_to_end, level, "{what}");
            assert_eq!(shown(&judged.weakest), weakest, "{what}");
        }
    }

    #[test]
    fn only_sources_whose_rows_reach_a_sink_matter_to_it() {
        let exactly = Checkpoints::ExactlyOnce;
        let judged = judged("s t!", exactly, &["a < s", "b! < s", "c < s t"]);
        let levels: Vec<_> = judged.sinks.iter().map(|sink| sink.end_to_end).collect();
        assert_eq!(
            levels,
            [Level::ExactlyOnce, Level::AtLeastOnce, Level::AtMostOnce]
        );
        // By itself the last one can do what its source cannot.
        assert_eq!(judged.sinks[2].own.level, Level::ExactlyOnce);
        assert_eq!(
            (judged.job, shown(&judged.weakest)),
            (Level::AtMostOnce, "source t".into())
        );
    }

    #[test]
    fn a_job_without_sinks_is_judged_by_its_state() {
        let exactly = Checkpoints::ExactlyOnce;
        assert_eq!(judged("s", exactly, &[]).job, Level::ExactlyOnce);
        assert_eq!(shown(&judged("s t!", exactly, &[]).weakest), "source t");
        assert_eq!(
            shown(&judged("s", Checkpoints::None, &[]).weakest),
            "checkpoints"
        );
    }

    #[test]
    fn sources_reach_a_sink_through_whatever_is_between() {
        struct World;
        impl weir_job_file::Resolve for World {
            fn header(&self, _: &Name) -> Result<Option<Vec<String>>, String> {
                Ok(None)
            }
            fn side_outputs(&self, _: &Name) -> Option<Vec<String>> {
                Some(vec!["late".into()])
            }
        }
        let text = "
apiVersion: weir/v1
job: j
sources:
  s: { connector: generator }
  t: { connector: generator, parallelism: 2 }
operators:
  a: { component: a.wasm, inputs: [ { from: s } ] }
  b: { component: b.wasm, inputs: [ { from: a.late, key: { row: true } }, { from: t } ] }
sinks:
  x: { connector: stdout, from: a }
  y: { connector: stdout, from: b }
  z: { connector: stdout, from: t }
";
        let job = weir_job_file::JobFile::load(text, "job.yaml".as_ref(), &[]).unwrap();
        let plan = weir_graph::plan(&job.to_graph(&World).unwrap()).unwrap();
        let reach = |sink: &str| {
            let sources = sources_of(&plan, &name(sink));
            sources.iter().map(Name::to_string).collect::<Vec<_>>()
        };
        assert_eq!(reach("x"), ["s"]);
        assert_eq!(reach("y"), ["s", "t"]);
        assert_eq!(reach("z"), ["t"]);
    }
}
