// SPDX-License-Identifier: BSD-3-Clause
//! The gateway: a plugin's entry behind HTTP, beside the same HTTP server answering by itself.
//!
//! | module | what lives there |
//! |---|---|
//! | `plain` | the server without plugins |
//! | `wrk` | the load |

mod plain;
mod wrk;

use std::time::Duration;

use becket_gateway::{Config, Gateway};
use becket_host::Host;

use crate::error::{BenchError, check};
use crate::harness::{Figures, Plan};
use crate::report::{Better, Group, Row, Shape};

const NAME: &str = "becket-gateway";
const PATH: &str = "/bench/hello";

const NOTES: &str = "\
Requests per second of `wrk -t2 -c64` over HTTP/1.1 with keep-alive, the servers alternating, all \
on one tokio runtime in one process, `wrk` on the same CPUs. They send the same head and the same \
13 bytes; the gateway's come from the plugin's entry `hello` (`bench/plugin/bench_plugin.c`), \
which receives method, path and headers. *Declared*: the plugin declares that it never blocks. \
*Undeclared*: the same plugin declares nothing, as most plugins do.
";

/// Measures the group.
pub(crate) fn run(plan: Plan) -> Result<Group, BenchError> {
    let (repetitions, duration) = match plan.is_quick {
        true => (3, Duration::from_secs(1)),
        false => (9, Duration::from_secs(3)),
    };
    // As `becket serve` has them.
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) + 1;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|source| BenchError::System { what: "start a tokio runtime", source })?;
    let start = |plugin: &str| {
        let config = format!(
            "listen = \"127.0.0.1:0\"\nwatch = false\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [plugins.bench]\npath = {plugin:?}\n"
        );
        let config =
            Config::parse(&config, "bench.toml").map_err(|error| BenchError::host(NAME, error))?;
        let started = runtime.block_on(Gateway::start(config, Host::new()));
        started.map_err(|error| BenchError::host(NAME, error))
    };
    let (declared, undeclared) =
        (start(env!("BENCH_PLUGIN"))?, start(env!("BENCH_PLUGIN_UNDECLARED"))?);
    let plain = runtime.block_on(plain::start())?;
    let servers = [declared.addr(), undeclared.addr(), plain];
    for gateway in [&declared, &undeclared] {
        check(NAME, "the answer", wrk::answer(plain, PATH)?, wrk::answer(gateway.addr(), PATH)?)?;
    }

    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for repetition in 0..repetitions {
        for turn in 0..servers.len() {
            let index = (repetition + turn) % servers.len();
            let (Some(addr), Some(rates)) = (servers.get(index), rates.get_mut(index)) else {
                continue;
            };
            rates.push(wrk::requests_per_second(*addr, PATH, duration)?);
        }
    }
    for gateway in [declared, undeclared] {
        runtime.block_on(gateway.drain(Duration::from_secs(1)));
    }

    Ok(Group {
        name: "gateway",
        title: "The gateway",
        notes: NOTES.to_owned(),
        floors: 0,
        columns: ["Becket, declared", "Becket, undeclared", "hyper by itself"]
            .map(str::to_owned)
            .into(),
        shape: Shape::Columns,
        rows: vec![Row {
            name: "unary entry, requests/s".to_owned(),
            better: Better::More,
            digits: 0,
            goal: None,
            figures: rates.map(Figures::new).map(Some).into(),
        }],
    })
}
