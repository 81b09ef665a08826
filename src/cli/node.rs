//! `kad node`: runs a node until a signal comes, and says at the start who it is and what to try next.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::args::{DEFAULT_ADDR, Logging, NodeArgs};
use super::failure::{Exit, Failure};
use super::off_thread;
use super::output;
use super::service::Service;
use super::settings::{self, NodeSettings};
use super::signals::Signals;
use super::watchdog::{Stranger, reach};
use super::wording::{list, nodes};
use super::{data_dir, journal, logging};
use crate::actors::node::Node;
use crate::actors::outcome::{BootstrapOutcome, ContactFailure, Error};
use crate::protocol::codec::Codec;
use crate::protocol::id::NodeId;
use crate::protocol::store::Store;

pub(super) async fn run(args: NodeArgs, logging: &Logging, program: &str) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let service = Service::of_environment()?;
    let begun = tokio::select! {
        biased;
        number = signals.next() => {
            // Nobody has been told anything yet that would have to be kept.
            service.stopping(&stopped_by(number));
            return Ok(());
        }
        never = service.starting() => match never {},
        begun = begin(args, logging, &service) => begun?,
    };
    let Begun { node, args, remembered, data_dir } = begun;
    let folder = data_dir.clone();
    let lost = async {
        match &folder {
            Some(folder) => data_dir::lost(&node, folder).await,
            None => std::future::pending().await,
        }
    };
    let work = async {
        let mut events = node.events();
        let joined = join(&node, &args).await?;
        let (id, addr, wire) = (node.id(), node.local_addr(), node.codec());
        let started = Started { id, addr, wire, joined, remembered, data_dir };
        started.log();
        if args.json {
            output::print_json(&started.json()).await?;
        } else if io::stdout().is_terminal() {
            output::print(started.banner(program)).await?;
        }
        journal::follow(&mut events, started.is_alone()).await;
        Ok(())
    };
    let work = async {
        tokio::select! {
            done = work => done,
            failure = lost => Err(failure),
        }
    };
    serve(&node, signals, &service, work).await
}

/// A node that serves, and what it brought from its last run.
struct Begun {
    node: Node,
    args: NodeSettings,
    remembered: usize,
    data_dir: Option<PathBuf>,
}

/// Starts the node. Whatever may take long, or hang, is done on other threads: signals are heard meanwhile, and none of
/// those threads is waited for when the process ends.
async fn begin(args: NodeArgs, logging: &Logging, service: &Service) -> Result<Begun, Failure> {
    let args = off_thread(move || settings::load(args)).await??;
    logging::start(logging, args.log_format, "info");
    args.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let addr = data_dir::address(&args.listen).await?;
    let mut builder = Node::builder().config(args.config.clone()).bind(addr).codec(args.wire);
    if let Some(id) = args.node_id {
        builder = builder.node_id(id);
    }
    let mut remembered = 0;
    let data_dir = data_dir::folder(&args, addr).await?;
    if let Some(folder) = &data_dir {
        data_dir::try_port(addr)?;
        service.say_status(&format_args!("opening the store in {}", folder.display()));
        let mut store = data_dir::open(folder, &args).await?;
        remembered = store.recall().map_or(0, |known| known.peers.len());
        builder = builder.store(store);
    }
    let node = builder.start().await.map_err(cannot_start)?;
    Ok(Begun { node, args, remembered, data_dir })
}

fn stopped_by(signal: u8) -> String {
    format!("stopped by signal {signal}")
}

/// Does `work` beside `node`, which runs until a signal comes or it fails; the service manager hears of it.
async fn serve(
    node: &Node,
    mut signals: Signals,
    service: &Service,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    service.ready();
    let stranger = Stranger::to(node).await;
    let ended = tokio::select! {
        biased;
        number = signals.next() => Ok(number),
        done = work => Err(done),
        () = service.report(node, stranger.as_ref()) => Err(Ok(())),
        never = journal::report(node) => match never {},
    };
    match ended {
        Ok(number) => {
            tracing::info!(signal = number, "stopping");
            service.stopping(&stopped_by(number));
            signals.stop(node).await?;
            tracing::info!("stopped");
            Ok(())
        }
        // Without a signal it ends only where it has failed.
        Err(done) => {
            let (failure, lives) = match done {
                Ok(()) => (node.stopped().await.into(), false),
                Err(failure) => (failure, true),
            };
            service.stopping(&failure);
            if lives {
                signals.stop(node).await?;
            }
            Err(failure)
        }
    }
}

/// Joins through the contacts; `None` where there are none.
async fn join(node: &Node, args: &NodeSettings) -> Result<Option<BootstrapOutcome>, Failure> {
    if args.bootstrap.is_empty() {
        return Ok(None);
    }
    Ok(Some(node.bootstrap(&args.bootstrap).await?))
}

pub(super) fn cannot_start(error: Error) -> Failure {
    match error {
        Error::Resolve { .. } => Failure::new(Exit::System, format!("cannot listen: {error}")),
        Error::PortInUse { .. } => Failure::new(Exit::System, format!("{error} (--listen ADDR:PORT)")),
        other => other.into(),
    }
}

/// A node that has just started.
struct Started {
    id: NodeId,
    addr: SocketAddr,
    wire: Codec,
    joined: Option<BootstrapOutcome>,
    /// Nodes that it knew when it last ran, and asks again.
    remembered: usize,
    data_dir: Option<PathBuf>,
}

/// It for machines. Fields may be added.
#[derive(Serialize)]
struct StartedJson<'a> {
    node_id: NodeId,
    address: SocketAddr,
    wire: Codec,
    joined: bool,
    bootstrap: Option<&'a BootstrapOutcome>,
    data_dir: Option<Cow<'a, str>>,
    /// The folder's name as it is, where it is not UTF-8 and so is not quite as `data_dir` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir_base64: Option<String>,
}

impl Started {
    fn json(&self) -> StartedJson<'_> {
        StartedJson {
            node_id: self.id,
            address: self.addr,
            wire: self.wire,
            joined: self.joined.as_ref().is_some_and(BootstrapOutcome::joined),
            bootstrap: self.joined.as_ref(),
            data_dir: self.data_dir.as_ref().map(|folder| folder.to_string_lossy()),
            data_dir_base64: self
                .data_dir
                .as_ref()
                .filter(|folder| folder.to_str().is_none())
                .map(|folder| BASE64.encode(folder.as_os_str().as_encoded_bytes())),
        }
    }

    /// Logs who and where it is, and whether it has joined.
    fn log(&self) {
        let Self { id, addr, wire, .. } = self;
        let folder = self.data_dir.as_deref().map_or("none".into(), Path::to_string_lossy);
        tracing::info!(node_id = %id, address = %addr, %wire, data_dir = %folder, version = super::VERSION, "started");
        match &self.joined {
            Some(outcome) if outcome.joined() => {
                tracing::info!(through = list(outcome.answered.iter().map(|peer| peer.addr)), "joined");
            }
            Some(outcome) => {
                let (contacts, listen) = (outcome.to_string(), self.listen_instead());
                tracing::warn!(contacts, "no contact answered: the node goes on alone, and tries again by itself");
                if let Some(wire) = outcome.failed.iter().find_map(|failed| failed.reason.wire()) {
                    tracing::warn!("--wire {wire} is what a contact answers in");
                }
                if let Some(listen) = listen {
                    tracing::warn!("--listen {listen} lets it reach them");
                }
            }
            None if self.remembered > 0 => {
                tracing::info!(known = self.remembered, "asking again the nodes that it knew")
            }
            None => tracing::info!("the first node of its network"),
        }
    }

    /// Whether there are contacts, and none has answered.
    fn is_alone(&self) -> bool {
        self.joined.as_ref().is_some_and(|outcome| !outcome.joined())
    }

    /// The address to listen at, where another one is what its contacts take.
    fn listen_instead(&self) -> Option<SocketAddr> {
        self.joined.as_ref()?.failed.iter().find_map(|failed| match failed.reason {
            ContactFailure::Unreachable { listen, .. } => listen,
            _ => None,
        })
    }

    fn banner(&self, program: &str) -> String {
        let Self { id, addr, wire, .. } = self;
        let options = self.options();
        let joined = self.joined_text();
        let kept = match &self.data_dir {
            Some(folder) => format!("kept in {}", folder.display()),
            None => "in memory only (--data-dir keeps them)".to_owned(),
        };
        let elsewhere = if addr.ip().is_unspecified() {
            "From other machines, put this machine's address into --bootstrap.\n"
        } else {
            ""
        };
        let second = self.options_of_a_second_node();
        format!(
            "Node       {id}\n\
             Address    {addr} ({wire} wire)\n\
             Network    {joined}\n\
             Values     {kept}\n\
             \n\
             Try from another terminal:\n  \
               {program} set greeting \"hello\"{options}\n  \
               {program} get greeting{options}\n  \
               {program} node{second}\n\
             {elsewhere}Ctrl-C stops the node.\n"
        )
    }

    fn joined_text(&self) -> String {
        match &self.joined {
            None if self.remembered > 0 => {
                format!("asking again whom it knew: {}", nodes(self.remembered))
            }
            None => "new: this is its first node (--bootstrap joins another)".to_owned(),
            Some(outcome) if outcome.joined() => {
                format!("joined through {}", list(outcome.answered.iter().map(|peer| peer.addr)))
            }
            Some(_) => "no contact answered yet".to_owned(),
        }
    }

    /// The options that a client needs to use this node: none where they are the defaults.
    fn options(&self) -> String {
        let reach = reach(self.addr).to_string();
        let bootstrap = if reach == DEFAULT_ADDR { String::new() } else { format!(" --bootstrap {reach}") };
        bootstrap + &self.wire_option()
    }

    /// The options that a second node on this machine needs to join this one.
    fn options_of_a_second_node(&self) -> String {
        let reach = reach(self.addr);
        format!(" --listen {} --bootstrap {reach}{}", SocketAddr::new(reach.ip(), 0), self.wire_option())
    }

    fn wire_option(&self) -> String {
        if self.wire == Codec::default() { String::new() } else { format!(" --wire {}", self.wire) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::outcome::FailedContact;
    use crate::cli::conclude;
    use crate::protocol::config::Config;
    use crate::protocol::peer::Peer;
    use crate::protocol::store::{Change, Committed, StoreError, StoredRecord};
    use std::time::Duration;

    fn started(addr: &str, wire: Codec, joined: Option<BootstrapOutcome>) -> Started {
        Started { id: NodeId::ZERO, addr: addr.parse().unwrap(), wire, joined, remembered: 0, data_dir: None }
    }

    fn outcome(answered: &[&str], silent: &[&str]) -> BootstrapOutcome {
        let silence = ContactFailure::Silent { within: Duration::from_secs(2) };
        BootstrapOutcome {
            answered: answered.iter().map(|addr| Peer::new(NodeId::ZERO, addr.parse().unwrap())).collect(),
            failed: silent.iter().map(|addr| failed(addr, silence.clone())).collect(),
            pending: Vec::new(),
        }
    }

    fn failed(contact: &str, reason: ContactFailure) -> FailedContact {
        let addresses = contact.parse().into_iter().collect();
        FailedContact { contact: contact.to_owned(), addresses, reason }
    }

    #[test]
    fn with_the_defaults_the_commands_to_copy_need_no_options() {
        let text = started(DEFAULT_ADDR, Codec::Json, None).banner("kad");
        assert!(
            text.starts_with(&format!("Node       {}\nAddress    127.0.0.1:8000 (json wire)\n", NodeId::ZERO)),
            "{text}"
        );
        assert!(text.contains("\n  kad set greeting \"hello\"\n  kad get greeting\n"), "{text}");
        assert!(text.contains("\n  kad node --listen 127.0.0.1:0 --bootstrap 127.0.0.1:8000\n"), "{text}");
    }

    #[test]
    fn without_the_defaults_the_commands_to_copy_carry_what_they_need() {
        let text = started("[::1]:9000", Codec::Bencode, None).banner("./kad");
        assert!(text.contains("\n  ./kad get greeting --bootstrap [::1]:9000 --wire bencode\n"), "{text}");
        assert!(text.contains("\n  ./kad node --listen [::1]:0 --bootstrap [::1]:9000 --wire bencode\n"), "{text}");
    }

    #[test]
    fn an_unspecified_address_is_reached_over_loopback_from_here() {
        let text = started("0.0.0.0:8000", Codec::Json, None).banner("kad");
        assert!(text.contains("Address    0.0.0.0:8000"), "{text}");
        assert!(text.contains("\n  kad get greeting\n") && text.contains("--bootstrap 127.0.0.1:8000\n"), "{text}");
        assert!(text.contains("From other machines"), "{text}");
        assert_eq!(started("[::]:1", Codec::Json, None).options(), " --bootstrap [::1]:1");
    }

    #[test]
    fn the_banner_says_through_whom_it_joined() {
        let text =
            started(DEFAULT_ADDR, Codec::Json, Some(outcome(&["127.0.0.1:7000"], &["127.0.0.1:1"]))).banner("kad");
        assert!(text.contains("Network    joined through 127.0.0.1:7000\n"), "{text}");
    }

    #[test]
    fn a_node_without_an_answer_names_the_contacts_it_tried_and_what_helps() {
        let mut silent = outcome(&[], &["127.0.0.1:1"]);
        silent.failed.push(failed("nowhere:2", ContactFailure::Unresolved { reason: "no such name".into() }));
        let mut alone = started(DEFAULT_ADDR, Codec::Json, Some(silent.clone()));
        assert!(alone.is_alone() && alone.banner("kad").contains("no contact answered yet"));
        assert_eq!(alone.listen_instead(), None);
        let (bound, listen) = (alone.addr, "0.0.0.0:8000".parse().ok());
        let reason = ContactFailure::Unreachable { bound, reason: "too far".into(), listen };
        silent.failed.push(failed("192.0.2.1:8000", reason));
        alone.joined = Some(silent);
        assert_eq!(alone.listen_instead(), listen);
        let joined = Some(outcome(&["127.0.0.1:7000"], &[]));
        assert!([None, joined].into_iter().all(|joined| !started(DEFAULT_ADDR, Codec::Json, joined).is_alone()));
    }

    /// Panics whenever it is to keep something.
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
        serve(&node, Signals::listen().unwrap(), &service, work).await
    }

    /// The environment variable by which this test tells itself that it is the process that is to fail.
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
        let told =
            "kad: the node has stopped: the value store panicked 2 times within 60s, last with: injected by a test";
        assert_eq!(text.lines().filter(|line| line.starts_with("kad: ")).collect::<Vec<_>>(), [told]);
    }

    #[test]
    fn the_banner_says_where_values_are_kept() {
        let mut started = started(DEFAULT_ADDR, Codec::Json, None);
        assert!(started.banner("kad").contains("\nValues     in memory only"));
        started.data_dir = Some("/data/kad".into());
        started.remembered = 2;
        assert!(started.banner("kad").contains("\nNetwork    asking again whom it knew: 2 nodes\n"));
        assert!(started.banner("kad").contains("\nValues     kept in /data/kad\n"));
    }

    #[test]
    fn json_is_one_line_with_the_address() {
        let text = output::json(&started(DEFAULT_ADDR, Codec::MessagePack, None).json());
        let id = NodeId::ZERO;
        assert_eq!(
            text,
            format!(
                r#"{{"node_id":"{id}","address":"127.0.0.1:8000","wire":"msgpack","joined":false,"bootstrap":null,"data_dir":null}}"#
            )
        );
    }
}
