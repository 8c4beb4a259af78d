//! From a job file to what the engine runs: components are loaded, connectors made, the plan drawn.
//!
//! Nothing of the outside is changed here, so `weir check` does exactly this. All that is wrong is
//! told, as far as one thing does not hide another.

mod backend;
mod components;
mod joins;
#[cfg(feature = "postgres")]
mod postgres;
mod tested;
mod waiting;
mod windows;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use weir_checkpoint::TwoPhaseOptions;
use weir_component::{Component as Guest, Limits};
use weir_connectors::{
    AtEnd, FileFormat, FileSink, FileSinkOptions, FileSource, FileSourceOptions, GeneratorOptions,
    GeneratorSource, KeyDistribution, OnBadRow, Reconnect, SocketSource, SocketSourceOptions,
    StdoutSink,
};
use weir_graph::plan;
use weir_job_file::{
    Diagnostic, Diagnostics, Distribution, Format, JobFile, Operator, Resolve, Sink, SinkConnector,
    SourceConnector, Spot, Windows, code,
};
use weir_model::Name;
use weir_operator::{Failure, OperatorFactory, SinkFactory, SourceFactory};
use weir_operators::WindowFactory;
use weir_runtime::{Deployment, Mapping, OnExisting, OperatorDeployment, SinkDeployment};

pub(crate) use self::tested::Tested;

use self::components::{limits_of, load_components};
use crate::cli::Shared;

/// A component as an operator of the job uses it.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub(crate) path: PathBuf,
    pub(crate) digest: String,
}

impl Used {
    fn of(component: &Guest, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            digest: component.info().digest.clone(),
        }
    }
}

/// Components by operator, for messages.
pub(crate) type Components = Arc<BTreeMap<Name, Used>>;

/// A job that could run.
pub(crate) struct Assembly {
    pub(crate) job: JobFile,
    pub(crate) deployment: Deployment,
    pub(crate) components: Components,
}

impl Assembly {
    /// Whether rows go to standard output.
    pub(crate) fn prints_rows(&self) -> bool {
        self.job
            .sinks
            .values()
            .any(|sink| matches!(sink.connector, SinkConnector::Stdout))
    }
}

/// Puts a job together.
pub(crate) fn assemble(job: JobFile, shared: &Shared) -> Result<Assembly, Diagnostics> {
    let mut wrong = Vec::new();
    let components = load_components(&job, shared, &mut wrong);
    let files = file_sources(&job);
    joins::misfits(&job, &mut wrong);
    let world = World {
        job: &job,
        files: &files,
        components: &components,
    };
    let graph = match job.to_graph(&world) {
        Ok(graph) => Some(graph),
        Err(diagnostics) => {
            wrong.extend(diagnostics.iter().cloned());
            None
        }
    };
    let sources = sources(&job, &world, &mut wrong);
    let sinks = sinks(&job, &mut wrong);
    Diagnostics::from_list(wrong)?;
    let whole = |message: String| {
        Diagnostics::one(job.diagnose(&Spot::File, code::UNRESOLVED, message, "", None))
    };
    let graph = graph.ok_or_else(|| whole("the job cannot be planned".into()))?;
    let plan = plan(&graph).map_err(|error| whole(error.to_string()))?;
    let mut operators = HashMap::new();
    let mut used = BTreeMap::new();
    for (name, operator) in &job.operators {
        let component = components.get(name);
        let Some(factory) = operator_factory(&world, name, operator)? else {
            continue;
        };
        let config = Arc::from(operator.config.to_string());
        operators.insert(name.clone(), OperatorDeployment { factory, config });
        if let (Some(component), Some(path)) = (component, &operator.component) {
            used.insert(name.clone(), Used::of(component, path));
        }
    }
    let backend = backend::factory(&job.backend);
    let deployment = Deployment {
        plan,
        sources,
        operators,
        sinks,
        backend,
        mapping: Mapping {
            renamed_from: job.renamed_from(),
            allow_non_restored_state: job.allow_non_restored_state,
            adopt_max_parallelism: job.max_parallelism.is_none(),
        },
    };
    Ok(Assembly {
        job,
        deployment,
        components: Arc::new(used),
    })
}

/// Makes the instances of an operator; `None` where there is nothing to make them of, which is told
/// of elsewhere.
fn operator_factory(
    world: &World<'_>,
    name: &Name,
    operator: &Operator,
) -> Result<Option<Arc<dyn OperatorFactory>>, Diagnostics> {
    if let Some(join) = &operator.join {
        let function = world.components.get(name);
        return Ok(Some(joins::factory(world, operator, join, function)));
    }
    let Some(component) = world.components.get(name) else {
        return Ok(None);
    };
    let limits = limits_of(operator, &world.job.bounds);
    if !component.waits() {
        return Ok(Some(factory(component, operator, limits)));
    }
    let made = waiting::factory(component, operator, limits);
    made.map(Some).map_err(|failure| {
        let spot = Spot::OperatorComponent(name.clone());
        Diagnostics::one(not_made(world.job, &spot, &failure))
    })
}

/// Makes the instances of an operator: of its component, or of the host's own operator on windows,
/// whose rows the component folds or sees. One that can do both folds them, for then an accumulator
/// is kept and not all rows; only an evictor has to have them.
fn factory(component: &Guest, operator: &Operator, limits: Limits) -> Arc<dyn OperatorFactory> {
    match &operator.windows {
        None => Arc::new(component.factory(limits)),
        Some(Windows { rules, late }) => {
            let folds = component.aggregates() && rules.evictor.is_none();
            let function = Box::new(component.windows(limits, folds));
            Arc::new(WindowFactory::new(rules.clone(), late.clone(), function))
        }
    }
}

/// What a graph asks of the world.
struct World<'a> {
    job: &'a JobFile,
    files: &'a HashMap<Name, FileSource>,
    components: &'a HashMap<Name, Guest>,
}

impl Resolve for World<'_> {
    fn header(&self, source: &Name) -> Result<Option<Vec<String>>, String> {
        match self.files.get(source) {
            Some(file) => file.header().map_err(|failure| failure.to_string()),
            None => Ok(None),
        }
    }

    fn side_outputs(&self, operator: &Name) -> Option<Vec<String>> {
        let node = self.job.operators.get(operator)?;
        if node.join.is_some() && node.component.is_none() {
            return Some(Vec::new());
        }
        let component = self.components.get(operator)?;
        Some(component.descriptor().side_outputs.clone())
    }

    fn waits(&self, operator: &Name) -> bool {
        self.components.get(operator).is_some_and(Guest::waits)
    }
}

/// File sources, without the timestamps, which may need their headers.
fn file_sources(job: &JobFile) -> HashMap<Name, FileSource> {
    let mut files = HashMap::new();
    for (name, source) in &job.sources {
        if let SourceConnector::File(file) = &source.connector {
            files.insert(name.clone(), FileSource::new(file_options(name, file)));
        }
    }
    files
}

fn file_options(name: &Name, file: &weir_job_file::FileSource) -> FileSourceOptions {
    FileSourceOptions {
        source: name.clone(),
        pattern: file.pattern.clone(),
        base: file.base.clone(),
        format: format_of(file.format),
        follow: file.follow,
        on_error: on_bad_row(file.on_error),
        timestamp: None,
    }
}

fn format_of(format: Format) -> FileFormat {
    match format {
        Format::Csv { header, delimiter } => FileFormat::Csv { header, delimiter },
        Format::Json => FileFormat::JsonLines,
        Format::Lines => FileFormat::Lines,
    }
}

fn on_bad_row(on_error: weir_job_file::OnBadRow) -> OnBadRow {
    match on_error {
        weir_job_file::OnBadRow::Fail => OnBadRow::Fail,
        weir_job_file::OnBadRow::Skip => OnBadRow::Skip,
    }
}

/// All sources; those over files must see their files.
fn sources(
    job: &JobFile,
    world: &World<'_>,
    wrong: &mut Vec<Diagnostic>,
) -> HashMap<Name, Arc<dyn SourceFactory>> {
    let mut sources: HashMap<Name, Arc<dyn SourceFactory>> = HashMap::new();
    for (name, source) in &job.sources {
        let timestamp = job.timestamp_of(name, world).unwrap_or_else(|diagnostic| {
            wrong.push(diagnostic);
            None
        });
        let factory: Arc<dyn SourceFactory> = match &source.connector {
            SourceConnector::File(file) => Arc::new(FileSource::new(FileSourceOptions {
                timestamp,
                ..file_options(name, file)
            })),
            SourceConnector::Socket(socket) => Arc::new(SocketSource::new(SocketSourceOptions {
                timestamp,
                ..socket_options(name, socket)
            })),
            SourceConnector::Generator(generator) => {
                let options = generator_options(job, name, generator);
                match GeneratorSource::new(&options) {
                    Ok(factory) => Arc::new(factory),
                    Err(failure) => {
                        wrong.push(not_made(job, &Spot::Source(name.clone()), &failure));
                        continue;
                    }
                }
            }
        };
        let (spot, label) = match &source.connector {
            SourceConnector::File(_) => (Spot::SourcePath(name.clone()), "this path"),
            SourceConnector::Socket(_) => {
                (Spot::SourceKey(name.clone(), "address"), "this address")
            }
            SourceConnector::Generator(_) => (Spot::Source(name.clone()), "this source"),
        };
        if let Err(failure) = factory.discover() {
            wrong.push(job.diagnose(&spot, failure.code(), failure.to_string(), label, None));
        }
        sources.insert(name.clone(), factory);
    }
    sources
}

fn socket_options(name: &Name, socket: &weir_job_file::SocketSource) -> SocketSourceOptions {
    SocketSourceOptions {
        source: name.clone(),
        address: socket.address.clone(),
        format: format_of(socket.format),
        on_error: on_bad_row(socket.on_error),
        timestamp: None,
        at_end: match socket.at_end {
            weir_job_file::AtEnd::Reconnect => AtEnd::Reconnect,
            weir_job_file::AtEnd::Finish => AtEnd::Finish,
        },
        reconnect: Reconnect {
            attempts: socket.reconnect.attempts,
            backoff: socket.reconnect.backoff,
            max_backoff: socket.reconnect.max_backoff,
        },
    }
}

fn generator_options(
    job: &JobFile,
    name: &Name,
    generator: &weir_job_file::Generator,
) -> GeneratorOptions {
    GeneratorOptions {
        source: name.clone(),
        count: generator.count,
        keys: generator.keys,
        distribution: match generator.distribution {
            Distribution::Sequence => KeyDistribution::Sequence,
            Distribution::Uniform => KeyDistribution::Uniform,
            Distribution::Zipf { exponent } => KeyDistribution::Zipf { exponent },
        },
        payload_bytes: generator.payload,
        seed: generator.seed,
        splits: job.max_parallelism().get(),
    }
}

fn sinks(job: &JobFile, wrong: &mut Vec<Diagnostic>) -> HashMap<Name, SinkDeployment> {
    let mut sinks = HashMap::new();
    let mut folders: HashMap<PathBuf, &Name> = HashMap::new();
    for (name, sink) in &job.sinks {
        if let SinkConnector::File(file) = &sink.connector
            && let Some(other) = folders.insert(plainly(&file.folder), name)
        {
            let message = format!("sinks `{other}` and `{name}` write to the same folder");
            let help = "their files would have the same names: give each a folder".to_owned();
            let spot = Spot::SinkPath(name.clone());
            let label = "the same folder";
            wrong.push(job.diagnose(&spot, code::CONTRADICTION, message, label, Some(help)));
        }
        match deploy_sink(job, name, sink) {
            Ok(sink) => {
                sinks.insert(name.clone(), sink);
            }
            Err(failure) => wrong.push(not_made(job, &Spot::SinkPath(name.clone()), &failure)),
        }
    }
    sinks
}

/// The one spelling of a folder: absolute, without `.` and `..`, and without the links in what is
/// there of it. The rest of it will be made as it is written.
fn plainly(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut ancestors = path.ancestors();
    let there = ancestors.find_map(|above| Some((above, above.canonicalize().ok()?)));
    let (mut plain, rest) = match there {
        Some((above, real)) => (real, path.strip_prefix(above).unwrap_or(Path::new(""))),
        None => (PathBuf::new(), path.as_path()),
    };
    for part in rest.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn deploy_sink(job: &JobFile, name: &Name, sink: &Sink) -> Result<SinkDeployment, Failure> {
    match &sink.connector {
        SinkConnector::File(file) => {
            let extension = file.extension.clone();
            let sink = FileSink::new(FileSinkOptions {
                job: job.job.clone(),
                sink: name.clone(),
                folder: file.folder.clone(),
                ext: extension.unwrap_or_else(|| FileSinkOptions::DEFAULT_EXT.to_owned()),
                guarantee: file.guarantee,
                roll_bytes: file.roll_bytes,
            })?;
            sink.check()?;
            let factory: Arc<dyn SinkFactory> = Arc::new(sink);
            Ok(SinkDeployment {
                factory,
                on_existing: on_existing(file.on_existing),
                transactions: file.transactions,
            })
        }
        SinkConnector::Postgres(postgres) => Ok(SinkDeployment {
            factory: postgres_sink(job, name, postgres, sink.renamed_from.as_ref())?,
            on_existing: on_existing(postgres.on_existing),
            transactions: postgres.transactions,
        }),
        SinkConnector::Stdout => Ok(SinkDeployment {
            factory: Arc::new(StdoutSink::new(name.clone(), std::io::stdout())),
            on_existing: OnExisting::Append,
            transactions: TwoPhaseOptions::default(),
        }),
    }
}

#[cfg(feature = "postgres")]
fn postgres_sink(
    job: &JobFile,
    name: &Name,
    sink: &weir_job_file::PostgresSink,
    renamed_from: Option<&Name>,
) -> Result<Arc<dyn SinkFactory>, Failure> {
    Ok(postgres::factory(&job.job, name, sink, renamed_from))
}

/// As above, of a program without a client for it.
#[cfg(not(feature = "postgres"))]
fn postgres_sink(
    _job: &JobFile,
    name: &Name,
    _sink: &weir_job_file::PostgresSink,
    _renamed_from: Option<&Name>,
) -> Result<Arc<dyn SinkFactory>, Failure> {
    Err(Failure::Target {
        what: format!("sink `{name}`"),
        message: "this program was built without the feature `postgres`".into(),
    })
}

fn on_existing(what: weir_job_file::OnExisting) -> OnExisting {
    match what {
        weir_job_file::OnExisting::Refuse => OnExisting::Refuse,
        weir_job_file::OnExisting::Append => OnExisting::Append,
        weir_job_file::OnExisting::Replace => OnExisting::Replace,
    }
}

fn not_made(job: &JobFile, spot: &Spot, failure: &Failure) -> Diagnostic {
    job.diagnose(spot, failure.code(), failure.to_string(), "here", None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_that_are_told_are_those_of_the_connectors() {
        let schema = weir_job_file::schema();
        let ext = &schema["$defs"]["file-sink"]["properties"]["extension"]["default"];
        assert_eq!(ext, FileSinkOptions::DEFAULT_EXT);
        let told = weir_job_file::Reconnect::default();
        let reconnect = Reconnect::default();
        assert_eq!(
            (told.attempts, told.backoff, told.max_backoff),
            (reconnect.attempts, reconnect.backoff, reconnect.max_backoff)
        );
    }

    #[test]
    fn a_folder_has_one_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("there/inside")).unwrap();
        std::os::unix::fs::symlink("there/inside", root.join("link")).unwrap();
        for (path, plain) in [
            ("there/./out/", "there/out"),
            ("there/b/../out", "there/out"),
            ("link", "there/inside"),
            ("link/new/out", "there/inside/new/out"),
            // Where a link leads to is in its own folder.
            ("link/../out", "there/out"),
        ] {
            assert_eq!(plainly(&root.join(path)), root.join(plain), "{path}");
        }
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(plainly(Path::new("a/../new")), here.join("new"));
        assert_eq!(plainly(Path::new("/../a/../new")), Path::new("/new"));
    }
}
