//! The house rules, read from the sources: who may use whom, and what no source may contain.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each folder of `src/` and the folders it may use. Others' inner files are out of reach by visibility.
const ALLOWED: &[(&str, &[&str])] = &[
    ("geometry", &[]),
    ("lanes", &[]),
    ("trajectory", &["geometry", "lanes"]),
    ("scene", &["geometry", "lanes"]),
    ("robot", &["geometry", "trajectory", "lanes", "scene"]),
    ("field", &["geometry", "lanes", "scene", "robot"]),
    (
        "cost",
        &["geometry", "trajectory", "lanes", "robot", "scene", "field"],
    ),
    (
        "optimizer",
        &[
            "geometry",
            "trajectory",
            "lanes",
            "robot",
            "scene",
            "field",
            "cost",
        ],
    ),
    (
        "planner",
        &[
            "geometry",
            "trajectory",
            "lanes",
            "robot",
            "scene",
            "field",
            "cost",
            "optimizer",
        ],
    ),
    ("picture", &["geometry", "robot", "scene"]),
    ("data", &["geometry", "lanes", "scene", "robot", "field"]),
    (
        "training",
        &[
            "geometry", "lanes", "scene", "robot", "field", "data", "picture",
        ],
    ),
    (
        "ros",
        &[
            "geometry",
            "trajectory",
            "robot",
            "scene",
            "field",
            "planner",
            "picture",
        ],
    ),
];
/// Of a file, its own test module left out.
const MOST_LINES: usize = 450;
/// Files that wait to be split, with what they may not grow beyond.
const STILL_LONG: &[(&str, usize)] = &[("robot/urdf.rs", 600), ("robot/kinematics.rs", 517)];
/// Files in `src/cost` that are no terms but what several terms are made of.
const SHARED_BY_COSTS: &[&str] = &["mod", "active_set"];
const FORBIDDEN_NAMES: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "manager", "misc",
];

struct Source {
    /// Relative to `src/`, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn folder(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    fn is_binary(&self) -> bool {
        self.path.starts_with("bin/")
    }

    /// Files that only tests compile.
    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap();
        name == "tests.rs"
            || name.ends_with("_tests.rs")
            || self.path.contains("/tests/")
            || is_declared_for_tests(self)
    }

    /// Number of lines before the file's own test module.
    fn own_lines(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        (0..lines.len())
            .find(|&i| {
                lines[i].trim() == "#[cfg(test)]"
                    && lines.get(i + 1).is_some_and(|l| {
                        l.trim_start().starts_with("mod ") && l.trim_end().ends_with('{')
                    })
            })
            .unwrap_or(lines.len())
    }

    /// Numbered lines before the file's own test module, without comments.
    fn code(&self) -> Vec<(usize, &str)> {
        let code = self.text.lines().take(self.own_lines()).enumerate();
        code.filter(|(_, l)| !l.trim_start().starts_with("//"))
            .map(|(i, l)| (i + 1, l))
            .collect()
    }
}

/// Whether the parent module declares the file under `#[cfg(test)]`.
fn is_declared_for_tests(source: &Source) -> bool {
    let path = src().join(&source.path);
    let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
    let folder = path.parent().unwrap();
    let parents = [
        folder.join("mod.rs"),
        folder.join("lib.rs"),
        folder.join("main.rs"),
        folder.with_extension("rs"),
    ];
    parents
        .iter()
        .filter(|p| **p != path)
        .filter_map(|p| fs::read_to_string(p).ok())
        .any(|text| {
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            lines
                .windows(2)
                .any(|w| w[0] == "#[cfg(test)]" && w[1].ends_with(&format!("mod {stem};")))
        })
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    fn collect(folder: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let relative = path.strip_prefix(src()).unwrap();
                found.push(Source {
                    path: relative.to_string_lossy().replace('\\', "/"),
                    text: fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    let mut found = Vec::new();
    collect(&src(), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// Top folders named by `crate::name` in a line, and by the groups of `use crate::{...}`.
fn used(line: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut names: Vec<String> = line
        .split("crate::")
        .skip(1)
        .map(word)
        .filter(|w| !w.is_empty())
        .collect();
    if let Some(group) = line.split("crate::{").nth(1) {
        let mut depth = 0;
        for part in group.split_inclusive([',', '{', '}']) {
            if depth == 0 {
                names.push(word(part.trim_start()));
            }
            depth += match part.chars().last() {
                Some('{') => 1,
                Some('}') => -1,
                _ => 0,
            };
        }
    }
    names.retain(|n| !n.is_empty());
    names
}

/// `use` items joined to one line each, with the number of the first.
fn statements(source: &Source) -> Vec<(usize, String)> {
    let mut result: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in source.code() {
        if open {
            result.last_mut().unwrap().1.push_str(line.trim());
        } else {
            result.push((number, line.trim().to_owned()));
        }
        let begins =
            line.trim_start().starts_with("use ") || line.trim_start().starts_with("pub use ");
        open = (open || begins) && !line.contains(';');
    }
    result
}

fn hold(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn the_reader_of_use_lines_sees_groups() {
    assert_eq!(used("use crate::robot::RobotModel;"), ["robot"]);
    assert_eq!(
        used("use crate::{cost::{a, b}, planner, field::C};"),
        ["cost", "planner", "field"]
    );
    assert_eq!(
        used("let x = crate::lanes::splat(crate::geometry::y());"),
        ["lanes", "geometry"]
    );
    assert!(used("use super::x;").is_empty());
}

#[test]
fn folders_use_only_what_is_below_them() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| !s.is_binary() && s.path != "lib.rs")
    {
        let Some(below) = allowed.get(source.folder()) else {
            broken.push(format!(
                "src/{}: its folder has no place in the order",
                source.path
            ));
            continue;
        };
        for (number, line) in statements(source) {
            for name in used(&line) {
                let known = allowed.contains_key(name.as_str());
                if known && name != source.folder() && !below.contains(&name.as_str()) {
                    broken.push(format!("src/{}:{number} uses {name}", source.path));
                }
            }
        }
    }
    hold("a folder uses only those below it", broken);
}

#[test]
fn no_cost_knows_another() {
    let sources = sources();
    let terms: Vec<String> = sources
        .iter()
        .filter(|s| s.folder() == "cost" && s.path != "cost/mod.rs" && !s.is_test())
        .filter_map(|s| {
            s.path
                .strip_prefix("cost/")?
                .split(['/', '.'])
                .next()
                .map(String::from)
        })
        .collect();
    let mut broken = Vec::new();
    for source in sources
        .iter()
        .filter(|s| s.folder() == "cost" && s.path != "cost/mod.rs" && !s.is_test())
    {
        let own = source
            .path
            .strip_prefix("cost/")
            .unwrap()
            .split(['/', '.'])
            .next()
            .unwrap();
        for (number, line) in statements(source) {
            if !line.starts_with("use ") {
                continue;
            }
            for other in terms
                .iter()
                .filter(|t| t.as_str() != own && !SHARED_BY_COSTS.contains(&t.as_str()))
            {
                let paths = [
                    format!("super::{other}::"),
                    format!("super::{other};"),
                    format!("cost::{other}"),
                ];
                if paths.iter().any(|p| line.contains(p.as_str())) {
                    broken.push(format!("src/{}:{number} uses {other}", source.path));
                }
            }
        }
    }
    hold("no cost knows another", broken);
}

#[test]
fn ros_and_torch_stay_behind_their_borders() {
    let mut broken = Vec::new();
    for source in sources() {
        let ros = source.folder() == "ros" || source.is_binary();
        let torch = source.folder() == "training"
            || source.path.starts_with("field/network")
            || source.path == "bin/dfp/train.rs";
        for (number, line) in source.code() {
            for (name, allowed) in [("r2r", ros), ("tch", torch)] {
                let named =
                    line.contains(&format!("{name}::")) || line.contains(&format!("use {name}"));
                if named && !allowed {
                    broken.push(format!("src/{}:{number} uses {name}", source.path));
                }
            }
        }
    }
    hold(
        "r2r stays in src/ros and the programs, tch in training and field/network*",
        broken,
    );
}

#[test]
fn the_library_neither_prints_nor_panics_on_purpose() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|s| !s.is_binary() && !s.is_test()) {
        // A node talks through its logger; training shows a bar.
        for (number, line) in source.code() {
            let before = &source
                .text
                .lines()
                .nth(number.saturating_sub(2))
                .unwrap_or("")
                .trim_start();
            let explained = line.contains("// invariant:") || before.starts_with("// invariant:");
            for word in [
                ".unwrap()",
                ".expect(",
                "panic!(",
                "todo!(",
                "unimplemented!(",
            ] {
                if line.contains(word) && !explained {
                    broken.push(format!("src/{}:{number} {word}", source.path));
                }
            }
            for word in ["println!(", "print!(", "dbg!("] {
                if line.contains(word) {
                    broken.push(format!("src/{}:{number} {word}", source.path));
                }
            }
        }
    }
    hold(
        "no printing, and no unwrap or expect without `// invariant:` saying why it holds",
        broken,
    );
}

#[test]
fn files_are_short_and_well_named() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.own_lines();
        let excused = STILL_LONG.iter().find(|(path, _)| *path == source.path);
        let most = excused.map_or(MOST_LINES, |(_, most)| *most);
        if lines > most && !source.is_test() {
            broken.push(format!(
                "src/{}: {lines} lines, at most {most}",
                source.path
            ));
        }
        for part in source.path.trim_end_matches(".rs").split('/') {
            if FORBIDDEN_NAMES.contains(&part) {
                broken.push(format!("src/{}: '{part}' says nothing", source.path));
            }
        }
    }
    hold("short files with a name that says what they hold", broken);
}

#[test]
fn randomness_is_seeded_and_the_clock_is_asked_by_the_planner_only() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|s| !s.is_binary() && !s.is_test()) {
        let may_ask = ["planner", "ros", "training"].contains(&source.folder());
        for (number, line) in source.code() {
            for word in [
                "thread_rng",
                "rand::rng()",
                "from_os_rng",
                "from_entropy",
                "rand::random",
            ] {
                if line.contains(word) {
                    broken.push(format!("src/{}:{number} {word}", source.path));
                }
            }
            let asks = line.contains("Instant::now") || line.contains("SystemTime::now");
            if asks && !may_ask {
                broken.push(format!("src/{}:{number} asks for the time", source.path));
            }
        }
    }
    hold("explicit seeds; no clock but the deadline's", broken);
}
