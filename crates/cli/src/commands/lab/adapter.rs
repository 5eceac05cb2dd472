// SPDX-License-Identifier: BSD-3-Clause
//! `--adapter`: a name on the command line, as a pair of adapters.

use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::bridge::blocks::BACKENDS;
use becket_lab::bridge::channel::KINDS;
use becket_lab::bridge::exec::Exec;
use becket_lab::contract::Limits;
use becket_lab::mutant::{self, MUTANTS};
use becket_lab::rules::Exit as LabExit;

use super::foreign::{self, Foreign};
use crate::commands::pick::nearest;
use crate::commands::program;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, HEAD, Ui, paint, text};

/// The pair that is examined when none is named.
pub(in crate::commands) const DEFAULT: &str = "memory";
/// The name that lists all others.
pub(in crate::commands) const LIST: &str = "list";

/// What the names of channels begin with.
pub(in crate::commands) const CHANNEL: &str = "channel:";
/// What the names of plugins begin with.
const PLUGIN: &str = "plugin:";
/// What the names of zero-copy backends begin with.
pub(in crate::commands) const BLOCKS: &str = "blocks:";

/// Whether this is the name of a plugin: foreign code, in the process that calls it.
pub(in crate::commands) fn is_plugin(name: &str) -> bool {
    name.starts_with(PLUGIN)
}

/// Whether this is the name of a channel or a backend: code of this project that may panic in a
/// drop, which no adapter of the lab does.
pub(in crate::commands) fn is_of_channels(name: &str) -> bool {
    name.starts_with(CHANNEL) || name.starts_with(BLOCKS)
}

/// Makes pairs of adapters. A name that is not one of the lab's begins with `exec:` or `plugin:`.
pub(in crate::commands) struct Adapter {
    /// The name on the command line.
    pub(in crate::commands) name: String,
    make: foreign::Make,
    exec: Option<Exec>,
}

impl Adapter {
    /// The adapter of this name.
    pub(in crate::commands) fn of_name(name: &str) -> Result<Self, Failure> {
        if let Some(foreign) = foreign::of_name(name) {
            let Foreign { make, exec } = foreign?;
            return Ok(Self { name: name.to_owned(), make, exec });
        }
        // Older replay files have names of mutants with a prefix.
        let name = mutant::of_name(name).map_or(name, |mutant| mutant.name);
        match known().into_iter().find(|known| known.name == name) {
            Some(known) => Ok(Self { name: known.name, make: Box::new(known.make), exec: None }),
            None => Err(unknown(name)),
        }
    }

    /// It is a process.
    pub(in crate::commands) fn is_process(&self) -> bool {
        self.exec.is_some()
    }

    /// Events of its processes that no trace shows, as causes for people.
    pub(in crate::commands) fn mishaps(&self) -> Option<String> {
        self.exec.as_ref().and_then(foreign::mishaps)
    }

    /// The function that makes a pair.
    pub(in crate::commands) fn make(&self) -> &(dyn Fn(Limits) -> Pair + Send + Sync) {
        &self.make
    }
}

/// An adapter that has a name of its own.
struct Known {
    heading: &'static str,
    name: String,
    about: &'static str,
    make: fn(Limits) -> Pair,
}

/// All of them, by category.
fn known() -> Vec<Known> {
    let healthy = HEALTHY.iter().map(|it| Known {
        heading: "Adapters in which nothing is wrong",
        name: it.name.to_owned(),
        about: "",
        make: it.make,
    });
    let channels = KINDS.iter().map(|it| Known {
        heading: "Channels of becket-chan",
        name: format!("{CHANNEL}{}", it.name),
        about: it.holds,
        make: it.make,
    });
    let blocks = BACKENDS.iter().map(|it| Known {
        heading: "Zero-copy backends",
        name: format!("{BLOCKS}{}", it.name),
        about: it.about,
        make: it.make,
    });
    let faulty = MUTANTS.iter().map(|it| Known {
        heading: "Mutants: each is wrong in one behaviour",
        name: it.name.to_owned(),
        about: it.wrong,
        make: it.make,
    });
    healthy.chain(channels).chain(blocks).chain(faulty).collect()
}

/// Prints every name with its description.
pub(in crate::commands) fn say_list(ui: &Ui) -> Result<Exit, Failure> {
    if ui.json() {
        let row = |it: Known| serde_json::json!({ "name": it.name, "about": it.about });
        ui.data(&known().into_iter().map(row).collect::<Vec<_>>())?;
    } else {
        ui.text(&list())?;
    }
    Ok(Exit::Ok)
}

/// Every name, for people.
fn list() -> String {
    const WIDTH: usize = 96;
    let (mut said, mut heading) = (String::new(), "");
    for known in known() {
        if heading != known.heading {
            let line = if heading.is_empty() { "" } else { "\n" };
            said.push_str(&format!("{line}{}\n", paint(HEAD, known.heading)));
            heading = known.heading;
        }
        said.push_str(&format!("  {}\n", known.name));
        if !known.about.is_empty() {
            let about = text::wrapped(known.about, WIDTH, 6);
            said.push_str(&format!("      {}\n", paint(DIM, &about)));
        }
    }
    said
}

fn unknown(name: &str) -> Failure {
    let failure = Failure::new(Exit::Lab(LabExit::Usage), format!("there is no adapter `{name}`"));
    let known = known();
    let list = format!("`{} check local-adapter --adapter {LIST}` lists all", program());
    match nearest(name, known.iter().map(|known| known.name.as_str())) {
        Some(near) => failure.hint(format!("did you mean `{near}`? {list}")),
        None => failure.hint(list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_listed_is_known() {
        let list = list();
        let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names: Vec<_> = names.map(str::trim).collect();
        let bridged = KINDS.len() + BACKENDS.len();
        assert_eq!(names.len(), HEALTHY.len() + MUTANTS.len() + bridged);
        assert!(names.iter().all(|name| Adapter::of_name(name).is_ok()));
        assert!(Adapter::of_name(DEFAULT).is_ok());
        let prefixed = Adapter::of_name("local_adapter_flips_a_bit");
        assert_eq!(prefixed.ok().map(|adapter| adapter.name).as_deref(), Some("flips_a_bit"));
    }

    #[test]
    fn a_wrong_name_gets_the_nearest() {
        assert_eq!(nearest("memroy", ["ring", "memory"]), Some("memory"));
        assert_eq!(nearest("INT-1", ["INT-01", "LIF-01"]), Some("INT-01"));
        assert_eq!(nearest("xyzzy", ["ring", "memory"]), None);
        let Err(failure) = Adapter::of_name("memroy") else { panic!("no such adapter") };
        assert!(failure.advice().is_some_and(|hint| hint.contains("`memory`")));
    }
}
