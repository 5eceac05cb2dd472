// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab bench`: checked runs per second on this machine, and the size of one run.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use becket_lab::check::JOBS_MAX;
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::Limits;
use becket_lab::fault::FaultPlan;
use becket_lab::link::Link;
use becket_lab::rules::{Examined, Examiner};
use becket_lab::source::Source;
use becket_lab::target::Behaviour;
use becket_lab::trace::Trace;
use becket_lab::world::{self, Setup};
use serde::Serialize;

use super::adapter::{Adapter, DEFAULT, is_plugin};
use super::watch::{Board, watch};
use crate::commands::check::common::jobs;
use crate::commands::supervised::Process;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, HEAD, Ui, WARN, paint, text};

/// Runs between two readings of the clock.
const BATCH: u64 = 16;
/// The longest measurement, in seconds.
const SECONDS_MAX: u64 = 600;

/// Measure how many runs are made and checked per second
///
/// One run: four flows of 64 to 95 bytes, echoed, with a new seed each time. Adapters and both
/// sessions are made, every byte crosses the virtual network, and all rules are checked on the
/// trace. A check does more: it repeats each run, runs each flow alone, and searches all texts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which adapters
    #[arg(long, short, value_name = "NAME", default_value = DEFAULT)]
    adapter: String,
    /// How long
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// How many threads, from 1 to 64
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = jobs)]
    jobs: usize,
    /// How many flows a run has, from 1 to 64
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    flows: u32,
    #[command(flatten)]
    process: Process,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    adapter: String,
    flows: u32,
    jobs: usize,
    seconds: f64,
    runs: u64,
    runs_per_second: f64,
    runs_per_second_and_thread: f64,
    events_per_run: f64,
    broken: u64,
    /// Whether the command was built without optimisation.
    is_debug: bool,
}

/// What a thread did.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    runs: u64,
    events: u64,
    broken: u64,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let process = args.process;
    process.run(is_plugin(&args.adapter), &[], ui, || measured(args, ui))
}

fn measured(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let board = Arc::<Board>::default();
    let shown = Arc::clone(&board);
    board.begin_within(args.process.idle_timeout(&args.adapter), "measuring");
    let work = move || -> Result<_, Failure> {
        Ok(measure(&args, &Adapter::of_name(&args.adapter)?, &shown))
    };
    let Some(measured) = watch(ui, &board, work)? else { return Ok(Exit::Interrupted) };
    let measured = measured?;
    if ui.json() {
        ui.data(&measured)?;
    } else {
        ui.text(&describe(&measured))?;
    }
    Ok(Exit::Ok)
}

fn measure(args: &Args, adapter: &Adapter, board: &Board) -> Measured {
    let limit = Duration::from_secs(args.seconds);
    let begun = Instant::now();
    let count = args.jobs.clamp(1, JOBS_MAX);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let one = |thread: usize| {
            // Each thread has its own range of seeds.
            let seed = (thread as u64) << 40;
            let board = (thread == 0).then_some(board);
            repeat(args.flows, adapter, seed, (begun, limit), board)
        };
        let threads: Vec<_> = (1..count).map(|thread| scope.spawn(move || one(thread))).collect();
        let mut tallies = vec![one(0)];
        tallies.extend(threads.into_iter().filter_map(|thread| thread.join().ok()));
        tallies
    });
    let seconds = begun.elapsed().as_secs_f64();
    let all = tallies.iter().fold(Tally::default(), |all, one| Tally {
        runs: all.runs + one.runs,
        events: all.events + one.events,
        broken: all.broken + one.broken,
    });
    let per_second = all.runs as f64 / seconds;
    Measured {
        adapter: adapter.name.clone(),
        flows: args.flows,
        jobs: count,
        seconds,
        runs: all.runs,
        runs_per_second: per_second,
        runs_per_second_and_thread: per_second / count as f64,
        events_per_run: all.events as f64 / all.runs.max(1) as f64,
        broken: all.broken,
        is_debug: cfg!(debug_assertions),
    }
}

/// One run after the other, each with the next seed.
fn repeat(
    flows: u32,
    adapter: &Adapter,
    first: u64,
    (begun, limit): (Instant, Duration),
    board: Option<&Board>,
) -> Tally {
    let (mut examiner, mut tally) = (Examiner::new(), Tally::default());
    let limits = Limits {
        flows_max: flows,
        buffered_bytes_max: 512 << 10,
        flow_buffered_bytes_max: 128 << 10,
    };
    let mut config = Config { max_flows: flows, ..Config::default() };
    let mut trace = Trace::new(config.max_events);
    let make = adapter.make();
    while begun.elapsed() < limit {
        for _ in 0..BATCH {
            config.deterministic_seed = first + tally.runs;
            let setup = Setup {
                config: &config,
                plans: Source::SmallBurst.plan(&config, flows),
                behaviour: Behaviour::Echo,
                window_bytes: 64 << 10,
                link: Link::Stream,
                faults: FaultPlan::NONE,
            };
            let (mut ingress, mut egress) = make(limits);
            let manifests = [&ingress.manifest(), &egress.manifest()];
            let mut choices = Choices::seeded(config.deterministic_seed);
            trace.clear();
            world::run(&setup, (&mut *ingress, &mut *egress), &mut choices, &mut trace);
            let marks = examiner.examine(&Examined::new(&trace, &setup, manifests));
            tally.runs += 1;
            tally.events += trace.events().len() as u64;
            tally.broken += u64::from(marks.broken != 0);
        }
        if let Some(board) = board {
            let done = begun.elapsed().as_millis() as u64;
            board.step(done, limit.as_millis() as u64, "ms");
        }
    }
    tally
}

fn describe(measured: &Measured) -> String {
    let rate = text::count(measured.runs_per_second as u64);
    let each = text::count(measured.runs_per_second_and_thread as u64);
    let mut said = format!("{}\n", paint(HEAD, &format!("{rate} checked runs a second")));
    let mut line = |text: &str| said.push_str(&format!("  {}\n", paint(DIM, text)));
    if measured.jobs > 1 {
        line(&format!("{each} a thread, {} threads", measured.jobs));
    }
    line(&format!(
        "{} in {:.2} s, with {}",
        text::plural(measured.runs, "run"),
        measured.seconds,
        measured.adapter
    ));
    line(&format!(
        "a run: {} of 64 to 95 bytes, echoed over a stream, {:.0} events, all rules examined",
        text::plural(measured.flows.into(), "flow"),
        measured.events_per_run
    ));
    line("not in it: the same run again, each flow alone, texts searched, which a check does too");
    if measured.broken > 0 {
        let broken = format!("in {} a rule was violated", text::plural(measured.broken, "run"));
        said.push_str(&format!("  {}\n", paint(WARN, &broken)));
    }
    if measured.is_debug {
        said.push_str(&format!("  {}\n", paint(WARN, "this command was built for debugging")));
    }
    said
}
