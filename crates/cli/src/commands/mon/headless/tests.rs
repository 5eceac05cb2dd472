// SPDX-License-Identifier: BSD-3-Clause
//! The lines' shape. A change here is a change for every program that reads them.

use serde_json::Value;
use snapbox::str;

use super::super::sample;
use super::*;

fn lines(seconds: &[u64]) -> String {
    let (say, news) = becket_chan::bounded(16);
    for second in seconds {
        say.try_send(News::Report(Box::new(sample::report(*second)))).unwrap();
    }
    say.try_send(News::Ended(Ending::TimeUp)).unwrap();
    let mut out = Vec::new();
    let outcome = run(&news, &mut Store::default(), &mut out).unwrap();
    assert_eq!(outcome.end(&mut out).unwrap(), Exit::Ok);
    String::from_utf8(out).unwrap()
}

/// One line of each kind, of sessions one of each protocol, the fields one below the other.
fn shape(text: &str) -> String {
    let mut kinds = Vec::new();
    let mut shape = String::new();
    for line in text.lines().rev() {
        let value: Value = serde_json::from_str(line).unwrap();
        let kind = (value["kind"].clone(), value["protocol"].clone());
        if kinds.contains(&kind) {
            continue;
        }
        kinds.push(kind);
        shape.push_str(&line.replace(",\"", "\n ,\""));
        shape.push('\n');
    }
    shape
}

#[test]
fn the_schema_is_as_documented() {
    snapbox::assert_data_eq!(
        shape(&lines(&[1, 3])),
        str![[r#"
{"schema":1
 ,"ts":1790000003.0
 ,"kind":"end"
 ,"reason":"time_up"
 ,"reports":2}
{"schema":1
 ,"ts":1790000003.0
 ,"kind":"session"
 ,"id":12
 ,"peer_pid":1234567
 ,"peer_uid":1000
 ,"transport":"unix-seqpacket"
 ,"protocol":1
 ,"age_ms":5000
 ,"interval_ms":2000.0
 ,"pps":990.0
 ,"pps_sent":null
 ,"smoothed":990.0
 ,"peak":990.0
 ,"gbps":0.00024
 ,"gbps_smoothed":0.00024
 ,"gbps_peak":0.00024
 ,"streams":0
 ,"requests":17
 ,"queued_bytes":0
 ,"credit_messages":0
 ,"credit_bytes":0
 ,"frames_in_total":1500
 ,"frames_in_delta":1000
 ,"frames_out_total":1470
 ,"frames_out_delta":980
 ,"bytes_in_total":60000
 ,"bytes_in_delta":40000
 ,"bytes_out_total":30000
 ,"bytes_out_delta":20000
 ,"refused_total":0
 ,"refused_delta":0}
{"schema":1
 ,"ts":1790000003.0
 ,"kind":"session"
 ,"id":9
 ,"peer_pid":1234
 ,"peer_uid":1000
 ,"transport":"shared-memory"
 ,"protocol":2
 ,"age_ms":65000
 ,"interval_ms":2000.0
 ,"pps":100000.0
 ,"pps_sent":null
 ,"smoothed":100000.0
 ,"peak":100000.0
 ,"gbps":0.08
 ,"gbps_smoothed":0.08
 ,"gbps_peak":0.08
 ,"streams":3
 ,"requests":1
 ,"queued_bytes":512
 ,"credit_messages":64
 ,"credit_bytes":65536
 ,"frames_in_total":210000
 ,"frames_in_delta":140000
 ,"frames_out_total":90000
 ,"frames_out_delta":60000
 ,"bytes_in_total":21000000
 ,"bytes_in_delta":14000000
 ,"bytes_out_total":9000000
 ,"bytes_out_delta":6000000
 ,"refused_total":5
 ,"refused_delta":0}
{"schema":1
 ,"ts":1790000003.0
 ,"kind":"plugin_worker"
 ,"plugin":"thumbnails"
 ,"worker":0
 ,"canary":true
 ,"state":"running"
 ,"pid":4713
 ,"ready_ms":1800
 ,"in_hand":0
 ,"resident_bytes":51200000
 ,"cpus":0.0
 ,"last_end_reason":null
 ,"last_end_status":null
 ,"last_end_ms_ago":null
 ,"restarts_total":0
 ,"restarts_delta":0}
{"schema":1
 ,"ts":1790000003.0
 ,"kind":"plugin"
 ,"name":"thumbnails"
 ,"placement":"process"
 ,"interval_ms":2000.0
 ,"pps":300.0
 ,"pps_sent":null
 ,"smoothed":300.0
 ,"peak":300.0
 ,"gbps":0.0
 ,"gbps_smoothed":0.0
 ,"gbps_peak":0.0
 ,"queue_depth":0
 ,"in_flight":4
 ,"latency_us_p50":null
 ,"latency_us_p99":null
 ,"errors":{}
 ,"workers":4
 ,"workers_running":3
 ,"rollout_version":"2.1.0"
 ,"rollout_percent":10
 ,"rollout_calls":24
 ,"rollout_errors":0
 ,"rollout_age_ms":3000
 ,"last_rollout_result":"taken_back"
 ,"last_rollout_cause":"errors"
 ,"calls_total":900
 ,"calls_delta":600
 ,"fail_total":0
 ,"fail_delta":0
 ,"bytes_in_total":0
 ,"bytes_in_delta":0
 ,"bytes_out_total":0
 ,"bytes_out_delta":0
 ,"restarts_total":13
 ,"restarts_delta":0
 ,"reloads_total":0
 ,"reloads_delta":0
 ,"promoted_total":0
 ,"promoted_delta":0
 ,"taken_back_total":1
 ,"taken_back_delta":0}
{"schema":1
 ,"ts":1790000003.0
 ,"kind":"worker"
 ,"runtime":"main"
 ,"index":1
 ,"dispatches_per_second":30000.0
 ,"coroutines":2
 ,"dispatches_total":90000
 ,"dispatches_delta":60000
 ,"steals_total":36
 ,"steals_delta":24
 ,"sleeps_total":31
 ,"sleeps_delta":0
 ,"remote_wakes_total":750
 ,"remote_wakes_delta":500
 ,"timers_total":9
 ,"timers_delta":0}
{"schema":1
 ,"ts":1790000003.0
 ,"kind":"coroutines"
 ,"live":4
 ,"spawned_total":107
 ,"finished_total":103
 ,"fresh":1
 ,"ready":0
 ,"running":1
 ,"parked":1
 ,"sleeping":1
 ,"workers_held":1}
{"schema":1
 ,"ts":1790000003.0
 ,"kind":"channel"
 ,"id":5
 ,"name":"old"
 ,"channel_kind":"unlimited"
 ,"interval_ms":2000.0
 ,"pps":0.0
 ,"pps_sent":0.0
 ,"smoothed":0.0
 ,"peak":0.0
 ,"gbps":0.0
 ,"gbps_smoothed":0.0
 ,"gbps_peak":0.0
 ,"len":0
 ,"capacity":null
 ,"high_water":0
 ,"senders_waiting":0
 ,"receivers_waiting":0
 ,"closed":true
 ,"sends_total":1000000
 ,"sends_delta":0
 ,"receives_total":1000000
 ,"receives_delta":0
 ,"bytes_in_total":1500000000
 ,"bytes_in_delta":0
 ,"bytes_out_total":1500000000
 ,"bytes_out_delta":0
 ,"fail_send_would_block_total":0
 ,"fail_send_would_block_delta":0
 ,"fail_send_timed_out_total":0
 ,"fail_send_timed_out_delta":0
 ,"fail_send_closed_total":0
 ,"fail_send_closed_delta":0
 ,"fail_send_cancelled_total":0
 ,"fail_send_cancelled_delta":0
 ,"fail_receive_would_block_total":0
 ,"fail_receive_would_block_delta":0
 ,"fail_receive_timed_out_total":0
 ,"fail_receive_timed_out_delta":0
 ,"fail_receive_closed_total":0
 ,"fail_receive_closed_delta":0
 ,"fail_receive_cancelled_total":0
 ,"fail_receive_cancelled_delta":0
 ,"dropped_total":0
 ,"dropped_delta":0
 ,"conflated_total":0
 ,"conflated_delta":0
 ,"undelivered_total":0
 ,"undelivered_delta":0}
{"schema":1
 ,"ts":1790000003.0
 ,"kind":"totals"
 ,"interval_ms":2000.0
 ,"pps":418435.0
 ,"pps_sent":418435.0
 ,"smoothed":418435.0
 ,"peak":418435.0
 ,"gbps":5.02122
 ,"gbps_smoothed":5.02122
 ,"gbps_peak":5.02122
 ,"channels":5
 ,"channels_full":1
 ,"channels_listed":5
 ,"len":12065
 ,"senders_waiting":3
 ,"receivers_waiting":1
 ,"sends_total":2262877
 ,"sends_delta":836870
 ,"receives_total":2250812
 ,"receives_delta":836870
 ,"bytes_in_total":3394315500
 ,"bytes_in_delta":1255305000
 ,"bytes_out_total":3376218000
 ,"bytes_out_delta":1255305000
 ,"fail_total":18
 ,"fail_delta":4
 ,"dropped_total":0
 ,"dropped_delta":0}
{"schema":1
 ,"ts":1790000003.0
 ,"kind":"process"
 ,"pid":4711
 ,"name":"gateway"
 ,"uptime_ms":3726000
 ,"cpu_ms_total":1500
 ,"cpus":0.5}

"#]]
    );
}

#[test]
fn every_field_is_in_the_book() {
    let book = include_str!("../../../../../../docs/src/using/monitor.md");
    for line in lines(&[1, 3]).lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        for field in value.as_object().unwrap().keys() {
            let stem = field.trim_end_matches("_total").trim_end_matches("_delta");
            let known =
                book.contains(&format!("`{field}`")) || book.contains(&format!("`{stem}_*`"));
            assert!(known, "`{field}` is not in docs/src/using/monitor.md");
        }
    }
}

#[test]
fn a_first_line_has_neither_rates_nor_deltas() {
    for line in lines(&[1]).lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        for (field, value) in value.as_object().unwrap() {
            let made = ["pps", "gbps", "smoothed", "peak"].iter().any(|rate| field.contains(rate));
            if made || field.ends_with("_delta") {
                assert!(value.is_null(), "{field}: {value}");
            }
        }
    }
}

#[test]
fn deltas_and_rates_are_of_the_time_between_two_reports() {
    let text = lines(&[1, 3]);
    let last = text.lines().rfind(|line| line.contains("\"name\":\"orders\"")).unwrap();
    let line: Value = serde_json::from_str(last).unwrap();
    assert_eq!(line["receives_delta"], 2 * 412_345);
    assert_eq!(line["bytes_out_delta"], 2 * 412_345 * 1500);
    assert_eq!((&line["interval_ms"], &line["pps"]), (&2000.0.into(), &412_345.0.into()));
    assert_eq!(line["gbps"], 412_345.0 * 1500.0 * 8.0 / 1e9);
}
