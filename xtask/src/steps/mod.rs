// SPDX-License-Identifier: BSD-3-Clause
//! What `cargo xtask test` does, in order, and the runner.
//!
//! | module | its steps |
//! |---|---|
//! | `rust` | format, lints, licences, tests, documentation, packages |
//! | `native` | the C headers, the C and C++ SDKs, the C library |
//! | `kcoro` | the C library for C++20 and Python |
//! | `go`, `node`, `python`, `zig` | those SDKs, with their own formatter and tests |
//! | `plugins` | the sample in each language, the zoo, plugins of published crates |
//! | `lab` | adapters, the samples and the zoo, checked |
//! | `repository` | layers, tidiness, links, the book |
//! | `programs` | the admin page, benches, load |
//! | `proofs` | models, miri, the long stress |
//! | `semver` | the public API, compared with the last release |
//! | `runner` | runs steps, keeps a log of each, says what failed |

mod go;
mod kcoro;
mod lab;
mod native;
mod node;
mod plugins;
mod programs;
mod proofs;
mod python;
mod repository;
mod runner;
mod rust;
mod semver;
mod zig;

pub(crate) use crate::steps::runner::{Step, run};
pub(crate) use crate::steps::rust::becket;

/// Every step, quick ones first where nothing else decides.
pub(crate) const ALL: &[Step] = &[
    Step::always("format", rust::format),
    Step::always("tidy", repository::tidy),
    Step::always("layers", repository::layers),
    Step::always("links", repository::links),
    Step::always("clippy", rust::clippy),
    Step::always("headers", native::headers),
    Step::always("c-sdk", native::c_sdk),
    Step::always("cpp-sdk", native::cpp_sdk),
    Step::always("c-library", native::c_library),
    Step::always("kcoro-cpp", kcoro::cpp),
    Step::always("kcoro-python", kcoro::python),
    Step::always("go-sdk", go::sdk),
    Step::always("zig-sdk", zig::sdk),
    Step::always("node-sdk", node::sdk),
    Step::always("python-sdk", python::sdk),
    Step::always("sample-rust", plugins::rust),
    Step::always("sample-c", plugins::c),
    Step::always("sample-cpp", plugins::cpp),
    Step::always("sample-go", plugins::go),
    Step::always("sample-zig", plugins::zig),
    Step::always("zoo", plugins::zoo),
    Step::always("lab", lab::lab),
    Step::always("tests", rust::tests),
    Step::always("doc-tests", rust::doc_tests),
    Step::always("fuzz-corpus", rust::fuzz_corpus),
    Step::always("loom", proofs::loom),
    Step::always("doc", rust::doc),
    Step::always("page", programs::page),
    Step::always("deny", rust::deny),
    Step::always("package", rust::package),
    Step::always("book", repository::book),
    Step::full("semver", semver::semver),
    Step::full("serve-only", rust::serve_only),
    Step::full("pingora", programs::pingora),
    Step::full("published", plugins::published),
    Step::full("miri", proofs::miri),
    Step::full("sanitize", proofs::sanitize),
    Step::full("cross", proofs::cross),
    Step::full("valgrind", native::valgrind),
    Step::full("planted", proofs::planted),
    Step::full("soak", proofs::soak),
    Step::full("ipc-death", proofs::ipc_death),
    Step::full("process-death", proofs::process_death),
    Step::full("cluster-demo", proofs::cluster_demo),
    Step::full("blocking", programs::blocking),
    Step::full("bench", programs::bench),
    Step::full("load", programs::load),
];
