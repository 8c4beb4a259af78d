//! From a job file to the logical graph, with what must be asked of the world.

use std::{collections::HashSet, sync::Arc};

use weir_formats::{BytesKey, CsvKey, JsonKey, RowKey, TimestampSelector};
use weir_graph::{
    Endpoint, GraphError, Input as GraphInput, LogicalGraph, OperatorNode, Partitioning as Dealing,
    SinkNode, SourceNode,
};
use weir_model::{Name, Parallelism};
use weir_operator::KeySelector;

use crate::{
    Diagnostic, Diagnostics, JobFile, Spot, code,
    diagnostic::Label,
    model::{ColumnRef, Format, Input, Key, Operator, Partitioning, SourceConnector, TimePlace},
    report::arrange,
    source::Span,
    wording::{all_of, nearest, quote},
};

/// The most columns that are told where one is not found.
const MAX_COLUMNS: usize = 20;

/// What a graph depends on beyond its file.
pub trait Resolve {
    /// The names of the columns of a csv source with a header; `None` where it has none.
    ///
    /// # Errors
    /// Why that cannot be found out.
    fn header(&self, source: &Name) -> Result<Option<Vec<String>>, String>;

    /// The names of the side outputs of an operator's component, in order; `None` where the
    /// component could not be loaded, which is told elsewhere.
    fn side_outputs(&self, operator: &Name) -> Option<Vec<String>>;

    /// Whether the calls of an operator wait: then it begins a task of its own.
    fn waits(&self, operator: &Name) -> bool {
        let _ = operator;
        false
    }
}

impl JobFile {
    /// The logical graph.
    ///
    /// # Errors
    /// All that does not fit together.
    pub fn to_graph(&self, resolve: &dyn Resolve) -> Result<LogicalGraph, Diagnostics> {
        let mut list = Vec::new();
        // Who reads something that is told of as broken elsewhere.
        let mut broken = HashSet::new();
        let mut graph = LogicalGraph {
            job: self.job.clone(),
            max_parallelism: self.max_parallelism(),
            sources: Default::default(),
            operators: Default::default(),
            sinks: Default::default(),
        };
        for (name, source) in &self.sources {
            let node = SourceNode {
                parallelism: source.parallelism,
                rate: source.rate,
                watermarks: source.watermark.clone(),
            };
            graph.sources.insert(name.clone(), node);
        }
        for (name, operator) in &self.operators {
            let node = self.operator_node(name, operator, resolve, &mut list);
            if node.inputs.len() < operator.inputs.len() {
                broken.insert(name);
            }
            graph.operators.insert(name.clone(), node);
        }
        for (name, sink) in &self.sinks {
            let inputs = sink.input.iter();
            let inputs =
                inputs.filter_map(|input| self.input(input, sink.parallelism, resolve, &mut list));
            let node = SinkNode {
                parallelism: sink.parallelism,
                inputs: inputs.collect(),
            };
            if sink.input.is_some() && node.inputs.is_empty() {
                broken.insert(name);
            }
            graph.sinks.insert(name.clone(), node);
        }
        // A graph with holes would be told of as wrong for what is told already.
        if list.is_empty() {
            let wrong = graph.validate();
            let wrong = wrong.iter().filter(|error| match error {
                GraphError::NoInput { node } => !broken.contains(node),
                GraphError::NothingFeeds { sink } => !broken.contains(sink),
                GraphError::UnknownInput { .. }
                | GraphError::DuplicateName { .. }
                | GraphError::Cycle { .. }
                | GraphError::UnequalForward { .. }
                | GraphError::AboveMax { .. }
                | GraphError::NoSource
                | GraphError::UnknownDeadLetters { .. } => true,
            });
            list.extend(wrong.map(|error| self.graph_error(error)));
        }
        arrange(&mut list, &self.origin.documents);
        Diagnostics::from_list(list)?;
        Ok(graph)
    }

    /// An operator of the logical graph, whatever is around it.
    ///
    /// # Errors
    /// All that does not fit together in it.
    pub fn operator_alone(
        &self,
        name: &Name,
        resolve: &dyn Resolve,
    ) -> Result<Option<OperatorNode>, Diagnostics> {
        let mut list = Vec::new();
        let operator = self.operators.get(name);
        let node = operator.map(|operator| self.operator_node(name, operator, resolve, &mut list));
        arrange(&mut list, &self.origin.documents);
        Diagnostics::from_list(list)?;
        Ok(node)
    }

    fn operator_node(
        &self,
        name: &Name,
        operator: &Operator,
        resolve: &dyn Resolve,
        list: &mut Vec<Diagnostic>,
    ) -> OperatorNode {
        let inputs = operator.inputs.iter();
        let inputs =
            inputs.filter_map(|input| self.input(input, operator.parallelism, resolve, list));
        let inputs = inputs.collect();
        let side = self.side_outputs(name, resolve).unwrap_or_default().len();
        OperatorNode {
            parallelism: operator.parallelism,
            inputs,
            outputs: 1 + u32::try_from(side).unwrap_or(u32::MAX - 1),
            on_error: operator.on_error.clone(),
            chain: operator.chain && !resolve.waits(name),
            watermarks: operator.watermark,
        }
    }

    /// All outputs of an operator by name, the main one without: those of its component, then that
    /// of late rows.
    #[must_use]
    pub fn side_outputs_of(&self, operator: &Name, resolve: &dyn Resolve) -> Vec<String> {
        self.side_outputs(operator, resolve).unwrap_or_default()
    }

    /// How the event time of a source's rows is found.
    ///
    /// # Errors
    /// Where its column cannot be resolved.
    pub fn timestamp_of(
        &self,
        source: &Name,
        resolve: &dyn Resolve,
    ) -> Result<Option<TimestampSelector>, Diagnostic> {
        let (format, timestamp) = match self.sources.get(source).map(|s| &s.connector) {
            Some(SourceConnector::File(file)) => (file.format, &file.timestamp),
            Some(SourceConnector::Socket(socket)) => (socket.format, &socket.timestamp),
            Some(SourceConnector::Generator(_)) | None => return Ok(None),
        };
        let Some(timestamp) = timestamp else {
            return Ok(None);
        };
        let selector = match &timestamp.place {
            TimePlace::Json(pointer) => TimestampSelector::pointer(pointer.clone(), timestamp.unit),
            TimePlace::Column(column) => {
                let at = self.column(column, source, timestamp.span, resolve)?;
                TimestampSelector::column(delimiter_of(format), at, timestamp.unit)
            }
        };
        Ok(Some(match timestamp.skips_empty {
            true => selector.leaving_out_empty(),
            false => selector,
        }))
    }

    /// The side outputs of an operator: those of its component, then that of late rows.
    fn side_outputs(&self, operator: &Name, resolve: &dyn Resolve) -> Option<Vec<String>> {
        let mut all = resolve.side_outputs(operator)?;
        let of = self.operators.get(operator)?;
        let windows = of.windows.as_ref().and_then(|windows| windows.late.clone());
        let join = of.join.as_ref().and_then(|join| join.late.clone());
        all.extend(windows.or(join));
        Some(all)
    }

    fn input(
        &self,
        input: &Input,
        parallelism: Parallelism,
        resolve: &dyn Resolve,
        list: &mut Vec<Diagnostic>,
    ) -> Option<GraphInput> {
        let output = match &input.side_output {
            None => 0,
            Some(side) => {
                // A component that could not be loaded has been told of.
                let all = self.side_outputs(&input.from, resolve)?;
                match all.iter().position(|name| name == side) {
                    Some(at) => u32::try_from(at).ok()? + 1,
                    None => {
                        list.push(self.no_side_output(input, side, &all));
                        return None;
                    }
                }
            }
        };
        let partitioning = match &input.partitioning {
            Partitioning::Automatic => {
                match self.parallelism_of(&input.from) == Some(parallelism) {
                    true => Dealing::Forward,
                    false => Dealing::Rebalance,
                }
            }
            Partitioning::Forward => Dealing::Forward,
            Partitioning::Rebalance => Dealing::Rebalance,
            Partitioning::Broadcast => Dealing::Broadcast,
            Partitioning::Global => Dealing::Global,
            Partitioning::Key(key) => match self.selector(key, input, resolve) {
                Ok(selector) => Dealing::Hash(selector),
                Err(diagnostic) => {
                    list.push(diagnostic);
                    return None;
                }
            },
        };
        Some(GraphInput {
            from: Endpoint {
                node: input.from.clone(),
                output,
            },
            partitioning,
        })
    }

    fn parallelism_of(&self, name: &Name) -> Option<Parallelism> {
        let source = self.sources.get(name).map(|source| source.parallelism);
        source.or_else(|| {
            self.operators
                .get(name)
                .map(|operator| operator.parallelism)
        })
    }

    fn selector(
        &self,
        key: &Key,
        input: &Input,
        resolve: &dyn Resolve,
    ) -> Result<Arc<dyn KeySelector>, Diagnostic> {
        let format = self
            .sources
            .get(&input.from)
            .map(|source| match &source.connector {
                SourceConnector::File(file) => file.format,
                SourceConnector::Socket(socket) => socket.format,
                SourceConnector::Generator(_) => Format::Json,
            });
        match (key, format) {
            (Key::Row, _) => Ok(Arc::new(RowKey)),
            (&Key::Bytes { offset, length }, _) => Ok(Arc::new(BytesKey::new(offset, length))),
            (Key::Json(pointers), Some(Format::Json) | None) => {
                Ok(Arc::new(JsonKey::new(pointers.clone())))
            }
            (Key::Columns(columns), Some(Format::Csv { .. }) | None) => {
                let at = columns.iter().zip(&input.places);
                let at = at.map(|(column, span)| self.column(column, &input.from, *span, resolve));
                let at = at.collect::<Result<Vec<_>, _>>()?;
                let delimiter = format.map_or(b',', delimiter_of);
                let key = CsvKey::new(delimiter, &at);
                // Only words depend on it: where it cannot be read, places are told by number.
                let header = match format {
                    Some(Format::Csv { header: true, .. }) => resolve.header(&input.from),
                    Some(_) | None => Ok(None),
                };
                Ok(match header {
                    Ok(Some(header)) => Arc::new(key.with_header(&header)),
                    Ok(None) | Err(_) => Arc::new(key),
                })
            }
            (Key::Json(_) | Key::Columns(_), Some(format)) => {
                let label = match format {
                    Format::Csv { .. } => "the rows are csv: use `columns`",
                    Format::Json => "the rows are JSON: use `json`",
                    Format::Lines => "the rows are plain lines: use `row`",
                };
                let span = input.places.first().copied().unwrap_or(input.span);
                let message = format!("the rows of `{}` have no such key", input.from);
                Err(self.at(span, code::KEY, message, label, None))
            }
        }
    }

    /// The index of a column of what `from` gives.
    fn column(
        &self,
        column: &ColumnRef,
        from: &Name,
        span: Span,
        resolve: &dyn Resolve,
    ) -> Result<usize, Diagnostic> {
        let name = match column {
            ColumnRef::Index(at) => return Ok(*at),
            ColumnRef::Name(name) => name,
        };
        let Some(source) = self.sources.get(from) else {
            return Err(self.at(
                span,
                code::KEY,
                format!("`{from}` has no column {}", quote(name)),
                "rows of an operator have no header",
                Some("give the column by its number, from 0".to_owned()),
            ));
        };
        if matches!(source.connector, SourceConnector::Socket(_)) {
            return Err(self.at(
                span,
                code::KEY,
                format!("`{from}` has no column {}", quote(name)),
                "the header of a socket is not known before it is connected",
                Some("give the column by its number, from 0".to_owned()),
            ));
        }
        let header = resolve.header(from).map_err(|why| {
            let message = format!("the header of `{from}` cannot be read: {why}");
            self.at(span, code::UNRESOLVED, message, "needed here", None)
        })?;
        let Some(header) = header else {
            return Err(self.at(
                span,
                code::KEY,
                format!("`{from}` has no column {}", quote(name)),
                "its files have no header",
                Some(format!(
                    "say `header: true` for `{from}`, or number the columns from 0"
                )),
            ));
        };
        if let Some(at) = header.iter().position(|column| column == name) {
            return Ok(at);
        }
        let label = match nearest(name, header.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "unknown".to_owned(),
        };
        let help = match header.split_at_checked(MAX_COLUMNS) {
            Some((first, rest)) if !rest.is_empty() => {
                format!("the columns are {}, and {} more", all_of(first), rest.len())
            }
            Some(_) | None => format!("the columns are {}", all_of(&header)),
        };
        let message = format!("`{from}` has no column {}", quote(name));
        Err(self.at(span, code::KEY, message, label, Some(help)))
    }

    fn no_side_output(&self, input: &Input, side: &str, all: &[String]) -> Diagnostic {
        let label = match nearest(side, all.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{}.{near}`?", input.from),
            None if all.is_empty() => "its component declares none".to_owned(),
            None => format!("its component declares {}", all_of(all)),
        };
        let message = format!(
            "operator `{}` has no side output {}",
            input.from,
            quote(side)
        );
        self.at(input.span, code::UNKNOWN_INPUT, message, label, None)
    }

    fn at(
        &self,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) -> Diagnostic {
        let labels = vec![Label {
            span: span.start..span.end,
            text: label.into(),
        }];
        let document = self.document(span.document);
        Diagnostic {
            code,
            message: message.into(),
            labels,
            help,
            document,
        }
    }

    /// A graph that cannot run, told at its place.
    fn graph_error(&self, error: &GraphError) -> Diagnostic {
        let (code, spot, label) = match error {
            GraphError::UnknownInput { node, .. } => (code::UNKNOWN_INPUT, self.spot_of(node), ""),
            GraphError::DuplicateName { name } => (code::NAME, self.spot_of(name), ""),
            GraphError::Cycle { names } => return self.cycle(names, error),
            GraphError::UnequalForward { from, to, .. } => return self.unequal(from, to, error),
            GraphError::AboveMax { node, .. } => {
                (code::PARALLELISM, self.parallelism_spot(node), "too many")
            }
            GraphError::NoSource => (code::NOTHING_TO_READ, Spot::File, ""),
            GraphError::NoInput { node } => (code::NOTHING_TO_READ, self.spot_of(node), ""),
            GraphError::UnknownDeadLetters { operator, .. } => {
                let spot = Spot::OperatorKey(operator.clone(), "on-error");
                (code::UNKNOWN_SINK, spot, "")
            }
            GraphError::NothingFeeds { sink } => (code::NOTHING_TO_READ, self.spot_of(sink), ""),
        };
        self.diagnose(&spot, code, error.to_string(), label, None)
    }

    /// A cycle, told at all the inputs that close it.
    fn cycle(&self, names: &str, error: &GraphError) -> Diagnostic {
        let names: Vec<&str> = names.split(" -> ").collect();
        let message = match names.as_slice() {
            [one, _] => format!("operator `{one}` reads itself"),
            _ => error.to_string(),
        };
        let help = Some("rows only flow forward".to_owned());
        let mut diagnostic = self.diagnose(&Spot::File, code::CYCLE, message, "", help);
        for pair in names.windows(2) {
            let [from, to] = pair else { continue };
            let inputs = self.operators.get(*to).map(|operator| &operator.inputs);
            let mut inputs = inputs.into_iter().flatten();
            if let Some(input) = inputs.find(|input| input.from.as_str() == *from) {
                let document = self.document(input.span.document);
                if diagnostic.labels.is_empty() {
                    diagnostic.document = document;
                } else if !Arc::ptr_eq(&diagnostic.document, &document) {
                    continue;
                }
                diagnostic.labels.push(Label {
                    span: input.span.start..input.span.end,
                    text: format!("`{to}` reads `{from}`"),
                });
            }
        }
        diagnostic
    }

    /// A forward input between different parallelisms, told at its `partitioning`.
    fn unequal(&self, from: &Name, to: &Name, error: &GraphError) -> Diagnostic {
        let operator = self.operators.get(to).map(|operator| &operator.inputs);
        let sink = self.sinks.get(to).and_then(|sink| sink.input.as_ref());
        let mut inputs = operator.into_iter().flatten().chain(sink);
        let is_it = |input: &&Input| {
            input.from == *from && matches!(input.partitioning, Partitioning::Forward)
        };
        let help = "use `partitioning: rebalance`, or the same parallelism".to_owned();
        let (code, message) = (code::PARALLELISM, error.to_string());
        match inputs.find(is_it) {
            Some(input) => {
                let span = input.places.first().copied().unwrap_or(input.span);
                self.at(span, code, message, "subtask to subtask", Some(help))
            }
            None => self.diagnose(&self.spot_of(to), code, message, "", Some(help)),
        }
    }

    /// Where the parallelism of a node is written, be it that of the job.
    fn parallelism_spot(&self, name: &Name) -> Spot {
        let key = "parallelism";
        let own = match self.spot_of(name) {
            Spot::Source(name) => Spot::SourceKey(name, key),
            Spot::Operator(name) => Spot::OperatorKey(name, key),
            _ => Spot::SinkKey(name.clone(), key),
        };
        match self.is_written(&own) {
            true => own,
            false => Spot::Parallelism,
        }
    }

    fn spot_of(&self, name: &Name) -> Spot {
        if self.sources.contains_key(name) {
            Spot::Source(name.clone())
        } else if self.operators.contains_key(name) {
            Spot::Operator(name.clone())
        } else {
            Spot::Sink(name.clone())
        }
    }
}

fn delimiter_of(format: Format) -> u8 {
    match format {
        Format::Csv { delimiter, .. } => delimiter,
        Format::Json | Format::Lines => b',',
    }
}
