// SPDX-License-Identifier: BSD-3-Clause
//! Every plugin of the zoo: what it does stays in its own process.

use std::fs;
use std::time::{Duration, Instant};

use becket_coro::block_on;
use becket_host::{Host, PluginSpec, Request};
use becket_process::Process;

use crate::{load, sample, workers, zoo};

/// It needs a limit of its memory, which `sandbox` tests.
const EXEMPT: [&str; 1] = ["allocates_without_end"];

#[test]
fn every_plugin_of_the_zoo_leaves_another_one_alone_and_no_process_behind() {
    let folder = zoo("aborts").parent().unwrap().to_owned();
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let names = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !EXEMPT.contains(&name.as_str()));
    let host = Host::new();
    let healthy = load(&host, "unharmed", sample("c"));
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let (before, mut seen) = (descriptors(), 0);
    for (at, name) in names.enumerate() {
        seen += 1;
        let own = Host::new();
        // The name of a thread has 15 bytes.
        let short = format!("zoo{at}");
        let worker = vec![env!("CARGO_BIN_EXE_becket-worker").into()];
        let process = std::sync::Arc::new(Process::native(worker, zoo(&name)));
        match own.load(PluginSpec::remote(&short, process)) {
            Err(error) => assert!(error.to_string().contains(&short), "{name}: {error}"),
            Ok(plugin) => {
                let soon = Duration::from_millis(50);
                // Each is answered, or fails with an error of its type, in time.
                let _ = block_on(plugin.call_raw("hit", b"1").timeout(soon));
                let _ = block_on(async {
                    let mut stream = plugin.stream("hit", Request::new("1")).timeout(soon).await?;
                    for _ in 0..100 {
                        if !matches!(stream.next().await, Ok(Some(_))) {
                            break;
                        }
                    }
                    Ok::<(), becket_host::CallError>(())
                });
                let _ = block_on(plugin.call_raw("ok", b"").timeout(soon));
                assert_eq!(plugin.snapshot().pending, 0, "{name}");
            }
        }
        assert_eq!(&*block_on(healthy.call_raw("echo", b"x")).unwrap().body, b"x", "{name}");
        block_on(own.shutdown(Duration::from_millis(100)));
        let limit = Instant::now() + Duration::from_secs(30);
        while !workers(&short).is_empty() && Instant::now() < limit {
            std::thread::yield_now();
        }
        assert!(workers(&short).is_empty(), "{name}");
    }
    assert!(seen > 70, "{seen} plugins");
    // Other tests of this process have some too, but not one for each plugin.
    assert!(descriptors() < before + seen / 2, "{before} descriptors, then {}", descriptors());
    assert_eq!(healthy.snapshot().failed.total(), 0);
    block_on(host.shutdown(Duration::from_secs(10)));
}
