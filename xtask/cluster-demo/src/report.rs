// SPDX-License-Identifier: BSD-3-Clause
//! What was answered, failed, acknowledged and received in each phase, and what did not hold.
//!
//! A call or a value belongs to the phase in which its outcome was known: one in flight when a node is killed
//! belongs to that kill.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use crate::gateways::GATEWAYS;
use crate::phases::{Killed, Phase, Story};
use crate::record::{Call, Called, Records, Sending};

/// So many of the wrong outcomes are shown.
const SHOWN_MAX: usize = 5;

/// Prints the report; whether all that must hold did.
pub(crate) fn print(story: &Story, records: &Records) -> bool {
    let nexts = story.phases.iter().skip(1).map(|next| Some(next.begin)).chain([None]);
    for (phase, next) in story.phases.iter().zip(nexts) {
        table(phase, next, story.end, records);
    }
    let values = Values::of(records);
    println!(
        "\nvalues: {} acknowledged, {} of unknown outcome; {} received, {} of them twice",
        values.acknowledged,
        values.unknown,
        records.received.len(),
        values.twice
    );
    let failed = |call: &&Call| matches!(call.outcome, Called::Failed(_) | Called::Away(_));
    let wrong = |call: &&Call| matches!(call.outcome, Called::Wrong(_));
    println!(
        "calls:  {} answered, {} failed while a node was away, {} answered late or wrong",
        records.calls.iter().filter(|call| call.outcome == Called::Answered).count(),
        records.calls.iter().filter(failed).count(),
        records.calls.iter().filter(wrong).count(),
    );
    let missed = missed(&story.phases, records, &values);
    for line in &missed {
        println!("MISSED: {line}");
    }
    println!("lost:   {} of {} acknowledged values", values.lost, values.acknowledged);
    missed.is_empty()
}

/// A phase until the next one, or until the end of the load.
fn table(phase: &Phase, next: Option<Instant>, end: Instant, records: &Records) {
    let is_in = |at: Instant| at >= phase.begin && next.is_none_or(|next| at < next);
    let lasted = next.unwrap_or(end).duration_since(phase.begin);
    let title = format!("{}, {:.1} s", phase.title, lasted.as_secs_f64());
    println!("\n{title:<26} {:>8} {:>7} {:>14}", "answered", "failed", "longest pause");
    for gateway in 0..GATEWAYS {
        let calls = records.calls.iter().filter(|call| call.gateway == gateway && is_in(call.end));
        let (mut answered, mut failures) = (Vec::new(), BTreeMap::<String, usize>::new());
        for call in calls {
            let cause = match &call.outcome {
                Called::Answered => {
                    answered.push(call.end);
                    continue;
                }
                Called::Failed(status) => status.to_string(),
                Called::Away(_) => "no connection".into(),
                Called::Wrong(_) => "wrong".into(),
            };
            *failures.entry(cause).or_default() += 1;
        }
        let failed: usize = failures.values().sum();
        let causes: Vec<_> =
            failures.iter().map(|(cause, count)| format!("{count} × {cause}")).collect();
        let line = format!(
            "  {:<24} {:>8} {failed:>7} {:>14}   {}",
            format!("gateway {}", gateway + 1),
            answered.len(),
            shown(longest_pause(phase.begin, answered)),
            causes.join(", "),
        );
        println!("{}", line.trim_end());
    }
    let sent = records.sent.iter().filter(|sent| is_in(sent.end));
    let (acknowledged, others): (Vec<_>, Vec<_>) =
        sent.partition(|sent| sent.outcome == Sending::Acknowledged);
    let acknowledged: Vec<_> = acknowledged.into_iter().map(|sent| sent.end).collect();
    let received = records.received.values().filter(|(first, _)| is_in(*first)).count();
    println!(
        "  {:<24} {:>8} {:>7} {:>14}   {received} received",
        "channel: acknowledged",
        acknowledged.len(),
        others.len(),
        shown(longest_pause(phase.begin, acknowledged)),
    );
}

/// The longest time without one of these, from the begin of a phase to its last one.
fn longest_pause(begin: Instant, mut ends: Vec<Instant>) -> Option<Duration> {
    ends.sort_unstable();
    let befores = [begin].into_iter().chain(ends.iter().copied());
    ends.iter().zip(befores).map(|(end, before)| end.duration_since(before)).max()
}

fn shown(pause: Option<Duration>) -> String {
    match pause {
        None => "–".into(),
        Some(pause) if pause < Duration::from_secs(1) => format!("{} ms", pause.as_millis()),
        Some(pause) => format!("{:.1} s", pause.as_secs_f64()),
    }
}

/// The values, counted.
struct Values {
    acknowledged: usize,
    unknown: usize,
    twice: usize,
    lost: usize,
    /// Received, and of no send that may have been accepted.
    foreign: usize,
}

impl Values {
    fn of(records: &Records) -> Self {
        let of = |outcome| records.sent.iter().filter(move |sent| sent.outcome == outcome);
        let numbers = |outcome| of(outcome).map(|sent| sent.number).collect::<HashSet<_>>();
        let (acknowledged, unknown) = (numbers(Sending::Acknowledged), numbers(Sending::Unknown));
        let received = &records.received;
        let is_foreign =
            |number: &&u64| !acknowledged.contains(number) && !unknown.contains(number);
        Self {
            acknowledged: acknowledged.len(),
            unknown: unknown.len(),
            twice: received.values().filter(|(_, count)| *count > 1).count(),
            lost: acknowledged.iter().filter(|number| !received.contains_key(number)).count(),
            foreign: received.keys().filter(is_foreign).count(),
        }
    }
}

/// What did not hold.
fn missed(phases: &[Phase], records: &Records, values: &Values) -> Vec<String> {
    let mut missed = records.wrong.clone();
    let killed_at = |end: Instant| {
        let begun = phases.iter().take_while(|phase| phase.begin <= end);
        begun.last().map_or(Killed::Nothing, |phase| phase.killed)
    };
    for call in &records.calls {
        let (killed, gateway) = (killed_at(call.end), call.gateway + 1);
        match &call.outcome {
            Called::Failed(status) if killed == Killed::Nothing => {
                missed.push(format!("gateway {gateway} answered {status}, with all nodes there"));
            }
            Called::Away(cause) if killed != Killed::Gateway(call.gateway) => {
                missed.push(format!("gateway {gateway} was not reached: {cause}"));
            }
            Called::Wrong(what) => missed.push(format!("gateway {gateway}: {what}")),
            _ => {}
        }
    }
    if let Some(more) = missed.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        missed.truncate(SHOWN_MAX);
        missed.push(format!("{more} more of these"));
    }
    if values.foreign > 0 {
        missed.push(format!("{} values were received that were not accepted", values.foreign));
    }
    if values.lost > 0 {
        missed.push(format!("{} acknowledged values were lost", values.lost));
    }
    if values.acknowledged == 0 {
        missed.push("no value was acknowledged".into());
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Sent};

    /// The first phase lasts for a second, the kill of gateway 1 follows.
    fn phases() -> [Phase; 2] {
        let begin = Instant::now();
        [(Killed::Nothing, 0), (Killed::Gateway(0), 1)].map(|(killed, after)| Phase {
            title: String::new(),
            begin: begin + Duration::from_secs(after),
            killed,
        })
    }

    fn of(outcomes: &[Sending], received: &[u64]) -> Records {
        let (record, now) = (Record::default(), Instant::now());
        for (number, outcome) in (0..).zip(outcomes) {
            record.sent(Sent { number, begin: now, end: now, outcome: *outcome });
        }
        received.iter().for_each(|number| record.received(*number));
        record.take()
    }

    fn defects(records: &Records) -> Vec<String> {
        missed(&phases(), records, &Values::of(records))
    }

    #[test]
    fn what_was_acknowledged_and_not_received_is_lost() {
        let outcomes = [Sending::Acknowledged, Sending::Acknowledged, Sending::Unknown];
        assert!(defects(&of(&outcomes, &[0, 1])).is_empty());
        assert!(defects(&of(&outcomes, &[0, 1, 2])).is_empty(), "it may have been accepted");
        let lost = of(&outcomes, &[0, 2]);
        assert_eq!(Values::of(&lost).lost, 1);
        assert_eq!(defects(&lost), ["1 acknowledged values were lost"]);
        assert_eq!(defects(&of(&[], &[])), ["no value was acknowledged"]);
    }

    #[test]
    fn a_value_twice_is_counted_and_a_refused_one_must_not_arrive() {
        let outcomes = [Sending::Acknowledged, Sending::Refused];
        let twice = of(&outcomes, &[0, 0]);
        assert_eq!((Values::of(&twice).twice, defects(&twice)), (1, vec![]));
        let refused = of(&outcomes, &[0, 1]);
        assert_eq!(defects(&refused), ["1 values were received that were not accepted"]);
    }

    #[test]
    fn a_call_fails_only_while_a_node_is_away() {
        let phases = phases();
        let [calm, kill] = phases.each_ref().map(|phase| phase.begin);
        let is_missed = |gateway, end, outcome| {
            let mut records = of(&[Sending::Acknowledged], &[0]);
            records.calls.push(Call { gateway, begin: calm, end, outcome });
            !missed(&phases, &records, &Values::of(&records)).is_empty()
        };
        let away = || Called::Away("refused".into());
        assert!(!is_missed(1, calm, Called::Answered));
        assert!(is_missed(1, calm, Called::Failed(503)));
        assert!(!is_missed(1, kill, Called::Failed(503)));
        assert!(is_missed(0, calm, away()));
        assert!(!is_missed(0, kill, away()));
        assert!(is_missed(1, kill, away()), "that one is there");
        assert!(is_missed(0, kill, Called::Wrong("another body".into())));
    }

    #[test]
    fn a_pause_counts_from_the_begin_of_the_phase() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        assert_eq!(longest_pause(begin, vec![]), None);
        assert_eq!(longest_pause(begin, vec![at(50), at(40)]), Some(Duration::from_millis(40)));
        assert_eq!(longest_pause(begin, vec![at(90), at(30)]), Some(Duration::from_millis(60)));
    }
}
