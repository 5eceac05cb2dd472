// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin bench PATH ENTRY`: calls per second, and their latencies.
//!
//! Every thread makes one call after the other, so no queueing is measured, only the plugin and the
//! host. A stream is measured from its opening to its end. A bidirectional stream sends its payload
//! once, closes, and is measured until the plugin has ended it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use becket_chan::{Receiver, bounded};
use becket_host::{Entry, EntryKind, Request};
use bytes::Bytes;
use futures_lite::future::block_on;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::load::Load;
use crate::commands::runtime;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, HEAD, Ui, paint, text};

/// Measure how many calls a second an entry answers, and how fast
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    load: Load,
    /// The entry to call
    entry: String,
    /// How long to call
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// How many threads call at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// How many bytes each call sends
    #[arg(long, value_name = "BYTES", default_value_t = 0, conflicts_with = "data")]
    payload_bytes: usize,
    /// What each call sends
    #[arg(long, value_name = "TEXT")]
    data: Option<String>,
    /// Call without a request, with only the payload
    #[arg(long)]
    raw: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    entry: String,
    threads: u16,
    payload_bytes: usize,
    seconds: f64,
    calls: u64,
    failed: u64,
    frames: u64,
    calls_per_second: f64,
    latency_ns: Percentiles,
    interrupted: bool,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    mean: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// The counts of one thread.
#[derive(Debug, Clone)]
struct Tally {
    /// Nanoseconds.
    latency: Histogram<u64>,
    calls: u64,
    failed: u64,
    frames: u64,
    /// The first failure, as text.
    why: Option<String>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let payload = match &args.data {
        Some(data) => Bytes::copy_from_slice(data.as_bytes()),
        None => Bytes::from(vec![b'x'; args.payload_bytes]),
    };
    let (_host, plugin) = args.load.load(None)?;
    let entry = plugin.entry(&args.entry)?;
    let kind = entry.kind().unwrap_or(EntryKind::Unary);
    let none = Tally::new(histogram()?);
    let work = Work { entry, kind, payload: payload.clone(), raw: args.raw, none: none.clone() };

    let limit = Duration::from_secs_f64(args.seconds);
    let (tallies, took, interrupted) =
        runtime::run_one(async { Ok(measure(&work, &args, limit, ui).await) })?;

    let mut all = none;
    for tally in tallies {
        all.add(tally);
    }
    let report = report(&args, payload.len(), &all, took, interrupted);
    if ui.json() {
        ui.data(&report)?;
    } else {
        ui.text(&describe(&report))?;
    }
    if interrupted {
        return Ok(Exit::Interrupted);
    }
    match all.why {
        Some(why) => Err(Failure::new(
            Exit::Call,
            format!("{} of entry `{}` failed", text::plural(all.failed, "call"), args.entry),
        )
        .cause(why)
        .hint(format!(
            "`becket plugin call {} {}` shows one",
            args.load.path.display(),
            args.entry
        ))),
        None => Ok(Exit::Ok),
    }
}

/// Makes calls on every thread until the time is up or Ctrl-C comes. True after Ctrl-C.
async fn measure(
    work: &Work,
    args: &Args,
    limit: Duration,
    ui: &Ui,
) -> (Vec<Tally>, Duration, bool) {
    let stop = Arc::new(AtomicBool::new(false));
    let (done, finished) = bounded(usize::from(args.threads));
    let started = Instant::now();
    for _ in 0..args.threads {
        let (work, stop, done) = (work.clone(), Arc::clone(&stop), done.clone());
        std::thread::spawn(move || {
            let tally = work.repeat(started + limit, &stop);
            // The receiver waits for every thread.
            let _ = done.send(tally).wait();
        });
    }
    drop(done);

    let progress = ui.progress();
    let mut tallies = Vec::new();
    let mut interrupted = false;
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let ctrl_c = interrupts();
    loop {
        tokio::select! {
            tally = finished.recv() => match tally {
                Ok(tally) => tallies.push(tally),
                Err(_) => break,
            },
            Ok(()) = ctrl_c.recv() => {
                // After the second Ctrl-C, threads that are stuck in the plugin are not awaited.
                if std::mem::replace(&mut interrupted, true) {
                    break;
                }
                stop.store(true, Ordering::Relaxed);
            }
            _ = tick.tick() => progress.set(&format!(
                "calling {} … {:.0} of {:.0} s (Ctrl-C ends it)",
                args.entry,
                started.elapsed().as_secs_f64(),
                limit.as_secs_f64(),
            )),
        }
    }
    (tallies, started.elapsed(), interrupted)
}

/// Each Ctrl-C, as a message.
fn interrupts() -> Receiver<()> {
    let (sender, interrupts) = bounded(2);
    tokio::spawn(async move {
        // Without a handler Ctrl-C ends the process by the default action.
        while tokio::signal::ctrl_c().await.is_ok() && sender.send(()).await.is_ok() {}
    });
    interrupts
}

/// One thread's work.
#[derive(Debug, Clone)]
struct Work {
    entry: Entry,
    kind: EntryKind,
    payload: Bytes,
    raw: bool,
    /// The tally of a thread before its first call.
    none: Tally,
}

impl Work {
    fn repeat(&self, until: Instant, stop: &AtomicBool) -> Tally {
        let mut tally = self.none.clone();
        let mut begun = Instant::now();
        while begun < until && !stop.load(Ordering::Relaxed) {
            let outcome = block_on(self.once());
            let ended = Instant::now();
            tally.latency.saturating_record(nanoseconds(ended - begun));
            tally.calls += 1;
            match outcome {
                Ok(frames) => tally.frames += frames,
                Err(why) => {
                    tally.failed += 1;
                    tally.why.get_or_insert(why);
                }
            }
            begun = ended;
        }
        tally
    }

    /// Makes one call; returns the number of frames, or why it failed.
    async fn once(&self) -> Result<u64, String> {
        if self.kind == EntryKind::Unary {
            let response = if self.raw {
                self.entry.call_raw(&self.payload).await
            } else {
                self.entry.call(self.request()).await
            };
            let status = response.map_err(|error| error.to_string())?.status;
            return if status.is_ok() { Ok(0) } else { Err(format!("it answered {status}")) };
        }
        let mut stream =
            self.entry.stream(self.request()).await.map_err(|error| error.to_string())?;
        if self.kind == EntryKind::Bidirectional {
            stream.send(&self.payload).await.map_err(|error| error.to_string())?;
            stream.close().map_err(|error| error.to_string())?;
        }
        let mut frames = 0;
        while stream.next().await.map_err(|error| error.to_string())?.is_some() {
            frames += 1;
        }
        Ok(frames)
    }

    fn request(&self) -> Request {
        Request::new(self.payload.clone()).method("POST").path("/")
    }
}

impl Tally {
    fn new(latency: Histogram<u64>) -> Self {
        Self { latency, calls: 0, failed: 0, frames: 0, why: None }
    }

    fn add(&mut self, other: Self) {
        // Both have the same bounds, so it cannot fail.
        let _added = self.latency.add(&other.latency);
        self.calls += other.calls;
        self.failed += other.failed;
        self.frames += other.frames;
        self.why = self.why.take().or(other.why);
    }
}

/// Of latencies up to a day, each off by 1 % at most. Recording allocates nothing.
fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1, 86_400_000_000_000, 2).map_err(|error| {
        Failure::new(Exit::Failure, "latencies cannot be counted").cause(error.to_string())
    })
}

fn nanoseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

fn report(
    args: &Args,
    payload_bytes: usize,
    all: &Tally,
    took: Duration,
    interrupted: bool,
) -> Report {
    let at = |quantile| all.latency.value_at_quantile(quantile);
    Report {
        entry: args.entry.clone(),
        threads: args.threads,
        payload_bytes,
        seconds: took.as_secs_f64(),
        calls: all.calls,
        failed: all.failed,
        frames: all.frames,
        calls_per_second: all.calls as f64 / took.as_secs_f64(),
        latency_ns: Percentiles {
            mean: all.latency.mean() as u64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: all.latency.max(),
        },
        interrupted,
    }
}

fn describe(report: &Report) -> String {
    let latency = |ns| text::duration(Duration::from_nanos(ns));
    let at = &report.latency_ns;
    let mut text = format!(
        "{} {} calls in {:.2} s, {} failed\n",
        paint(HEAD, &format!("{}:", report.entry)),
        text::count(report.calls),
        report.seconds,
        text::count(report.failed),
    );
    if report.frames > 0 {
        text.push_str(&format!(
            "frames    {} ({}/s)\n",
            text::count(report.frames),
            text::count((report.frames as f64 / report.seconds) as u64),
        ));
    }
    text.push_str(&format!(
        "calls/s   {}\nlatency   p50 {}   p90 {}   p99 {}   p99.9 {}   max {}\n{}\n",
        text::count(report.calls_per_second as u64),
        latency(at.p50),
        latency(at.p90),
        latency(at.p99),
        latency(at.p999),
        latency(at.max),
        paint(
            DIM,
            &format!(
                "{}, {} each, one call at a time on each thread{}",
                text::plural(u64::from(report.threads), "thread"),
                text::plural(report.payload_bytes as u64, "byte"),
                if report.interrupted { "; interrupted" } else { "" },
            ),
        ),
    ));
    text
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("it must be a number above 0 and at most 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_latencies_of_all_threads() {
        let [mut all, mut other] = [(); 2].map(|()| Tally::new(histogram().unwrap()));
        for us in 1..=1000 {
            let of = if us % 2 == 0 { &mut all } else { &mut other };
            of.latency.saturating_record(nanoseconds(Duration::from_micros(us)));
        }
        all.add(other);
        for (quantile, us) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = all.latency.value_at_quantile(quantile) as f64 / 1e3;
            assert!((got - us).abs() <= us / 100.0, "{quantile}: {got} µs instead of {us}");
        }
        assert!((all.latency.mean() - 500_500.0).abs() < 5005.0);
    }

    #[test]
    fn the_longest_latencies_are_counted_and_none_is_zero() {
        let mut all = histogram().unwrap();
        assert_eq!((all.value_at_quantile(0.99), all.mean() as u64, all.max()), (0, 0, 0));
        all.saturating_record(nanoseconds(Duration::MAX));
        assert_eq!(all.len(), 1);
    }
}
