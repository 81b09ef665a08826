//! `kad check`: a key as several vantage points see it, as a table or as JSON that may be shared.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use serde::Serialize;
use sha1::{Digest, Sha1};

use super::args::Network;
use super::args::check::CheckArgs;
use super::contact::Contact;
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::wording::{columns, human, list};
use super::{client, version::VERSION};
use crate::GetOptions;
use crate::actors::node::Node;
use crate::actors::outcome::GetResult;
use crate::protocol::value::Value;

pub(super) async fn run(args: CheckArgs) -> Result<(), Failure> {
    let CheckArgs { key, via, wire, timeout, json } = args;
    client::check_key(&key)?;
    let views = via.iter().map(|contact| {
        let network = Network { bootstrap: vec![contact.clone()], wire, timeout, json };
        let key = &key;
        async move {
            let deadline = Deadline::begin(&network);
            let view = client::with_client(&deadline, async |client| look(client, key).await).await;
            Vantage { via: contact, view }
        }
    });
    let vantages = join_all(views).await;
    let network = Network { bootstrap: via.clone(), wire, timeout, json };
    // What the vantage points needed is no reason not to print what they saw.
    Deadline::begin(&network).report(&Report::new(&key, &vantages), table(&key, &vantages)).await?;
    verdict(&key, &vantages)
}

/// What one vantage point sees.
#[derive(Debug, Clone, PartialEq)]
struct View {
    seen: Seen,
    /// The life of the copy that was read, where that is known.
    expires_in: Option<Duration>,
    /// Nodes that hold the key, by their own answer, of those that should.
    holders: usize,
    asked: usize,
    answered: usize,
    /// How long the read took.
    took: Duration,
}

/// What a read came to.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Value(Value),
    Unsupported,
    Nothing,
}

struct Vantage<'a> {
    via: &'a Contact,
    view: Result<View, Failure>,
}

/// Looks the key up: the holders first, since a read leaves a cached copy behind.
async fn look(client: &Node, key: &str) -> Result<View, Failure> {
    let nearest = client.health(key).await?.nearest;
    let begun = Instant::now();
    let (seen, expires_in) = match client.get_with(key, GetOptions::default()).await?.result {
        GetResult::Found { value, expires_in, .. } => (Seen::Value(value), expires_in),
        GetResult::Unsupported { .. } => (Seen::Unsupported, None),
        GetResult::NotFound { answered: 1.., .. } => (Seen::Nothing, None),
        GetResult::NotFound { .. } => return Err(Failure::network_silent(0)),
        GetResult::NoneAnswered { asked } => return Err(Failure::network_silent(asked)),
    };
    let took = begun.elapsed();
    let holders = nearest.confirmed.len() + nearest.expiring.len();
    Ok(View { seen, expires_in, holders, asked: nearest.len(), answered: nearest.answered(), took })
}

/// Fails unless all vantage points see the same value.
fn verdict(key: &str, vantages: &[Vantage]) -> Result<(), Failure> {
    let views: Vec<&View> = vantages.iter().filter_map(|vantage| vantage.view.as_ref().ok()).collect();
    if views.iter().any(|view| view.seen != views[0].seen) {
        let text = format!("the vantage points differ about {key:?}: see above what each of them sees");
        return Err(Failure::new(Exit::NOT_FOUND, text));
    }
    let silent = vantages.iter().filter_map(|Vantage { via, view }| Some(format!("{via}: {}", view.as_ref().err()?)));
    let silent: Vec<String> = silent.collect();
    if !silent.is_empty() {
        let text = format!("not all vantage points answered, so they cannot be compared\n{}", silent.join("\n"));
        return Err(Failure::new(Exit::UNAVAILABLE, text));
    }
    match views[0].seen {
        Seen::Nothing => Err(Failure::new(Exit::NOT_FOUND, format!("{key:?} was not found, from any vantage point"))),
        Seen::Unsupported => {
            let text = format!("{key:?} has a value that is neither text nor bytes, so it cannot be compared");
            Err(Failure::new(Exit::DATA, text))
        }
        Seen::Value(_) => Ok(()),
    }
}

fn table(key: &str, vantages: &[Vantage]) -> String {
    let mut rows = vec![["VIA", "FOUND", "SHA-1", "ENDS IN", "HOLDERS", "TIME"].map(str::to_owned)];
    for Vantage { via, view } in vantages {
        let cells = match view {
            Err(_) => ["no answer".to_owned(), String::new(), String::new(), String::new(), String::new()],
            Ok(view) => {
                let (found, digest) = match &view.seen {
                    Seen::Value(value) => (super::wording::kind_and_length(value), digest(value)),
                    Seen::Unsupported => ("neither text nor bytes".to_owned(), String::new()),
                    Seen::Nothing => ("nothing".to_owned(), String::new()),
                };
                let ends = view.expires_in.map_or(String::new(), human);
                [found, digest, ends, format!("{} of {}", view.holders, view.asked), human(view.took)]
            }
        };
        let [found, digest, ends, holders, took] = cells;
        rows.push([via.to_string(), found, digest, ends, holders, took]);
    }
    format!(
        "{key:?} as seen through {}\n\n{}",
        list(vantages.iter().map(|vantage| vantage.via)),
        columns(&rows).concat()
    )
}

fn digest(value: &Value) -> String {
    hex::encode(Sha1::digest(value.as_bytes()))
}

/// All that was seen, as JSON. Fields may be added.
#[derive(Serialize)]
struct Report<'a> {
    key: &'a str,
    /// Seconds since 1970, by this machine's clock.
    checked_at: u64,
    version: &'static str,
    /// Whether all answered and see the same.
    agree: bool,
    vantage_points: Vec<VantageJson>,
}

/// A vantage point in JSON.
#[derive(Serialize)]
struct VantageJson {
    via: String,
    /// `found`, `unsupported`, `not_found` or `no_answer`.
    result: &'static str,
    kind: Option<&'static str>,
    bytes: Option<usize>,
    sha1: Option<String>,
    expires_in_seconds: Option<u64>,
    holders: Option<usize>,
    asked: Option<usize>,
    answered: Option<usize>,
    read_ms: Option<f64>,
}

impl<'a> Report<'a> {
    fn new(key: &'a str, vantages: &[Vantage]) -> Self {
        let first = vantages.iter().find_map(|vantage| vantage.view.as_ref().ok()).map(|view| &view.seen);
        let agree =
            vantages.iter().all(|vantage| vantage.view.as_ref().ok().is_some_and(|view| Some(&view.seen) == first));
        let checked_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self {
            key,
            checked_at,
            version: VERSION,
            agree,
            vantage_points: vantages.iter().map(VantageJson::of).collect(),
        }
    }
}

impl VantageJson {
    fn of(Vantage { via, view }: &Vantage) -> Self {
        let view = view.as_ref().ok();
        let value = view.and_then(|view| if let Seen::Value(value) = &view.seen { Some(value) } else { None });
        Self {
            via: via.to_string(),
            result: match view.map(|view| &view.seen) {
                Some(Seen::Value(_)) => "found",
                Some(Seen::Unsupported) => "unsupported",
                Some(Seen::Nothing) => "not_found",
                None => "no_answer",
            },
            kind: value.map(Value::kind),
            bytes: value.map(Value::len),
            sha1: value.map(digest),
            expires_in_seconds: view.and_then(|view| view.expires_in).map(|ends| ends.as_secs()),
            holders: view.map(|view| view.holders),
            asked: view.map(|view| view.asked),
            answered: view.map(|view| view.answered),
            read_ms: view.map(|view| (view.took.as_secs_f64() * 1e6).round() / 1e3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;

    fn view(seen: Seen) -> Result<View, Failure> {
        let (expires_in, took) = (Some(Duration::from_secs(90)), Duration::from_micros(1_500));
        Ok(View { seen, expires_in, holders: 3, asked: 20, answered: 19, took })
    }

    fn judged(views: Vec<Result<View, Failure>>) -> (u8, String, serde_json::Value) {
        let contact: Contact = "127.0.0.1:8000".parse().unwrap();
        let vantages: Vec<Vantage> = views.into_iter().map(|view| Vantage { via: &contact, view }).collect();
        let report = serde_json::from_str(&output::json(&Report::new("k", &vantages))).unwrap();
        let code = verdict("k", &vantages).map_or_else(|failure| failure.exit.code(), |()| 0);
        (code, table("k", &vantages), report)
    }

    #[test]
    fn vantage_points_agree_only_where_each_sees_the_same_value() {
        let (a, b) = (|| view(Seen::Value("a".into())), || view(Seen::Value("b".into())));
        let (nothing, silent) = (|| view(Seen::Nothing), || Err(Failure::unanswered("silence")));
        let same_bytes = view(Seen::Value(Value::Bytes(b"a".to_vec())));
        for (views, code, agree) in [
            (vec![a(), a()], 0, true),
            (vec![a(), b()], 1, false),
            (vec![a(), same_bytes], 1, false),
            (vec![a(), nothing()], 1, false),
            (vec![nothing(), nothing()], 1, true),
            (vec![view(Seen::Unsupported), view(Seen::Unsupported)], 65, true),
            (vec![a(), view(Seen::Unsupported)], 1, false),
            (vec![a(), silent()], 69, false),
            (vec![a(), silent(), b()], 1, false),
            (vec![silent()], 69, false),
        ] {
            let (found, table, report) = judged(views);
            assert_eq!((found, &report["agree"]), (code, &agree.into()), "{table}");
        }
    }

    #[test]
    fn the_report_has_digests_and_no_values() {
        let (_, table, report) = judged(vec![view(Seen::Value("secret".into())), view(Seen::Nothing)]);
        let sha1 = "e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4";
        let first = &report["vantage_points"][0];
        assert_eq!((&first["sha1"], &first["result"], &first["bytes"]), (&sha1.into(), &"found".into(), &6.into()));
        assert_eq!((&first["holders"], &first["asked"], &first["read_ms"]), (&3.into(), &20.into(), &1.5.into()));
        assert_eq!(report["vantage_points"][1]["result"], "not_found");
        assert!(!report.to_string().contains("secret") && !table.contains("secret"));
        assert!(table.contains(sha1) && table.contains("3 of 20") && table.contains("nothing"), "{table}");
    }
}
