// SPDX-License-Identifier: BSD-3-Clause
//! Workers of a gateway that are killed under load, with each request accounted for.
//!
//! Each request has a number, which the plugin writes down when it runs and answers with. Afterwards the
//! three accounts have to agree: what the clients were answered, what the plugin has run, what the host has
//! counted as crashed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::error::Error;
use crate::gateway::Gateway;
use crate::http::Connection;
use crate::record::Record;
use crate::{Arguments, WAIT_MAX, pause};

/// A request that was not answered by the plugin.
struct Failure {
    number: u64,
    status: u16,
    begin: Instant,
    end: Instant,
}

/// What one client saw.
#[derive(Default)]
struct Client {
    answered: Vec<u64>,
    failures: Vec<Failure>,
    /// Answers that are not the request's, and connections that broke.
    wrong: Vec<String>,
    longest: Duration,
}

/// Where numbers come from, and whether the load is over.
#[derive(Default)]
struct Load {
    next: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    /// One request after the other, until the load is over.
    fn run(&self, address: &str, path: &str) -> Client {
        let mut client = Client::default();
        let mut connection = None;
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let text = number.to_string();
            let begin = Instant::now();
            let mut open = match connection.take().map_or_else(|| Connection::open(address), Ok) {
                Ok(open) => open,
                Err(error) => {
                    client.wrong.push(format!("no connection: {error}"));
                    continue;
                }
            };
            let answer = open.request(path, &text);
            let end = Instant::now();
            client.longest = client.longest.max(end - begin);
            match answer {
                Ok(answer) if answer.status == 200 => {
                    if answer.body != text.as_bytes() {
                        let body = String::from_utf8_lossy(&answer.body).into_owned();
                        client.wrong.push(format!("{number} was answered {body:?}"));
                    }
                    client.answered.push(number);
                }
                Ok(answer) => {
                    let status = answer.status;
                    client.failures.push(Failure { number, status, begin, end });
                }
                Err(error) => {
                    client.wrong.push(format!("{number}: {error}"));
                    continue;
                }
            }
            connection = Some(open);
        }
        client
    }
}

/// What is known of the kills.
#[derive(Default)]
struct Kills {
    /// Before each, and when its record was there: until then the host may give the worker calls.
    times: Vec<(Instant, Instant)>,
    /// As the records of the ends have it.
    calls_failed: u64,
}

/// Kills workers under load; returns what was missed.
pub(crate) fn run(arguments: &Arguments) -> Result<Vec<String>, Error> {
    let folder = tempfile::tempdir().map_err(Error::system("make a folder"))?;
    let record = Record::new(&folder.path().join("record"))?;
    let gateway = Gateway::start(&arguments.programs, &record, folder.path())?;
    let (ends, beside) = (Load::default(), Load::default());
    let (kills, clients, healthy) = thread::scope(|scope| {
        let address = gateway.listen.as_str();
        let clients: Vec<_> = (0..arguments.connections)
            .map(|_| scope.spawn(|| ends.run(address, "/ends/once")))
            .collect();
        let healthy = scope.spawn(|| beside.run(address, "/healthy/echo"));
        let kills = kill(&gateway, arguments);
        ends.is_over.store(true, Ordering::Relaxed);
        beside.is_over.store(true, Ordering::Relaxed);
        let clients: Result<Vec<_>, _> =
            clients.into_iter().map(|client| client.join().map_err(|_| Error::Thread)).collect();
        let healthy = healthy.join().map_err(|_| Error::Thread);
        Ok::<_, Error>((kills?, clients?, healthy?))
    })?;
    let plugin = gateway.plugin("ends")?;
    let mut missed = account(&clients, &kills, &record, &plugin)?;
    println!(
        "beside them {} calls of another plugin, {} failed, the longest took {:?}",
        healthy.answered.len(),
        healthy.failures.len() + healthy.wrong.len(),
        healthy.longest
    );
    if !healthy.failures.is_empty() || !healthy.wrong.is_empty() {
        missed.push(format!("kills: the other plugin has failures: {:?}", healthy.wrong));
    }
    let workers = gateway.workers("ends")?;
    let (took, left) = gateway.kill(&workers)?;
    println!("the host killed at the end: its workers ended within {took:?}");
    if left > 0 || took > Duration::from_secs(1) {
        missed.push(format!("kills: {left} workers lived for {took:?} after their host"));
    }
    Ok(missed)
}

/// Kills one worker after the other, each some time after the one before.
fn kill(gateway: &Gateway, arguments: &Arguments) -> Result<Kills, Error> {
    let begin = Instant::now();
    let until = begin + Duration::from_secs(arguments.seconds);
    let mut kills = Kills::default();
    let mut due = begin + arguments.kill_every;
    while due < until {
        pause(due.saturating_duration_since(Instant::now()));
        due += arguments.kill_every;
        let workers = gateway.workers("ends")?;
        let chosen = workers.get(kills.times.len() % workers.len().max(1)).copied();
        let pid = chosen.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let (Some(chosen), Some(pid)) = (chosen, pid) else { continue };
        let before = Instant::now();
        kill_process(pid, Signal::KILL)
            .map_err(|errno| Error::System { action: "kill a worker", source: errno.into() })?;
        kills.calls_failed += calls_failed(gateway, chosen)?;
        kills.times.push((before, Instant::now()));
    }
    Ok(kills)
}

/// Waits for the record of an end.
fn calls_failed(gateway: &Gateway, pid: u32) -> Result<u64, Error> {
    let begin = Instant::now();
    while begin.elapsed() < WAIT_MAX {
        let plugin = gateway.plugin("ends")?;
        let deaths = plugin.pointer("/workers/deaths").and_then(Value::as_array);
        let is_it = |death: &&Value| death.get("pid").and_then(Value::as_u64) == Some(pid.into());
        if let Some(death) = deaths.into_iter().flatten().find(is_it) {
            if death.get("reason").and_then(Value::as_str) != Some("killed") {
                let got = death.to_string();
                return Err(Error::Unexpected { expected: "an end by a kill", got });
            }
            return Ok(death.get("calls_failed").and_then(Value::as_u64).unwrap_or_default());
        }
        pause(Duration::from_millis(5));
    }
    Err(Error::TooLong("the record of an end"))
}

/// Compares the accounts.
fn account(
    clients: &[Client],
    kills: &Kills,
    record: &Record,
    plugin: &Value,
) -> Result<Vec<String>, Error> {
    let mut runs: BTreeMap<u64, u64> = BTreeMap::new();
    for line in record.lines()? {
        let number = line.parse();
        let number = number.map_err(|_| Error::Unexpected { expected: "a number", got: line })?;
        *runs.entry(number).or_default() += 1;
    }
    let run = |number: &u64| runs.get(number).copied().unwrap_or_default();
    let answered = || clients.iter().flat_map(|client| &client.answered);
    let failures = || clients.iter().flat_map(|client| &client.failures);
    let wrong: Vec<_> = clients.iter().flat_map(|client| &client.wrong).collect();
    let longest = clients.iter().map(|client| client.longest).max().unwrap_or_default();
    let crashed = failures().filter(|failure| failure.status == 502).count() as u64;
    let others = failures().count() as u64 - crashed;
    let twice = runs.values().filter(|count| **count > 1).count();
    let not_run = answered().filter(|number| run(number) == 0).count();
    let half = failures().filter(|failure| run(&failure.number) > 0).count();
    let in_flight = |failure: &&Failure| {
        kills.times.iter().any(|(before, after)| failure.begin <= *after && failure.end >= *before)
    };
    let not_in_flight = failures().filter(|failure| !in_flight(failure)).count();
    let counted = plugin.pointer("/snapshot/failed/crashed").and_then(Value::as_u64);
    let counted = counted.unwrap_or_default();
    let restarts = plugin.pointer("/workers/restarts").and_then(Value::as_array);
    let count = |restart: &Value| restart.get("count").and_then(Value::as_u64);
    let restarts: u64 = restarts.into_iter().flatten().filter_map(count).sum();

    println!(
        "{} kills, {restarts} restarts, {} calls answered",
        kills.times.len(),
        answered().count()
    );
    println!(
        "{crashed} calls failed by a kill; the host counts {counted}, its records {}; {half} of them had been run",
        kills.calls_failed
    );
    println!(
        "{others} failed otherwise, {} went wrong, {not_in_flight} failed beside every kill, {twice} were run twice, {not_run} were answered and not run; the longest took {longest:?}",
        wrong.len()
    );
    let mut missed = Vec::new();
    let mut must_be = |is_so: bool, what: String| {
        if !is_so {
            missed.push(format!("kills: {what}"));
        }
    };
    must_be(!kills.times.is_empty(), "no worker was killed".into());
    must_be(restarts == kills.times.len() as u64, format!("{restarts} restarts"));
    must_be(
        crashed == counted && crashed == kills.calls_failed,
        format!(
            "{crashed} calls failed, the host counts {counted}, its records {}",
            kills.calls_failed
        ),
    );
    must_be(others == 0, format!("{others} calls failed otherwise"));
    must_be(wrong.is_empty(), format!("{wrong:?}"));
    must_be(not_in_flight == 0, format!("{not_in_flight} calls failed beside every kill"));
    must_be(twice == 0, format!("{twice} calls were run twice"));
    must_be(not_run == 0, format!("{not_run} calls were answered and not run"));
    Ok(missed)
}
