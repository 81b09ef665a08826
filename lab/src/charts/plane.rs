//! What all charts have in common: colours, the title and the legend, axes and lines. What they show is not known here.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::count;

pub(super) const SIZE: (u32, u32) = (960, 540);
pub(super) const FONT: &str = "sans-serif";
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);
/// Colours that the colour-blind tell apart as well (Okabe and Ito).
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const PURPLE: RGBColor = RGBColor(170, 68, 153);
pub(super) const GREY: RGBColor = RGBColor(130, 130, 130);
pub(super) const SOFT: RGBColor = RGBColor(95, 95, 95);
/// The size of a legend's letters, the length of its lines, and the space between two entries, in pixels.
pub(super) const LEGEND_FONT: u32 = 15;
pub(super) const KEY_LINE: i32 = 24;
pub(super) const KEY_GAP: i32 = 28;
pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

pub(super) fn chart(draw: impl for<'a> FnOnce(&Canvas<'a>) -> Drawn<'a>) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let drawn = area.fill(&WHITE).and_then(|()| draw(&area)).and_then(|()| area.present());
        drawn.expect("writing into a string cannot fail");
    }
    svg
}

/// A line of a chart, and the figure that it shows.
pub(super) type Line<Of, Figure> = (Key, fn(&Of) -> Figure);

/// A line of a chart, as the legend names it.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) colour: RGBColor,
    pub(super) dashed: bool,
}

impl Key {
    pub(super) fn line(name: impl Into<String>, colour: RGBColor) -> Self {
        Self { name: name.into(), colour, dashed: false }
    }

    pub(super) fn dashed(name: impl Into<String>) -> Self {
        Self { name: name.into(), colour: GREY, dashed: true }
    }

    /// About how wide it is in a legend, its line included.
    pub(super) fn width(&self) -> i32 {
        KEY_LINE + 8 + (self.name.chars().count() as i32 * LEGEND_FONT as i32 * 53) / 100 + KEY_GAP
    }
}

/// Draws the title, the line under it and the legend, and returns what is left below them. The legend stands above the
/// chart, where it can hide nothing.
pub(super) fn titled<'a>(
    area: &Canvas<'a>,
    title: &str,
    line: &str,
    keys: &[Key],
) -> Result<Canvas<'a>, DrawError<'a>> {
    let (head, body) = area.split_vertically(92);
    let centre = (SIZE.0 / 2) as i32;
    let style = |size: u32, at: HPos| TextStyle::from((FONT, size).into_font()).pos(Pos::new(at, VPos::Center));
    head.draw_text(title, &style(24, HPos::Center).color(&INK), (centre, 22))?;
    head.draw_text(line, &style(15, HPos::Center).color(&SOFT), (centre, 48))?;
    let mut x = centre - (keys.iter().map(Key::width).sum::<i32>() - KEY_GAP) / 2;
    for key in keys {
        let style_of_line = key.colour.stroke_width(2);
        let dashes = if key.dashed { &[(0, 6), (9, 15), (18, KEY_LINE)][..] } else { &[(0, KEY_LINE)] };
        for (from, to) in dashes {
            head.draw(&PathElement::new([(x + from, 76), (x + to, 76)], style_of_line))?;
        }
        head.draw_text(&key.name, &style(LEGEND_FONT, HPos::Left).color(&INK), (x + KEY_LINE + 8, 76))?;
        x += key.width();
    }
    Ok(body)
}

pub(super) type DrawError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

/// How one chart's axes are named and marked.
pub(super) struct Axes<'s> {
    pub(super) x: &'s str,
    pub(super) y: &'s str,
    pub(super) x_labels: usize,
    pub(super) y_labels: usize,
}

pub(super) type Chart<'a, 'c, X, Y> = ChartContext<'c, SVGBackend<'a>, Cartesian2d<X, Y>>;

/// An empty chart with its axes.
pub(super) fn plane<'a: 'c, 'c, X, Y>(
    area: &'c Canvas<'a>,
    axes: &Axes<'_>,
    x: X,
    y: Y,
) -> Result<Chart<'a, 'c, X::CoordDescType, Y::CoordDescType>, DrawError<'a>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(28)
        .margin_bottom(10)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_labels(axes.x_labels)
        .y_labels(axes.y_labels)
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(GREY)
        .x_label_formatter(&|value| count(*value))
        .y_label_formatter(&|value| count(*value))
        .label_style((FONT, 15).into_font().color(&INK))
        .axis_desc_style((FONT, 16).into_font().color(&INK))
        .draw()?;
    Ok(chart)
}

pub(super) fn line<'a: 'c, 'c, X, Y>(
    chart: &mut Chart<'a, 'c, X, Y>,
    key: &Key,
    points: Vec<(f64, f64)>,
) -> Result<(), DrawError<'a>>
where
    X: Ranged<ValueType = f64> + 'static,
    Y: Ranged<ValueType = f64> + 'static,
{
    let style = key.colour.stroke_width(2);
    if key.dashed {
        chart.draw_series(DashedLineSeries::new(points, 6, 4, style))?;
    } else {
        chart.draw_series(LineSeries::new(points, style))?;
    }
    Ok(())
}
