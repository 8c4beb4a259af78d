//! A test file: an operator, and cases of what is done with it step by step.
//!
//! The operator is read by the reader of job files: of a job file that is named, or of a tree that
//! is made here around the entry of the test file, with its spans.

mod steps;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde_json::json;
use weir_model::{Name, Parallelism, ProcessingTime};

use self::steps::{STEP, Steps};
use super::{
    fields::{Fields, text_of, wrong},
    folder_of, job,
    keys::{AnyKey, Key, Keys},
    kinds::{NAME, Named, Place, Special, Whole, Words},
    operator, readable, set,
    source::{self, DELIMITER, FORMATS, TIMESTAMP},
    state,
};
use crate::{
    Diagnostics, HostFile, JobFile, code,
    model::Format,
    report::Report,
    source::{Document, FILE, Origin, Span},
    test_file::{TestCase, TestFile, TestPlace},
    wording::{all_of, nearest, quote},
    yaml::{self, Entry, Node, Value},
};

/// The whole file.
pub(crate) const KEYS: Keys = Keys {
    elsewhere: &[
        ("operators", "a test file has one `operator`"),
        ("component", "belongs in `operator`"),
        ("inputs", "belongs in `operator`"),
        ("steps", "belongs in a case: `cases: [ { name, steps } ]`"),
        ("tests", "did you mean `cases`?"),
        ("sinks", "outputs are looked at by `expect`"),
        ("backend", "belongs in `state`"),
    ],
    ..Keys::of(
        "test",
        &[
            &job::API_VERSION,
            &JOB,
            &OPERATOR,
            &SOURCES,
            &PARALLELISM,
            &job::MAX_PARALLELISM,
            &state::STATE,
            &START,
            &CASES,
        ],
    )
    .about("The test", "Which operator is tested, and how.")
};

const JOB: Key<Place> = Key::of("job", Place)
    .about("The job file that has the operator.")
    .without("`operator` says all of it")
    .example("job.yaml");

const OPERATOR: Key<Special> = Key::of(
    "operator",
    Special {
        below: &[&operator::KEYS],
        ..Special::of("name, or an operator as in a job file", || {
            json!({ "anyOf": [
                { "type": "string", "pattern": NAME },
                { "$ref": format!("#/$defs/{}", operator::KEYS.id) },
            ] })
        })
    },
)
.about(
    "The operator: the name of one in `job`, or what a job file would say of it. Then it is called \
     as the file is, without `.test.yaml`.",
)
.needed()
.example("{ component: cart.wasm, inputs: [ { from: clicks, key: { columns: [0] } } ] }");

const SOURCES: Key<Named> = Key::of(
    "sources",
    Named {
        each: &SOURCE,
        some: false,
    },
)
.about(
    "What the rows of an input are that would come from a source. An input that is not here is that \
     of an operator: its keys are selected all the same, and it has the times that are written \
     beside rows. Not with `job`, which says it.",
)
.without("all inputs are those of operators")
.example("{ clicks: { format: csv, timestamp: { column: 1 } } }");

const SOURCE: Keys = Keys::of("test-source", &[&FORMAT, &DELIMITER, &COLUMNS, &TIMESTAMP])
    .about("`sources` of a test", "What the rows of a source are.");

const FORMAT: Key<Words<Format>> = Key::of("format", FORMATS)
    .about("What a row is.")
    .needed()
    .example("csv");

const COLUMNS: Key<Special> = Key::of(
    "columns",
    Special::of(
        "list of names",
        || json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
    ),
)
.about("The names of the columns, as a header would have them.")
.without("columns have numbers only")
.example("[user, time]");

const PARALLELISM: Key<Whole> = Key::of("parallelism", Whole::between(1, 32_768))
    .about("How many subtasks the operator has.")
    .without("as many as in `job`, else 1")
    .example("2");

const START: Key<Special> = Key::of(
    "start",
    Special::of("whole number", || json!({ "type": "integer" })),
)
.about("What the clock says when a case begins, in milliseconds since 1970.")
.usual("0")
.example("1357034400000");

const CASES: Key<Special> = Key::of(
    "cases",
    Special {
        below: &[&CASE],
        ..Special::of(
            "list of cases",
            || json!({ "type": "array", "items": { "$ref": "#/$defs/test-case" }, "minItems": 1 }),
        )
    },
)
.about("What is tried. Each case begins anew: nothing of one is seen by another.")
.needed()
.example("[ { name: counts, steps: [ { rows: [\"a\"] }, { expect: [\"a=1\"] } ] } ]");

const CASE: Keys = Keys::of("test-case", &[&CASE_NAME, &CASE_PARALLELISM, &STEPS])
    .about("`cases`", "A case: what is done one after the other.");

const CASE_NAME: Key<Special> = Key::of(
    "name",
    Special::of("text", || json!({ "type": "string", "minLength": 1 })),
)
.about("What is tried, in a few words.")
.needed()
.example("counts rows by key");

const CASE_PARALLELISM: Key<Whole> = Key::of("parallelism", Whole::between(1, 32_768))
    .about("How many subtasks the operator has in this case.")
    .without("that of the file")
    .example("2");

const STEPS: Key<Special> = Key::of(
    "steps",
    Special {
        below: &[&STEP],
        ..Special::of("list of steps", || {
            json!({ "type": "array", "minItems": 1, "items": { "anyOf": [
                { "enum": steps::WORDS },
                { "$ref": "#/$defs/test-step" },
            ] } })
        })
    },
)
.about("What is done, one after the other. A step ends when all is done that it brought about.")
.needed()
.example("[ { rows: [\"a\"] }, snapshot, { expect: [\"a=1\"] } ]");

/// What a test file is called behind the name of its operator.
const ENDINGS: [&str; 4] = [".test.yaml", ".test.yml", ".yaml", ".yml"];

impl TestFile {
    /// Reads the text of a test file and applies `sets`, as [`JobFile::load`] does. A job file that
    /// it names is read by `read_job`, which is given its path. Nothing else but `text` is read.
    ///
    /// # Errors
    /// All that is wrong, as far as it can be told apart.
    pub fn load(
        host: &HostFile,
        text: &str,
        path: &Path,
        sets: &[String],
        read_job: &dyn Fn(&Path) -> Result<JobFile, Diagnostics>,
    ) -> Result<Self, Diagnostics> {
        let name = path.display().to_string();
        let text = readable("test file", &name, text)?;
        let file = Arc::new(Document::new(name, text.to_owned()));
        let mut documents = vec![Arc::clone(&host.document), Arc::clone(&file)];
        let arguments = sets.iter().map(|set| Document::of_argument(set));
        documents.extend(arguments.map(Arc::new));
        let mut report = Report::new(documents.clone());
        let mut read = None;
        if let Some(mut root) = yaml::parse(text, FILE, 0, &mut report) {
            for (at, set) in sets.iter().enumerate() {
                set::apply(set, FILE + 1 + at, &mut root, &mut report);
            }
            let reading = Reading {
                host,
                documents,
                path,
                root: &root,
            };
            read = reading.read(read_job, &mut report)?;
        }
        report.finish()?;
        read.ok_or_else(super::unread)
    }
}

/// A test file while it is read.
struct Reading<'a> {
    host: &'a HostFile,
    documents: Vec<Arc<Document>>,
    path: &'a Path,
    root: &'a Node,
}

impl Reading<'_> {
    /// Errors of a job file that is named are those of that file, and told before all others.
    fn read(
        &self,
        read_job: &dyn Fn(&Path) -> Result<JobFile, Diagnostics>,
        report: &mut Report,
    ) -> Result<Option<TestFile>, Diagnostics> {
        let start = Span {
            document: FILE,
            start: 0,
            end: 0,
        };
        let begin = "a test file begins with `apiVersion: weir/v1`";
        if matches!(self.root.value, Value::Null) {
            let message = format!("the test file {} is empty", quote(&self.name()));
            report.error(code::MISSING_KEY, message).help(begin);
            return Ok(None);
        }
        let Some(fields) = Fields::of("the test file", self.root, start, report) else {
            return Ok(None);
        };
        if job::version(&fields, report).is_none() {
            return Ok(None);
        }
        fields.check_keys(&KEYS, None, report);
        let start = int(&fields, &START, report).unwrap_or(0);
        let Some(entry) = fields.entry(&OPERATOR) else {
            return Ok(None);
        };
        let mut headers = BTreeMap::new();
        let found = match &entry.node.value {
            Value::Text(operator) => self.named(&fields, operator, entry, read_job, report)?,
            Value::Map(_) => self.written(&fields, entry, &mut headers, report),
            _ => {
                let what = "the name of an operator of `job`, or a mapping";
                wrong::<()>("operator", what, &entry.node, report);
                None
            }
        };
        let Some((operator, mut job)) = found else {
            return Ok(None);
        };
        let own = job.operators.get(&operator).map(|node| node.parallelism);
        let parallelism = fields.parallelism(&PARALLELISM, report).or(own);
        let parallelism = parallelism.unwrap_or(Parallelism::ONE);
        self.settle(&fields, &mut job, report);
        let inputs = job.operators.get(&operator);
        let inputs = inputs.map_or(&[][..], |node| &node.inputs).iter();
        let inputs = inputs.map(|input| match &input.side_output {
            None => input.from.to_string(),
            Some(side) => format!("{}.{side}", input.from),
        });
        let steps = Steps {
            inputs: inputs.collect(),
            document: &self.documents[FILE],
        };
        let cases = self.cases(&fields, parallelism, &steps, report);
        Ok(Some(TestFile {
            operator,
            job,
            headers,
            start: ProcessingTime(start),
            cases: cases.unwrap_or_default(),
            document: Arc::clone(&self.documents[FILE]),
        }))
    }

    /// What a test says of the job holds, whatever the job file says.
    fn settle(&self, fields: &Fields<'_>, job: &mut JobFile, report: &mut Report) {
        let max = fields.int(&job::MAX_PARALLELISM, report);
        if let Some(max) = max.and_then(|max| u32::try_from(max).ok()) {
            job.max_parallelism = weir_model::MaxParallelism::new(max).ok();
        }
        if fields.entry(&state::STATE).is_some() {
            let origin = self.origin(self.root.clone());
            job.backend = state::read(fields, &origin, report);
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn origin(&self, root: Node) -> Origin {
        Origin {
            documents: self.documents.clone(),
            folder: folder_of(self.path),
            host_folder: self.host.folder.clone(),
            root,
        }
    }

    /// An operator of a job file.
    fn named(
        &self,
        fields: &Fields<'_>,
        operator: &str,
        entry: &Entry,
        read_job: &dyn Fn(&Path) -> Result<JobFile, Diagnostics>,
        report: &mut Report,
    ) -> Result<Option<(Name, JobFile)>, Diagnostics> {
        let Some(job) = fields.entry(&JOB) else {
            report
                .error(
                    code::MISSING_KEY,
                    "`operator` is a name, and there is no `job`",
                )
                .at(
                    entry.node.span,
                    "the name of an operator of which job file?",
                )
                .help("say `job: <job file>`, or write the operator as a job file would");
            return Ok(None);
        };
        if let Some(sources) = fields.entry(&SOURCES) {
            report
                .error(code::CONTRADICTION, "what the sources are is said twice")
                .at(sources.key_span, "leave it out")
                .at(job.key_span, "the job file says it");
        }
        let instead = "give the path of a job file";
        let origin = self.origin(self.root.clone());
        let Some(path) = fields.path(&JOB, &origin, instead, report) else {
            return Ok(None);
        };
        let job = read_job(&path)?;
        let known = Name::new(operator).ok();
        if let Some(name) = known.filter(|name| job.operators.contains_key(name)) {
            return Ok(Some((name, job)));
        }
        let all: Vec<&str> = job.operators.keys().map(Name::as_str).collect();
        let message = format!("job `{}` has no operator {}", job.job, quote(operator));
        let label = match nearest(operator, all.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "unknown".to_owned(),
        };
        let help = match all.as_slice() {
            [] => "it has no operators at all".to_owned(),
            all => format!("its operators are {}", all_of(all)),
        };
        let error = report.error(code::UNKNOWN_INPUT, message);
        error.at(entry.node.span, label).help(help);
        Ok(None)
    }

    /// An operator as the test file has it, in a job that is made for it.
    fn written(
        &self,
        fields: &Fields<'_>,
        entry: &Entry,
        headers: &mut BTreeMap<Name, Vec<String>>,
        report: &mut Report,
    ) -> Option<(Name, JobFile)> {
        if let Some(job) = fields.entry(&JOB) {
            report
                .error(
                    code::CONTRADICTION,
                    "the operator is written here, and `job` says another",
                )
                .at(job.key_span, "leave it out")
                .at(
                    entry.key_span,
                    "or say the name of one of its operators here",
                );
            return None;
        }
        let mut root = vec![
            text("apiVersion", "weir/v1", entry.key_span),
            text("job", "test", entry.key_span),
        ];
        for key in [
            &PARALLELISM as &dyn AnyKey,
            &job::MAX_PARALLELISM,
            &state::STATE,
        ] {
            root.extend(fields.entry(key).cloned());
        }
        let mut sources = self.sources(fields, headers, report);
        let read = read_by(&entry.node);
        let letters = operator::dead_letters_of(entry);
        let mut taken: Vec<&str> = sources.iter().map(|entry| entry.key.as_str()).collect();
        taken.extend(read.iter().map(|(from, _)| from.as_str()));
        taken.extend(letters);
        let name = self.operator_name(&taken)?;
        let mut operators = vec![Entry {
            key: name.to_string(),
            key_span: entry.key_span,
            node: entry.node.clone(),
        }];
        for (upstream, span) in &read {
            let known = sources.iter().chain(&operators).map(|entry| &entry.key);
            if known.into_iter().all(|known| known != upstream) && Name::new(upstream).is_ok() {
                operators.push(upstream_of(upstream, &sources, *span));
            }
        }
        check_read(&sources, &read, report);
        if sources.is_empty() {
            sources.push(stub(UNREAD, GENERATOR, entry.key_span));
        }
        let sinks = letters.map(|sink| stub(sink, STDOUT, entry.key_span));
        root.push(map("sources", sources, entry.key_span));
        root.push(map("operators", operators, entry.key_span));
        root.push(map("sinks", sinks.into_iter().collect(), entry.key_span));
        let root = Node {
            span: self.root.span,
            value: Value::Map(root),
        };
        let origin = Arc::new(self.origin(root));
        let job = job::read(&origin, self.host, Vec::new(), report)?;
        job.operators.contains_key(&name).then_some((name, job))
    }

    /// The operator is called as the file is, where that is a name and nothing else has it.
    fn operator_name(&self, taken: &[&str]) -> Option<Name> {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        let stem = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending));
        let stem = stem.unwrap_or(&file).to_owned();
        let other = format!("{stem}-operator");
        let all = [stem.as_str(), &other, "operator", "the-operator"];
        let mut free = all.into_iter().filter(|name| !taken.contains(name));
        free.find_map(|name| Name::new(name).ok())
    }

    /// `sources` as a job file would have them: files that nobody opens.
    fn sources(
        &self,
        fields: &Fields<'_>,
        headers: &mut BTreeMap<Name, Vec<String>>,
        report: &mut Report,
    ) -> Vec<Entry> {
        let Some(entry) = fields.entry(&SOURCES) else {
            return Vec::new();
        };
        let Value::Map(entries) = &entry.node.value else {
            wrong::<()>("sources", "a mapping of names", &entry.node, report);
            return Vec::new();
        };
        let mut sources = Vec::new();
        for entry in entries {
            let what = format!("source `{}`", entry.key);
            let own = Fields::open(what, &entry.node, entry.key_span, &SOURCE, report);
            let Some(own) = own else { continue };
            let mut keys = vec![
                text("connector", "file", entry.key_span),
                text("path", &entry.key, entry.key_span),
            ];
            for key in [&FORMAT as &dyn AnyKey, &DELIMITER, &TIMESTAMP] {
                keys.extend(own.entry(key).cloned());
            }
            if let Some(columns) = own.entry(&COLUMNS) {
                let header = source::HEADER.name;
                keys.push(Entry {
                    key: header.to_owned(),
                    key_span: columns.key_span,
                    node: Node {
                        span: columns.node.span,
                        value: Value::Bool(true),
                    },
                });
                let names = texts("columns", &columns.node, report);
                if let (Ok(name), Some(names)) = (Name::new(&entry.key), names) {
                    headers.insert(name, names);
                }
            }
            sources.push(Entry {
                key: entry.key.clone(),
                key_span: entry.key_span,
                node: Node {
                    span: entry.node.span,
                    value: Value::Map(keys),
                },
            });
        }
        sources
    }

    fn cases(
        &self,
        fields: &Fields<'_>,
        parallelism: Parallelism,
        steps: &Steps<'_>,
        report: &mut Report,
    ) -> Option<Vec<TestCase>> {
        let entry = fields.entry(&CASES)?;
        let Value::List(list) = &entry.node.value else {
            return wrong("cases", "a list of cases", &entry.node, report);
        };
        if list.is_empty() {
            let error = report.error(code::MISSING_KEY, "there is no case");
            error.at(entry.node.span, "this is empty");
        }
        let mut cases: Vec<TestCase> = Vec::new();
        for (at, node) in list.iter().enumerate() {
            let what = format!("case {at}");
            let Some(own) = Fields::open(what, node, node.span, &CASE, report) else {
                continue;
            };
            let name = own.text(&CASE_NAME, report);
            let parallelism = own
                .parallelism(&CASE_PARALLELISM, report)
                .unwrap_or(parallelism);
            let list = own.entry(&STEPS);
            let list = list.and_then(|entry| steps.read(&entry.node, report));
            let Some((name, span)) = name else { continue };
            if let Some(first) = cases.iter().find(|case| case.name == name) {
                report
                    .error(code::NAME, format!("two cases are called {}", quote(name)))
                    .at(span, "again here")
                    .at(first.place.0, "first here");
            }
            cases.push(TestCase {
                name: name.to_owned(),
                parallelism,
                steps: list.unwrap_or_default(),
                place: TestPlace(span),
            });
        }
        Some(cases)
    }
}

/// The name of a source that is there because a job has one.
const UNREAD: &str = "weir-test-unread";
const GENERATOR: &[(&str, &str)] = &[("connector", "generator")];
const STDOUT: &[(&str, &str)] = &[("connector", "stdout")];

/// What the inputs of an operator read, with the places, as far as they can be read.
fn read_by(operator: &Node) -> Vec<(String, Span)> {
    let inputs = operator.entry("inputs").map(|entry| &entry.node.value);
    let Some(Value::List(inputs)) = inputs else {
        return Vec::new();
    };
    let from = inputs.iter().filter_map(|input| match &input.value {
        Value::Map(_) => input.entry("from").map(|entry| &entry.node),
        _ => Some(input),
    });
    let name = from.filter_map(|node| match &node.value {
        Value::Text(text) => {
            let node_name = text.split('.').next().unwrap_or(text);
            Some((node_name.to_owned(), node.span))
        }
        _ => None,
    });
    name.collect()
}

/// Reports sources that no input reads.
fn check_read(sources: &[Entry], read: &[(String, Span)], report: &mut Report) {
    for source in sources {
        if read.iter().all(|(from, _)| *from != source.key) {
            let message = format!("no input reads {}", quote(&source.key));
            let error = report.error(code::UNKNOWN_INPUT, message);
            error.at(source.key_span, "of no use");
        }
    }
}

/// An operator that an input reads and nobody looks at.
fn upstream_of(name: &str, sources: &[Entry], span: Span) -> Entry {
    let from = sources.first().map_or(UNREAD, |source| source.key.as_str());
    let input = Node {
        span,
        value: Value::Text(from.to_owned()),
    };
    let inputs = Entry {
        key: "inputs".to_owned(),
        key_span: span,
        node: Node {
            span,
            value: Value::List(vec![input]),
        },
    };
    map(
        name,
        vec![text("component", "unread.wasm", span), inputs],
        span,
    )
}

fn stub(name: &str, keys: &[(&str, &str)], span: Span) -> Entry {
    let keys = keys.iter().map(|(key, value)| text(key, value, span));
    map(name, keys.collect(), span)
}

fn map(key: &str, entries: Vec<Entry>, span: Span) -> Entry {
    Entry {
        key: key.to_owned(),
        key_span: span,
        node: Node {
            span,
            value: Value::Map(entries),
        },
    }
}

fn text(key: &str, value: &str, span: Span) -> Entry {
    Entry {
        key: key.to_owned(),
        key_span: span,
        node: Node {
            span,
            value: Value::Text(value.to_owned()),
        },
    }
}

/// A list of texts.
fn texts(key: &str, node: &Node, report: &mut Report) -> Option<Vec<String>> {
    let Value::List(list) = &node.value else {
        return wrong(key, "a list of names", node, report);
    };
    let text = |node| text_of(key, node, report).map(|(text, _)| text.to_owned());
    list.iter().map(text).collect()
}

/// A whole number that may be below 0.
fn int(fields: &Fields<'_>, key: &dyn AnyKey, report: &mut Report) -> Option<i64> {
    let entry = fields.entry(key)?;
    steps::whole(key.name(), &entry.node, report)
}
