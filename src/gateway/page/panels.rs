//! The panels of the page. What the script draws has its place here.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::advice::advice;
use super::figures::{Format, at, counter, figure, meter};
use crate::actors::counters::Counter;
use crate::actors::snapshot::MESSAGES;

/// Whether the node keeps up: what is the matter, and how much there is of what.
pub(super) fn keeping_up(node: &Json) -> Markup {
    let concerns = at(node, "concerns").as_array();
    let none = concerns.is_none_or(Vec::is_empty);
    let verdict = match concerns {
        None => "The node has not been read yet.",
        Some(_) if none => "Yes. Nothing is overdue.",
        Some(_) => "Not quite:",
    };
    html! {
        p #verdict .bad[!none] { (verdict) }
        ul #concerns { @for text in concerns.into_iter().flatten() { li { (text.as_str().unwrap_or_default()) } } }
        dl.tiles {
            (tile("Reachable", "from strangers", figure(node, "reached", Format::Reached)))
            (tile("Peers", "in the routing table", figure(node, "peers/known", Format::Count)))
            (tile("Failing", "left the last query unanswered", figure(node, "peers/failing", Format::Count)))
            (tile("Queries", "in flight", figure(node, "queries_in_flight", Format::Count)))
            (tile("Lookups", "running", figure(node, "lookups_running", Format::Count)))
            (tile("Lookups", "waiting", figure(node, "lookups_waiting", Format::Count)))
        }
        p.note {
            "A node is known to be reachable once a query comes from a global address that it had sent nothing to for ten minutes, and "
            "for an hour after it. Otherwise that is unknown."
        }
        div.columns { (stored(node)) (due(node)) (replicas(node)) }
        (turned_away(node))
    }
}

fn tile(name: &str, what: &str, figure: Markup) -> Markup {
    html! { div { dt { (name) small { (what) } } dd { (figure) } } }
}

fn stored(node: &Json) -> Markup {
    let rows = [
        ("published", "Published", None),
        ("held", "Held for others", Some("store/remote_limit")),
        ("cached", "Cached", Some("store/cached_limit")),
    ];
    html! {
        div.scroll tabindex="0" role="region" aria-label="Values stored here" {
            table {
                caption { "Values stored here" }
                thead { tr { th scope="col" { "Kind" } th.n scope="col" { "Values" } th.n scope="col" { "Bytes" } th scope="col" { "Of the limit" } } }
                tbody {
                    @for (class, name, limit) in rows {
                        tr {
                            th scope="row" { (name) }
                            td.n { (figure(node, &format!("store/{class}/values"), Format::Count)) }
                            td.n { (figure(node, &format!("store/{class}/bytes"), Format::Bytes)) }
                            td {
                                @if let Some(limit) = limit {
                                    (meter(node, &format!("store/{class}/values"), &format!("{limit}/values"), "of the values permitted"))
                                    " of " (figure(node, &format!("{limit}/values"), Format::Count)) br;
                                    (meter(node, &format!("store/{class}/bytes"), &format!("{limit}/bytes"), "of the bytes permitted"))
                                    " of " (figure(node, &format!("{limit}/bytes"), Format::Bytes))
                                } @else { "memory alone" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn due(node: &Json) -> Markup {
    html! {
        div {
            table {
                caption { "Work that waits for its turn" }
                thead { tr { th scope="col" { "Work" } th.n scope="col" { "Due" } th.n scope="col" { "Overdue" } } }
                tbody {
                    @for (kind, name) in [("republications", "Publishing again"), ("restores", "Restoring copies to peers that do not compare")] {
                        tr {
                            th scope="row" { (name) }
                            td.n { (figure(node, &format!("store/{kind}/due"), Format::Count)) }
                            td.n { (figure(node, &format!("store/{kind}/overdue"), Format::Count)) }
                        }
                    }
                }
            }
            p.note { "What is due goes with the next round. What is overdue may be too late for copies that end." }
            p.note {
                "Values are published again region by region (– while none is due): " (figure(node, "store/pass/percent", Format::Count))
                " % done, " (figure(node, "store/pass/done", Format::Count)) " values, region "
                (figure(node, "store/pass/place", Format::Text)) ", " (figure(node, "store/pass/left", Format::Time)) " left."
            }
            p.note {
                "Copies are compared with neighbours: " (figure(node, "upkeep/partners", Format::Count)) " neighbours, "
                (figure(node, "upkeep/not_compared", Format::Count)) " not compared yet, "
                (figure(node, "upkeep/exchanges_running", Format::Count)) " comparisons running, "
                (figure(node, "upkeep/copies_queued", Format::Count)) " copies to bring, all once more within "
                (figure(node, "upkeep/round_ends_in", Format::Time)) "."
            }
        }
    }
}

fn replicas(node: &Json) -> Markup {
    html! {
        div {
            h3 { "Replicas of pinned keys" }
            p {
                "Pinned keys: " (figure(node, "pins/pinned", Format::Count)) ", of them below their minimum: "
                (figure(node, "pins/below_min", Format::Count)) span #not-audited hidden[at(node, "pins/pinned").as_u64().unwrap_or_default() == 0] { "; none was audited yet" } "."
            }
            table #replicas aria-label="Replicas of pinned keys" hidden {
                thead { tr { th.n scope="col" { "Replicas" } th.n scope="col" { "Keys" } th scope="col" { "Share" } } }
                tbody {}
            }
            p.note { "As each key was audited last. Pin a key below to have its replicas counted and repaired." }
        }
    }
}

/// What was dropped or refused, each with the advice about it. Rows of zero are there, and hidden.
fn turned_away(node: &Json) -> Markup {
    let rows: Vec<_> = Counter::ALL.iter().filter_map(|counter| Some((counter, advice(counter.reason())?))).collect();
    html! {
        h3 #turned-away-heading { "Dropped and refused" }
        p #nothing-turned-away { "Nothing since the start." }
        div.scroll tabindex="0" role="region" aria-labelledby="turned-away-heading" {
            table #turned-away.wide aria-labelledby="turned-away-heading" {
                thead {
                    tr {
                        th scope="col" { "Reason" } th.n scope="col" { "Since the start" } th scope="col" { "Meaning" }
                        th scope="col" { "What to do" }
                    }
                }
                tbody {
                    @for (counted, advice) in rows {
                        @let path = format!("counters/{}{{{}}}", counted.name(), counted.reason());
                        tr hidden[at(node, &path).is_null()] {
                            th scope="row" {
                                @if counted.name().contains("refused") { "refused: " } @else { "dropped: " } (counted.reason())
                            }
                            td.n { (counter(node, &path)) }
                            td { (advice.meaning) }
                            td { (advice.action) }
                        }
                    }
                }
            }
        }
    }
}

/// The buckets with their peers, and lookups.
pub(super) fn id_space() -> Markup {
    html! {
        div.columns {
            figure {
                svg #ring viewBox="-110 -110 220 220" role="img" aria-label="The ring of ids" {}
                figcaption.legend {
                    span { i.own {} "this node" } span { i.answering {} "answers" } span { i.failing {} "failing" }
                    span { i.legacy {} "legacy node" } span { i.asked {} "asked by the lookup" } span { i.target {} "its target" }
                }
            }
            div {
                h3 { "Buckets" }
                p.note #buckets-note { "A bucket has the peers whose ids begin with its bits; * is any id." }
                div #buckets {}
                template #bucket { (bucket()) }
            }
        }
        h3 { "Lookup" }
        form #lookup-form .row {
            label { "Key, or id of 40 hex digits " input #lookup-target autocomplete="off" spellcheck="false"; }
            button { "Look up" }
        }
        p #lookup-result {}
        div.scroll tabindex="0" role="region" aria-label="Queries of the lookup" #lookup-scroll hidden {
            table #lookup.wide {
                thead {
                    tr {
                        th.n scope="col" { "Hop" } th scope="col" { "Peer" } th.n scope="col" title="Leading bits that its id shares with the target" { "Bits shared" }
                        th scope="col" { "From question to answer" } th.n scope="col" { "Took" } th scope="col" { "Answer" }
                    }
                }
                tbody {}
            }
        }
    }
}

/// A bucket, which the script fills.
fn bucket() -> Markup {
    html! {
        details {
            summary { code {} " " span.about {} }
            div.scroll tabindex="0" role="region" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Id" } th scope="col" { "Address" } th.n scope="col" { "Answered" }
                            th.n scope="col" { "Round trip" } th scope="col" { "State" }
                        }
                    }
                    tbody {}
                }
            }
        }
    }
}

/// One key: what to do with it, what is known of it; and the keys that are held here.
pub(super) fn values(signed_in: bool) -> Markup {
    html! {
        div.columns {
            div { (one_key(signed_in)) }
            (keys_held(signed_in))
        }
    }
}

/// What to do with one key, and what is known of it.
fn one_key(signed_in: bool) -> Markup {
    html! {
        form #value-form {
            label { "Key " input #key autocomplete="off" spellcheck="false"; }
            label { "Value " textarea #value rows="3" spellcheck="false" {} }
            div.row {
                label { "or a file " input #file type="file"; }
                label { "Least replicas of a pin " input #min-replicas type="number" min="1" max="20" value="3"; }
            }
            div.row {
                button #find { "Find" }
                button type="button" #set disabled[!signed_in] { "Set" }
                button type="button" #release disabled[!signed_in] { "Release" }
                button type="button" #pin disabled[!signed_in] { "Pin" }
                button type="button" #unpin disabled[!signed_in] { "Unpin" }
                button type="button" #check { "Who holds it?" }
            }
        }
        div #found hidden {
            h3 { "Value of " code #found-key {} }
            p #found-facts {}
            pre #found-text tabindex="0" aria-label="The value" {}
            p #found-file { a #download { "Download" } }
        }
        div #holders hidden {
            h3 { "Holders of " code #holders-key {} }
            p #holders-facts {}
            div.scroll tabindex="0" role="region" aria-label="Holders" {
                table { thead { tr { th scope="col" { "Peer" } th scope="col" { "It says" } th.n scope="col" { "Ends in" } } } tbody {} }
            }
        }
    }
}

/// The keys that are held here. To see them needs a session.
fn keys_held(signed_in: bool) -> Markup {
    html! {
        div #keys hidden[!signed_in] {
            h3 { "Keys stored here" }
            form #prefix-form .row {
                label { "Begins with " input #prefix autocomplete="off" spellcheck="false"; }
                button { "List" }
            }
            div.scroll tabindex="0" role="region" aria-label="Keys stored here" {
                table {
                    thead { tr { th scope="col" { "Key" } th scope="col" { "Kind" } th.n scope="col" { "Bytes" } th.n scope="col" { "Ends in" } } }
                    tbody {}
                }
            }
            p #no-keys hidden { "None." }
            button type="button" #more hidden { "More" }
        }
    }
}

/// Messages by name and direction, restarts, and what happened last.
pub(super) fn traffic(node: &Json) -> Markup {
    html! {
        div.columns {
            div.scroll tabindex="0" role="region" aria-label="Messages" {
                table {
                    caption { "Messages since the start" }
                    thead {
                        tr {
                            th scope="col" { "Message" } th.n scope="col" { "In" } th.n scope="col" { "Bytes in" } th.n scope="col" { "Out" }
                            th.n scope="col" { "Bytes out" } th.n scope="col" { "Both, per second" }
                        }
                    }
                    tbody {
                        @for (row, message) in MESSAGES.iter().enumerate() {
                            tr {
                                th scope="row" { (message) }
                                td.n { (figure(node, &format!("traffic/{row}/received"), Format::Count)) }
                                td.n { (figure(node, &format!("traffic/{row}/received_bytes"), Format::Bytes)) }
                                td.n { (figure(node, &format!("traffic/{row}/sent"), Format::Count)) }
                                td.n { (figure(node, &format!("traffic/{row}/sent_bytes"), Format::Bytes)) }
                                td.n data-rate=(row) { "–" }
                            }
                        }
                    }
                }
            }
            div {
                h3 { "Restarts of actors after a panic" }
                p #no-restarts { "None." }
                ul #restarts {}
                h3 { "What happened last" }
                p #no-events.note { "Events are shown here once the page is live." }
                ol #events {}
            }
        }
    }
}
