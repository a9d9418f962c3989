//! Terms of the trajectory energy, one file each.
