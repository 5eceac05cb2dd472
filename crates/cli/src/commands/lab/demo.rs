// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab demo`: a small run as a plot, tick by tick.

use std::io::Write;
use std::time::Duration;

use becket_chan::timer;
use becket_lab::check::Repeated;
use becket_lab::choice::Scheduler;
use becket_lab::config::Config;
use becket_lab::contract::{Class, FlowId, Limits, Tick};
use becket_lab::fault::{FaultKinds, FaultPlan};
use becket_lab::generate::STEADY;
use becket_lab::link::Link;
use becket_lab::parity;
use becket_lab::replay::Case;
use becket_lab::rules::Exit as LabExit;
use becket_lab::source::{End, FlowPlan, Planned};
use becket_lab::target::Behaviour;
use becket_lab::trace::FaultKind;

use super::adapter::{Adapter, DEFAULT, is_plugin};
use super::plot::{Plot, legend};
use super::step::columns;
use super::watch::listen;
use super::{once, show};
use crate::commands::check::seed;
use crate::commands::pick;
use crate::commands::runtime;
use crate::commands::supervised::Process;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{Ui, out};

/// How long a tick is shown.
const SHOWN: Duration = Duration::from_millis(60);
/// Ticks between chunks of a flow, and how many bytes each has.
const CHUNK: (u64, u64) = (2, 96);

/// Plot a small run: flows over ticks
///
/// On a terminal it is drawn tick by tick, elsewhere at once. The seed decides how many chunks each
/// flow has and which flow is reset.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many flows, from 1 to 16
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    flows: u32,
    /// Which adapters
    #[arg(long, short, value_name = "NAME", default_value = DEFAULT)]
    adapter: String,
    /// The seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// Inject faults: delays, stalls, small buffers
    #[arg(long)]
    faults: bool,
    /// Run a backend that was generated from a profile of the lab, beside the interpreted one
    #[arg(long, value_name = "PROFILE", num_args = 0..=1, conflicts_with_all = ["adapter", "seed", "faults"])]
    #[allow(clippy::option_option, reason = "an option that may be given without its value")]
    generated: Option<Option<String>>,
    #[command(flatten)]
    process: Process,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    if let Some(name) = &args.generated {
        return generated(name.as_deref(), args.flows, ui);
    }
    let process = args.process;
    process.run(is_plugin(&args.adapter), &[], ui, || shown(args, ui))
}

fn shown(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let (replay, repeated) = listen(move |board| {
        let name = &args.adapter;
        board.begin_within(args.process.idle_timeout(name), &format!("running {name}"));
        let adapter = Adapter::of_name(name)?;
        let (flows_max, flow_buffered_bytes_max) = (args.flows, 256);
        let limits = Limits { flows_max, buffered_bytes_max: 4 << 10, flow_buffered_bytes_max };
        let setup = (case(&args), limits);
        let replay = once::record(&adapter, ("demo", args.seed), setup, Scheduler::Random);
        let repeated = once::judge(&adapter, &replay);
        Ok((replay, repeated))
    })?;
    if ui.json() {
        show::lines(&replay, &repeated, None, once::exit_of(&repeated.findings), ui)?;
        return Ok(once::exit(&repeated.findings));
    }
    ui.text(&format!("{}\n", once::about(&replay)))?;
    let drawn = runtime::interruptible(async { draw(&repeated, ui).await.map(|()| Exit::Ok) });
    if runtime::run_one(drawn)? == Exit::Interrupted {
        return Ok(Exit::Interrupted);
    }
    ui.text(&format!("\n{}\n\n{}", legend(), once::verdict(&repeated)))?;
    Ok(once::exit(&repeated.findings))
}

/// Runs a generated backend. Exits with 1 if it behaves differently from the interpreted one.
fn generated(name: Option<&str>, flows: u32, ui: &Ui) -> Result<Exit, Failure> {
    if let Some(asked) = name {
        pick::one("profile", asked, [STEADY], |profile| profile.name)?;
    }
    let demo = parity::demo(flows).map_err(|error| {
        Failure::new(Exit::Lab(LabExit::Usage), "the demo cannot be shown").cause(error.to_string())
    })?;
    let is_same = demo.generated == demo.interpreted;
    if ui.json() {
        ui.data(&serde_json::json!({
            "profile": demo.profile,
            "seed": demo.seed,
            "events": demo.events,
            "generated": demo.generated.to_string(),
            "interpreted": demo.interpreted.to_string(),
        }))?;
    } else {
        ui.text(&demo.to_string())?;
    }
    Ok(Exit::Lab(if is_same { LabExit::Ok } else { LabExit::Conformance }))
}

/// Flows that open one after the other, each with some chunks, a chunk every second tick.
fn case(args: &Args) -> Case {
    let mut random = becket_lab::choice::Random::new(args.seed);
    let is_reset = 1 + random.below(args.flows);
    let plans = (1..=args.flows).map(|number| {
        let opens_at = u64::from(2 * (number - 1));
        let (every, bytes) = CHUNK;
        let count = u64::from(2 + random.below(4));
        let at = |chunk| Tick(opens_at + every * chunk);
        FlowPlan {
            flow: FlowId::new(number),
            class: if number == 1 { Class::Bulk } else { Class::Interactive },
            opens_at: Tick(opens_at),
            chunks: (0..count).map(|chunk| Planned { at: at(chunk), bytes }).collect(),
            end: if number == is_reset && args.flows > 2 { End::Reset } else { End::Final },
        }
    });
    let kinds =
        [FaultKind::Delay, FaultKind::Stall, FaultKind::WouldBlock, FaultKind::BufferShrink];
    let kinds = kinds.into_iter().fold(FaultKinds::NONE, FaultKinds::with);
    Case {
        config: Config { deterministic_seed: args.seed, ..Config::default() },
        plans: plans.collect(),
        behaviour: Behaviour::Echo,
        window_bytes: 1024,
        link: Link::Datagram,
        faults: if args.faults { FaultPlan::new(kinds, 8, Tick(20)) } else { FaultPlan::NONE },
    }
}

/// Draws the plot: on a terminal tick by tick in place, elsewhere once.
async fn draw(repeated: &Repeated, ui: &Ui) -> Result<(), Failure> {
    let events = repeated.trace.events();
    let mut plot = Plot::default();
    let is_live = out::is_terminal();
    let mut drawn = 0;
    for (at, event) in events.iter().enumerate() {
        plot.add(event);
        let next = events.get(at + 1);
        let is_last = next.is_none();
        if !is_last && (!is_live || next.is_some_and(|next| next.tick == event.tick)) {
            continue;
        }
        if drawn > 0 {
            // Moves the cursor to the first line; the old plot is overwritten.
            let mut out = out::out();
            write!(out, "\x1b[{drawn}A\x1b[J")?;
            out.flush()?;
        }
        ui.text(&plot.draw(columns()))?;
        drawn = plot.height();
        if is_live && !is_last {
            timer::sleep(SHOWN).await;
        }
    }
    Ok(())
}
