//! The three mesh file formats: STL, OBJ, PLY.

use std::collections::HashMap;
use std::path::Path;

use super::mesh::{MeshError, TriangleMesh};

/// Merges equal corners, because STL repeats a vertex for every triangle that touches it.
#[derive(Default)]
struct VertexMerger {
    mesh: TriangleMesh,
    index_of: HashMap<[u64; 3], u32>,
}

impl VertexMerger {
    fn index(&mut self, vertex: [f64; 3]) -> u32 {
        // Adding zero turns -0.0 into 0.0, so that both are one vertex.
        let key = vertex.map(|x| (x + 0.0).to_bits());
        *self.index_of.entry(key).or_insert_with(|| {
            self.mesh.vertices.push(vertex);
            (self.mesh.vertices.len() - 1) as u32
        })
    }
}

fn malformed(path: &Path, position: String, problem: impl Into<String>) -> MeshError {
    MeshError::Malformed {
        path: path.into(),
        position,
        problem: problem.into(),
    }
}

fn truncated(path: &Path, expected: String, found: String) -> MeshError {
    MeshError::Truncated {
        path: path.into(),
        expected,
        found,
    }
}

fn text<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, MeshError> {
    std::str::from_utf8(bytes)
        .map_err(|e| malformed(path, format!("byte {}", e.valid_up_to()), "not text"))
}

fn number(path: &Path, line: usize, word: Option<&str>) -> Result<f64, MeshError> {
    let word =
        word.ok_or_else(|| malformed(path, format!("line {line}"), "a coordinate is missing"))?;
    word.parse().map_err(|_| {
        malformed(
            path,
            format!("line {line}"),
            format!("'{word}' is no number"),
        )
    })
}

pub(super) fn read_stl(path: &Path, bytes: &[u8]) -> Result<TriangleMesh, MeshError> {
    const HEADER: usize = 84;
    const RECORD: usize = 50;
    let announced = bytes
        .get(80..HEADER)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
        .unwrap_or(0);
    let binary_length = announced.saturating_mul(RECORD).saturating_add(HEADER);
    // "solid" also starts some binary files, so the length decides first.
    let is_binary = bytes.len() >= HEADER && bytes.len() == binary_length;
    if !is_binary && bytes.trim_ascii_start().starts_with(b"solid") && !bytes.contains(&0) {
        return read_stl_text(path, bytes);
    }
    if bytes.len() < binary_length.max(HEADER) {
        let expected = format!(
            "{} bytes for {announced} triangles",
            binary_length.max(HEADER)
        );
        return Err(truncated(path, expected, format!("{} bytes", bytes.len())));
    }
    let mut merger = VertexMerger::default();
    for record in bytes[HEADER..binary_length].chunks_exact(RECORD) {
        let corner = |k: usize| {
            [0, 1, 2].map(|axis| {
                let at = 12 + 12 * k + 4 * axis;
                f32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
                    as f64
            })
        };
        let triangle = [0, 1, 2].map(|k| merger.index(corner(k)));
        merger.mesh.triangles.push(triangle);
    }
    Ok(merger.mesh)
}

fn read_stl_text(path: &Path, bytes: &[u8]) -> Result<TriangleMesh, MeshError> {
    let content = text(path, bytes)?;
    let mut merger = VertexMerger::default();
    let mut corners: Vec<u32> = Vec::with_capacity(3);
    let mut ended = false;
    for (i, line) in content.lines().enumerate() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("vertex") => {
                let x = number(path, i + 1, words.next())?;
                let y = number(path, i + 1, words.next())?;
                let z = number(path, i + 1, words.next())?;
                corners.push(merger.index([x, y, z]));
            }
            Some("endloop") => match corners[..] {
                [a, b, c] => {
                    merger.mesh.triangles.push([a, b, c]);
                    corners.clear();
                }
                _ => {
                    let problem = format!("a facet of {} vertices, expected 3", corners.len());
                    return Err(malformed(path, format!("line {}", i + 1), problem));
                }
            },
            Some("endsolid") => ended = true,
            _ => {}
        }
    }
    if !ended || !corners.is_empty() {
        return Err(truncated(
            path,
            "endsolid".into(),
            format!("{} facets", merger.mesh.triangles.len()),
        ));
    }
    Ok(merger.mesh)
}

pub(super) fn read_obj(path: &Path, bytes: &[u8]) -> Result<TriangleMesh, MeshError> {
    let content = text(path, bytes)?;
    let mut mesh = TriangleMesh::default();
    for (i, line) in content.lines().enumerate() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("v") => {
                let x = number(path, i + 1, words.next())?;
                let y = number(path, i + 1, words.next())?;
                let z = number(path, i + 1, words.next())?;
                mesh.vertices.push([x, y, z]);
            }
            Some("f") => {
                let corners = words
                    .map(|word| obj_index(path, i + 1, word, mesh.vertices.len()))
                    .collect::<Result<Vec<u32>, _>>()?;
                if corners.len() < 3 {
                    let problem = format!("a face of {} vertices", corners.len());
                    return Err(malformed(path, format!("line {}", i + 1), problem));
                }
                push_fan(&mut mesh, &corners);
            }
            _ => {}
        }
    }
    Ok(mesh)
}

/// `7`, `7/1`, `7//3`, `7/1/3`, or counted back from the last vertex: `-1`.
/// Points only: three numbers at the beginning of each line that is not empty and no comment.
pub(super) fn read_xyz(path: &Path, bytes: &[u8]) -> Result<TriangleMesh, MeshError> {
    let mut mesh = TriangleMesh::default();
    for (index, line) in text(path, bytes)?.lines().enumerate() {
        let mut words = line.split([' ', '\t', ',', ';']).filter(|w| !w.is_empty());
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut point = [0.0; 3];
        for x in &mut point {
            *x = number(path, index + 1, words.next())?;
        }
        mesh.vertices.push(point);
    }
    Ok(mesh)
}

fn obj_index(path: &Path, line: usize, word: &str, vertices: usize) -> Result<u32, MeshError> {
    let bad = || {
        malformed(
            path,
            format!("line {line}"),
            format!("bad vertex index '{word}'"),
        )
    };
    let index: i64 = word
        .split('/')
        .next()
        .unwrap_or("")
        .parse()
        .map_err(|_| bad())?;
    let zero_based = if index < 0 {
        vertices as i64 + index
    } else {
        index - 1
    };
    u32::try_from(zero_based).map_err(|_| bad())
}

fn push_fan(mesh: &mut TriangleMesh, corners: &[u32]) {
    for pair in corners[1..].windows(2) {
        mesh.triangles.push([corners[0], pair[0], pair[1]]);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum PlyScalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl PlyScalar {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

struct PlyProperty {
    name: String,
    /// Type of a list's length, for a list.
    length: Option<PlyScalar>,
    scalar: PlyScalar,
}

struct PlyElement {
    name: String,
    count: usize,
    properties: Vec<PlyProperty>,
}

/// Numbers one after another, from text or from bytes of either order.
enum PlyBody<'a> {
    Text(std::str::SplitWhitespace<'a>),
    Bytes { rest: &'a [u8], big_endian: bool },
}

impl PlyBody<'_> {
    fn next(&mut self, scalar: PlyScalar) -> Option<f64> {
        match self {
            Self::Text(words) => words.next()?.parse().ok(),
            Self::Bytes { rest, big_endian } => {
                let (head, tail) = rest.split_at_checked(scalar.size())?;
                *rest = tail;
                let mut b = [0u8; 8];
                b[..head.len()].copy_from_slice(head);
                if *big_endian {
                    b[..head.len()].reverse();
                }
                Some(match scalar {
                    PlyScalar::I8 => b[0] as i8 as f64,
                    PlyScalar::U8 => b[0] as f64,
                    PlyScalar::I16 => i16::from_le_bytes([b[0], b[1]]) as f64,
                    PlyScalar::U16 => u16::from_le_bytes([b[0], b[1]]) as f64,
                    PlyScalar::I32 => i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f64,
                    PlyScalar::U32 => u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f64,
                    PlyScalar::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f64,
                    PlyScalar::F64 => f64::from_le_bytes(b),
                })
            }
        }
    }
}

fn read_ply_header(path: &Path, header: &str) -> Result<(String, Vec<PlyElement>), MeshError> {
    let mut format = String::new();
    let mut elements: Vec<PlyElement> = Vec::new();
    for (i, line) in header.lines().enumerate() {
        let bad = || {
            malformed(
                path,
                format!("line {}", i + 1),
                format!("'{line}' not understood"),
            )
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["format", name, _] => format = name.into(),
            ["element", name, count] => {
                let count = count.parse().map_err(|_| bad())?;
                elements.push(PlyElement {
                    name: name.into(),
                    count,
                    properties: Vec::new(),
                });
            }
            ["property", "list", length, scalar, name] => {
                let length = Some(PlyScalar::parse(length).ok_or_else(bad)?);
                let scalar = PlyScalar::parse(scalar).ok_or_else(bad)?;
                let element = elements.last_mut().ok_or_else(bad)?;
                element.properties.push(PlyProperty {
                    name: name.into(),
                    length,
                    scalar,
                });
            }
            ["property", scalar, name] => {
                let scalar = PlyScalar::parse(scalar).ok_or_else(bad)?;
                let element = elements.last_mut().ok_or_else(bad)?;
                element.properties.push(PlyProperty {
                    name: name.into(),
                    length: None,
                    scalar,
                });
            }
            _ => {}
        }
    }
    Ok((format, elements))
}

pub(super) fn read_ply(path: &Path, bytes: &[u8]) -> Result<TriangleMesh, MeshError> {
    const END: &[u8] = b"end_header";
    if !bytes.starts_with(b"ply") {
        return Err(malformed(
            path,
            "line 1".into(),
            "does not start with 'ply'",
        ));
    }
    let end = bytes
        .windows(END.len())
        .position(|w| w == END)
        .ok_or_else(|| truncated(path, "end_header".into(), format!("{} bytes", bytes.len())))?;
    let line_end = bytes[end..]
        .iter()
        .position(|&b| b == b'\n')
        .map_or(bytes.len(), |n| end + n + 1);
    let (format, elements) = read_ply_header(path, text(path, &bytes[..end])?)?;
    let rest = &bytes[line_end..];
    let mut body = match format.as_str() {
        "ascii" => PlyBody::Text(text(path, rest)?.split_whitespace()),
        "binary_little_endian" => PlyBody::Bytes {
            rest,
            big_endian: false,
        },
        "binary_big_endian" => PlyBody::Bytes {
            rest,
            big_endian: true,
        },
        other => {
            return Err(malformed(
                path,
                "header".into(),
                format!("unknown format '{other}'"),
            ))
        }
    };
    let mut mesh = TriangleMesh::default();
    for element in &elements {
        for row in 0..element.count {
            read_ply_row(element, &mut body, &mut mesh).ok_or_else(|| {
                let expected = format!("{} of element '{}'", element.count, element.name);
                truncated(path, expected, format!("{row} whole ones"))
            })?;
        }
    }
    Ok(mesh)
}

fn read_ply_row(element: &PlyElement, body: &mut PlyBody, mesh: &mut TriangleMesh) -> Option<()> {
    let mut vertex = [f64::NAN; 3];
    for property in &element.properties {
        let Some(length) = property.length else {
            let value = body.next(property.scalar)?;
            if let Some(axis) = ["x", "y", "z"].iter().position(|n| *n == property.name) {
                vertex[axis] = value;
            }
            continue;
        };
        let count = body.next(length)? as usize;
        let is_face = property.name.starts_with("vertex_ind");
        let mut corners = Vec::new();
        for _ in 0..count {
            let value = body.next(property.scalar)?;
            if is_face {
                // An index that fits no u32 becomes one that validation refuses by name.
                corners.push(if value >= 0.0 { value as u32 } else { u32::MAX });
            }
        }
        if corners.len() >= 3 {
            push_fan(mesh, &corners);
        }
    }
    if element.name == "vertex" {
        mesh.vertices.push(vertex);
    }
    Some(())
}
