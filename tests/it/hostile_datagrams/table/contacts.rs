//! Rows on ids and addresses: of senders, and of the peers that an answer names.

use super::*;

/// What is taken for a node id, and is none on the wires that spell it as text.
pub(super) fn no_ids() -> Vec<(&'static str, Wild)> {
    let spelled = |id: &str| text(id);
    vec![
        ("-1", spelled("-1")),
        ("minus and 40 digits", spelled(&format!("-{NODE}"))),
        ("39 digits", spelled(&NODE[..39])),
        ("41 digits", spelled(&format!("{NODE}0"))),
        ("0x and 40 digits", spelled(&format!("0x{NODE}"))),
        ("0x and 38 digits", spelled(&format!("0x{}", &NODE[..38]))),
        ("a space in front", spelled(&format!(" {}", &NODE[1..]))),
        ("a line feed behind", spelled(&format!("{}\n", &NODE[1..]))),
        ("an underscore among the digits", spelled(&NODE.replacen('8', "_", 1))),
        ("a letter that is no digit", spelled(&NODE.replacen('a', "g", 1))),
        ("fullwidth digits", spelled(&"\u{ff11}".repeat(40))),
        ("19 bytes", Wild::Bytes(vec![7; 19])),
        ("21 bytes", Wild::Bytes(vec![7; 21])),
        ("a number", number("7")),
        ("null", Wild::Null),
        ("a list", Wild::List(vec![id()])),
        ("a dictionary", Wild::Dict(vec![])),
    ]
}

/// What is taken for a port.
pub(super) fn no_ports() -> Vec<(&'static str, Wild)> {
    let numbers = ["0", "-1", "65536", "70000", "4294967297", "1.5"].map(|port| (port, number(port)));
    let others = vec![
        ("\"x\"", text("x")),
        ("\"8000\"", text("8000")),
        ("null", Wild::Null),
        ("true", Wild::Truth(true)),
        ("a list", Wild::List(vec![number("1")])),
        ("a dictionary", Wild::Dict(vec![])),
    ];
    numbers.into_iter().chain(others).collect()
}

/// A number that is no integer, or too long, is not even bencode; and true is 1 there.
pub(super) fn on_bencode(row: Row, what: &str, taken: Outcome) -> Row {
    match what {
        "1.5" => row.but(Codec::Bencode, MALFORMED),
        "true" => row.but(Codec::Bencode, taken),
        _ => row,
    }
}

pub(super) fn senders() -> Vec<Row> {
    let from = |sender: Wild| said("ping").with("sender", sender);
    let without = |part: &str| {
        let Wild::Dict(mut parts) = contact(id(), ip("127.0.0.1"), number("1")) else { unreachable!() };
        parts.retain(|(name, _)| name != part);
        Wild::Dict(parts)
    };
    let with = |name: &str, wild: Wild| {
        let Wild::Dict(mut parts) = contact(id(), ip("127.0.0.1"), number("1")) else { unreachable!() };
        parts.push((name.to_owned(), wild));
        Wild::Dict(parts)
    };
    let mut rows = vec![
        said("ping").without("sender").row("no sender", BAD_SENDER),
        from(Wild::Null).row("a sender that is null", BAD_SENDER),
        from(text(NODE)).row("a sender that is text", BAD_SENDER),
        from(number("1")).row("a sender that is a number", BAD_SENDER),
        from(Wild::List(vec![id(), ip("127.0.0.1"), number("1")])).row("a sender that is a list", BAD_SENDER),
        from(Wild::Dict(vec![])).row("a sender of nothing", BAD_SENDER),
        from(without("node_id")).row("a sender without an id", BAD_SENDER),
        from(without("port")).row("a sender without a port", BAD_SENDER),
        from(without("ip")).row("a sender without an address", ping()),
        from(with("x", Wild::Nested(2))).row("a sender with an unknown field", ping()),
        from(with("port", number("2"))).row("a sender with two ports", BAD_SENDER).but(Codec::Bencode, DUPLICATE),
        from(with("node_id", id())).row("a sender with two ids", BAD_SENDER).but(Codec::Bencode, DUPLICATE),
        from(contact(Wild::Id(String::new()), ip("127.0.0.1"), number("1"))).row("a sender whose id is empty", ping()),
        from(contact(Wild::Id(NODE.to_uppercase()), ip("127.0.0.1"), number("1")))
            .row("a sender's id in capitals", ping()),
        from(contact(id(), number("1"), number("1"))).row("a sender whose address is a number", BAD_SENDER),
    ];
    for host in ["localhost", "example.org", "", "127.0.0.1:80", "fe80::1%eth0"] {
        let row = from(contact(id(), text(host), number("1"))).row(format!("a sender at {host:?}"), ping());
        rows.push(row.but(Codec::MessagePack, BAD_SENDER));
    }
    for addr in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "1.0.0.1"] {
        rows.push(
            from(contact(id(), ip(addr), number("1"))).row(format!("a sender that says it is at {addr}"), ping()),
        );
    }
    for (what, port) in no_ports() {
        let row = from(contact(id(), ip("127.0.0.1"), port)).row(format!("a sender whose port is {what}"), BAD_SENDER);
        rows.push(on_bencode(row, what, ping()));
    }
    for (what, no_id) in no_ids() {
        rows.push(from(contact(no_id, ip("127.0.0.1"), number("1"))).row(format!("a sender's id: {what}"), BAD_SENDER));
    }
    rows
}

pub(super) fn peers_named() -> Vec<Row> {
    let named = |id, ip, port| naming(contact(id, ip, port));
    let mut rows = vec![
        said("find_node_res").row("an answer without peers", peers(&[])),
        said("find_node_res").with("peers", Wild::Null).row("peers that are null", peers(&[])),
        said("find_node_res").with("peers", text("x")).row("peers that are text", BAD_FIELD),
        said("find_node_res").with("peers", number("1")).row("peers that are a number", BAD_FIELD),
        said("find_node_res").with("peers", Wild::Dict(vec![])).row("peers that are a dictionary", BAD_FIELD),
        naming(number("1")).row("a peer that is a number", one()),
        naming(text("192.0.2.2:1")).row("a peer that is text", one()),
        naming(Wild::Null).row("a peer that is null", one()),
        naming(Wild::List(vec![id(), ip("192.0.2.2"), number("1")])).row("a peer that is a list", one()),
        naming(Wild::Dict(vec![])).row("a peer of nothing", one()),
        said("find_node_res")
            .with("peers", Wild::List(vec![contact(id(), ip("192.0.2.1"), number("1")); 300]))
            .row("300 peers", peers(&["192.0.2.1:1"; MAX_PEERS_READ])),
        said("find_node_res").with("peers", Wild::Bytes(vec![1; 25])).row("peers cut short", BAD_FIELD),
        // A contact that is read is not yet believed: the node judges its id and whether it can be asked.
        named(id(), ip("1.0.0.1"), number("7000"))
            .row("a peer at our own address", peers(&["1.0.0.1:7000", "192.0.2.1:1"])),
        named(id(), ip("127.0.0.1"), number("1")).row("a peer on loopback", peers(&["127.0.0.1:1", "192.0.2.1:1"])),
        named(id(), ip("10.0.0.1"), number("1"))
            .row("a peer on a private address", peers(&["10.0.0.1:1", "192.0.2.1:1"])),
        named(Wild::Id(NODE.to_uppercase()), ip("192.0.2.2"), number("2"))
            .row("a peer's id in capitals", peers(&["192.0.2.2:2", "192.0.2.1:1"])),
        named(Wild::Id(String::new()), ip("192.0.2.2"), number("2")).row("a peer whose id is empty", one()),
    ];
    for host in ["localhost", "example.org", "", " 192.0.2.2", "192.0.2.2:1", "192.0.2", "192.0.2.256", "0xc0000202"] {
        rows.push(named(id(), text(host), number("1")).row(format!("a peer at {host:?}"), one()));
    }
    for addr in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"] {
        rows.push(named(id(), ip(addr), number("1")).row(format!("a peer at {addr}"), one()));
    }
    for addr in ["::", "ff02::1", "::ffff:0.0.0.0"] {
        rows.push(named(id(), text(addr), number("1")).row(format!("a peer at {addr}"), one()));
    }
    for (what, port) in no_ports() {
        let row = named(id(), ip("192.0.2.2"), port).row(format!("a peer whose port is {what}"), one());
        rows.push(on_bencode(row, what, peers(&["192.0.2.2:1", "192.0.2.1:1"])));
    }
    for (what, no_id) in no_ids() {
        rows.push(named(no_id, ip("192.0.2.2"), number("1")).row(format!("a peer's id: {what}"), one()));
    }
    rows
}
