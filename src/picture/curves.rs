//! Columns of numbers as curves, drawn as SVG.

use std::fmt::Write;

/// Size of one panel and of the space around it, pixels.
const PANEL: [f64; 2] = [420.0, 260.0];
const MARGIN: [f64; 2] = [60.0, 40.0];
/// Distinguishable without colour vision (Okabe and Ito 2008).
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#000000",
];
const TICKS: usize = 5;

/// A table of numbers with named columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<f64>>,
}

impl Table {
    /// Reads comma-separated numbers under a header; rows that do not fit it are left out.
    pub fn from_csv(text: &str) -> Self {
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let columns: Vec<String> = header.split(',').map(String::from).collect();
        let rows = lines
            .filter_map(|line| line.split(',').map(|x| x.parse().ok()).collect())
            .filter(|row: &Vec<f64>| row.len() == columns.len())
            .collect();
        Self { columns, rows }
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }
}

/// Columns of one table drawn over another of its columns. Names that the table lacks are skipped.
pub struct Panel<'a> {
    pub title: &'a str,
    pub table: &'a Table,
    /// The column along the horizontal axis.
    pub over: &'a str,
    pub columns: &'a [&'a str],
    /// Logarithmic axes, horizontal and vertical; values that are not positive are skipped there.
    pub logarithmic: [bool; 2],
}

/// One picture of several panels, side by side.
pub fn draw(panels: &[Panel]) -> String {
    let width = panels.len() as f64 * (PANEL[0] + MARGIN[0]) + 20.0;
    let height = PANEL[1] + 2.0 * MARGIN[1];
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' font-family='sans-serif' font-size='11'>\n\
         <rect width='100%' height='100%' fill='white'/>\n"
    );
    for (i, panel) in panels.iter().enumerate() {
        let left = MARGIN[0] + i as f64 * (PANEL[0] + MARGIN[0]);
        draw_panel(&mut svg, left, panel);
    }
    svg + "</svg>\n"
}

/// Values along an axis to shares of its length.
struct Axis {
    from: f64,
    to: f64,
    is_logarithmic: bool,
}

impl Axis {
    /// Linear axes start at zero unless there are values below.
    fn over(values: impl Iterator<Item = f64> + Clone, is_logarithmic: bool) -> Self {
        let kept = values.filter(|v| v.is_finite() && !(is_logarithmic && *v <= 0.0));
        let to = kept.clone().fold(f64::NEG_INFINITY, f64::max);
        let from = kept.fold(f64::INFINITY, f64::min);
        let (from, to) = match (is_logarithmic, from < to) {
            (true, true) => (from, to),
            (true, false) => (0.1, 10.0),
            (false, _) => (from.min(0.0), if to > 0.0 { to } else { 1.0 }),
        };
        Self {
            from,
            to,
            is_logarithmic,
        }
    }

    fn share(&self, value: f64) -> Option<f64> {
        let share = match self.is_logarithmic {
            true => (value / self.from).ln() / (self.to / self.from).ln(),
            false => (value - self.from) / (self.to - self.from),
        };
        share.is_finite().then(|| share.clamp(0.0, 1.0))
    }

    fn at(&self, share: f64) -> f64 {
        match self.is_logarithmic {
            true => self.from * (self.to / self.from).powf(share),
            false => self.from + (self.to - self.from) * share,
        }
    }
}

fn draw_panel(svg: &mut String, left: f64, panel: &Panel) {
    let table = panel.table;
    let (Some(over), false) = (table.column(panel.over), table.rows.is_empty()) else {
        return;
    };
    let curves: Vec<(&str, usize)> = panel
        .columns
        .iter()
        .filter_map(|name| Some((*name, table.column(name)?)))
        .collect();
    let across = Axis::over(table.rows.iter().map(|row| row[over]), panel.logarithmic[0]);
    let values = table.rows.iter();
    let values = values.flat_map(|row| curves.iter().map(|(_, column)| row[*column]));
    let mut up = Axis::over(values, panel.logarithmic[1]);
    up.to *= 1.05;
    let x = |share: f64| left + PANEL[0] * share;
    let y = |share: f64| MARGIN[1] + PANEL[1] * (1.0 - share);
    // Writing into a string cannot fail.
    for tick in 0..=TICKS {
        let share = tick as f64 / TICKS as f64;
        let _ = writeln!(
            svg,
            "<line x1='{left}' x2='{}' y1='{at:.1}' y2='{at:.1}' stroke='#ddd'/>\
             <text x='{}' y='{:.1}' text-anchor='end'>{}</text>\
             <text x='{:.1}' y='{}' text-anchor='middle'>{}</text>",
            left + PANEL[0],
            left - 4.0,
            y(share) + 4.0,
            number(up.at(share)),
            x(share),
            MARGIN[1] + PANEL[1] + 16.0,
            number(across.at(share)),
            at = y(share),
        );
    }
    let _ = writeln!(
        svg,
        "<text x='{:.1}' y='{}' text-anchor='middle' font-weight='bold'>{}</text>",
        x(0.5),
        MARGIN[1] + PANEL[1] + 32.0,
        panel.title
    );
    for (i, (name, column)) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let points: String = table
            .rows
            .iter()
            .filter_map(|row| Some((across.share(row[over])?, up.share(row[*column])?)))
            .map(|(a, b)| format!("{:.1},{:.1} ", x(a), y(b)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.5'/>\
             <text x='{}' y='{}' fill='{colour}'>{name}</text>",
            left + 8.0 + 140.0 * (i % 3) as f64,
            12.0 + 14.0 * (i / 3) as f64
        );
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        x if x >= 100.0 => format!("{value:.0}"),
        x if x >= 1.0 => format!("{value:.1}"),
        x if x >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_one_line_for_each_known_column() {
        let table =
            Table::from_csv("step,loss,other\n0,1.0,2.0\n10,0.5,1.0\nhalf a row\n20,0.25,nan\n");
        assert_eq!((table.columns.len(), table.rows.len()), (3, 3));
        let panel = |table, columns| Panel {
            title: "losses",
            table,
            over: "step",
            columns,
            logarithmic: [false; 2],
        };
        let svg = draw(&[
            panel(&table, &["loss", "missing"]),
            panel(&table, &["other"]),
        ]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        // The loss falls: its line goes down the page, the last point at the right edge.
        let line = svg.split("points='").nth(1).unwrap();
        let points: Vec<[f64; 2]> = line[..line.find('\'').unwrap()]
            .split_whitespace()
            .map(|p| {
                let (x, y) = p.split_once(',').unwrap();
                [x.parse().unwrap(), y.parse().unwrap()]
            })
            .collect();
        assert_eq!(points.len(), 3);
        assert!(points[0][1] < points[1][1] && points[1][1] < points[2][1]);
        assert!((points[2][0] - MARGIN[0] - PANEL[0]).abs() < 0.1);
        assert_eq!(
            draw(&[panel(&Table::default(), &["loss"])])
                .matches("<polyline")
                .count(),
            0
        );
    }

    #[test]
    fn a_logarithmic_axis_gives_each_decade_the_same_room() {
        let axis = Axis::over([0.01, 1.0, 0.0, f64::NAN].into_iter(), true);
        assert_eq!(axis.share(0.01), Some(0.0));
        assert!((axis.share(0.1).unwrap() - 0.5).abs() < 1e-12);
        assert!((axis.at(0.5) - 0.1).abs() < 1e-12);
        assert_eq!(axis.share(0.0), None);
    }
}
