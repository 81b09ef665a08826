//! Server-sent events: a stream of frames as the body of an answer. A client that reads too slowly holds up its own stream alone,
//! since each source is bounded.

use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

/// How often a stream without news sends a comment, so that a client that has gone is noticed.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// A source of frames.
pub(super) trait Source: 'static {
    /// The next frame, made by [`frame`]; `None` at the end. It can be cancelled without loss.
    fn next(&mut self) -> impl Future<Output = Option<String>>;
}

/// An event called `name` with `data` as JSON.
pub(super) fn frame(name: &str, data: &impl Serialize) -> String {
    // JSON has no line breaks.
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    let mut frame = String::with_capacity(name.len() + data.len() + 16);
    let _ = write!(frame, "event: {name}\ndata: {data}\n\n");
    frame
}

/// The answer that sends what `source` has, as long as `place` is held.
pub(super) fn answer(source: impl Source, place: OwnedSemaphorePermit) -> HttpResponse {
    // The first bytes go at once: the client knows that it is subscribed.
    let begun = Some(format!(": every {} seconds\n\n", HEARTBEAT.as_secs()));
    let frames = stream::unfold((source, begun, place), |(mut source, begun, place)| async move {
        let frame = match begun {
            Some(begun) => begun,
            None => match tokio::time::timeout(HEARTBEAT, source.next()).await {
                Ok(frame) => frame?,
                Err(_) => ":\n\n".to_owned(),
            },
        };
        Some((Ok::<_, Infallible>(Bytes::from(frame)), (source, None, place)))
    });
    HttpResponse::Ok().content_type("text/event-stream").insert_header(("x-accel-buffering", "no")).streaming(frames)
}
