//! From a scene to pixels: one ray a pixel, soft light gathered and smoothed, edges sampled again.

use image::RgbImage;
use nalgebra::{Point3, Vector3};
use rayon::prelude::*;

use super::surface::{Hit, Ray, Tree};
use super::{Camera, Color, PictureScene};

const FAR: f32 = 1e4;
/// Towards the lamp, and its half width as an angle.
const LAMP: [f32; 3] = [0.35, -0.45, 0.82];
const LAMP_SPREAD: f32 = 0.09;
/// How far things darken each other, m.
const OCCLUSION_M: f32 = 0.35;
/// A ghost this close in front of something coincides with it: links that have not moved.
const VEIL_GAP_M: f32 = 4e-3;
const LIGHT_SAMPLES: usize = 4;
/// Extra rays in a pixel on an edge.
const EDGE_SAMPLES: usize = 8;
const SKY_HIGH: Color = [0.42, 0.55, 0.74];
const SKY_LOW: Color = [0.80, 0.84, 0.89];
const GROUND: Color = [0.44, 0.45, 0.47];

/// Everything ready to be traced.
struct World<'a> {
    scene: &'a PictureScene,
    solids: Tree,
    glowing: Tree,
    ghosts: Vec<(Tree, f32)>,
    lamp: Vector3<f32>,
    /// From here on the ground fades into the distance, m.
    fade_m: f32,
    center: Point3<f32>,
}

/// What a ray sees first.
#[derive(Clone, Copy, PartialEq)]
enum Thing {
    Sky,
    Ground,
    Body(usize),
}

#[derive(Clone, Copy)]
struct Sight {
    thing: Thing,
    point: Point3<f32>,
    normal: Vector3<f32>,
    t: f32,
    /// Bit k: ghost k stands in front (the first 32).
    veils: u32,
}

/// Light that reaches a point: share of the lamp and of the sky.
#[derive(Clone, Copy)]
struct Light {
    lamp: f32,
    sky: f32,
}

/// Draws the scene.
pub fn render(scene: &PictureScene, camera: &Camera) -> RgbImage {
    let world = World::new(scene);
    let (width, height) = (camera.width as usize, camera.height as usize);
    let eye = Eye::new(camera);
    let sights: Vec<Sight> = (0..width * height)
        .into_par_iter()
        .map(|i| world.look_through(&eye.ray((i % width) as f32 + 0.5, (i / width) as f32 + 0.5)))
        .collect();
    let lights: Vec<Light> = sights
        .par_iter()
        .enumerate()
        .map(|(i, s)| world.gather(s, i as u32))
        .collect();
    let lights = smooth(&sights, &lights, width, height);
    let colors: Vec<[u8; 3]> = (0..width * height)
        .into_par_iter()
        .map(|i| {
            let (x, y) = (i % width, i / width);
            let center = world.color(
                &eye.ray(x as f32 + 0.5, y as f32 + 0.5),
                &sights[i],
                lights[i],
            );
            if !on_edge(&sights, x, y, width, height) {
                return screen(&center);
            }
            let mut sum = center;
            for sample in 0..EDGE_SAMPLES {
                let (u, v) = halton(sample as u32 + 1);
                let ray = eye.ray(x as f32 + u, y as f32 + v);
                let sight = world.look(&ray);
                let light = neighbour_light(&sight, &sights, &lights, x, y, width, height)
                    .unwrap_or_else(|| world.gather(&sight, (i * 31 + sample) as u32));
                sum += world.color(&ray, &sight, light);
            }
            screen(&(sum / (EDGE_SAMPLES + 1) as f32))
        })
        .collect();
    RgbImage::from_fn(camera.width, camera.height, |x, y| {
        image::Rgb(colors[y as usize * width + x as usize])
    })
}

/// The camera's axes.
struct Eye {
    origin: Point3<f32>,
    forward: Vector3<f32>,
    right: Vector3<f32>,
    up: Vector3<f32>,
    half: (f32, f32),
    pixel: f32,
}

impl Eye {
    fn new(camera: &Camera) -> Self {
        let forward = (camera.target_m - camera.eye_m).normalize();
        let sideways = forward.cross(&Vector3::z());
        let right = if sideways.norm() > 1e-4 {
            sideways.normalize()
        } else {
            Vector3::x()
        };
        Self {
            origin: camera.eye_m,
            forward,
            right,
            up: right.cross(&forward),
            half: (0.5 * camera.width as f32, 0.5 * camera.height as f32),
            pixel: 2.0 * (0.5 * camera.field_of_view_rad).tan() / camera.height as f32,
        }
    }

    fn ray(&self, x: f32, y: f32) -> Ray {
        let (u, v) = (
            (x - self.half.0) * self.pixel,
            (self.half.1 - y) * self.pixel,
        );
        Ray {
            origin: self.origin,
            direction: (self.forward + self.right * u + self.up * v).normalize(),
        }
    }
}

impl<'a> World<'a> {
    fn new(scene: &'a PictureScene) -> Self {
        let corners = scene.corners();
        let low = corners.iter().fold(corners[0], |a, b| a.inf(b));
        let high = corners.iter().fold(corners[0], |a, b| a.sup(b));
        Self {
            scene,
            solids: Tree::new(scene.solids.clone()),
            glowing: Tree::new(scene.glowing.clone()),
            ghosts: scene
                .ghosts
                .iter()
                .map(|(s, opacity)| (Tree::new(s.clone()), *opacity))
                .collect(),
            lamp: Vector3::from(LAMP).normalize(),
            fade_m: (high - low).norm(),
            center: Point3::from((low + high) * 0.5),
        }
    }

    /// The first opaque thing on a ray.
    fn look(&self, ray: &Ray) -> Sight {
        let nothing = Sight {
            thing: Thing::Sky,
            point: ray.origin,
            normal: -ray.direction,
            t: FAR,
            veils: 0,
        };
        let mut sight = nothing;
        if let Some(z) = self.scene.ground_z_m {
            let t = (z - ray.origin.z) / ray.direction.z;
            if t > 0.0 && t < FAR {
                sight = Sight {
                    thing: Thing::Ground,
                    point: ray.at(t),
                    normal: Vector3::z(),
                    t,
                    veils: 0,
                };
            }
        }
        for tree in [&self.solids, &self.glowing] {
            if let Some(Hit { t, normal, surface }) = tree.hit(ray, sight.t) {
                let thing = Thing::Body(tree.surfaces[surface].body);
                sight = Sight {
                    thing,
                    point: ray.at(t),
                    normal,
                    t,
                    veils: 0,
                };
            }
        }
        sight
    }

    /// The same, with the ghosts in front noted.
    fn look_through(&self, ray: &Ray) -> Sight {
        let mut sight = self.look(ray);
        for (k, (tree, _)) in self.ghosts.iter().take(32).enumerate() {
            if tree.is_blocked(ray, sight.t - VEIL_GAP_M) {
                sight.veils |= 1 << k;
            }
        }
        sight
    }

    /// Soft shadow and occlusion at a point, from a few rays turned by the pixel's number.
    fn gather(&self, sight: &Sight, seed: u32) -> Light {
        let dark = match sight.thing {
            Thing::Sky => {
                return Light {
                    lamp: 1.0,
                    sky: 1.0,
                }
            }
            Thing::Ground => false,
            Thing::Body(body) => self.scene.bodies[body].glows,
        };
        if dark {
            return Light {
                lamp: 1.0,
                sky: 1.0,
            };
        }
        let origin = sight.point + sight.normal * 1e-3;
        let (tangent, bitangent) = basis(&sight.normal);
        let (across, along) = basis(&self.lamp);
        let turn = hash(seed);
        let (mut lamp, mut sky) = (0.0, 0.0);
        for sample in 0..LIGHT_SAMPLES {
            let (u, v) = halton(sample as u32 + 1);
            let angle = std::f32::consts::TAU * (v + turn).fract();
            let (sin, cos) = angle.sin_cos();
            let r = u.sqrt();
            let direction =
                (self.lamp + (across * cos + along * sin) * (LAMP_SPREAD * r)).normalize();
            if sight.normal.dot(&direction) > 0.0
                && !self.solids.is_blocked(&Ray { origin, direction }, FAR)
            {
                lamp += 1.0;
            }
            // Cosine-weighted over the half space.
            let direction = (tangent * cos + bitangent * sin) * r + sight.normal * (1.0 - u).sqrt();
            let blocked = self.solids.hit(&Ray { origin, direction }, OCCLUSION_M);
            sky += blocked.map_or(1.0, |h| (h.t / OCCLUSION_M).sqrt());
        }
        let share = 1.0 / LIGHT_SAMPLES as f32;
        Light {
            lamp: lamp * share,
            sky: sky * share,
        }
    }

    /// Light towards the eye along a ray, ghosts in front of what it sees included.
    fn color(&self, ray: &Ray, sight: &Sight, light: Light) -> Vector3<f32> {
        let mut color = self.opaque(ray, sight, light);
        let mut veils: Vec<(f32, Vector3<f32>, f32)> = self
            .ghosts
            .iter()
            .filter_map(|(tree, opacity)| {
                let hit = tree.hit(ray, sight.t - VEIL_GAP_M)?;
                let base = Vector3::from(self.scene.bodies[tree.surfaces[hit.surface].body].color);
                let facing = -hit.normal.dot(&ray.direction);
                let lit = 0.6 + 0.6 * hit.normal.dot(&self.lamp).max(0.0);
                // Denser at the rim, so that the outline stays readable.
                let cover = opacity + (1.0 - opacity) * 0.75 * (1.0 - facing).powi(3);
                Some((hit.t, base * lit, cover))
            })
            .collect();
        veils.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, veil, cover) in veils {
            color = color * (1.0 - cover) + veil * cover;
        }
        color
    }

    fn opaque(&self, ray: &Ray, sight: &Sight, light: Light) -> Vector3<f32> {
        let base = match sight.thing {
            Thing::Sky => return sky(&ray.direction),
            Thing::Ground => self.ground(&sight.point),
            Thing::Body(body) if self.scene.bodies[body].glows => {
                let facing = -sight.normal.dot(&ray.direction);
                return Vector3::from(self.scene.bodies[body].color) * (0.65 + 0.35 * facing);
            }
            Thing::Body(body) => Vector3::from(self.scene.bodies[body].color),
        };
        let lamp = sight.normal.dot(&self.lamp).max(0.0) * light.lamp;
        let half = (self.lamp - ray.direction).normalize();
        let gloss = match sight.thing {
            Thing::Body(_) => 0.18 * sight.normal.dot(&half).max(0.0).powi(40) * light.lamp,
            _ => 0.0,
        };
        // Sky from above, a little of the ground's light from below.
        let above = 0.5 + 0.5 * sight.normal.z;
        let ambient =
            Vector3::new(0.38, 0.42, 0.48) * above + Vector3::new(0.22, 0.21, 0.20) * (1.0 - above);
        let warm = Vector3::new(1.0, 0.95, 0.86) * (0.95 * lamp);
        let mut color = base.component_mul(&(ambient * light.sky + warm)) + Vector3::repeat(gloss);
        if sight.thing == Thing::Ground {
            let away = (sight.point - self.center).norm() / self.fade_m;
            let fade = ((away - 0.8) / 2.2).clamp(0.0, 1.0);
            color = color * (1.0 - fade)
                + sky(&Vector3::new(ray.direction.x, ray.direction.y, 0.0)) * fade;
        }
        color
    }

    /// Squares of 10 cm and 1 m.
    fn ground(&self, point: &Point3<f32>) -> Vector3<f32> {
        let line = |size: f32, width: f32| -> f32 {
            let near =
                |v: f32| ((v / size).fract().abs().min(1.0 - (v / size).fract().abs())) * size;
            let nearest = near(point.x).min(near(point.y));
            1.0 - (nearest / width).clamp(0.0, 1.0)
        };
        let shade = 1.0 - 0.10 * line(0.1, 0.0025) - 0.16 * line(1.0, 0.005);
        Vector3::from(GROUND) * shade
    }
}

fn sky(direction: &Vector3<f32>) -> Vector3<f32> {
    let height = direction.z.clamp(0.0, 1.0).sqrt();
    Vector3::from(SKY_LOW) * (1.0 - height) + Vector3::from(SKY_HIGH) * height
}

/// Two directions across a third.
fn basis(normal: &Vector3<f32>) -> (Vector3<f32>, Vector3<f32>) {
    let aside = if normal.x.abs() < 0.7 {
        Vector3::x()
    } else {
        Vector3::y()
    };
    let tangent = normal.cross(&aside).normalize();
    (tangent, normal.cross(&tangent))
}

/// Evenly spread points in the unit square (bases 2 and 3).
fn halton(index: u32) -> (f32, f32) {
    let radical = |base: u32| {
        let (mut value, mut scale, mut rest) = (0.0, 1.0 / base as f32, index);
        while rest > 0 {
            value += scale * (rest % base) as f32;
            scale /= base as f32;
            rest /= base;
        }
        value
    };
    (radical(2), radical(3))
}

/// A number in 0..1 from a pixel's number (PCG's output permutation).
fn hash(seed: u32) -> f32 {
    let state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    ((word >> 22) ^ word) as f32 / u32::MAX as f32
}

fn alike(a: &Sight, b: &Sight) -> bool {
    a.thing == b.thing && a.normal.dot(&b.normal) > 0.9 && (a.t - b.t).abs() < 0.02 * a.t
}

/// Whether a pixel's neighbours see something else.
fn on_edge(sights: &[Sight], x: usize, y: usize, width: usize, height: usize) -> bool {
    let here = &sights[y * width + x];
    let around = [(1, 0), (0, 1), (-1, 0), (0, -1)];
    around.iter().any(|(dx, dy)| {
        let (u, v) = (x as isize + dx, y as isize + dy);
        let inside = u >= 0 && v >= 0 && (u as usize) < width && (v as usize) < height;
        inside && {
            let there = &sights[v as usize * width + u as usize];
            !alike(here, there) || here.veils != there.veils
        }
    })
}

/// Light of a pixel near by that sees the same.
fn neighbour_light(
    sight: &Sight,
    sights: &[Sight],
    lights: &[Light],
    x: usize,
    y: usize,
    width: usize,
    height: usize,
) -> Option<Light> {
    let columns = x.saturating_sub(1)..(x + 2).min(width);
    let mut around = (y.saturating_sub(1)..(y + 2).min(height))
        .flat_map(|v| columns.clone().map(move |u| v * width + u));
    around
        .find(|&i| alike(sight, &sights[i]))
        .map(|i| lights[i])
}

/// Averages the light over neighbours that see the same surface: takes the grain out of few samples.
fn smooth(sights: &[Sight], lights: &[Light], width: usize, height: usize) -> Vec<Light> {
    const REACH: usize = 3;
    let pass = |lights: &[Light], step: usize| -> Vec<Light> {
        (0..lights.len())
            .into_par_iter()
            .map(|i| {
                let (position, end) = if step == 1 {
                    (i % width, width)
                } else {
                    (i / width, height)
                };
                let (mut lamp, mut sky, mut weight) = (0.0, 0.0, 0.0);
                for k in position.saturating_sub(REACH)..(position + REACH + 1).min(end) {
                    let j = i + k * step - position * step;
                    if alike(&sights[i], &sights[j]) {
                        lamp += lights[j].lamp;
                        sky += lights[j].sky;
                        weight += 1.0;
                    }
                }
                Light {
                    lamp: lamp / weight,
                    sky: sky / weight,
                }
            })
            .collect()
    };
    let across = pass(lights, 1);
    pass(&across, width)
}

/// To the screen: gentle shoulder, then gamma.
fn screen(color: &Vector3<f32>) -> [u8; 3] {
    std::array::from_fn(|k| {
        let v = color[k].max(0.0);
        let toned = v * (1.0 + 0.12 * v) / (1.0 + 0.32 * v * v).sqrt();
        (toned.min(1.0).powf(1.0 / 2.2) * 255.0 + 0.5) as u8
    })
}
