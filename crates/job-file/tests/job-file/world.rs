//! What a case says of the world around its job file.

use std::collections::HashMap;

use weir_job_file::Resolve;
use weir_model::Name;

/// Read from the lines of a job file that begin with `#%`.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// The host file, by its name among the cases of `host`.
    pub(crate) host: Option<String>,
    /// The arguments of `--set`.
    pub(crate) sets: Vec<String>,
    headers: HashMap<String, Result<Vec<String>, String>>,
    /// `None` = not loaded.
    outputs: HashMap<String, Option<Vec<String>>>,
}

impl World {
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let mut world = Self::default();
        for line in text.lines().map_while(|line| line.strip_prefix("#% ")) {
            let (word, rest) = line.split_once(' ').ok_or("a word and something")?;
            let (name, list) = rest.split_once(": ").unwrap_or((rest, ""));
            let name = name.to_owned();
            let names = || list.split(", ").map(str::to_owned).collect();
            match word {
                "host" => world.host = Some(rest.to_owned()),
                "set" => world.sets.push(rest.to_owned()),
                "header" => drop(world.headers.insert(name, Ok(names()))),
                "no-header" => drop(world.headers.insert(name, Err(list.to_owned()))),
                "outputs" => drop(world.outputs.insert(name, Some(names()))),
                "unloaded" => drop(world.outputs.insert(name, None)),
                other => return Err(format!("unknown: #% {other}")),
            }
        }
        Ok(world)
    }
}

impl Resolve for World {
    fn header(&self, source: &Name) -> Result<Option<Vec<String>>, String> {
        self.headers.get(source.as_str()).cloned().transpose()
    }

    fn side_outputs(&self, operator: &Name) -> Option<Vec<String>> {
        let outputs = self.outputs.get(operator.as_str()).cloned();
        outputs.unwrap_or_else(|| Some(Vec::new()))
    }
}
