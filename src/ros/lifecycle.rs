//! The states of a managed node (design.ros2.org, "Managed nodes"), with the numbers and labels of rcl_lifecycle.

use super::lock;
use super::outputs::Output;
use super::state::TimeNs;
use r2r::lifecycle_msgs::msg;
use std::sync::Mutex;

/// `lifecycle_msgs/msg/State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    Unknown = 0,
    Unconfigured = 1,
    Inactive = 2,
    Active = 3,
    Finalized = 4,
    Configuring = 10,
    CleaningUp = 11,
    ShuttingDown = 12,
    Activating = 13,
    Deactivating = 14,
    ErrorProcessing = 15,
}

impl State {
    pub const ALL: [State; 11] = [
        State::Unknown,
        State::Unconfigured,
        State::Inactive,
        State::Active,
        State::Finalized,
        State::Configuring,
        State::CleaningUp,
        State::ShuttingDown,
        State::Activating,
        State::Deactivating,
        State::ErrorProcessing,
    ];

    pub fn label(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Unconfigured => "unconfigured",
            State::Inactive => "inactive",
            State::Active => "active",
            State::Finalized => "finalized",
            State::Configuring => "configuring",
            State::CleaningUp => "cleaningup",
            State::ShuttingDown => "shuttingdown",
            State::Activating => "activating",
            State::Deactivating => "deactivating",
            State::ErrorProcessing => "errorprocessing",
        }
    }

    /// Whether the node stays in the state until somebody asks for another.
    pub fn is_primary(self) -> bool {
        (self as u8) < State::Configuring as u8
    }

    pub fn to_message(self) -> msg::State {
        msg::State {
            id: self as u8,
            label: self.label().to_owned(),
        }
    }
}

/// One step between two states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// `lifecycle_msgs/msg/Transition`
    pub id: u8,
    pub label: &'static str,
    pub from: State,
    pub to: State,
}

const fn step(id: u8, label: &'static str, from: State, to: State) -> Transition {
    Transition {
        id,
        label,
        from,
        to,
    }
}

/// Every step, as rcl_lifecycle has them: those that can be asked for, and how each ends.
pub const TRANSITIONS: [Transition; 25] = {
    use State::*;
    [
        step(1, "configure", Unconfigured, Configuring),
        step(10, SUCCESS, Configuring, Inactive),
        step(11, FAILURE, Configuring, Unconfigured),
        step(12, ERROR, Configuring, ErrorProcessing),
        step(2, "cleanup", Inactive, CleaningUp),
        step(20, SUCCESS, CleaningUp, Unconfigured),
        step(21, FAILURE, CleaningUp, Inactive),
        step(22, ERROR, CleaningUp, ErrorProcessing),
        step(3, "activate", Inactive, Activating),
        step(30, SUCCESS, Activating, Active),
        step(31, FAILURE, Activating, Inactive),
        step(32, ERROR, Activating, ErrorProcessing),
        step(4, "deactivate", Active, Deactivating),
        step(40, SUCCESS, Deactivating, Inactive),
        step(41, FAILURE, Deactivating, Active),
        step(42, ERROR, Deactivating, ErrorProcessing),
        step(5, "shutdown", Unconfigured, ShuttingDown),
        step(6, "shutdown", Inactive, ShuttingDown),
        step(7, "shutdown", Active, ShuttingDown),
        step(50, SUCCESS, ShuttingDown, Finalized),
        step(51, FAILURE, ShuttingDown, Finalized),
        step(52, ERROR, ShuttingDown, ErrorProcessing),
        step(60, SUCCESS, ErrorProcessing, Unconfigured),
        step(61, FAILURE, ErrorProcessing, Finalized),
        step(62, ERROR, ErrorProcessing, Finalized),
    ]
};
const SUCCESS: &str = "transition_success";
const FAILURE: &str = "transition_failure";
const ERROR: &str = "transition_error";

impl Transition {
    /// The step that is asked for in a state: by label where one is given, else by number. None: not from here.
    pub fn wanted(state: State, id: u8, label: &str) -> Option<Transition> {
        let named = |t: &Transition| match label {
            "" => t.id == id,
            label => t.label == label,
        };
        let mut from_here = Self::from(state);
        state.is_primary().then(|| from_here.find(named))?
    }

    /// Every step out of a state.
    pub fn from(state: State) -> impl Iterator<Item = Transition> {
        TRANSITIONS.into_iter().filter(move |t| t.from == state)
    }

    /// How the step ends when all went well.
    fn success(self) -> Option<Transition> {
        Self::from(self.to).find(|t| t.label == SUCCESS)
    }

    pub fn to_message(self) -> msg::TransitionDescription {
        msg::TransitionDescription {
            transition: msg::Transition {
                id: self.id,
                label: self.label.to_owned(),
            },
            start_state: self.from.to_message(),
            goal_state: self.to.to_message(),
        }
    }
}

/// The present state; every change is published.
pub struct Lifecycle {
    state: Mutex<State>,
    events: Output<msg::TransitionEvent>,
}

impl Lifecycle {
    pub fn new(events: Output<msg::TransitionEvent>) -> Self {
        Self {
            state: Mutex::new(State::Unconfigured),
            events,
        }
    }

    pub fn state(&self) -> State {
        *lock(&self.state)
    }

    pub fn is_active(&self) -> bool {
        self.state() == State::Active
    }

    /// Begins a step.
    pub fn begin(&self, transition: Transition, now: TimeNs) {
        self.enter(transition, now);
    }

    /// Ends the step that was begun; no step of this node can fail.
    pub fn complete(&self, transition: Transition, now: TimeNs) {
        if let Some(success) = transition.success() {
            self.enter(success, now);
        }
    }

    fn enter(&self, transition: Transition, now: TimeNs) {
        *lock(&self.state) = transition.to;
        let description = transition.to_message();
        self.events.publish(&msg::TransitionEvent {
            timestamp: now.max(0) as u64,
            transition: description.transition,
            start_state: description.start_state,
            goal_state: description.goal_state,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_by_number_and_by_label_from_primary_states_only() {
        let id = |state, id, label| Transition::wanted(state, id, label).map(|t| t.id);
        assert_eq!(id(State::Unconfigured, 1, ""), Some(1));
        assert_eq!(id(State::Active, 0, "shutdown"), Some(7));
        assert_eq!(
            id(State::Inactive, 3, "cleanup"),
            Some(2),
            "the label counts"
        );
        assert_eq!(id(State::Active, 3, ""), None);
        assert_eq!(id(State::Active, 5, ""), None, "another state's shutdown");
        assert_eq!(id(State::Deactivating, 40, ""), None);
        assert_eq!(id(State::Finalized, 1, ""), None);
    }

    #[test]
    fn every_step_that_can_be_asked_for_succeeds_into_a_primary_state() {
        let ends = [
            (1, State::Inactive),
            (2, State::Unconfigured),
            (3, State::Active),
            (4, State::Inactive),
            (5, State::Finalized),
            (6, State::Finalized),
            (7, State::Finalized),
        ];
        for (id, end) in ends {
            let transition = TRANSITIONS.iter().find(|t| t.id == id).unwrap();
            assert_eq!(transition.success().unwrap().to, end);
        }
    }
}
