//! A bar for what takes long: on standard error, if that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar in the form of `template` that ends at `length`; nothing where `quiet`.
pub(super) fn bar(template: &str, length: u64, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
    let style = ProgressStyle::with_template(template).expect("the templates of this program are well formed");
    ProgressBar::with_draw_target(Some(length), target).with_style(style)
}
