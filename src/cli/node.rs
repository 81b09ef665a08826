//! `kad node`: runs a node until a signal comes.

use std::io::{self, IsTerminal};

use super::args::{Logging, NodeArgs};
use super::failure::Failure;
use super::http::{self, Http};
use super::service::Service;
use super::settings::{self, NodeSettings};
use super::signals::Signals;
use super::started::Started;
use super::watchdog::Stranger;
use super::{blocking::off_thread, data_dir, journal, logging, output};
use crate::actors::node::Node;
use crate::gateway::recorder;
use crate::protocol::config::DenyList;
use crate::protocol::store::Store;

pub(super) async fn run(args: NodeArgs, logging: &Logging, program: &str) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let service = Service::of_environment()?;
    let begun = tokio::select! {
        biased;
        number = signals.next() => {
            // Nothing has been acknowledged yet that would have to be stored.
            service.stopping(&stopped_by(number));
            return Ok(());
        }
        never = service.starting() => match never {},
        begun = begin(args, logging, &service) => begun?,
    };
    // It is served over HTTP until this function ends.
    let (node, settings, mut started, _http) = begun;
    let folder = started.data_dir.clone();
    let work = async {
        let mut events = node.events_of(journal::LOGGED);
        if !settings.bootstrap.is_empty() {
            started.joined = Some(node.bootstrap(&settings.bootstrap).await?);
        }
        started.log();
        if settings.json {
            output::print(output::json(&started.json()) + "\n").await?;
        } else if io::stdout().is_terminal() {
            output::print(started.banner(program)).await?;
        }
        journal::follow(&mut events, started.is_alone()).await;
        Ok(())
    };
    let work = async {
        tokio::select! {
            done = work => done,
            failure = data_dir::lost(&node, folder.as_deref()) => Err(failure),
        }
    };
    serve(&node, &settings.config.limits.deny, signals, &service, work).await
}

/// Starts the node. What may take long, or hang, is done on other threads: signals are handled meanwhile, and none of those
/// threads is waited for when the process ends.
async fn begin(
    args: NodeArgs,
    logging: &Logging,
    service: &Service,
) -> Result<(Node, NodeSettings, Started, Option<Http>), Failure> {
    let settings = off_thread(move || settings::load(args)).await??;
    logging::start(logging, settings.log_format, logging::NODE);
    settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let addr = data_dir::address(&settings.listen).await?;
    let listening = http::listen(&settings.http).await?;
    let mut builder = Node::builder().config(settings.config.clone()).bind(addr).codec(settings.wire);
    if let Some(id) = settings.node_id {
        builder = builder.node_id(id);
    }
    let mut remembered = 0;
    let data_dir = data_dir::folder(&settings, addr).await?;
    if let Some(folder) = &data_dir {
        data_dir::try_port(addr)?;
        service.status(&format_args!("opening the store in {}", folder.display()));
        let mut store = data_dir::open(folder, settings.durability).await?;
        remembered = store.recall().map_or(0, |known| known.peers.len());
        builder = builder.store(store);
    }
    let node = builder.start().await.map_err(data_dir::cannot_start)?;
    let (id, addr, wire) = (node.id(), node.local_addr(), node.codec());
    let http = match listening {
        Some(listening) => Some(Http::start(listening, &settings.http, &node, data_dir.as_deref(), recorder()).await?),
        None => None,
    };
    let reached = http.as_ref().map(Http::started);
    let started = Started { id, addr, wire, joined: None, remembered, data_dir, http: reached };
    Ok((node, settings, started, http))
}

fn stopped_by(signal: u8) -> String {
    format!("stopped by signal {signal}")
}

/// Does `work` beside `node`, which takes nothing from the addresses in `deny`. It runs until a signal comes or it fails, and
/// reports both to the service manager.
async fn serve(
    node: &Node,
    deny: &DenyList,
    mut signals: Signals,
    service: &Service,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    service.ready();
    let stranger = Stranger::to(node, deny).await;
    let done = tokio::select! {
        biased;
        number = signals.next() => {
            tracing::info!(signal = number, "stopping");
            service.stopping(&stopped_by(number));
            signals.stop(node).await?;
            tracing::info!("stopped");
            return Ok(());
        }
        done = work => done,
        never = service.report(node, stranger.as_ref()) => match never {},
        never = journal::report(node) => match never {},
    };
    // Without a signal the work ends only where it, or the node, has failed.
    match done {
        Ok(()) => {
            let failure = node.stopped().await.into();
            service.stopping(&failure);
            Err(failure)
        }
        Err(failure) => {
            service.stopping(&failure);
            signals.stop(node).await?;
            Err(failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::outcome::Error;
    use crate::cli::conclude;
    use crate::protocol::config::Config;
    use crate::protocol::store::{Change, Committed, StoreError, StoredRecord};

    /// Panics at each commit.
    struct Broken;

    impl Store for Broken {
        fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
            Ok(Vec::new())
        }

        fn commit(&mut self, _: Vec<Change>, _: Committed) {
            panic!("injected by a test");
        }
    }

    /// A node of which a part fails until its restarts are spent, served as `kad node` serves one.
    async fn failing() -> Result<(), Failure> {
        let config = Config::builder().max_restarts(1).build().unwrap();
        let node = Node::builder().config(config).store(Broken).start().await.unwrap();
        let service = Service::new(|_| None).unwrap();
        let mut events = node.events();
        let work = async {
            for key in ["first", "second"] {
                let set = node.set(key, "v").await;
                assert!(matches!(set, Err(Error::Interrupted | Error::Stopped(_))), "{set:?}");
            }
            while events.next().await.is_some() {}
            Ok(())
        };
        serve(&node, &DenyList::EMPTY, Signals::listen().unwrap(), &service, work).await
    }

    /// The environment variable that marks the process of this test that is to fail.
    const FAILS: &str = "KAD_TEST_A_NODE_THAT_FAILS";

    #[test]
    fn a_process_whose_node_fails_ends_with_70_and_names_the_part() {
        if std::env::var_os(FAILS).is_some() {
            // Nothing from outside makes a part of the binary panic. But for `ExitCode::from` this is all that it does.
            std::process::exit(conclude(failing()).into());
        }
        let (_, module) = module_path!().split_once("::").unwrap();
        let this = format!("{module}::a_process_whose_node_fails_ends_with_70_and_names_the_part");
        let mut process = std::process::Command::new(std::env::current_exe().unwrap());
        let output = process.args(["--exact", &this, "--nocapture"]).env(FAILS, "1").output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(70), "{text}");
        let note =
            "kad: the node has stopped: the value store panicked 2 times within 60s, last with: injected by a test";
        assert_eq!(text.lines().filter(|line| line.starts_with("kad: ")).collect::<Vec<_>>(), [note]);
    }
}
