//! The settings of the node over HTTP: `--http` and its like.

use std::path::PathBuf;

use serde::Deserialize;

use crate::cli::args::HttpArgs;
use crate::cli::contact::ListenAddr;

/// Where a node serves HTTP by default.
pub(in crate::cli) const DEFAULT_HTTP: &str = "127.0.0.1:8420";

/// What the node over HTTP is run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct HttpSettings {
    pub(in crate::cli) listen: HttpListen,
    pub(in crate::cli) token_file: Option<PathBuf>,
    pub(in crate::cli) hosts: Vec<String>,
    pub(in crate::cli) origins: Vec<String>,
}

/// Where HTTP is served. As a setting it is an address, or `off`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::cli) enum HttpListen {
    /// At [`DEFAULT_HTTP`] if that is free.
    #[default]
    Default,
    /// At this address.
    At(ListenAddr),
    /// Nowhere.
    Off,
}

impl TryFrom<String> for HttpListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.try_into().map(Self::At).map_err(|error| format!("{error}; off serves no HTTP"))
    }
}

/// Texts: a list, or one text with commas or spaces between them.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a list of texts is needed, such as [\"dht.example.org\"]")]
pub(in crate::cli) enum TextList {
    Text(String),
    List(Vec<String>),
}

impl TextList {
    fn texts(self) -> Vec<String> {
        let texts: Vec<String> = match self {
            Self::Text(text) => text.split([',', ' ', '\t', '\n']).map(str::to_owned).collect(),
            Self::List(texts) => texts,
        };
        texts.into_iter().filter(|text| !text.is_empty()).collect()
    }
}

impl HttpSettings {
    /// The options `args`, and where they say nothing, the settings of other sources.
    pub(in crate::cli) fn new(
        args: HttpArgs,
        listen: Option<HttpListen>,
        token_file: Option<PathBuf>,
        hosts: Option<TextList>,
        origins: Option<TextList>,
    ) -> Self {
        let listen = match args.http {
            Some(addr) => HttpListen::At(addr),
            None if args.no_http => HttpListen::Off,
            None => listen.unwrap_or_default(),
        };
        let texts = |given: Vec<String>, set: Option<TextList>| match given.is_empty() {
            true => set.map(TextList::texts).unwrap_or_default(),
            false => given,
        };
        let token_file = args.http_token_file.or(token_file);
        Self { listen, token_file, hosts: texts(args.http_host, hosts), origins: texts(args.http_origin, origins) }
    }
}
