//! The uniform clamped cubic B-spline over joints, in units of its knot spacing.

use super::joint_row::JointRow;

/// Control points that carry one span; also how many coincide at each end.
pub const ORDER: usize = 4;
const ENDS: usize = ORDER - 1;

/// Cubic B-spline weights of the four control points of a span at `u` in [0, 1].
#[inline]
pub fn basis(u: f32) -> [f32; ORDER] {
    let v = 1.0 - u;
    let (u2, u3) = (u * u, u * u * u);
    [
        v * v * v / 6.0,
        (3.0 * u3 - 6.0 * u2 + 4.0) / 6.0,
        (-3.0 * u3 + 3.0 * u2 + 3.0 * u + 1.0) / 6.0,
        u3 / 6.0,
    ]
}

/// `M + 3` control points; the parameter runs from 0 to `M`, one unit a span.
#[derive(Debug, Default)]
pub struct Spline {
    /// `[M + 3]` rows over joints, rad or m.
    pub points: Vec<JointRow>,
}

impl Clone for Spline {
    fn clone(&self) -> Self {
        Self {
            points: self.points.clone(),
        }
    }

    // Candidates are copied in the step loop: reuse the allocation.
    fn clone_from(&mut self, source: &Self) {
        self.points.clone_from(&source.points);
    }
}

impl Spline {
    /// A motion that rests at `start`; `spans` is at least 4 so that start and end do not share control points.
    pub fn resting(start: JointRow, spans: usize) -> Self {
        Self {
            points: vec![start; spans.max(ORDER) + ENDS],
        }
    }

    /// Number of spans `M`.
    pub fn spans(&self) -> usize {
        self.points.len() - ENDS
    }

    /// First control point: the start configuration.
    pub fn start(&self) -> JointRow {
        self.points[0]
    }

    /// Last control point: the final configuration.
    pub fn end(&self) -> JointRow {
        self.points[self.points.len() - 1]
    }

    /// Moves the final configuration, keeping the motion at rest there.
    pub fn set_end(&mut self, end: JointRow) {
        let n = self.points.len();
        self.points[n - ENDS..].fill(end);
    }

    /// Indices of the control points that may move while both ends rest.
    pub fn interior(&self) -> std::ops::Range<usize> {
        ENDS..self.points.len() - ENDS
    }

    /// Span and local coordinate of a parameter in [0, M].
    #[inline]
    pub fn locate(&self, parameter: f32) -> (usize, f32) {
        let span = (parameter.max(0.0) as usize).min(self.spans() - 1);
        (span, parameter - span as f32)
    }

    /// Configuration at a parameter in [0, M].
    #[inline]
    pub fn position(&self, parameter: f32) -> JointRow {
        let (span, u) = self.locate(parameter);
        self.weighted(span, basis(u))
    }

    /// Configuration from the four weights of a span.
    #[inline]
    pub fn weighted(&self, span: usize, weights: [f32; ORDER]) -> JointRow {
        let p = &self.points[span..span + ORDER];
        let mut q = p[0] * JointRow::splat(weights[0]);
        for k in 1..ORDER {
            q = p[k].mul_add(JointRow::splat(weights[k]), q);
        }
        q
    }

    /// Lays the control points along a polyline of at least two corners, with a trapezoidal speed profile in the metric
    /// `max_j |dq_j| / velocity_j`, so that the motion is close to time-optimal from the first step.
    ///
    /// `inverse_velocity`: 1 / (rad/s or m/s) by joint.
    pub fn follow_polyline(corners: &[JointRow], spans: usize, inverse_velocity: JointRow) -> Self {
        let mut spline = Self::resting(corners[0], spans);
        let mut reached = Vec::with_capacity(corners.len());
        reached.push(0.0f32);
        for pair in corners.windows(2) {
            let step = largest((pair[1] - pair[0]).abs() * inverse_velocity);
            reached.push(reached[reached.len() - 1] + step);
        }
        let length = reached[reached.len() - 1];
        let n = spline.points.len();
        spline.set_end(corners[corners.len() - 1]);
        let mut corner = 0;
        for i in spline.interior() {
            let u = (i - (ENDS - 1)) as f32 / (n - 2 * ENDS + 1) as f32;
            let wanted = trapezoid(u) * length;
            while corner + 2 < corners.len() && reached[corner + 1] < wanted {
                corner += 1;
            }
            let leg = (reached[corner + 1] - reached[corner]).max(1e-9);
            let w = ((wanted - reached[corner]) / leg).clamp(0.0, 1.0);
            spline.points[i] = lerp(corners[corner], corners[corner + 1], w);
        }
        spline
    }
}

/// Covered share of the way at time `u` in [0, 1] with equal ramps up and down.
fn trapezoid(u: f32) -> f32 {
    const RAMP: f32 = 0.12;
    let peak = 1.0 / (1.0 - RAMP);
    if u < RAMP {
        0.5 * peak * u * u / RAMP
    } else if u > 1.0 - RAMP {
        1.0 - 0.5 * peak * (1.0 - u) * (1.0 - u) / RAMP
    } else {
        peak * (u - 0.5 * RAMP)
    }
}

#[inline]
fn lerp(a: JointRow, b: JointRow, w: f32) -> JointRow {
    (b - a).mul_add(JointRow::splat(w), a)
}

/// Largest lane.
#[inline]
pub(super) fn largest(row: JointRow) -> f32 {
    row.as_array()
        .iter()
        .fold(f32::NEG_INFINITY, |m, &v| m.max(v))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(a: f32, b: f32) -> JointRow {
        let mut v = [0.0; 16];
        v[0] = a;
        v[1] = b;
        JointRow::new(v)
    }

    #[test]
    fn weights_sum_to_one_and_join_continuously() {
        for u in [0.0, 0.2, 0.5, 0.9, 1.0] {
            assert!((basis(u).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        let (left, right) = (basis(1.0), basis(0.0));
        for k in 0..3 {
            assert!((left[k + 1] - right[k]).abs() < 1e-6);
        }
    }

    #[test]
    fn a_polyline_is_followed_from_corner_to_corner() {
        let corners = [row(0.0, 0.0), row(1.0, 0.0), row(1.0, 1.0)];
        let spline = Spline::follow_polyline(&corners, 32, JointRow::splat(0.5));
        assert_eq!(spline.position(0.0).to_array()[0], 0.0);
        let end = spline.position(32.0).to_array();
        assert!((end[0] - 1.0).abs() < 1e-6 && (end[1] - 1.0).abs() < 1e-6);
        let middle = spline.position(16.0).to_array();
        assert!(
            (middle[0] - 1.0).abs() < 0.1 && middle[1] < 0.1,
            "the corner is passed near, not cut: {middle:?}"
        );
        let back = (0..64).any(|i| {
            spline.position(i as f32 * 0.5 + 0.5).to_array()[0]
                < spline.position(i as f32 * 0.5).to_array()[0] - 1e-5
        });
        assert!(!back, "the way never runs back");
    }
}
