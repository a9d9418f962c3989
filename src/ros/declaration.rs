//! Parameters that are declared once, with type, default, unit, range and meaning.
//!
//! From the declaration, [`parameters!`](crate::ros::declaration) makes the struct a node reads, the checks,
//! what `ros2 param describe` shows, and the table of the documentation.

use std::fmt::Write;

/// A parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Integer(i64),
    Double(f64),
    Text(String),
    Doubles(Vec<f64>),
    Texts(Vec<String>),
}

impl Value {
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::Integer(_) => "integer",
            Value::Double(_) => "double",
            Value::Text(_) => "string",
            Value::Doubles(_) => "double array",
            Value::Texts(_) => "string array",
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Bool(v) => write!(f, "{v}"),
            Value::Integer(v) => write!(f, "{v}"),
            Value::Double(v) => write!(f, "{v:?}"),
            Value::Text(v) => write!(f, "\"{v}\""),
            Value::Doubles(v) => write!(f, "{v:?}"),
            Value::Texts(v) => write!(f, "{v:?}"),
        }
    }
}

/// The values a parameter may take, beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    Any,
    /// min <= value <= max
    Integer(i64, i64),
    /// min <= value <= max, for each element of an array; never NaN or infinite
    Double(f64, f64),
    /// 0 < value <= max
    Positive(f64),
    OneOf(&'static [&'static str]),
}

impl Range {
    /// None if the value lies inside, else what would.
    pub fn violation(&self, value: &Value) -> Option<String> {
        let inside = |x: f64| match *self {
            Range::Double(min, max) => min <= x && x <= max,
            Range::Positive(max) => 0.0 < x && x <= max,
            _ => x.is_finite(),
        };
        let ok = match (self, value) {
            (_, Value::Double(x)) => inside(*x),
            (_, Value::Doubles(xs)) => xs.iter().all(|x| inside(*x)),
            (Range::Integer(min, max), Value::Integer(i)) => min <= i && i <= max,
            (Range::OneOf(choices), Value::Text(text)) => choices.contains(&text.as_str()),
            _ => true,
        };
        (!ok).then(|| self.to_string())
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Range::Any => write!(f, "any"),
            Range::Integer(min, max) => write!(f, "[{min}, {max}]"),
            Range::Double(min, max) => write!(f, "[{min}, {max}]"),
            Range::Positive(max) => write!(f, "(0, {max}]"),
            Range::OneOf(choices) => write!(f, "{}", choices.join(" | ")),
        }
    }
}

/// When a new value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// With the next goal.
    Live,
    /// Read once, at start; later changes are refused.
    Restart,
}

/// Everything that is known about a parameter but its present value.
#[derive(Clone, Debug)]
pub struct Declaration {
    pub name: &'static str,
    pub default: Value,
    pub unit: &'static str,
    pub range: Range,
    pub change: Change,
    pub description: &'static str,
}

/// Why a value was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParameterError {
    #[error("unknown parameter '{0}'")]
    Unknown(String),
    #[error("parameter '{name}' has type {expected}, got {got}")]
    WrongType {
        name: String,
        expected: &'static str,
        got: &'static str,
    },
    #[error("parameter '{name}': {value} is outside {range}")]
    OutOfRange {
        name: String,
        value: Value,
        range: String,
    },
    #[error("parameter '{0}' is read at start only: restart the node to change it")]
    ReadOnly(String),
}

/// A Rust type that a parameter can have.
pub trait Typed: Sized {
    fn from_value(value: &Value) -> Option<Self>;
    fn to_value(&self) -> Value;
}

macro_rules! typed {
    ($type:ty, $variant:ident) => {
        impl Typed for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::$variant(v) => Some(v.clone()),
                    _ => None,
                }
            }
            fn to_value(&self) -> Value {
                Value::$variant(self.clone())
            }
        }
    };
}
typed!(bool, Bool);
typed!(i64, Integer);
typed!(String, Text);
typed!(Vec<String>, Texts);

impl Typed for f64 {
    /// A whole number in a YAML file arrives as an integer; it is a number all the same.
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Double(v) => Some(*v),
            Value::Integer(v) => Some(*v as f64),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        Value::Double(*self)
    }
}

impl Typed for Vec<f64> {
    /// An empty YAML list has no element type: r2r reports it as a list of strings.
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Doubles(v) => Some(v.clone()),
            Value::Texts(v) if v.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }
    fn to_value(&self) -> Value {
        Value::Doubles(self.clone())
    }
}

/// The parameters of one node.
pub trait ParameterSet: Clone + Default + PartialEq + 'static {
    /// Every parameter, in the order of the table.
    fn declarations() -> Vec<Declaration>;

    /// The present value, None for an unknown name.
    fn get(&self, name: &str) -> Option<Value>;

    /// Sets a value given at start.
    ///
    /// # Errors
    /// Unknown name, wrong type, value out of range.
    fn set_at_start(&mut self, name: &str, value: &Value) -> Result<(), ParameterError>;

    /// Sets a value while the node runs.
    ///
    /// # Errors
    /// As [`set_at_start`](Self::set_at_start), and [`ParameterError::ReadOnly`].
    fn set(&mut self, name: &str, value: &Value) -> Result<(), ParameterError> {
        let mut changed = self.clone();
        changed.set_at_start(name, value)?;
        let declaration = Self::declarations().into_iter().find(|d| d.name == name);
        let restart = declaration.is_some_and(|d| d.change == Change::Restart);
        if restart && changed != *self {
            return Err(ParameterError::ReadOnly(name.to_owned()));
        }
        *self = changed;
        Ok(())
    }

    /// One row a parameter, for the documentation.
    fn markdown_table() -> String {
        let mut text = String::from(
            "| name | type | default | unit | range | read | meaning |\n|---|---|---|---|---|---|---|\n",
        );
        for d in Self::declarations() {
            let read = match d.change {
                Change::Live => "goal",
                Change::Restart => "start",
            };
            let range = d.range.to_string().replace('|', "\\|");
            let range = range.replace(&i64::MAX.to_string(), "2^63 - 1");
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| `{}` | {} | `{}` | {} | {} | {} | {} |",
                d.name,
                d.default.type_name(),
                d.default,
                d.unit,
                range,
                read,
                d.description
            );
        }
        text
    }
}

/// Checks and converts a value.
///
/// # Errors
/// Wrong type or out of range.
pub fn checked<T: Typed>(
    name: &str,
    value: &Value,
    expected: &'static str,
    range: Range,
) -> Result<T, ParameterError> {
    let typed = T::from_value(value).ok_or_else(|| ParameterError::WrongType {
        name: name.to_owned(),
        expected,
        got: value.type_name(),
    })?;
    match range.violation(&typed.to_value()) {
        Some(range) => Err(ParameterError::OutOfRange {
            name: name.to_owned(),
            value: value.clone(),
            range,
        }),
        None => Ok(typed),
    }
}

/// Declares a struct of parameters: `field: type = default, "name", "unit", range, change, "meaning.";`
macro_rules! parameters {
    ($(#[$doc:meta])* $set:ident { $($field:ident: $type:ty = $default:expr, $name:literal, $unit:literal, $range:expr, $change:ident, $description:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $set {
            $(#[doc = $description] pub $field: $type,)*
        }

        impl Default for $set {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::ros::declaration::ParameterSet for $set {
            fn declarations() -> Vec<$crate::ros::declaration::Declaration> {
                use $crate::ros::declaration::{Change, Declaration, Typed};
                let defaults = Self::default();
                vec![$(Declaration {
                    name: $name,
                    default: defaults.$field.to_value(),
                    unit: $unit,
                    range: $range,
                    change: Change::$change,
                    description: $description,
                },)*]
            }

            fn get(&self, name: &str) -> Option<$crate::ros::declaration::Value> {
                use $crate::ros::declaration::Typed;
                match name {
                    $($name => Some(self.$field.to_value()),)*
                    _ => None,
                }
            }

            fn set_at_start(
                &mut self,
                name: &str,
                value: &$crate::ros::declaration::Value,
            ) -> Result<(), $crate::ros::declaration::ParameterError> {
                use $crate::ros::declaration::{checked, ParameterError, Typed};
                match name {
                    $($name => self.$field = checked(name, value, self.$field.to_value().type_name(), $range)?,)*
                    _ => return Err(ParameterError::Unknown(name.to_owned())),
                }
                Ok(())
            }
        }
    };
}
pub(crate) use parameters;
