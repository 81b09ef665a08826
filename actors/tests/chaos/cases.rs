//! Which actor handles which message, by the source: so that no handler is without a drill.

use std::fs;
use std::path::Path;

use super::super::drill;

/// The timer of an actor, as a message.
pub(super) const TIMER: &str = drill::TIMER;

/// Each message that each long-lived actor handles, and the timer of those that have one.
pub(super) fn all() -> Vec<(String, String)> {
    let actors = long_lived();
    let mut cases = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("actors")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                cases.extend(source.lines().filter_map(|line| case(line, &actors)));
            }
        }
    }
    cases.sort();
    cases
}

/// The case that this line of source opens.
fn case(line: &str, actors: &[String]) -> Option<(String, String)> {
    let (handled, actor) = line.strip_prefix("impl ")?.strip_suffix('{')?.trim_end().split_once(" for ")?;
    let message = match handled {
        "Alarmed" => TIMER,
        _ => handled.strip_prefix("Receive<").or_else(|| handled.strip_prefix("Handler<"))?.strip_suffix('>')?,
    };
    actors.iter().find(|known| *known == actor).map(|actor| (actor.clone(), message.to_owned()))
}

/// The actors whose messages all pass the place where drills strike.
fn long_lived() -> Vec<String> {
    let wiring = include_str!("../../wiring.rs");
    let (_, lists) = wiring.split_once("take_messages! {").expect("the wiring names them all");
    let (lists, _) = lists.split_once('}').expect("a list ends");
    let of_one_kind = |list: &str| list.split_once(':').map_or_else(String::new, |(_, names)| names.to_owned());
    let names: Vec<String> = lists.split(';').map(of_one_kind).collect();
    names.join(",").split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_source_says_which_messages_there_are() {
    let (actors, cases) = (long_lived(), all());
    assert_eq!(actors.len(), super::super::panics::ACTORS.len());
    let has = |actor: &str, message: &str| cases.contains(&(actor.to_owned(), message.to_owned()));
    assert!(has("Socket", "TransmitQuery") && has("ValueStore", "PrepareTransfer") && has("Pins", "RepairEnded"));
    assert!(has("Maintenance", TIMER) && !has("Lookup", "QueryEvent"));
    assert!(actors.iter().all(|actor| cases.iter().any(|(of, _)| of == actor)) && cases.len() >= 80, "{}", cases.len());
}
