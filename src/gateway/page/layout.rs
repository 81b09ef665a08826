//! The page as a whole: its head, its way in, its panels.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value as Json;

use super::figures::{Format, at, figure};
use super::panels;
use crate::actors::events::EventKind;

/// The panels in their order: id and heading.
const PANELS: [(&str, &str); 4] =
    [("health", "Am I keeping up?"), ("space", "Id space"), ("values", "Values"), ("traffic", "Traffic")];

/// The page. `base` leads from its address to the paths of the gateway; `node` is what `/v1/node` shows, or null.
pub(super) fn page(base: &str, signed_in: bool, protected: bool, node: &Json) -> Markup {
    let kinds = EventKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" ");
    let short: String = at(node, "id").as_str().unwrap_or_default().chars().take(8).collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "kad " (short) }
                link rel="stylesheet" href=(format!("{base}page/page.css"));
                link rel="icon" type="image/svg+xml" href=(format!("{base}page/icon.svg"));
                script defer src=(format!("{base}page/page.js")) {}
            }
            body data-base=(base) data-session=(signed_in) data-readable=(signed_in || !protected) data-kinds=(kinds) {
                a.skip href="#main" { "Skip to the panels" }
                header {
                    h1 { "kad " span.id title="The id of this node" { (figure(node, "id", Format::Text)) } }
                    p.facts {
                        span { "UDP " (figure(node, "address", Format::Text)) }
                        span { "wire " (figure(node, "wire", Format::Text)) }
                        span { "version " (figure(node, "version", Format::Text)) }
                        span { "up " (figure(node, "uptime", Format::Time)) }
                        span #live { "not live" }
                    }
                    nav aria-label="Panels" { @for (id, heading) in PANELS { a href=(format!("#{id}")) { (heading) } } }
                }
                p #status role="status" {}
                main #main tabindex="-1" {
                    (way_in(signed_in, protected))
                    noscript { p.notice { "Without its script this page shows the figures of the moment at which it was loaded." } }
                    @for (id, heading) in PANELS {
                        section #(id) aria-labelledby=(format!("{id}-heading")) {
                            h2 #(format!("{id}-heading")) { (heading) }
                            @match id {
                                "health" => (panels::keeping_up(node)),
                                "space" => (panels::id_space()),
                                "values" => (panels::values(signed_in)),
                                _ => (panels::traffic(node)),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How a browser is let in that has no session.
fn way_in(signed_in: bool, protected: bool) -> Markup {
    let purpose = if protected { "To see this node" } else { "To set values, and to see which keys are held here" };
    html! {
        section #sign-in aria-labelledby="sign-in-heading" hidden[signed_in] {
            h2 #sign-in-heading { "Sign in" }
            p {
                (purpose) ", open the address with the one-time code that " code { "kad node" } " prints, or enter the node's token. "
                "It stands in the file " code { "http-token" } " in the folder of the node."
            }
            form #sign-in-form .row {
                label { "Token " input #token type="password" autocomplete="off" required; }
                button { "Sign in" }
            }
        }
    }
}
