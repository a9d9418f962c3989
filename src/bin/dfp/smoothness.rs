use std::path::PathBuf;

use anyhow::{Context, Result};
use diffusion_field_planner::data::smoothness::{DISTANCES_M, RINGS, START_RADIUS_M};
use diffusion_field_planner::data::{Category, Descent, Ends, ProceduralObject, Slope, Testbed};
use diffusion_field_planner::field::{BakedField, GraspNetwork, SamplerSettings};
use diffusion_field_planner::picture::curves::{draw, Panel, Table};
use diffusion_field_planner::scene::{SignedDistance, VoxelGrid};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::eval::trained_on;
use crate::grasps::network;

/// How far the field leads, beside a success classifier of the same network (config/train_classifier.yaml).
///
/// From poses of any orientation, up to 0.5 m from objects that neither was trained on: the share from which descent ends in
/// a grasp that holds; and length and direction of the gradient over the distance from a grasp. No noise, no collision
/// push, no filter, no ranking: the gradient alone. The classifier is descended in many ways, of which the best counts.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    dfp eval smoothness --picture out/smoothness.svg\n  \
    dfp eval smoothness --categories mug --objects 4 --starts 500 --json")]
pub struct Args {
    /// Weights of the classifier
    #[arg(long, default_value = "models/success_classifier.safetensors")]
    classifier: PathBuf,
    /// Weights of the field; those that come with the program if not given
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Categories; all if not given
    #[arg(long, value_delimiter = ',', default_values_t = Category::ALL.map(|c| c.name().to_string()))]
    categories: Vec<String>,
    /// Objects of each category
    #[arg(long, default_value_t = 2)]
    objects: u64,
    /// Seed of the first object; training starts at 1000, validation at 500
    #[arg(long, default_value_t = 0)]
    first_object: u64,
    /// Start poses on each object, and poses at each distance
    #[arg(long, default_value_t = 200)]
    starts: usize,
    /// Draw the figures here (SVG)
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Evaluations of a short and of a long descent.
const SHORT: usize = 65;
const LONG: usize = 650;
/// Steps down the classifier as shares of the finest level's variance; they span more than a factor of 300.
const CLASSIFIER_RATES: [f32; 6] = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1];
/// First lengths of descents of the classifier whose steps are as long however flat it is, rad.
const CLASSIFIER_LENGTHS: [f32; 3] = [0.03, 0.1, 0.3];
/// A coarser single level of the field, rad.
const MIDDLE_SIGMA_RAD: f32 = 0.4;

/// Descents of one of the two, with what they led to on all objects.
struct Tried {
    of_field: bool,
    descent: Descent,
    ends: Ends,
}

/// Slopes over distance, a column of the table each.
const SLOPE_COLUMNS: [&str; 3] = [
    "field, level of distance",
    "field, last level",
    "classifier",
];

pub fn run(args: Args) -> Result<()> {
    let network = network(args.weights.as_deref())?;
    let classifier = GraspNetwork::load_classifier(&args.classifier)
        .with_context(|| format!("reading {}", args.classifier.display()))?;
    let antipodal = trained_on(&network)?;
    let categories = args
        .categories
        .iter()
        .map(|name| name.parse().map_err(anyhow::Error::msg))
        .collect::<Result<Vec<Category>>>()?;
    let bar = ProgressBar::new(categories.len() as u64 * args.objects).with_style(
        ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {elapsed} eta {eta}")?,
    );
    let (mut tried, mut slopes) = (Vec::new(), Vec::new());
    let mut objects = 0;
    for category in categories {
        bar.set_message(category.name());
        for seed in args.first_object..args.first_object + args.objects {
            let object = ProceduralObject::new(category, seed);
            let fields = [&network, &classifier].map(|n| baked(n, &object));
            bar.inc(1);
            let Some(testbed) = Testbed::new(object, &fields[0], &antipodal, args.starts) else {
                continue;
            };
            objects += 1;
            if tried.is_empty() {
                tried = descents(&fields[0]);
            }
            for entry in &mut tried {
                let field = &fields[usize::from(!entry.of_field)];
                entry.ends.add(&testbed.descend(field, &entry.descent));
            }
            slopes.push(slopes_on(&testbed, &fields, args.starts));
        }
    }
    bar.finish_and_clear();
    let slopes = mean_slopes(&slopes);
    if let Some(path) = &args.picture {
        std::fs::write(path, picture(&tried, &slopes))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if args.json {
        let rows = tried.iter().map(|entry| {
            json!({ "of": name(entry), "descent": entry.descent.name, "evaluations": entry.descent.steps.len(),
                    "success": entry.ends.share(), "ends": entry.ends })
        });
        let slopes: Vec<_> = slopes
            .iter()
            .zip(SLOPE_COLUMNS)
            .map(|(slopes, of)| json!({ "of": of, "slopes": slopes }))
            .collect();
        let all = json!({ "objects": objects, "first_object": args.first_object, "starts": args.starts,
                          "descents": rows.collect::<Vec<_>>(), "slopes": slopes });
        println!("{all}");
    } else {
        print_tables(&tried, &slopes, objects, &args);
    }
    Ok(())
}

fn baked(network: &GraspNetwork, object: &ProceduralObject) -> BakedField {
    let (low, high) = object.solid.bounds();
    let (origin, size) = network.grid_for(low.coords.into(), high.coords.into());
    let spacing_m = network.settings().spacing_m;
    network.bake(&VoxelGrid::from_distance(
        &object.solid,
        origin,
        spacing_m,
        size,
    ))
}

/// The field's own way and single levels of it; every way down the classifier.
fn descents(field: &BakedField) -> Vec<Tried> {
    let sampler = SamplerSettings::default();
    let schedule = field.schedule();
    let [last, middle] =
        [sampler.final_sigma_rad, MIDDLE_SIGMA_RAD].map(|sigma| schedule.level(sigma));
    let mut all = vec![(true, Descent::annealed(field, &sampler))];
    for count in [SHORT, LONG] {
        for level in [last, middle] {
            let descent = Descent::at_level(field, level, sampler.descent_rate, count);
            all.push((true, descent));
        }
        all.extend(CLASSIFIER_RATES.map(|r| (false, Descent::at_level(field, 0.0, r, count))));
        all.extend(CLASSIFIER_LENGTHS.map(|l| (false, Descent::of_fixed_lengths(0.0, l, count))));
    }
    all.into_iter()
        .map(|(of_field, descent)| Tried {
            of_field,
            descent,
            ends: Ends::default(),
        })
        .collect()
}

fn slopes_on(testbed: &Testbed, fields: &[BakedField; 2], count: usize) -> [Vec<Slope>; 3] {
    let [field, classifier] = fields;
    let schedule = *field.schedule();
    let last = schedule.level(SamplerSettings::default().final_sigma_rad);
    let own = |distance_m: f32| {
        schedule
            .level(distance_m / schedule.length_m)
            .clamp(0.0, 1.0)
    };
    let mut of_classifier = testbed.slopes(classifier, |_| 0.0, count);
    // Times sigma, its energy is -log of the odds.
    let sigma = f64::from(schedule.sigma(0.0));
    of_classifier.iter_mut().for_each(|s| s.norm *= sigma);
    [
        testbed.slopes(field, own, count),
        testbed.slopes(field, |_| last, count),
        of_classifier,
    ]
}

fn mean_slopes(of_objects: &[[Vec<Slope>; 3]]) -> [Vec<Slope>; 3] {
    let n = of_objects.len().max(1) as f64;
    [0, 1, 2].map(|column| {
        DISTANCES_M
            .iter()
            .enumerate()
            .map(|(i, &distance_m)| {
                let mean = |value: fn(&Slope) -> f64| {
                    of_objects.iter().map(|o| value(&o[column][i])).sum::<f64>() / n
                };
                Slope {
                    distance_m,
                    norm: mean(|s| s.norm),
                    cosine: mean(|s| s.cosine),
                    share_towards: mean(|s| s.share_towards),
                }
            })
            .collect()
    })
}

fn name(entry: &Tried) -> &'static str {
    match entry.of_field {
        true => "field",
        false => "classifier",
    }
}

/// The field's own way, and the best way down the classifier.
fn best(tried: &[Tried]) -> [Option<&Tried>; 2] {
    let of_classifier = tried.iter().filter(|entry| !entry.of_field);
    let best = of_classifier.max_by(|a, b| a.ends.share().total_cmp(&b.ends.share()));
    [tried.first(), best]
}

fn picture(tried: &[Tried], slopes: &[Vec<Slope>; 3]) -> String {
    let mut over_distance = Table::default();
    over_distance.columns.push("distance".into());
    let cosines: Vec<String> = SLOPE_COLUMNS.map(String::from).into();
    let norms: Vec<String> = SLOPE_COLUMNS.map(|c| format!("{c} ")).into();
    over_distance.columns.extend(cosines);
    over_distance.columns.extend(norms);
    for (i, &distance_m) in DISTANCES_M.iter().enumerate() {
        let mut row = vec![f64::from(distance_m)];
        row.extend(slopes.iter().map(|s| s[i].cosine));
        row.extend(slopes.iter().map(|s| s[i].norm));
        over_distance.rows.push(row);
    }
    let mut over_starts = Table::default();
    over_starts
        .columns
        .extend(["start", "field", "classifier, its best way"].map(String::from));
    for ring in 0..RINGS {
        let mut row = vec![START_RADIUS_M * (ring as f64 + 0.5) / RINGS as f64];
        row.extend(best(tried).map(|e| e.map_or(f64::NAN, |e| e.ends.share_of_ring(ring))));
        over_starts.rows.push(row);
    }
    let norm_columns = SLOPE_COLUMNS.map(|c| format!("{c} "));
    let norm_columns = [&*norm_columns[0], &*norm_columns[1], &*norm_columns[2]];
    draw(&[
        Panel {
            title: "descents that end in a good grasp, over the start's distance, m",
            table: &over_starts,
            over: "start",
            columns: &["field", "classifier, its best way"],
            logarithmic: [false; 2],
        },
        Panel {
            title: "cosine of gradient and way to the nearest grasp, over distance, m",
            table: &over_distance,
            over: "distance",
            columns: &SLOPE_COLUMNS,
            logarithmic: [true, false],
        },
        Panel {
            title: "length of the gradient, 1/rad, over distance, m",
            table: &over_distance,
            over: "distance",
            columns: &norm_columns,
            logarithmic: [true, true],
        },
    ])
}

fn print_tables(tried: &[Tried], slopes: &[Vec<Slope>; 3], objects: usize, args: &Args) {
    let rings = (1..=RINGS).map(|i| format!("<{:.1} m", START_RADIUS_M * i as f64 / RINGS as f64));
    println!(
        "{:<11} {:<32} {:>5} | {:>5} {:>6} |{}",
        "descent of",
        "how",
        "evals",
        "good",
        "collid",
        rings.map(|r| format!(" {r:>7}")).collect::<String>()
    );
    for entry in tried {
        let ends = &entry.ends;
        let by_ring = (0..RINGS).map(|ring| format!(" {:>7.3}", ends.share_of_ring(ring)));
        println!(
            "{:<11} {:<32} {:>5} | {:>5.3} {:>6.3} |{}",
            name(entry),
            entry.descent.name,
            entry.descent.steps.len(),
            ends.share(),
            ends.in_collision as f64 / ends.n.max(1) as f64,
            by_ring.collect::<String>()
        );
    }
    println!("\nslope (length 1/rad, cosine with the way to the nearest grasp, share that points towards it)");
    let header = SLOPE_COLUMNS.map(|c| format!(" | {c:>24}")).concat();
    println!("{:>8}{header}", "m away");
    for (i, distance_m) in DISTANCES_M.iter().enumerate() {
        let cells = slopes.iter().map(|s| {
            let Slope {
                norm,
                cosine,
                share_towards,
                ..
            } = s[i];
            format!(" | {norm:>10.3} {cosine:>6.2} {share_towards:>6.2}")
        });
        println!("{distance_m:>8.3}{}", cells.collect::<String>());
    }
    println!(
        "\n{objects} objects from seed {}, {} starts each",
        args.first_object, args.starts
    );
}
