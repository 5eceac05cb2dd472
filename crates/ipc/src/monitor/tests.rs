// SPDX-License-Identifier: BSD-3-Clause
//! An exporter's reports of channels, coroutines and closures, and their cost.

use std::sync::{Arc, Weak};

use super::{
    ChannelSort, ClientFeed, CoroutineSort, Exporter, Feed, FeedError, Histogram, LocalFeed,
    PluginReport, Query, REPORT_BYTES_MAX, ROWS_MAX, Report, SCHEMA, Select, SessionReport, Source,
    TEXT_BYTES_MAX,
};
use crate::{Client, Server};
use becket_chan::{Builder, Overflow, Receiver, Sender, bounded, unlimited};
use becket_coro::Runtime;
use proptest::prelude::*;

type Pair = (Sender<u64>, Receiver<u64>);

/// Exports a channel that lives as long as its pair.
fn show(exporter: &Exporter, name: &str, pair: &Arc<Pair>) -> u64 {
    let weak: Weak<Pair> = Arc::downgrade(pair);
    exporter.channel_with(name, move || weak.upgrade().map(|pair| pair.0.snapshot())).unwrap()
}

#[test]
fn a_channel_is_shown_with_its_exact_counts() {
    let exporter = Exporter::new("test");
    let channel = Builder::<u64>::bounded(2).overflow(Overflow::DropOldest).build();
    let pair = Arc::new(channel);
    let id = show(&exporter, "orders", &pair);
    for value in 0..5 {
        pair.0.try_send(value).unwrap();
    }
    assert_eq!(pair.1.try_recv(), Ok(3));
    let report = exporter.collect(&Query::default());
    assert_eq!((report.schema, report.process.pid), (SCHEMA, std::process::id()));
    let row = &report.channels.rows[0];
    assert_eq!((row.id, row.name.as_str(), row.kind.as_str()), (id, "orders", "bounded"));
    assert_eq!((row.capacity, row.len, row.sends, row.receives), (Some(2), 1, 5, 1));
    assert_eq!((row.bytes_in, row.bytes_out, row.dropped), (40, 8, 3));
    assert!(row.at_ns >= report.at_ns && row.at_ns > 0);
    assert_eq!((report.totals.channels, report.totals.sends), (1, 5));
}

#[test]
fn a_channel_that_is_gone_leaves_the_list_and_stays_in_the_totals() {
    let exporter = Exporter::new("test");
    let pair = Arc::new(unlimited());
    show(&exporter, "orders", &pair);
    pair.0.try_send(1).unwrap();
    assert_eq!(exporter.collect(&Query::default()).totals.sends, 1);
    drop(pair);
    for _ in 0..2 {
        let report = exporter.collect(&Query::default());
        assert_eq!((report.channels.total, report.totals.channels), (0, 0));
        assert_eq!((report.totals.sends, report.totals.bytes_in), (1, 8), "they never decrease");
    }
}

#[test]
fn a_channel_is_renamed_and_removed_by_its_id() {
    let exporter = Exporter::new("test");
    let pair = Arc::new(unlimited());
    let id = show(&exporter, "", &pair);
    pair.0.try_send(1).unwrap();
    assert!(exporter.rename_channel(id, "orders\n"));
    let report = exporter.collect(&Query::default());
    assert!(report.channels.rows[0].name.starts_with("orders") && report.channels.total == 1);
    assert!(!report.channels.rows[0].name.contains('\n'));
    exporter.remove_channel(id);
    exporter.remove_channel(id);
    assert!(!exporter.rename_channel(id, "again"));
    let report = exporter.collect(&Query::default());
    assert_eq!((report.channels.total, report.totals.sends), (0, 1), "its counts stay");
}

#[test]
fn showing_a_handle_neither_keeps_its_channel_nor_counts_as_a_handle() {
    let exporter = Exporter::new("test");
    let (tx, rx) = bounded::<u8>(4);
    exporter.channel("by its sender", &tx).unwrap();
    exporter.channel("by its receiver", &rx).unwrap();
    tx.try_send(1).unwrap();
    assert_eq!(exporter.collect(&Query::default()).channels.total, 2);
    drop(tx);
    assert!(rx.is_closed(), "the export is not a sender");
    drop(rx);
    assert_eq!(exporter.collect(&Query::default()).channels.total, 0);
}

#[test]
fn ten_thousand_channels_are_a_page_and_their_sums() {
    let exporter = Exporter::new("test");
    let pairs: Vec<Arc<Pair>> = (0..10_000).map(|_| Arc::new(bounded(4))).collect();
    for (i, pair) in pairs.iter().enumerate() {
        show(&exporter, &format!("channel-{i:05}"), pair);
        for value in 0..(i % 5) {
            let _ = pair.0.try_send(value as u64);
        }
    }
    let mut query = Query {
        channels: Select {
            sort: ChannelSort::Depth,
            filter: "-001".into(),
            first: 10,
            rows: 25,
            ..Select::default()
        },
        ..Query::default()
    };
    let report = exporter.collect(&query);
    let page = &report.channels;
    assert_eq!((page.total, page.matched, page.first, page.rows.len()), (10_000, 100, 10, 25));
    assert!(page.rows.iter().all(|row| row.name.contains("-001")));
    assert!(page.rows.is_sorted_by(|a, b| a.len >= b.len));
    assert_eq!(report.totals.channels, 10_000);
    assert_eq!(report.totals.sends, (0..10_000).map(|i| i % 5).sum::<u64>());
    assert_eq!(report.totals.full, 2_000);
    query.channels.rows = u32::MAX;
    query.channels.filter.clear();
    let whole = exporter.collect(&query);
    assert_eq!(whole.channels.rows.len(), ROWS_MAX);
    assert!(whole.to_json().unwrap().len() <= REPORT_BYTES_MAX);
}

#[test]
fn at_the_limit_another_channel_is_refused_until_one_is_dropped() {
    let limits = super::Limits { channels_max: 1, ..super::Limits::default() };
    let exporter = Exporter::with_limits("test", limits);
    let first = Arc::new(bounded(1));
    show(&exporter, "first", &first);
    let refused = exporter.channel_with("second", || None).unwrap_err();
    assert_eq!(refused.to_string(), "no more than 1 channels can be exported");
    drop(first);
    exporter.collect(&Query::default());
    exporter.channel_with("second", || None).unwrap();
}

#[test]
fn coroutines_are_counted_by_state_and_shown_by_name() {
    let runtime = Runtime::builder().workers(1).name("main").build().unwrap();
    let exporter = Arc::new(Exporter::new("test"));
    exporter.runtime(runtime.handle()).unwrap();
    exporter.runtime(runtime.handle()).unwrap();
    let (tx, rx) = bounded::<u8>(1);
    let (up, is_up) = bounded(1);
    let _reader = becket_coro::Spawn::new()
        .name("reader")
        .on(runtime.handle())
        .spawn(move || {
            up.try_send(()).unwrap();
            rx.recv().wait()
        })
        .unwrap();
    is_up.recv().wait().unwrap();
    let query = Query {
        coroutines: Select {
            sort: CoroutineSort::Name,
            filter: "READ".into(),
            rows: 9,
            ..Select::default()
        },
        ..Query::default()
    };
    // Once another coroutine runs on the one worker, the reader waits.
    let looking = Arc::clone(&exporter);
    let report = runtime.spawn(move || looking.collect(&query)).join().unwrap();
    let row = &report.coroutines.rows.rows[0];
    assert_eq!((row.name.as_str(), row.state.as_str()), ("reader", "parked"));
    assert!(row.site.contains("monitor/tests.rs:"), "{}", row.site);
    assert!(report.coroutines.listed);
    let coroutines = &report.coroutines;
    assert_eq!((coroutines.live, coroutines.parked, coroutines.running), (2, 1, 1));
    assert_eq!(report.workers.len(), 1);
    assert!(report.workers[0].dispatches >= 1);
    tx.close();
}

#[test]
fn a_runtime_that_comes_and_goes_is_shown_while_it_is_there() {
    let exporter = Exporter::new("test");
    let place = Arc::new(parking_lot::Mutex::new(None::<Runtime>));
    let looked_at = place.clone();
    exporter
        .runtime_with(move || looked_at.lock().as_ref().map(|runtime| runtime.handle().clone()))
        .unwrap();
    let workers = || exporter.collect(&Query::default()).workers.len();
    assert_eq!(workers(), 0);
    let runtime = Runtime::builder().workers(2).build().unwrap();
    exporter.runtime(runtime.handle()).unwrap();
    *place.lock() = Some(runtime);
    assert_eq!(workers(), 2, "exported twice, it is listed once");
    let other = place.lock().replace(Runtime::builder().workers(1).build().unwrap());
    assert_eq!(workers(), 3);
    drop((other, place.lock().take()));
    assert_eq!(workers(), 2, "the exported runtime stays, the closure's is gone");
}

#[test]
fn too_many_coroutines_are_counted_only() {
    let limits = super::Limits { coroutines_listed_max: 0, ..super::Limits::default() };
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let exporter = Exporter::with_limits("test", limits);
    exporter.runtime(runtime.handle()).unwrap();
    let (tx, rx) = bounded::<u8>(1);
    let reader = runtime.spawn(move || rx.recv().wait());
    let coroutines = exporter.collect(&Query::default()).coroutines;
    assert_eq!((coroutines.listed, coroutines.live), (false, 1));
    assert!(coroutines.rows.rows.is_empty());
    drop(tx);
    assert!(reader.join().unwrap().is_err());
}

#[test]
fn closures_return_plugins_and_sessions() {
    let exporter = Exporter::new("test");
    exporter
        .plugins(|| {
            let latency = Histogram {
                upper_ns: vec![1_000, 10_000, 100_000],
                counts: vec![5, 4, 1, 0],
                sum_ns: 0,
            };
            let long = "x".repeat(2 * TEXT_BYTES_MAX);
            vec![
                PluginReport { name: "exchange".into(), latency, ..PluginReport::default() },
                PluginReport { name: long, ..PluginReport::default() },
            ]
        })
        .unwrap();
    exporter.sessions(|| vec![SessionReport { id: 3, ..SessionReport::default() }]).unwrap();
    let mut feed = LocalFeed::new(Arc::new(exporter), "here");
    let report = feed.next(&Query::default()).unwrap();
    let plugin = &report.plugins.rows[0];
    assert_eq!((plugin.latency.quantile_ns(0.5), plugin.latency.count()), (Some(1_000), 10));
    assert_eq!((plugin.latency.quantile_ns(0.9), plugin.at_ns), (Some(10_000), report.at_ns));
    assert_eq!(report.plugins.rows[1].name.len(), TEXT_BYTES_MAX);
    assert_eq!(report.sessions.rows[0].id, 3);
    assert_eq!(Report::from_json(&report.to_json().unwrap()), Ok(report));
}

proptest! {
    /// Whatever is added and removed, sums only grow, and pages hold live channels.
    #[test]
    fn totals_never_decrease(steps in prop::collection::vec((0_u8..4, 0_usize..8), 1..60)) {
        let exporter = Exporter::new("test");
        let mut live: Vec<(u64, Arc<Pair>)> = Vec::new();
        let (mut sends, mut before) = (0, 0);
        for (step, which) in steps {
            match step {
                0 => {
                    let pair = Arc::new(unlimited());
                    live.push((show(&exporter, "channel", &pair), pair));
                }
                1 if !live.is_empty() => {
                    live[which % live.len()].1.0.try_send(1).unwrap();
                    sends += 1;
                }
                2 if !live.is_empty() => {
                    // The last pass over it: later counts are not seen.
                    exporter.collect(&Query::default());
                    live.swap_remove(which % live.len());
                }
                _ => {
                    let report = exporter.collect(&Query::default());
                    prop_assert_eq!(report.totals.sends, sends);
                    prop_assert!(report.totals.sends >= before);
                    before = report.totals.sends;
                    let mut ids: Vec<u64> = live.iter().map(|(id, _)| *id).collect();
                    ids.sort_unstable();
                    let shown: Vec<u64> = report.channels.rows.iter().map(|row| row.id).collect();
                    prop_assert_eq!(shown, ids);
                }
            }
        }
    }
}

/// A server that reports on `exporter`, and a feed from it.
fn attached(exporter: Option<Arc<Exporter>>) -> (tempfile::TempDir, Server, ClientFeed) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("becket").join("mon.sock");
    let builder = match exporter {
        None => Server::builder(),
        Some(exporter) => Server::builder().report(Arc::new(move |query| {
            let query = Query::from_json(query).map_err(|error| error.to_string())?;
            Ok(exporter.collect(&query).to_json().map_err(|error| error.to_string())?.into())
        })),
    };
    let server = builder.bind(&path).unwrap();
    let client = Client::connect(&path).wait().unwrap();
    (directory, server, ClientFeed::new(client, "there"))
}

#[test]
fn a_report_of_another_process_has_every_requested_row() {
    let exporter = Arc::new(Exporter::new("there"));
    let pairs: Vec<Arc<Pair>> = (0..3000).map(|_| Arc::new(bounded(4))).collect();
    for (i, pair) in pairs.iter().enumerate() {
        show(&exporter, &format!("a channel with quite a long name, number {i:05}"), pair);
    }
    exporter
        .sessions(|| (0..2000).map(|id| SessionReport { id, ..Default::default() }).collect())
        .unwrap();
    let (_directory, server, mut feed) = attached(Some(Arc::clone(&exporter)));
    let select = Select { rows: ROWS_MAX as u32, first: 500, pin: Some(7), ..Select::default() };
    let query = Query {
        channels: select,
        sessions: Select { rows: ROWS_MAX as u32, ..Select::default() },
        ..Query::default()
    };
    for _ in 0..2 {
        let report = feed.next(&query).unwrap();
        let page = &report.channels;
        assert_eq!((page.total, page.matched, page.first), (3000, 3000, 500));
        let ids: Vec<u64> = page.rows.iter().map(|row| row.id).collect();
        assert_eq!(ids, (501..501 + ROWS_MAX as u64).collect::<Vec<_>>());
        assert_eq!(page.pinned.as_ref().map(|row| row.id), Some(7));
        assert_eq!(report.sessions.rows.len(), ROWS_MAX);
        assert_eq!(report.totals.channels, 3000);
    }
    drop(server);
    assert_eq!(feed.next(&query), Err(FeedError::Ended));
}

#[test]
fn a_server_without_reports_and_an_invalid_query_are_different_errors() {
    let (_directory, _server, mut feed) = attached(None);
    let error = feed.next(&Query::default()).unwrap_err();
    assert!(matches!(&error, FeedError::Refused { cause } if cause.contains("no report")));
    let (_directory, _server, mut feed) = attached(Some(Arc::new(Exporter::new("there"))));
    let error = feed.next(&Query { schema: 9, ..Query::default() }).unwrap_err();
    assert!(
        matches!(&error, FeedError::Refused { cause } if cause.contains("schema 9")),
        "{error}"
    );
    assert!(feed.next(&Query::default()).is_ok(), "the connection goes on");
}

#[test]
fn connections_are_shown_including_the_requesting_one() {
    let exporter = Arc::new(Exporter::new("test"));
    let (directory, server, mut feed) = attached(Some(exporter.clone()));
    let sessions = server.sessions_later();
    exporter.sessions(move || sessions().iter().map(SessionReport::new).collect()).unwrap();
    let before = feed.next(&Query::default()).unwrap().sessions.rows;
    assert_eq!(before.len(), 1);
    // Busy with the request, it shows its status after the previous one.
    let report = feed.next(&Query::default()).unwrap();
    let own = &report.sessions.rows[0];
    assert_eq!((own.id, own.peer_pid, own.protocol), (before[0].id, std::process::id(), 2));
    assert_eq!(own.peer_uid, rustix::process::geteuid().as_raw());
    assert!(own.frames_in > before[0].frames_in && own.bytes_out > 0, "{own:?}");
    assert!(own.at_ns < report.at_ns, "its rates use the time of the status");
    let _other = Client::connect(directory.path().join("becket/mon.sock")).wait().unwrap();
    let report = feed.next(&Query::default()).unwrap();
    let ids: Vec<u64> = report.sessions.rows.iter().map(|session| session.id).collect();
    assert!(matches!(ids[..], [first, second] if first == own.id && second > first), "{ids:?}");
}

#[test]
fn refusals_of_a_connection_are_shown_by_cause() {
    let since = std::time::Instant::now();
    let mut session = becket_wire::Counters::default();
    (session.refused.no_credit, session.refused.gone) = (3, 4);
    (session.received.frames, session.sent.bytes) = (5, 6);
    let status = crate::Status {
        id: 7,
        since,
        at: since + std::time::Duration::from_millis(1500),
        transport: "memory",
        peer: crate::transport::Peer::own(),
        streams: 2,
        queued_bytes: 8,
        credit_bytes: 9,
        session,
        link: crate::transport::LinkCounters::default(),
        is_over: false,
    };
    let row = SessionReport::new(&status);
    assert_eq!(row.refused, [("no_credit".to_owned(), 3), ("gone".to_owned(), 4)]);
    assert_eq!((row.id, row.age_ms, row.streams, row.refused()), (7, 1500, 2, 7));
    assert_eq!((row.frames_in, row.bytes_out), (5, 6));
    assert_eq!((row.queued_bytes, row.credit_bytes), (8, 9));
}
