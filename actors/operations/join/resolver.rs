//! How the name of a contact becomes addresses that this node can ask, and whether one of them is this node itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use kademlia_dynamic::protocol::peer::{canonical, check_unicast};

use super::super::super::outcome::ContactFailure;
use super::super::super::socket::transport::Transport;

/// How long a name may take to resolve.
pub(crate) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of one contact that are tried. Further ones are left out.
const ADDRESSES_PER_CONTACT: usize = 8;

/// Resolves `host:port`. Tests hand in their own.
#[derive(Clone)]
pub(crate) struct Resolver(Rc<dyn Fn(String) -> Resolving>);

type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>>>>;

impl Resolver {
    /// The system's: the file of hosts, DNS, or whatever it is configured to ask.
    pub(crate) fn system() -> Self {
        Self::of(|contact| async move { Ok(tokio::net::lookup_host(contact).await?.collect()) })
    }

    pub(crate) fn of<R>(resolve: impl Fn(String) -> R + 'static) -> Self
    where
        R: Future<Output = io::Result<Vec<SocketAddr>>> + 'static,
    {
        Self(Rc::new(move |contact| Box::pin(resolve(contact))))
    }
}

/// What an address looks like, for what is none.
pub(crate) const ADDRESS_FORM: &str = "an address is host:port, such as 127.0.0.1:8000 or [::1]:8000";

/// Whether `text` has the form of an address: whether there is such a host, the resolver knows.
pub(crate) fn has_form(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// The addresses of `contact` that a node over `transport` can ask: at least one.
pub(super) async fn addresses_of(
    contact: String,
    transport: Weak<dyn Transport>,
    resolver: Resolver,
) -> Result<Vec<SocketAddr>, ContactFailure> {
    let unresolved = |reason: String| ContactFailure::Unresolved { reason };
    if !has_form(&contact) {
        return Err(unresolved(ADDRESS_FORM.to_owned()));
    }
    let all: Vec<SocketAddr> = match tokio::time::timeout(RESOLVE_TIMEOUT, (resolver.0)(contact)).await {
        Ok(Ok(addresses)) => addresses.into_iter().map(canonical).collect(),
        Ok(Err(error)) => return Err(unresolved(error.to_string())),
        Err(_) => return Err(unresolved(format!("its name did not resolve within {RESOLVE_TIMEOUT:?}"))),
    };
    // Without a transport the node is about to end.
    let transport = transport.upgrade().ok_or_else(|| unresolved("the node is being stopped".to_owned()))?;
    let (mut usable, mut failure) = (Vec::new(), unresolved("its name has no address".to_owned()));
    for addr in all.into_iter().take(ADDRESSES_PER_CONTACT) {
        match check(&addr, &*transport) {
            Ok(()) => usable.push(addr),
            Err(why) => failure = why,
        }
    }
    if usable.is_empty() { Err(failure) } else { Ok(usable) }
}

/// Whether a node over `transport` can ask another node at `addr`.
fn check(addr: &SocketAddr, transport: &dyn Transport) -> Result<(), ContactFailure> {
    check_unicast(addr).map_err(|error| ContactFailure::Unresolved { reason: error.to_string() })?;
    let bound = transport.local_addr();
    if transport.speaks_family_of(addr) && is_at(addr, bound) {
        return Err(ContactFailure::Itself);
    }
    transport.check_reach(addr).map_err(|error| unreachable(addr, bound, &error))
}

/// What is in the way from `bound` to `addr`, and the address to listen at that helps.
fn unreachable(addr: &SocketAddr, bound: SocketAddr, error: &io::Error) -> ContactFailure {
    let all_v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), bound.port());
    let all_of_both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), bound.port());
    let family = |ip: IpAddr| if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let (reason, listen) = if addr.is_ipv4() != bound.is_ipv4() && error.kind() == io::ErrorKind::Unsupported {
        let (theirs, ours) = (family(addr.ip()), family(bound.ip()));
        (format!("{addr} is {theirs}, and this node listens at {bound}, which is {ours} alone"), Some(all_of_both))
    } else if bound.ip().is_loopback() && !addr.ip().is_loopback() {
        let listen = if addr.is_ipv4() { all_v4 } else { all_of_both };
        (format!("this node listens at {bound}, from which it reaches this machine alone"), Some(listen))
    } else {
        (format!("{addr} cannot be reached from {bound}: {error}"), None)
    };
    ContactFailure::Unreachable { bound, reason, listen }
}

/// Whether what answers at `addr` with the id of a node that is bound to `bound` is that node.
pub(crate) fn is_at(addr: &SocketAddr, bound: SocketAddr) -> bool {
    let (addr, bound) = (canonical(*addr), canonical(bound));
    addr.port() == bound.port()
        && (addr.ip() == bound.ip() || (bound.ip().is_unspecified() && is_of_this_machine(addr.ip())))
}

/// Whether `ip` is an address of this machine: to no other can a socket be bound.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::super::socket::udp::UdpTransport;
    use super::*;

    fn failure(bind: &str, contact: &str) -> Option<String> {
        let transport = UdpTransport::bind(bind.parse().unwrap()).unwrap();
        let port = transport.local_addr().port().to_string();
        let outcome = check(&contact.replace("PORT", &port).parse().unwrap(), &transport);
        outcome.err().map(|failure| failure.to_string().replace(&port, "PORT"))
    }

    #[tokio::test]
    async fn a_contact_that_the_socket_cannot_reach_is_told_with_the_address_to_listen_at() {
        let said = failure("127.0.0.1:0", "192.0.2.1:8000").unwrap();
        let cause = "this node listens at 127.0.0.1:PORT, from which it reaches this machine alone";
        assert_eq!(said, format!("{cause}: listen at 0.0.0.0:PORT"));
        let said = failure("127.0.0.1:0", "[::1]:8000").unwrap();
        let cause = "[::1]:8000 is IPv6, and this node listens at 127.0.0.1:PORT, which is IPv4 alone";
        assert_eq!(said, format!("{cause}: listen at [::]:PORT"));
        let said = failure("[::1]:0", "127.0.0.1:8000").unwrap();
        assert!(said.ends_with("which is IPv6 alone: listen at [::]:PORT"), "{said}");
    }

    #[tokio::test]
    async fn what_a_socket_can_reach_is_asked() {
        for (bind, contact) in [
            ("127.0.0.1:0", "127.0.0.2:8000"),
            ("[::ffff:127.0.0.1]:0", "127.0.0.1:8000"),
            ("0.0.0.0:0", "127.0.0.1:8000"),
            ("[::]:0", "127.0.0.1:8000"),
            ("[::]:0", "[::1]:8000"),
        ] {
            assert_eq!(failure(bind, contact), None, "{contact} from {bind}");
        }
    }

    #[tokio::test]
    async fn a_node_is_no_contact_of_its_own() {
        for (bind, contact) in [
            ("127.0.0.1:0", "127.0.0.1:PORT"),
            ("0.0.0.0:0", "127.0.0.1:PORT"),
            ("0.0.0.0:0", "127.0.0.2:PORT"),
            ("[::]:0", "127.0.0.1:PORT"),
            ("[::]:0", "[::1]:PORT"),
        ] {
            assert_eq!(failure(bind, contact).as_deref(), Some("it is this node itself"), "{contact} from {bind}");
        }
    }

    #[test]
    fn an_own_id_at_an_own_address_is_this_node_and_anywhere_else_a_copy_of_it() {
        let itself = |addr: &str, bound: &str| is_at(&addr.parse().unwrap(), bound.parse().unwrap());
        assert!(itself("127.0.0.1:8000", "127.0.0.1:8000"));
        assert!(itself("127.0.0.1:8000", "[::ffff:127.0.0.1]:8000"));
        assert!(itself("127.0.0.1:8000", "0.0.0.0:8000"));
        assert!(itself("127.0.0.1:8000", "[::]:8000"));
        assert!(!itself("127.0.0.1:8001", "127.0.0.1:8000"));
        assert!(!itself("127.0.0.1:8001", "0.0.0.0:8000"));
        // A machine's image runs elsewhere, at the same port. TEST-NET-1 is no address of this machine.
        assert!(!itself("192.0.2.1:8000", "0.0.0.0:8000"));
    }
}
