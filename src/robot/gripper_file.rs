//! A gripper in a file of its own: `config/grippers/franka_hand.yaml` and the like.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

use super::{GripperGeometry, RobotError};

/// A gripper by name. Training runs, data sets and weights carry it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GripperDescription {
    pub name: String,
    pub geometry: GripperGeometry,
}

impl Default for GripperDescription {
    /// The Franka hand.
    fn default() -> Self {
        Self {
            name: "franka_hand".into(),
            geometry: GripperGeometry::default(),
        }
    }
}

impl GripperDescription {
    /// Reads a gripper file (YAML: `name`, `geometry`). Every value must be there: one that is left out by mistake would
    /// be that of another gripper.
    ///
    /// # Errors
    /// [`RobotError::File`]; [`RobotError::Gripper`], naming file, field, value and limit.
    pub fn load(path: &Path) -> Result<Self, RobotError> {
        Self::from_yaml(&read(path)?).map_err(|error| in_file(error, path))
    }

    /// Reads other settings (YAML) that may have an entry `gripper` beside their own fields: the name of a gripper file,
    /// relative to the settings' folder, or the content of one.
    ///
    /// # Errors
    /// As [`GripperDescription::load`].
    pub fn load_beside<T: DeserializeOwned + Default>(
        path: &Path,
    ) -> Result<(T, Option<Self>), RobotError> {
        let unreadable = |e: serde_yaml::Error| RobotError::File {
            path: path.display().to_string(),
            reason: e.to_string(),
        };
        let mut value: Value = serde_yaml::from_str(&read(path)?).map_err(unreadable)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let gripper = Self::take_from(&mut value, folder).map_err(|error| in_file(error, path))?;
        let settings = match value {
            // An empty file: all defaults.
            Value::Null => T::default(),
            value => serde_yaml::from_value(value).map_err(unreadable)?,
        };
        Ok((settings, gripper))
    }

    /// The same from YAML text.
    ///
    /// # Errors
    /// [`RobotError::Gripper`], naming field, value and limit.
    pub fn from_yaml(text: &str) -> Result<Self, RobotError> {
        Self::from_value(serde_yaml::from_str(text).map_err(refused)?)
    }

    /// The entry `gripper` taken out of other settings; `None` where there is none.
    fn take_from(settings: &mut Value, folder: &Path) -> Result<Option<Self>, RobotError> {
        let entry = settings.as_mapping_mut().and_then(|s| s.remove("gripper"));
        entry
            .map(|entry| match entry.as_str() {
                Some(file) => Self::load(&folder.join(file)),
                None => Self::from_value(entry),
            })
            .transpose()
    }

    fn from_value(value: Value) -> Result<Self, RobotError> {
        let fields = serde_yaml::to_value(GripperGeometry::default()).map_err(refused)?;
        let names = fields.as_mapping().into_iter().flat_map(|m| m.keys());
        let given = value.get("geometry");
        for name in names.filter_map(Value::as_str) {
            if given.is_some_and(|g| g.get(name).is_none()) {
                return Err(refused(format!("geometry.{name} is missing")));
            }
        }
        let gripper: Self = serde_yaml::from_value(value).map_err(refused)?;
        match gripper.geometry.problem() {
            Some(problem) => Err(refused(format!("geometry.{problem}"))),
            None => Ok(gripper),
        }
    }
}

fn read(path: &Path) -> Result<String, RobotError> {
    std::fs::read_to_string(path).map_err(|e| RobotError::File {
        path: path.display().to_string(),
        reason: e.to_string(),
    })
}

fn in_file(error: RobotError, path: &Path) -> RobotError {
    match error {
        RobotError::Gripper { reason } => RobotError::Gripper {
            reason: format!("{}: {reason}", path.display()),
        },
        other => other,
    }
}

fn refused(reason: impl std::fmt::Display) -> RobotError {
    RobotError::Gripper {
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn shipped(name: &str) -> GripperDescription {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/grippers");
        GripperDescription::load(&folder.join(name)).unwrap()
    }

    #[test]
    fn the_shipped_franka_hand_is_the_default() {
        assert_eq!(shipped("franka_hand.yaml"), GripperDescription::default());
    }

    #[test]
    fn the_robotiq_opens_85_mm_and_its_pads_reach_the_tips() {
        let gripper = shipped("robotiq_2f85.yaml");
        assert_eq!(gripper.name, "robotiq_2f85");
        let geometry = gripper.geometry;
        assert_eq!(geometry.max_opening_m, 0.085);
        assert!(geometry.pad_length_m > 2.0 * GripperGeometry::default().pad_length_m);
        // No palm box stands where the open fingers hold something.
        for part in &geometry.palm {
            let between = part.center_m[0].abs() - part.half_extents_m[0] < 0.5 * 0.085;
            let top = part.center_m[2] + part.half_extents_m[2];
            assert!(
                !between || top <= geometry.tip_m - geometry.pad_length_m,
                "{part:?}"
            );
        }
    }

    #[test]
    fn bad_files_are_refused_by_field_value_and_limit() {
        let text = serde_yaml::to_string(&GripperDescription::default()).unwrap();
        let refusal = |from: &str, to: &str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            GripperDescription::from_yaml(&changed)
                .unwrap_err()
                .to_string()
        };
        for (from, to, expected) in [
            (
                "max_opening_m: 0.08",
                "max_opening_m: 80.0",
                "max_opening_m is 80, it must be greater than 0 and at most 0.5",
            ),
            ("tip_m: 0.112", "tip_m: .nan", "tip_m is NaN"),
            (
                "finger_base_m: 0.0584",
                "finger_base_m: 0.2",
                "tip_m - finger_base_m is -0.08",
            ),
            (
                "pad_length_m: 0.0175",
                "pad_length_m: 0.06",
                "pad_length_m is 0.06",
            ),
            ("recess_m: 0.0025", "recess_m: -0.001", "recess_m is -0.001"),
            ("recess_m: 0.0025\n", "\n", "geometry.recess_m is missing"),
            ("recess_m", "recces_m", "missing"),
            ("- 0.103", "- 0.0", "palm[0].half_extents_m has 0"),
        ] {
            let error = refusal(from, to);
            assert!(error.contains(expected), "{to}: {error}");
        }
        let no_palm = text[..text.find("palm:").unwrap()].to_owned() + "palm: []\n";
        let error = GripperDescription::from_yaml(&no_palm).unwrap_err();
        assert!(error.to_string().contains("palm has no box"), "{error}");
        let error = GripperDescription::load(Path::new("no/such.yaml")).unwrap_err();
        assert!(matches!(error, RobotError::File { .. }), "{error}");
    }

    #[test]
    fn settings_name_a_file_or_hold_the_gripper() {
        let folder = tempfile::tempdir().unwrap();
        let wide = GripperDescription {
            name: "wide".into(),
            geometry: GripperGeometry {
                max_opening_m: 0.2,
                ..Default::default()
            },
        };
        let text = serde_yaml::to_string(&wide).unwrap();
        std::fs::write(folder.path().join("wide.yaml"), &text).unwrap();
        let load = |settings: &str| {
            let path = folder.path().join("settings.yaml");
            std::fs::write(&path, settings).unwrap();
            GripperDescription::load_beside::<BTreeMap<String, f64>>(&path)
        };
        let inline = format!("gripper:\n  {}\na: 1.5\n", text.replace('\n', "\n  "));
        for settings in ["gripper: wide.yaml\na: 1.5\n", inline.as_str()] {
            let (others, gripper) = load(settings).unwrap();
            assert_eq!((others["a"], gripper), (1.5, Some(wide.clone())));
        }
        assert_eq!(load("").unwrap(), (BTreeMap::new(), None));
        let missing = load("gripper: none.yaml").unwrap_err();
        assert!(missing.to_string().contains("none.yaml"), "{missing}");
        let bad = load(&inline.replace("0.2", "-0.2")).unwrap_err();
        assert!(bad.to_string().contains("max_opening_m is -0.2"), "{bad}");
    }
}
