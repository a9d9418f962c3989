//! The six parameter services and `/parameter_events`.
//!
//! r2r has a parameter handler, but it sends no ranges, no read-only flags and no events, and refuses a whole number
//! where a double is declared. These services follow rclcpp, from the declarations of a [`ParameterSet`].

use super::declaration::{Change, Declaration, ParameterError, ParameterSet, Range, Value};
use super::lock;
use super::services::respond;
use futures::{future::join_all, Future, FutureExt, Stream, StreamExt};
use r2r::{
    rcl_interfaces::msg, rcl_interfaces::srv, Clock, Node, ParameterValue, Publisher, QosProfile,
    ServiceRequest,
};
use std::sync::{Arc, Mutex};

/// Applies the values given on the command line or by a launch file; returns the names nobody declared.
///
/// # Errors
/// The first value that is refused.
pub fn apply_overrides<P: ParameterSet>(
    node: &Node,
    parameters: &mut P,
) -> Result<Vec<String>, ParameterError> {
    let mut unknown = Vec::new();
    for (name, given) in lock(&node.params).iter() {
        let Some(value) = from_r2r(&given.value) else {
            continue;
        };
        match parameters.set_at_start(name, &value) {
            Err(ParameterError::Unknown(name)) => unknown.push(name),
            other => other?,
        }
    }
    Ok(unknown)
}

/// Everything the services share.
struct Services<P> {
    parameters: Arc<Mutex<P>>,
    declarations: Vec<Declaration>,
    events: Publisher<msg::ParameterEvent>,
    clock: Arc<Mutex<Clock>>,
    node_name: String,
}

/// Creates the services; spawn the future beside `node.spin_once`.
///
/// # Errors
/// An r2r error if a service cannot be created.
pub fn serve<P: ParameterSet>(
    node: &mut Node,
    parameters: Arc<Mutex<P>>,
) -> r2r::Result<impl Future<Output = ()>> {
    let services = Arc::new(Services {
        parameters,
        declarations: P::declarations(),
        events: node.create_publisher("/parameter_events", QosProfile::parameter_events())?,
        clock: node.get_ros_clock(),
        node_name: node.fully_qualified_name()?,
    });
    fn requests<T: r2r::WrappedServiceTypeSupport + 'static>(
        node: &mut Node,
        name: &str,
    ) -> r2r::Result<impl Stream<Item = ServiceRequest<T>> + Unpin> {
        node.create_service::<T>(&format!("~/{name}"), QosProfile::services_default())
    }
    /// One task: each request of a stream is answered by a method.
    macro_rules! task {
        ($name:literal, $service:ident) => {{
            let services = services.clone();
            requests::<srv::$service::Service>(node, $name)?
                .for_each(move |request| {
                    let response = services.$service(&request.message);
                    respond(request, response);
                    futures::future::ready(())
                })
                .boxed_local()
        }};
    }
    let tasks = vec![
        task!("get_parameters", GetParameters),
        task!("get_parameter_types", GetParameterTypes),
        task!("list_parameters", ListParameters),
        task!("describe_parameters", DescribeParameters),
        task!("set_parameters", SetParameters),
        task!("set_parameters_atomically", SetParametersAtomically),
    ];
    Ok(join_all(tasks).map(|_| ()))
}

/// Each method answers the service of its name.
#[allow(non_snake_case)]
impl<P: ParameterSet> Services<P> {
    fn GetParameters(&self, request: &srv::GetParameters::Request) -> srv::GetParameters::Response {
        let parameters = lock(&self.parameters);
        let value = |name: &String| {
            let value = parameters.get(name);
            value.map_or_else(msg::ParameterValue::default, |v| to_message(&v))
        };
        srv::GetParameters::Response {
            values: request.names.iter().map(value).collect(),
        }
    }

    fn GetParameterTypes(
        &self,
        request: &srv::GetParameterTypes::Request,
    ) -> srv::GetParameterTypes::Response {
        let kind = |name: &String| self.find(name).map_or(0, |d| to_message(&d.default).type_);
        srv::GetParameterTypes::Response {
            types: request.names.iter().map(kind).collect(),
        }
    }

    fn ListParameters(
        &self,
        request: &srv::ListParameters::Request,
    ) -> srv::ListParameters::Response {
        let deep_enough =
            |rest: &str| request.depth == 0 || (rest.matches('.').count() as u64) < request.depth;
        let wanted = |name: &str| {
            request.prefixes.is_empty() && deep_enough(name)
                || request.prefixes.iter().any(|prefix| {
                    name == prefix
                        || name
                            .strip_prefix(prefix.as_str())
                            .and_then(|rest| rest.strip_prefix('.'))
                            .is_some_and(deep_enough)
                })
        };
        let mut result = msg::ListParametersResult::default();
        for name in self
            .declarations
            .iter()
            .map(|d| d.name)
            .filter(|n| wanted(n))
        {
            result.names.push(name.to_owned());
            if let Some((prefix, _)) = name.rsplit_once('.') {
                if !result.prefixes.iter().any(|known| known == prefix) {
                    result.prefixes.push(prefix.to_owned());
                }
            }
        }
        srv::ListParameters::Response { result }
    }

    fn DescribeParameters(
        &self,
        request: &srv::DescribeParameters::Request,
    ) -> srv::DescribeParameters::Response {
        let describe = |name: &String| match self.find(name) {
            Some(declaration) => descriptor(declaration),
            None => msg::ParameterDescriptor {
                name: name.clone(),
                ..Default::default()
            },
        };
        srv::DescribeParameters::Response {
            descriptors: request.names.iter().map(describe).collect(),
        }
    }

    fn SetParameters(&self, request: &srv::SetParameters::Request) -> srv::SetParameters::Response {
        let set = |parameter: &msg::Parameter| outcome(self.set(std::slice::from_ref(parameter)));
        srv::SetParameters::Response {
            results: request.parameters.iter().map(set).collect(),
        }
    }

    fn SetParametersAtomically(
        &self,
        request: &srv::SetParametersAtomically::Request,
    ) -> srv::SetParametersAtomically::Response {
        srv::SetParametersAtomically::Response {
            result: outcome(self.set(&request.parameters)),
        }
    }

    /// Sets all of the parameters or none.
    fn set(&self, wanted: &[msg::Parameter]) -> Result<(), String> {
        let mut parameters = lock(&self.parameters);
        let mut changed = parameters.clone();
        for parameter in wanted {
            let value = from_message(&parameter.value)
                .ok_or_else(|| format!("parameter '{}' cannot be unset", parameter.name))?;
            changed
                .set(&parameter.name, &value)
                .map_err(|error| error.to_string())?;
        }
        *parameters = changed;
        drop(parameters);
        let now = lock(&self.clock).get_now().unwrap_or_default();
        let event = msg::ParameterEvent {
            stamp: Clock::to_builtin_time(&now),
            node: self.node_name.clone(),
            changed_parameters: wanted.to_vec(),
            ..Default::default()
        };
        let _ = self.events.publish(&event);
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Declaration> {
        self.declarations.iter().find(|d| d.name == name)
    }
}

fn outcome(result: Result<(), String>) -> msg::SetParametersResult {
    msg::SetParametersResult {
        successful: result.is_ok(),
        reason: result.err().unwrap_or_default(),
    }
}

fn descriptor(d: &Declaration) -> msg::ParameterDescriptor {
    let mut descriptor = msg::ParameterDescriptor {
        name: d.name.to_owned(),
        type_: to_message(&d.default).type_,
        description: match d.unit {
            "" => d.description.to_owned(),
            unit => format!("{} Unit: {unit}.", d.description),
        },
        read_only: d.change == Change::Restart,
        ..Default::default()
    };
    match d.range {
        Range::Any => {}
        Range::Integer(from_value, to_value) => {
            descriptor.integer_range = vec![msg::IntegerRange {
                from_value,
                to_value,
                step: 0,
            }];
        }
        Range::Double(from_value, to_value) => {
            descriptor.floating_point_range = vec![msg::FloatingPointRange {
                from_value,
                to_value,
                step: 0.0,
            }];
        }
        // The message has no open interval.
        Range::Positive(to_value) => {
            descriptor.additional_constraints = d.range.to_string();
            descriptor.floating_point_range = vec![msg::FloatingPointRange {
                from_value: 0.0,
                to_value,
                step: 0.0,
            }];
        }
        Range::OneOf(_) => descriptor.additional_constraints = d.range.to_string(),
    }
    descriptor
}

fn from_r2r(value: &ParameterValue) -> Option<Value> {
    Some(match value.clone() {
        ParameterValue::Bool(v) => Value::Bool(v),
        ParameterValue::Integer(v) => Value::Integer(v),
        ParameterValue::Double(v) => Value::Double(v),
        ParameterValue::String(v) => Value::Text(v),
        ParameterValue::DoubleArray(v) => Value::Doubles(v),
        ParameterValue::IntegerArray(v) => Value::Doubles(v.iter().map(|&i| i as f64).collect()),
        ParameterValue::StringArray(v) => Value::Texts(v),
        _ => return None,
    })
}

/// The numbers are those of `rcl_interfaces/msg/ParameterType`.
fn from_message(value: &msg::ParameterValue) -> Option<Value> {
    Some(match value.type_ {
        1 => Value::Bool(value.bool_value),
        2 => Value::Integer(value.integer_value),
        3 => Value::Double(value.double_value),
        4 => Value::Text(value.string_value.clone()),
        7 => Value::Doubles(
            value
                .integer_array_value
                .iter()
                .map(|&i| i as f64)
                .collect(),
        ),
        8 => Value::Doubles(value.double_array_value.clone()),
        9 => Value::Texts(value.string_array_value.clone()),
        _ => return None,
    })
}

fn to_message(value: &Value) -> msg::ParameterValue {
    let mut message = msg::ParameterValue::default();
    match value.clone() {
        Value::Bool(v) => (message.type_, message.bool_value) = (1, v),
        Value::Integer(v) => (message.type_, message.integer_value) = (2, v),
        Value::Double(v) => (message.type_, message.double_value) = (3, v),
        Value::Text(v) => (message.type_, message.string_value) = (4, v),
        Value::Doubles(v) => (message.type_, message.double_array_value) = (8, v),
        Value::Texts(v) => (message.type_, message.string_array_value) = (9, v),
    }
    message
}
