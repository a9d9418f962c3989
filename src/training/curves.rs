//! A run's curves as a picture: `curves.csv` and `samples.csv` drawn as SVG.

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

/// One picture with a panel for each list of columns, drawn over the column `step`. Names that a table lacks are skipped.
pub fn draw(panels: &[(&Table, &[&str])]) -> String {
    let width = panels.len() as f64 * (PANEL[0] + MARGIN[0]) + 20.0;
    let height = PANEL[1] + 2.0 * MARGIN[1];
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' font-family='sans-serif' font-size='11'>\n\
         <rect width='100%' height='100%' fill='white'/>\n"
    );
    for (i, (table, names)) in panels.iter().enumerate() {
        let left = MARGIN[0] + i as f64 * (PANEL[0] + MARGIN[0]);
        draw_panel(&mut svg, left, table, names);
    }
    svg + "</svg>\n"
}

fn draw_panel(svg: &mut String, left: f64, table: &Table, names: &[&str]) {
    let (Some(step), false) = (table.column("step"), table.rows.is_empty()) else {
        return;
    };
    let curves: Vec<(&str, usize)> = names
        .iter()
        .filter_map(|name| Some((*name, table.column(name)?)))
        .collect();
    let last = table.rows.iter().map(|row| row[step]).fold(1.0, f64::max);
    let highest = curves
        .iter()
        .flat_map(|(_, column)| table.rows.iter().map(|row| row[*column]))
        .filter(|y| y.is_finite())
        .fold(0.0, f64::max);
    let highest = if highest > 0.0 { 1.05 * highest } else { 1.0 };
    let x = |value: f64| left + PANEL[0] * value / last;
    let y = |value: f64| MARGIN[1] + PANEL[1] * (1.0 - (value / highest).clamp(0.0, 1.0));
    // Writing into a string cannot fail.
    for tick in 0..=TICKS {
        let share = tick as f64 / TICKS as f64;
        let (at, value) = (y(share * highest), share * highest);
        let _ = writeln!(
            svg,
            "<line x1='{left}' x2='{}' y1='{at:.1}' y2='{at:.1}' stroke='#ddd'/>\
             <text x='{}' y='{:.1}' text-anchor='end'>{value:.3}</text>\
             <text x='{:.1}' y='{}' text-anchor='middle'>{:.0}</text>",
            left + PANEL[0],
            left - 4.0,
            at + 4.0,
            x(share * last),
            MARGIN[1] + PANEL[1] + 16.0,
            share * last
        );
    }
    for (i, (name, column)) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let points: String = table
            .rows
            .iter()
            .filter(|row| row[*column].is_finite())
            .map(|row| format!("{:.1},{:.1} ", x(row[step]), y(row[*column])))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_one_line_for_each_known_column() {
        let table =
            Table::from_csv("step,loss,other\n0,1.0,2.0\n10,0.5,1.0\nhalf a row\n20,0.25,nan\n");
        assert_eq!((table.columns.len(), table.rows.len()), (3, 3));
        let svg = draw(&[(&table, &["loss", "missing"]), (&table, &["other"])]);
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
            draw(&[(&Table::default(), &["loss"])])
                .matches("<polyline")
                .count(),
            0
        );
    }
}
