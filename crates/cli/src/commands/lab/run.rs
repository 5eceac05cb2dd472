// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab run`: one run, of which every event is shown.

use std::ops::ControlFlow;
use std::path::PathBuf;

use becket_lab::check::Repeated;
use becket_lab::choice::{Bounds, Coverage, Random, Scheduler, explore};
use becket_lab::contract::{Limits, Tick};
use becket_lab::fault::{FaultKinds, FaultPlan};
use becket_lab::link::Link;
use becket_lab::mutant;
use becket_lab::replay::{Case, Expected, Replay};
use becket_lab::rules::{Examined, Exit as LabExit, examine};
use becket_lab::scenario::{Profile, SCENARIOS, Scenario, Shown};
use becket_lab::source::Source;
use becket_lab::target::Behaviour;
use becket_lab::trace::{FaultKind, Trace};
use becket_lab::world;

use super::adapter::{self, Adapter, DEFAULT, LIST, is_plugin};
use super::files::Output;
use super::watch::{Board, listen};
use super::{once, show};
use crate::commands::check::seed;
use crate::commands::pick;
use crate::commands::supervised::Process;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, GOOD, Ui, WARN, paint, text};

/// For faults named on the command line: how many are injected at most, and until which tick.
const STRIKES: (u32, Tick) = (8, Tick(50));
/// Flows of a run.
const FLOWS_MAX: u32 = 64;

/// Make one run and show every event of it
///
/// The seed draws everything: the scenario, limits, link, faults, scheduling. Options override
/// what the seed draws. With --json one object per line: the run's inputs, each event, the verdict.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    /// Which adapters: a name, or `list`, which lists them
    #[arg(long, short, value_name = "NAME", default_value = DEFAULT)]
    adapter: String,
    /// The seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// The run in which a mutant shows what is wrong with it
    #[arg(long, conflicts_with_all = ["scenario", "source"])]
    witness: bool,
    /// A scenario of the checks
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// The source of the flows, such as small_burst_source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// How they are answered, such as echo
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// The link between the two sessions, such as stream
    #[arg(long, value_name = "NAME", alias = "carrier")]
    link: Option<String>,
    /// A fault to inject, such as delay, or `none`; may be given several times
    #[arg(long, value_name = "NAME")]
    fault: Vec<String>,
    /// The scheduler: round_robin, random or pct
    #[arg(long, value_name = "NAME")]
    scheduler: Option<String>,
    /// How many flows, from 1 to 64
    #[arg(long, value_name = "N", value_parser = flows)]
    flows: Option<u32>,
    /// Show the events of this flow alone
    #[arg(long, value_name = "N")]
    only_flow: Option<u32>,
    /// Write a replay of the run into this file, for `becket lab replay` and `shrink`
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Make it in every order with a few deviations from the default schedule, and show the first
    /// in which a rule is broken; at most three flows
    #[arg(long, conflicts_with = "scheduler")]
    exhaustive: bool,
    #[command(flatten)]
    process: Process,
}

/// The inputs of the run, except the adapters.
struct Drawn {
    scenario: Option<&'static Scenario>,
    name: String,
    case: Case,
    limits: Limits,
    scheduler: Scheduler,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    if args.adapter == LIST {
        return adapter::say_list(ui);
    }
    let (process, ours) = (args.process, *ui);
    let (has_plugin, places) = (is_plugin(&args.adapter), args.save.clone());
    // Ctrl-C must also end the process of a foreign adapter.
    let work = || listen(move |board| one(&args, &ours, board));
    process.run(has_plugin, places.as_slice(), ui, work)
}

fn one(args: &Args, ui: &Ui, board: &Board) -> Result<Exit, Failure> {
    let name = &args.adapter;
    board.begin_within(args.process.idle_timeout(name), &format!("running {name}"));
    let adapter = Adapter::of_name(name)?;
    let drawn = drawn(args, &adapter)?;
    let save = args.save.as_deref().map(Output::open).transpose()?;
    let (scenario, name, seed) = (drawn.scenario, drawn.name.clone(), args.seed);
    let replay = match args.exhaustive {
        true => exhaustive(&adapter, &drawn, (seed, board), ui)?,
        false => {
            let Drawn { case, limits, scheduler, .. } = drawn;
            Some(once::record(&adapter, (&name, seed), (case, limits), scheduler))
        }
    };
    let Some(mut replay) = replay else { return Ok(Exit::Ok) };
    show::has(&replay, args.only_flow)?;
    let repeated = once::judge(&adapter, &replay);
    board.begin("");
    once::note_mishaps(&adapter, ui);
    replay.expected.rule = repeated.findings.first().map(|finding| finding.rule.to_owned());
    if let Some(save) = save {
        save.write(&replay.to_text(), ui)?;
    }
    let mut exit = once::exit_of(&repeated.findings);
    let demand = scenario.map(|scenario| demand(scenario, &replay, &repeated));
    if let Some((_, false)) = demand {
        exit = exit.worse(LabExit::Conformance);
    }
    if ui.json() {
        show::lines(&replay, &repeated, args.only_flow, exit, ui)?;
    } else {
        let mut said = once::about(&replay);
        said.push('\n');
        said.push_str(&show::events(&repeated.trace, args.only_flow));
        said.push('\n');
        if let Some((demand, _)) = demand {
            said.push_str(&demand);
        }
        said.push_str(&once::verdict(&repeated));
        ui.text(&said)?;
    }
    Ok(Exit::Lab(exit))
}

fn flows(text: &str) -> Result<u32, String> {
    let said = || format!("it is a whole number from 1 to {FLOWS_MAX}");
    text.parse().ok().filter(|count| (1..=FLOWS_MAX).contains(count)).ok_or_else(said)
}

/// The inputs that the seed draws, with those of the options in their place.
fn drawn(args: &Args, adapter: &Adapter) -> Result<Drawn, Failure> {
    let mut drawn = if args.witness { witness(args)? } else { of_seed(args, adapter)? };
    let case = &mut drawn.case;
    if let Some(asked) = &args.target {
        case.behaviour = pick::one("target", asked, Behaviour::EVERY, |it| it.name())?;
    }
    if let Some(asked) = &args.link {
        case.link = pick::one("link", asked, Link::ALL, |it| it.name())?;
    }
    if let Some(asked) = &args.scheduler {
        let pct = Scheduler::Pct { changes: 3, steps: 256 };
        let all = [Scheduler::RoundRobin, Scheduler::Random, pct];
        drawn.scheduler = pick::one("scheduler", asked, all, |it| it.name())?;
    }
    if !args.fault.is_empty() {
        case.faults = faults(&args.fault)?;
    }
    // The scenario makes no demands on overridden inputs.
    if args.source.is_some() || args.target.is_some() || args.flows.is_some() {
        drawn.scenario = None;
    }
    Ok(drawn)
}

fn faults(asked: &[String]) -> Result<FaultPlan, Failure> {
    if let Some(at) = asked.iter().position(|name| name == "none") {
        let mut others = asked.iter().enumerate().filter(|(other, _)| *other != at);
        return match others.next() {
            None => Ok(FaultPlan::NONE),
            Some((_, other)) => {
                let error = format!("`--fault none` and `--fault {other}` contradict each other");
                Err(Failure::new(Exit::Lab(LabExit::Usage), error).hint("leave one of them out"))
            }
        };
    }
    let mut kinds = FaultKinds::NONE;
    for asked in asked {
        kinds = kinds.with(pick::one("fault", asked, FaultKind::ALL, |it| it.name())?);
    }
    let (strikes, until) = STRIKES;
    Ok(FaultPlan::new(kinds, strikes, until))
}

/// The witness of a mutant, with the seed that was asked for.
fn witness(args: &Args) -> Result<Drawn, Failure> {
    let Some(of) = mutant::of_name(&args.adapter) else {
        let error = format!("{} has no witness", args.adapter);
        return Err(Failure::new(Exit::Lab(LabExit::Usage), error)
            .cause("only a mutant has a run that shows what is wrong with it")
            .hint("name one with --adapter; `--adapter list` lists them"));
    };
    let mut witness = of.witness.seed(args.seed);
    if let Some(flows) = args.flows {
        witness = witness.flows(flows);
    }
    let case = witness.case();
    let (limits, scheduler) = (witness.limits, Scheduler::Random);
    Ok(Drawn { scenario: None, name: "witness".into(), case, limits, scheduler })
}

fn of_seed(args: &Args, adapter: &Adapter) -> Result<Drawn, Failure> {
    let mut profile = Profile::draw(args.seed);
    let scenario = match &args.scenario {
        Some(asked) => pick::one("scenario", asked, &SCENARIOS, |it| it.name)?,
        None => any_scenario(args, &profile, adapter)?,
    };
    profile = profile.of(scenario);
    let source = match &args.source {
        Some(asked) => pick::one("source", asked, Source::ALL, |it| it.name())?,
        None => scenario.source,
    };
    let mut limits = scenario.limits(&profile);
    let is_as_drawn = args.source.is_none() && args.flows.is_none();
    let plans = match is_as_drawn {
        true => {
            if let Some(obstacle) = obstacle(scenario, &profile, adapter) {
                return Err(not_applicable(scenario, args.seed, obstacle));
            }
            scenario.plans(&profile.config)
        }
        false => {
            let count = args.flows.unwrap_or(scenario.flows);
            profile.config.max_flows = profile.config.max_flows.max(count);
            limits.flows_max = limits.flows_max.max(count);
            limits.buffered_bytes_max = limits.flow_buffered_bytes_max * u64::from(count);
            source.plan(&profile.config, count)
        }
    };
    let name = if args.source.is_some() { source.name() } else { scenario.name };
    Ok(Drawn {
        scenario: Some(scenario),
        name: name.into(),
        limits,
        scheduler: profile.scheduler,
        case: Case {
            plans,
            behaviour: profile.behaviour(scenario),
            window_bytes: profile.window_bytes,
            link: profile.link,
            faults: profile.faults,
            config: profile.config,
        },
    })
}

/// A scenario that fits the drawn limits.
fn any_scenario(
    args: &Args,
    profile: &Profile,
    adapter: &Adapter,
) -> Result<&'static Scenario, Failure> {
    let is_free = args.source.is_some() || args.flows.is_some();
    let fits: Vec<_> = SCENARIOS
        .iter()
        // A scenario of many orders is not shown by a single run.
        .filter(|scenario| scenario.orders.is_none())
        .filter(|scenario| is_free || obstacle(scenario, profile, adapter).is_none())
        .collect();
    let at = Random::new(args.seed).below(u32::try_from(fits.len()).unwrap_or(0)) as usize;
    fits.get(at).copied().ok_or_else(|| {
        let error = format!("no scenario fits the limits of seed {}", args.seed);
        Failure::new(Exit::Lab(LabExit::Inconclusive), error).hint("try another seed")
    })
}

fn obstacle(scenario: &Scenario, profile: &Profile, adapter: &Adapter) -> Option<&'static str> {
    let (ingress, egress) = (adapter.make())(scenario.limits(profile));
    scenario.obstacle(&profile.config, &[ingress.manifest(), egress.manifest()])
}

fn not_applicable(scenario: &Scenario, seed: u64, obstacle: &'static str) -> Failure {
    let error = format!("{} is not applicable with seed {seed}", scenario.name);
    Failure::new(Exit::Lab(LabExit::Inconclusive), error)
        .cause(obstacle)
        .hint("try another seed: each draws other limits")
}

/// Runs every order with a few deviations from the default schedule, until a rule is broken.
fn exhaustive(
    adapter: &Adapter,
    drawn: &Drawn,
    (seed, board): (u64, &Board),
    ui: &Ui,
) -> Result<Option<Replay>, Failure> {
    let count = drawn.case.plans.len();
    let Some(bounds) = Bounds::of_flows(count) else {
        let error = format!("the runs of {count} flows are too many to be made one by one");
        return Err(Failure::new(Exit::Lab(LabExit::Usage), error)
            .cause(format!("there may be {} at most", Bounds::FLOWS_MAX))
            .hint("`--flows 2` makes it smaller"));
    };
    let (limits, make) = (drawn.limits, adapter.make());
    let mut trace = Trace::new(drawn.case.config.max_events);
    let mut runs = 0;
    let explored = explore(bounds, |choices| {
        runs += 1;
        board.step(runs, 0, "");
        trace.clear();
        world::run_with(&drawn.case, &|| make(limits), choices, &mut trace);
        let (ingress, egress) = make(limits);
        let manifests = [&ingress.manifest(), &egress.manifest()];
        match examine(&Examined::new(&trace, &drawn.case, manifests)).findings().next() {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break((choices.recorded().to_vec(), trace.hash())),
        }
    });
    let covered = match explored.coverage {
        Coverage::All => "all there are",
        Coverage::Bounded => {
            "all that depart three times from the plainest in their first 64 choices"
        }
        Coverage::RunsMax => "as many as are made at most; there are others",
        Coverage::Stopped => "a rule is violated in the last",
        Coverage::Diverged => "until one did not repeat: it depends on something that is no choice",
    };
    let said = format!("{}: {covered}", text::plural(explored.runs, "run"));
    let Some((recording, hash)) = explored.found else {
        if explored.coverage == Coverage::Diverged {
            return Err(Failure::new(Exit::Lab(LabExit::Nondeterministic), said));
        }
        board.begin("");
        if ui.json() {
            ui.data(&serde_json::json!({ "runs": explored.runs, "covered": covered }))?;
        } else {
            ui.text(&format!("{} {}\n", paint(GOOD, "no rule is violated in"), said))?;
        }
        return Ok(None);
    };
    ui.note(&said);
    Ok(Some(Replay {
        adapter: adapter.name.clone(),
        limits,
        scenario: drawn.name.clone(),
        profile: seed.to_string(),
        case: drawn.case.clone(),
        recording,
        expected: Expected { rule: None, trace: hash },
    }))
}

/// Whether the run met the demands of its scenario; `false` if it did not and faults do not excuse
/// that.
fn demand(scenario: &Scenario, replay: &Replay, repeated: &Repeated) -> (String, bool) {
    let shown = scenario.demand.is_shown(&repeated.trace, scenario.flows, replay.case.behaviour);
    // Faults of the scenario itself do not excuse it.
    let is_excused = !replay.case.faults.is_none() && scenario.faults.is_none();
    let (style, said, is_fine) = match shown {
        Shown::Yes => (GOOD, "that was shown", true),
        Shown::NoOccasion => (WARN, "there was no occasion", true),
        Shown::Otherwise if is_excused => (DIM, "faults may have taken that away", true),
        Shown::Otherwise => (WARN, "it was not", false),
    };
    let said = format!("{} {}; {}\n", "demanded:", scenario.demand.sentence(), paint(style, said));
    (said, is_fine)
}
