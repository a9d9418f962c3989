//! What was understood of a mesh.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use diffusion_field_planner::scene::TriangleMesh;
use serde::Serialize;

#[derive(Serialize)]
pub struct MeshReport {
    file: String,
    vertices: usize,
    triangles: usize,
    /// Triangles without area.
    degenerate: usize,
    pub low_m: [f64; 3],
    high_m: [f64; 3],
    extent_m: [f64; 3],
    /// Every edge is shared by exactly two triangles that run along it in opposite directions.
    watertight: bool,
    open_edges: usize,
    /// Only where it is closed; negative: turned inside out.
    volume_m3: Option<f64>,
    warnings: Vec<String>,
}

impl MeshReport {
    pub fn new(file: &Path, mesh: &TriangleMesh) -> Self {
        let (low_m, high_m) = mesh.bounds();
        let extent_m: [f64; 3] = std::array::from_fn(|k| high_m[k] - low_m[k]);
        let open_edges = open_edges(mesh);
        let watertight = open_edges == 0;
        let volume = mesh.triangles.iter().map(|t| {
            let [a, b, c] = mesh.corners(t);
            a.dot(&b.cross(&c)) / 6.0
        });
        let volume_m3 = watertight.then(|| volume.sum::<f64>());
        let largest = extent_m.into_iter().fold(0.0, f64::max);
        let mut warnings = Vec::new();
        if largest > 3.0 {
            warnings.push(format!("{largest:.1} m across: the file may be in millimetres (--scale 0.001) or centimetres (--scale 0.01)"));
        }
        if largest < 0.005 {
            warnings.push(format!(
                "only {:.2} mm across: the file may be in another unit (--scale 1000?)",
                1e3 * largest
            ));
        }
        if !watertight {
            warnings.push(format!(
                "{open_edges} open edges: inside and outside are decided by the winding number"
            ));
        }
        if volume_m3.is_some_and(|v| v < 0.0) {
            warnings.push("the triangles face inwards: inside and outside are swapped".into());
        }
        let offset = (0..3)
            .map(|k| 0.5 * (low_m[k] + high_m[k]))
            .fold(0.0, |a: f64, b| a.max(b.abs()));
        if offset > largest {
            warnings.push(format!(
                "its middle lies {offset:.3} m from its origin: poses are those of the origin"
            ));
        }
        Self {
            file: file.display().to_string(),
            vertices: mesh.vertices.len(),
            triangles: mesh.triangles.len(),
            degenerate: mesh
                .triangles
                .iter()
                .filter(|t| mesh.area_vector(t).norm() <= 0.0)
                .count(),
            low_m,
            high_m,
            extent_m,
            watertight,
            open_edges,
            volume_m3,
            warnings,
        }
    }
}

impl fmt::Display for MeshReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.extent_m;
        writeln!(
            f,
            "mesh {}: {} vertices, {} triangles ({} without area)",
            self.file, self.vertices, self.triangles, self.degenerate
        )?;
        writeln!(
            f,
            "  size {x:.4} x {y:.4} x {z:.4} m, from {:.4?} to {:.4?}",
            self.low_m, self.high_m
        )?;
        match self.volume_m3 {
            Some(volume) => writeln!(f, "  watertight, volume {:.1} cm^3", 1e6 * volume),
            None => writeln!(f, "  not watertight: {} open edges", self.open_edges),
        }?;
        for warning in &self.warnings {
            writeln!(f, "  warning: {warning}")?;
        }
        Ok(())
    }
}

/// Edges that are not run along once in each direction; vertices at the same place count as one, as STL needs it.
fn open_edges(mesh: &TriangleMesh) -> usize {
    let mut places: HashMap<[u64; 3], u32> = HashMap::new();
    let same: Vec<u32> = mesh
        .vertices
        .iter()
        .enumerate()
        // Adding zero makes -0 and 0 one place.
        .map(|(i, v)| {
            *places
                .entry(v.map(|x| (x + 0.0).to_bits()))
                .or_insert(i as u32)
        })
        .collect();
    let mut balance: HashMap<(u32, u32), (i32, i32)> = HashMap::new();
    for triangle in mesh
        .triangles
        .iter()
        .filter(|t| mesh.area_vector(t).norm() > 0.0)
    {
        for k in 0..3 {
            let (a, b) = (
                same[triangle[k] as usize],
                same[triangle[(k + 1) % 3] as usize],
            );
            let entry = balance.entry((a.min(b), a.max(b))).or_default();
            *if a < b { &mut entry.0 } else { &mut entry.1 } += 1;
        }
    }
    balance
        .values()
        .filter(|(along, against)| along != against)
        .count()
}
