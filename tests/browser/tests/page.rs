//! The page of the first of 20 nodes, as a browser shows it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::time::Duration;

use browser_tests::{Browser, Network};
use kademlia_dynamic::actors::requests::ListKeys;
use kademlia_dynamic::{Config, Value};
use serde_json::json;

const NODES: usize = 20;

/// A key with what a terminal obeys, what HTML is made of, and what turns a text round.
const HOSTILE: &str = "\0\u{1b}[31m<img src=x onerror=\"document.title='owned'\">&amp;\u{202e}%2F/..";
const SHOWN: &str = "\\u{0}\\u{1b}[31m<img src=x onerror=\"document.title='owned'\">&amp;\\u{202e}%2F/..";

/// Opens the page with a code, and waits until it is live.
async fn open(browser: &Browser, network: &Network) {
    browser.open(&network.url_with_code()).await;
    browser.until("document.querySelector('#live').textContent === 'live'").await;
}

/// Writes key and value into the form of the page.
async fn enter(browser: &Browser, key: &str, value: &str) {
    browser.eval("[document.querySelector('#key').value = '', document.querySelector('#value').value = '']").await;
    browser.type_into("#key", key).await;
    browser.type_into("#value", value).await;
}

/// The texts of all keys that the list shows.
const KEYS: &str = "[...document.querySelectorAll('#keys .key')].map(key => key.textContent)";

#[actix_web::test]
async fn a_network_of_twenty_nodes_is_shown_and_a_lookup_in_it_is_drawn() {
    let network = Network::start(NODES).await;
    Browser::run(async |browser| {
        open(browser, &network).await;
        let count = |css: &str, least: usize| format!("document.querySelectorAll({}).length >= {least}", json!(css));
        browser.until(&count("#ring circle.answering", NODES - 1)).await;
        browser.until(&count("#buckets tbody tr.answering", NODES - 1)).await;
        for node in &network.nodes[1..] {
            browser.until_text("#buckets", &node.local_addr().to_string()).await;
        }
        assert!(browser.text("h1").await.contains(&network.nodes[0].id().to_string()));
        browser.until_text("[data-v='peers/known']", "19").await;
        assert_eq!(browser.text("#verdict").await, "Yes. Nothing is overdue.");
        assert_eq!(browser.text("[data-v=reached]").await, "unknown", "loopback says nothing of strangers");
        let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        datagram.send_to(b"no message", network.nodes[0].local_addr()).unwrap();
        let turned_away = "document.querySelector('#turned-away tbody tr:not([hidden])')?.innerText ?? ''";
        browser.until(&format!("({turned_away}).startsWith('dropped: malformed')")).await;
        assert!(browser.eval(turned_away).await.as_str().unwrap().ends_with("Compare --wire with that of the network"));

        let before = browser.eval("document.querySelectorAll('#ring line').length").await;
        assert_eq!(before, 0);
        browser.type_into("#lookup-target", "any key\n").await;
        browser.until_text("#lookup-result", "19 nodes").await;
        browser.until(&count("#lookup tbody tr.answering", NODES - 1)).await;
        browser.until(&count("#ring line.way.answering", NODES - 1)).await;
        browser.until("document.querySelector('[data-v=\"traffic/3/received\"]').textContent !== '0'").await;
        let took = browser
            .eval("[...document.querySelectorAll('#lookup tbody td:nth-child(5)')].map(cell => cell.textContent)");
        assert!(took.await.as_array().unwrap().iter().all(|took| took.as_str().unwrap().ends_with(" ms")));
    })
    .await;
}

#[actix_web::test]
async fn a_value_set_on_the_page_is_read_by_kad_and_one_set_by_kad_appears_on_the_page() {
    let config = Config::builder().audit_interval(Duration::from_secs(2)).build().unwrap();
    let network = Network::of(NODES, config, |builder| builder).await;
    Browser::run(async |browser| {
        open(browser, &network).await;
        enter(browser, "from the page", "written in a browser").await;
        browser.click("#set").await;
        browser.until_text("#status", "Set: 19 of 19 peers store it").await;
        assert_eq!(network.kad(&["get", "from the page"]).await.trim_end(), "written in a browser");
        browser.until(&format!("{KEYS}.includes('from the page')")).await;

        network.kad(&["set", "from kad", "written in a terminal"]).await;
        browser.until(&format!("{KEYS}.includes('from kad')")).await;
        browser.until_text("#events", "from kad").await;
        enter(browser, "from kad", "").await;
        browser.click("#find").await;
        browser.until_text("#found-text", "written in a terminal").await;

        enter(browser, "from the page", "").await;
        browser.click("#pin").await;
        browser.until_text("#status", "Pinned").await;
        browser.until_text("#keys", "published, pinned").await;
        browser.until("document.querySelector('#replicas tbody')?.innerText.trim() === '19\\t1'").await;
        browser.click("#check").await;
        browser
            .until_text(
                "#holders-facts",
                "19 of the 19 nearest nodes hold it. This node has it as published and pinned.",
            )
            .await;
        browser.click("#unpin").await;
        browser.until_text("#status", "Unpinned").await;
        browser.click("#release").await;
        browser.until_text("#status", "Released").await;
        browser.click("#release").await;
        browser.until_text("#status", "nothing to release").await;
        enter(browser, "never set", "").await;
        browser.click("#find").await;
        browser.until_text("#status", "no node that answered holds this key").await;
    })
    .await;
}

#[actix_web::test]
async fn a_key_of_control_characters_and_markup_and_its_value_are_shown_as_text() {
    let network = Network::start(NODES).await;
    let script = "<script>document.title = 'owned'</script>\u{202e}<svg onload=\"document.title='owned'\">";
    let stored = network.nodes[5].set(HOSTILE, script).await.unwrap().stored;
    assert_eq!(stored, NODES - 1);
    Browser::run(async |browser| {
        open(browser, &network).await;
        browser.until(&format!("{KEYS}.includes({})", json!(SHOWN))).await;
        browser.click("#keys .key").await;
        browser.until("!document.querySelector('#found').hidden").await;
        assert_eq!(browser.text("#found-key").await, SHOWN);
        assert_eq!(browser.text("#found-text").await, script.replace('\u{202e}', "\\u{202e}"));

        // The key that was chosen is the very key, whatever the field shows.
        browser.type_into("#value", "another").await;
        browser.click("#set").await;
        browser.until_text("#status", "Set: ").await;
        assert_eq!(network.nodes[9].get(HOSTILE).await.unwrap(), Some(Value::from("another")));
        assert_eq!(network.nodes[0].keys(ListKeys::new()).await.unwrap().keys.len(), 1);
        browser.until_text("#events", SHOWN.get(..40).unwrap()).await;
        let foreign = "document.querySelectorAll('img, main script, main svg[onload], [onerror]').length";
        assert_eq!(browser.eval(foreign).await, 0);
        assert!(browser.eval("document.title").await.as_str().unwrap().starts_with("kad "));
    })
    .await;
}

#[actix_web::test]
async fn large_and_binary_values_are_offered_as_a_download_and_never_shown() {
    let network = Network::start(3).await;
    network.nodes[1].set("binary", b"\x7fELF<script>".to_vec()).await.unwrap();
    network.nodes[1].set("large", "<b>".repeat(20_000)).await.unwrap();
    Browser::run(async |browser| {
        open(browser, &network).await;
        for (key, name, size) in [("binary", "binary.bin", 12), ("large", "large.txt", 60_000)] {
            enter(browser, key, "").await;
            browser.click("#find").await;
            browser.until(&format!("document.querySelector('#download').download === {}", json!(name))).await;
            let hidden =
                "document.querySelector('#found-text').hidden && !document.querySelector('#found-text').textContent";
            assert_eq!(browser.eval(hidden).await, true);
            let shown = browser.text("#download").await;
            assert!(shown == format!("Download the {size} B") || shown == "Download the 60.0 kB", "{shown}");
        }
    })
    .await;
}

#[actix_web::test]
async fn without_a_session_the_page_only_reads_and_the_token_signs_in() {
    let network = Network::start(3).await;
    Browser::run(async |browser| {
        browser.open(&network.url()).await;
        browser.until("document.querySelector('#live').textContent === 'every 2 s'").await;
        browser.until_text("#buckets", &network.nodes[1].local_addr().to_string()).await;
        let locked = "document.querySelector('#set').disabled && document.querySelector('#keys').hidden";
        assert_eq!(browser.eval(locked).await, true);
        browser.type_into("#token", "not the token of this node\n").await;
        browser.until_text("#status", "This is not the token of the node.").await;
        browser.eval("document.querySelector('#token').value = ''").await;
        browser.type_into("#token", &format!("{}\n", network.token())).await;
        browser.until("document.querySelector('#live').textContent === 'live'").await;
        assert_eq!(browser.eval("location.search").await, "");
        assert_eq!(browser.eval("document.querySelector('#sign-in').hidden").await, true);
    })
    .await;
    // Where reads are protected, nothing is shown before.
    let network = Network::of(3, Config::default(), |builder| builder.protect_reads(true)).await;
    Browser::run(async |browser| {
        browser.open(&network.url()).await;
        browser.until("!document.querySelector('#sign-in').hidden").await;
        let shown = browser.text("html").await;
        assert!(!shown.contains(&network.nodes[0].id().to_string()) && !shown.contains("127.0.0.1"), "{shown}");
        open(browser, &network).await;
        browser.until_text("#buckets", &network.nodes[1].local_addr().to_string()).await;
    })
    .await;
}

#[actix_web::test]
async fn however_much_happens_the_page_reads_the_node_at_most_four_times_a_second() {
    let network = Network::start(3).await;
    Browser::run(async |browser| {
        open(browser, &network).await;
        browser.eval("performance.clearResourceTimings()").await;
        let begin = std::time::Instant::now();
        let mut number = 0;
        while begin.elapsed() < Duration::from_secs(3) {
            network.nodes[1].set(format!("key {number}"), "value").await.unwrap();
            number += 1;
        }
        assert!(number > 40, "only {number} values were set");
        let reads = "performance.getEntriesByType('resource').filter(read => read.name.endsWith('/v1/node')).map(read => read.startTime)";
        let reads: Vec<f64> = browser.eval(reads).await.as_array().unwrap().iter().map(|at| at.as_f64().unwrap()).collect();
        assert!(reads.len() > 2, "it is live: {reads:?}");
        assert!(reads.windows(5).all(|five| five[4] - five[0] >= 990.0), "{reads:?}");
        browser.until_text("#keys", "key 0").await;
    })
    .await;
}

#[actix_web::test]
async fn the_page_fits_a_phone_and_each_field_has_a_label() {
    let network = Network::start(NODES).await;
    network.nodes[1].set("k".repeat(1_024), "v").await.unwrap();
    Browser::run(async |browser| {
        for width in [320, 360, 800, 1_440] {
            browser.look(width, 800, false).await;
            open(browser, &network).await;
            browser.until(&format!("{KEYS}.length === 1")).await;
            browser.type_into("#lookup-target", "key\n").await;
            browser.until_text("#lookup-result", "Nearest to").await;
            let wide = browser.eval("document.documentElement.scrollWidth").await.as_u64().unwrap();
            assert!(wide <= u64::from(width), "{width} px: it is {wide} wide");
        }
        let unlabelled = "[...document.querySelectorAll('input, textarea, select')].filter(field => !field.labels.length).length";
        assert_eq!(browser.eval(unlabelled).await, 0);
        let ids = "[...document.querySelectorAll('[id]')].map(one => one.id)";
        assert_eq!(browser.eval(&format!("{ids}.length - new Set({ids}).size")).await, 0);
        let nameless = "[...document.querySelectorAll('main section')].filter(one => !document.getElementById(one.getAttribute('aria-labelledby'))).length";
        assert_eq!(browser.eval(nameless).await, 0);
        // What changes by itself does not speak.
        assert_eq!(browser.eval("document.querySelectorAll('[role=status], [aria-live], [role=alert]').length").await, 1);
    })
    .await;
}

/// Writes pictures of the page into the folder that KAD_SCREENSHOTS names.
#[actix_web::test]
async fn pictures() {
    let Ok(folder) = std::env::var("KAD_SCREENSHOTS") else { return };
    let config = Config::builder().audit_interval(Duration::from_secs(2)).build().unwrap();
    let network = Network::of(NODES, config, |builder| builder).await;
    for (number, key) in ["greeting", "app/config", "app/peers/eu", "logo.png"].iter().enumerate() {
        network.nodes[number + 3].set(key, format!("value {number}")).await.unwrap();
    }
    network.nodes[4].set(HOSTILE, "shown as text").await.unwrap();
    for key in ["status/today", "docs/index"] {
        network.nodes[0].set(key, "a value of this node").await.unwrap();
        network.nodes[0].pin(key, 3).await.unwrap();
    }
    Browser::run(async |browser| {
        for (width, height) in [(360, 740), (800, 1_000), (1_440, 1_000)] {
            for dark in [false, true] {
                browser.look(width, height, dark).await;
                open(browser, &network).await;
                browser.until("document.querySelector('#replicas tbody')?.innerText.trim() === '19\\t2'").await;
                browser.type_into("#lookup-target", "greeting\n").await;
                browser.until("document.querySelectorAll('#lookup tbody tr.answering').length === 19").await;
                enter(browser, "greeting", "").await;
                browser.click("#find").await;
                browser.until_text("#found-text", "value 0").await;
                browser.click("#check").await;
                browser.until_text("#holders-facts", "hold it").await;
                let name = format!("{width}-{}", if dark { "dark" } else { "light" });
                let folder = Path::new(&folder);
                std::fs::write(folder.join(format!("{name}.png")), browser.picture(true).await).unwrap();
                // For the README: from the top, without what was said last.
                browser.eval("[window.scrollTo(0, 0), document.activeElement.blur(), say('')].length").await;
                browser.look(width, if width > 800 { 1_240 } else { 740 }, dark).await;
                std::fs::write(folder.join(format!("{name}-top.png")), browser.picture(false).await).unwrap();
            }
        }
    })
    .await;
}

/// The same of a table with many buckets, and of a window as high as the first two panels.
#[actix_web::test]
async fn pictures_of_many_buckets() {
    let Ok(folder) = std::env::var("KAD_SCREENSHOTS") else { return };
    let network = Network::of(NODES, Config::builder().k(3).build().unwrap(), |builder| builder).await;
    Browser::run(async |browser| {
        browser.look(1_440, 1_300, false).await;
        open(browser, &network).await;
        browser.type_into("#lookup-target", "greeting\n").await;
        browser.until_text("#lookup-result", "Nearest to").await;
        browser.until("document.querySelectorAll('#lookup tbody tr.pending').length === 0").await;
        std::fs::write(Path::new(&folder).join("buckets.png"), browser.picture(true).await).unwrap();
    })
    .await;
}
