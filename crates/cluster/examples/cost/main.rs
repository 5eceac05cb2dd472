// SPDX-License-Identifier: BSD-3-Clause
//! What channels and plugins cost a NATS server, for 3 to 10 000 nodes: the tables of the book's page on it.
//!
//! The messages are counted one by one in a model of the server; `tests/cost` compares that with a real one.

#![allow(dead_code, reason = "the test uses the rest of the model")]

mod model;
mod tables;

fn main() {
    for (heading, table) in tables::tables() {
        println!("### {heading}\n\n{table}");
    }
}
