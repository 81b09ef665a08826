//! Commands that look at a whole network: `check`, `crawl`, `testnet`.

use serde_json::Value as Json;

use super::process::{Node, code, kad, silent, stderr};

#[test]
fn check_compares_what_vantage_points_see_and_ends_with_1_where_they_differ() {
    let (first, other) = (Node::start("json", &[]), Node::start("json", &[]));
    let second = Node::start("json", &["--bootstrap", &first.addr]);
    first.ok(&["set", "k", "v"]);
    let check = |via: &[&str], more: &[&str]| kad(&[&["check", "k", "--via"], via, more].concat()).output().unwrap();
    let output = check(&[&first.addr, &second.addr], &[]);
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(code(&output), 0, "{table}{}", stderr(&output));
    for word in [&first.addr, &second.addr, "text, 1 byte", "7a38d8cbd20d9932ba948efaa364bb62651d5ad4", "2 of 2"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let output = check(&[&first.addr, &other.addr], &["--json"]);
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &json["agree"]), (1, &false.into()), "{json}");
    let results = [0, 1].map(|n| json["vantage_points"][n]["result"].as_str().unwrap().to_owned());
    assert_eq!(results, ["found", "not_found"]);
    assert!(stderr(&output).contains("differ"), "{}", stderr(&output));
    let (_held, nobody) = silent();
    let output = check(&[&first.addr, &nobody], &["--timeout", "1"]);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains(&nobody), "{}", stderr(&output));
}
