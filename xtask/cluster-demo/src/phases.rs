// SPDX-License-Identifier: BSD-3-Clause
//! What is done, in order, with the time of each event.

use std::fmt::Display;
use std::path::Path;
use std::time::{Duration, Instant};

use becket_cluster::{Connection, Kind, Options};
use bytes::Bytes;

use crate::error::Error;
use crate::gateways::{GATEWAYS, Gateways, PLUGIN, WITH_PLUGIN};
use crate::http::Client;
use crate::load::{self, Load};
use crate::record::{Called, Records};
use crate::servers::{self, SERVERS, Servers, Streams};
use crate::{Arguments, report, wait_for};

const CHANNEL: &str = "jobs";
const KIND: Kind = Kind::Bounded { capacity: 1000 };
/// A delivery that is lost with a server is repeated after this time.
const ACK_WAIT: Duration = Duration::from_secs(10);

/// A part of the load, from its begin to the next one's.
pub(crate) struct Phase {
    pub(crate) title: String,
    pub(crate) begin: Instant,
    pub(crate) killed: Killed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Killed {
    Nothing,
    Server,
    Gateway(usize),
}

/// What was done, and when.
pub(crate) struct Story {
    clock: Clock,
    pub(crate) phases: Vec<Phase>,
    /// When the load was stopped. What is received after that counts to the last phase.
    pub(crate) end: Instant,
}

/// Runs the demonstration; whether all that must hold did. What it started has ended when it returns or is dropped.
pub(crate) async fn run(arguments: &Arguments) -> Result<bool, Error> {
    let folder = tempfile::Builder::new().prefix("becket-cluster-demo-").tempdir();
    let folder = folder.map_err(Error::system("make a temporary folder"))?;
    let (story, records) = demonstrate(arguments, folder.path()).await?;
    let path = folder.path().to_owned();
    folder.close().map_err(Error::file("remove", path))?;
    story.clock.print("servers and gateways have ended, their folder is removed");
    Ok(report::print(&story, &records))
}

async fn demonstrate(arguments: &Arguments, folder: &Path) -> Result<(Story, Records), Error> {
    let (clock, gateway) = (Clock(Instant::now()), WITH_PLUGIN + 1);
    let mut servers = Servers::start(&arguments.programs.nats_server, folder).await?;
    let url = servers.url();
    let sending = Connection::connect(&url).await?;
    let receiving = Connection::connect(&url).await?;
    // Servers refuse a replicated channel until they have found each other.
    let options = || Options::default().replicas(SERVERS).ack_wait(ACK_WAIT).window(64);
    let what = || "the servers do not store a channel".to_owned();
    let (sender, _) =
        wait_for(what, async || sending.open(CHANNEL, KIND, options()).await.ok()).await?;
    let (_, receiver) = receiving.open(CHANNEL, KIND, options()).await?;
    let streams = Streams::connect(&url, KIND).await?;
    let on_all = || "the channel is not on all servers".to_owned();
    wait_for(on_all, async || streams.is_on_all().await.then_some(())).await?;
    clock.print(format_args!(
        "{SERVERS} servers are one cluster; the channel `{CHANNEL}` is on each"
    ));

    let mut gateways = Gateways::start(&arguments.programs, &url, folder).await?;
    for (at, address) in gateways.addresses().into_iter().enumerate() {
        let what = || format!("gateway {} does not answer", at + 1);
        wait_for(what, async || {
            let answer = load::once(&mut Client::new(address), Bytes::from_static(b"hello")).await;
            (answer == Called::Answered).then_some(())
        })
        .await?;
    }
    let offering = sending.nodes().await?.len();
    if offering != 1 {
        return Err(Error::Offering(offering));
    }
    clock.print(format_args!(
        "{GATEWAYS} gateways answer calls to the plugin `{PLUGIN}`, which gateway {gateway} alone has"
    ));

    let mut load = Load::start(&gateways.addresses(), sender, &receiver);
    let record = load.record.clone();
    let mut phases = Vec::new();
    let mut begin = |killed, title: String| {
        let begin = Instant::now();
        phases.push(Phase { title, begin, killed });
        begin
    };

    begin(Killed::Nothing, "all there".into());
    clock.print(format_args!(
        "load: {} calls a second to each gateway, {} values a second through the channel",
        load::calls_a_second(),
        load::values_a_second()
    ));
    let quarter = Duration::from_secs(arguments.seconds.into()) / 4;
    pause(quarter).await;

    let what = || "the channel has no leader".to_owned();
    let leader = wait_for(what, async || streams.leader().await).await?;
    let name = servers::name(leader);
    let killed = begin(Killed::Server, format!("server {name} killed"));
    servers.kill(leader);
    clock.print(format_args!("kill -9: server {name}, which leads the channel"));
    let what = || format!("the channel did not go on without {name}");
    let next = wait_for(what, async || {
        let next = streams.leader().await.filter(|next| *next != leader);
        next.filter(|_| record.is_acknowledged_since(killed))
    });
    let next = servers::name(next.await?);
    clock.print(format_args!("values are acknowledged again: {next} leads the channel"));
    let since = Instant::now();
    let what = || format!("not all gateways answer without server {name}");
    wait_for(what, async || record.are_all_answered_since(since).then_some(())).await?;
    clock.print("all gateways answer");
    servers.start_again(leader).await?;
    clock.print(format_args!("server {name} is started again"));
    wait_for(on_all, async || streams.is_on_all().await.then_some(())).await?;
    clock.print(format_args!("server {name} has caught up: the channel is on each server"));
    pause(quarter).await;

    begin(Killed::Gateway(WITH_PLUGIN), format!("gateway {gateway} killed"));
    gateways.kill(WITH_PLUGIN);
    clock.print(format_args!("kill -9: gateway {gateway}, which has the plugin"));
    pause(quarter).await;
    let started = Instant::now();
    gateways.launch(WITH_PLUGIN).await?;
    clock.print(format_args!("gateway {gateway} is started again"));
    let what = || "not all gateways answer again".to_owned();
    wait_for(what, async || record.are_all_answered_since(started).then_some(())).await?;
    clock.print("all gateways answer again");
    pause(quarter).await;

    load.stop().await?;
    let end = Instant::now();
    clock.print("the load is stopped");
    load.drain().await?;
    clock.print("the channel is closed and drained");
    Ok((Story { clock, phases, end }, record.take()))
}

/// Prints what happens, with the time since the start.
struct Clock(Instant);

impl Clock {
    fn print(&self, what: impl Display) {
        println!("{:>6.1} s {what}", self.0.elapsed().as_secs_f64());
    }
}

/// What passes meanwhile is what is measured.
#[allow(clippy::disallowed_methods, reason = "a measurement has a length")]
async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
