//! Chromium without a window, driven by chromedriver. It ends with its test, whatever becomes of that.

use std::io::{BufRead, BufReader};
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use futures_util::FutureExt;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    client: Client,
}

/// Ends with what it is part of.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Browser {
    /// Runs `test` in a new browser, closes that, and fails if the test did, or if the page broke a rule of its policy or failed.
    pub async fn run(test: impl AsyncFnOnce(&Browser)) {
        let (_driver, port) = start_driver();
        let profile = tempfile::tempdir().unwrap();
        let client = connect(port, &profile).await;
        let browser = Browser { client: client.clone() };
        let outcome = AssertUnwindSafe(test(&browser)).catch_unwind().await;
        let log = browser.log().await;
        client.close().await.unwrap();
        if let Err(panic) = outcome {
            eprintln!("the log of the browser: {log:#?}");
            std::panic::resume_unwind(panic);
        }
        // That a request was answered with an error is a matter of the test.
        let trouble = |line: &&String| !line.contains("the server responded with a status of");
        assert_eq!(log.iter().find(trouble), None, "the console of the browser is silent");
    }

    /// Shows `url`.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Clicks on the element.
    pub async fn click(&self, css: &str) {
        self.client.find(Locator::Css(css)).await.unwrap().click().await.unwrap();
    }

    /// Types into the field, after what is there.
    pub async fn type_into(&self, css: &str, text: &str) {
        self.client.find(Locator::Css(css)).await.unwrap().send_keys(text).await.unwrap();
    }

    /// What the page makes of the expression.
    pub async fn eval(&self, expression: &str) -> Json {
        self.client.execute(&format!("return {expression}"), Vec::new()).await.unwrap()
    }

    /// The text of the element.
    pub async fn text(&self, css: &str) -> String {
        let text = self.eval(&format!("document.querySelector({}).textContent", json!(css))).await;
        text.as_str().unwrap().to_owned()
    }

    /// Waits until the expression is true.
    pub async fn until(&self, expression: &str) {
        let begin = Instant::now();
        while self.eval(expression).await != json!(true) {
            if begin.elapsed() > PATIENCE {
                let status = self.text("#status").await;
                panic!("it never came to be: {expression}; the page says {status:?}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the text of the element contains `part`.
    pub async fn until_text(&self, css: &str, part: &str) {
        let (css, part) = (json!(css), json!(part));
        self.until(&format!("document.querySelector({css}).textContent.includes({part})")).await;
    }

    /// Makes the page so wide, and dark or light.
    pub async fn look(&self, width: u32, height: u32, dark: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.cdp("Emulation.setEmulatedMedia", features).await;
    }

    /// The page as a PNG: all of it, or what the window shows.
    pub async fn picture(&self, whole: bool) -> Vec<u8> {
        let shot = self.cdp("Page.captureScreenshot", json!({ "captureBeyondViewport": whole })).await;
        let shot = match whole {
            false => shot,
            true => {
                let size = self.cdp("Page.getLayoutMetrics", json!({})).await;
                let size = &size["cssContentSize"];
                let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
                self.cdp("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "clip": clip })).await
            }
        };
        BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    async fn cdp(&self, command: &str, params: Json) -> Json {
        let body = json!({ "cmd": command, "params": params });
        self.client.issue_cmd(Extension { path: "goog/cdp/execute", body }).await.unwrap()
    }

    /// What the console of the browser shows from warnings on.
    async fn log(&self) -> Vec<String> {
        let entries = self.client.issue_cmd(Extension { path: "se/log", body: json!({ "type": "browser" }) }).await;
        let entries = entries.unwrap();
        entries.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}

/// A command that chromedriver has beyond the standard.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Json,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

fn start_driver() -> (Driver, u16) {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().expect("chromedriver is there (Debian: chromium-driver)");
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = lines.map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    let driver = Driver(driver);
    (driver, port.expect("chromedriver says where it listens"))
}

async fn connect(port: u16, profile: &TempDir) -> Client {
    let profile = format!("--user-data-dir={}", profile.path().display());
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        &profile,
    ];
    let capabilities = json!({
        "goog:chromeOptions": { "args": flags },
        "goog:loggingPrefs": { "browser": "WARNING" },
    });
    let capabilities = capabilities.as_object().unwrap().clone();
    let mut builder = ClientBuilder::new(HttpConnector::new());
    builder.capabilities(capabilities).connect(&format!("http://127.0.0.1:{port}")).await.expect("Chromium starts")
}
