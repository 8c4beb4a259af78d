//! What was measured, and on what: processor, system, compiler, commit.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use serde_json::{Value, json};

use crate::error::{Context, Error, Result};

/// The machine and the state of the code.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory: String,
    system: String,
    compiler: String,
    profile: String,
    commit: String,
    date: String,
}

impl Machine {
    pub(crate) fn look(root: &Path) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let unknown = || "unknown".to_owned();
        let cpu = read("/proc/cpuinfo");
        let memory = read("/proc/meminfo");
        let kibibytes = field(&memory, ':', "MemTotal")
            .and_then(|text| text.strip_suffix("kB")?.trim().parse::<f64>().ok());
        let name = field(&read("/etc/os-release"), '=', "PRETTY_NAME").unwrap_or_else(unknown);
        let kernel = read("/proc/sys/kernel/osrelease");
        let git = |arguments: &[&str]| told(root, "git", arguments);
        let commit = git(&["rev-parse", "--short=10", "HEAD"]).unwrap_or_else(unknown);
        let changed = git(&["status", "--porcelain", "--", ":!benches"]);
        Self {
            processor: field(&cpu, ':', "model name").unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory: kibibytes.map_or_else(unknown, |n| format!("{:.0} GiB", n / 1024.0 / 1024.0)),
            system: format!("{}, Linux {}", name.trim_matches('"'), kernel.trim()),
            compiler: told(root, "rustc", &["--version"]).unwrap_or_else(unknown),
            profile: profile().to_owned(),
            commit: match changed {
                Some(changed) if !changed.is_empty() => commit + " with changes",
                _ => commit,
            },
            date: told(root, "date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(unknown),
        }
    }

    pub(crate) fn date(&self) -> &str {
        &self.date
    }

    pub(crate) fn in_words(&self) -> String {
        let Self {
            processor,
            cores,
            memory,
            system,
            compiler,
            profile,
            commit,
            date,
        } = self;
        format!(
            "{date}, commit {commit}, {compiler}, {profile} build; {processor}, {cores} cores, \
             {memory}; {system}"
        )
    }

    /// What must be the same for figures to be compared: all but the day.
    pub(crate) fn build(&self) -> String {
        let Self {
            processor,
            cores,
            commit,
            profile,
            ..
        } = self;
        format!("a {profile} build of commit {commit} on {processor}, {cores} cores")
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "processor": self.processor,
            "cores": self.cores,
            "memory": self.memory,
            "system": self.system,
            "compiler": self.compiler,
            "profile": self.profile,
            "commit": self.commit,
            "date": self.date,
        })
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub(crate) fn of_json(told: &Value) -> Option<Self> {
        let text = |key: &str| Some(told.get(key)?.as_str()?.to_owned());
        Some(Self {
            processor: text("processor")?,
            cores: usize::try_from(told.get("cores")?.as_u64()?).ok()?,
            memory: text("memory")?,
            system: text("system")?,
            compiler: text("compiler")?,
            profile: text("profile")?,
            commit: text("commit")?,
            date: text("date")?,
        })
    }
}

/// The top folder of the clone. Cargo tells it at run time; the path from compile time may be
/// another clone's, since clones may share a target folder.
pub(crate) fn root() -> PathBuf {
    let own = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

/// The program `name` that was built beside this one.
pub(crate) fn sibling_program(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("this program does not know where it lies")?;
    let program = own.with_file_name(format!("{name}{}", env::consts::EXE_SUFFIX));
    if !program.is_file() {
        return Err(Error::new(format_args!(
            "{} is not built: build it (./jw bench does), or name another by --weir",
            program.display()
        )));
    }
    Ok(program)
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    }
}

/// The value of the first line `name : value`.
fn field(text: &str, separator: char, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(separator)?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// What a program prints, if it runs and succeeds.
fn told(root: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The arguments of a program, of files of this machine their names alone: results are for others
/// to read.
pub(crate) fn without_folders(arguments: impl Iterator<Item = String>) -> String {
    let without = |argument: String| {
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) => (format!("{option}="), value),
            None => (String::new(), &*argument),
        };
        match Path::new(value).file_name().filter(|_| value.contains('/')) {
            Some(name) => option + &name.to_string_lossy(),
            None => option + value,
        }
    };
    arguments.map(without).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_linux_writes_them() {
        let cpu = "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nmodel name\t: other\n";
        let model = field(cpu, ':', "model name");
        assert_eq!(model.as_deref(), Some("Some CPU @ 2.00GHz"));
        assert_eq!(field(cpu, ':', "MemTotal"), None);
    }

    #[test]
    fn arguments_say_no_folders() {
        let arguments = [
            "--only",
            "q0",
            "--weir=/a/weir",
            "--results",
            "b/c",
            "--seconds=1",
        ];
        let told = without_folders(arguments.into_iter().map(str::to_owned));
        assert_eq!(told, "--only q0 --weir=weir --results c --seconds=1");
    }

    #[test]
    fn a_machine_is_read_as_it_was_written() {
        let machine = Machine::look(Path::new("."));
        let read = Machine::of_json(&machine.to_json()).unwrap();
        assert_eq!(read.to_json(), machine.to_json());
        assert_eq!(read.in_words(), machine.in_words());
        assert!(Machine::of_json(&json!({ "cores": 2 })).is_none());
    }
}
