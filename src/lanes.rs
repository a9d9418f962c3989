//! Sixteen f32 lanes: the unit in which configurations are evaluated.
//!
//! A lane is one configuration (one sample of one trajectory). Every kernel of the step loop works on
//! sixteen of them at once, structure of arrays, which fills one AVX-512 register or two AVX2 ones.

/// Configurations evaluated together.
pub const LANES: usize = 16;

/// One f32 per configuration.
pub type Lanes = wide::f32x16;

/// A vector or point per configuration, `[x, y, z]`.
pub type Lanes3 = [Lanes; 3];
