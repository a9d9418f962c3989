//! The five lifecycle services and `~/transition_event`, as a launch file or a lifecycle manager uses them, and what each step
//! does.

use super::active_goal::Interrupt;
use super::lifecycle::{State, Transition};
use super::loading::Loading;
use super::perception::SubscribeError;
use super::pick_server::GoalGate;
use super::services::{respond, service};
use super::shared::Shared;
use super::status::StatusBoard;
use futures::task::{LocalSpawn, LocalSpawnExt};
use futures::StreamExt;
use r2r::lifecycle_msgs::srv::{
    ChangeState, GetAvailableStates, GetAvailableTransitions, GetState,
};
use r2r::{Node, QosProfile};
use std::sync::Arc;

/// What the steps act on.
#[derive(Clone)]
pub struct LifecycleServer {
    pub shared: Arc<Shared>,
    pub status: Arc<StatusBoard>,
    pub gate: Arc<GoalGate>,
    pub loading: Arc<Loading>,
}

impl LifecycleServer {
    /// Creates the services; with `autostart` the node becomes active at once.
    ///
    /// # Errors
    /// [`SubscribeError`]
    pub fn start(
        self,
        node: &mut Node,
        spawner: &impl LocalSpawn,
        autostart: bool,
    ) -> Result<(), SubscribeError> {
        let s = self.shared.clone();
        service::<GetState::Service>(node, spawner, "~/get_state", move |_| GetState::Response {
            current_state: s.lifecycle.state().to_message(),
        })?;
        service::<GetAvailableStates::Service>(node, spawner, "~/get_available_states", |_| {
            GetAvailableStates::Response {
                available_states: State::ALL.map(State::to_message).to_vec(),
            }
        })?;
        let s = self.shared.clone();
        service::<GetAvailableTransitions::Service>(
            node,
            spawner,
            "~/get_available_transitions",
            move |_| transitions(Transition::from(s.lifecycle.state())),
        )?;
        service::<GetAvailableTransitions::Service>(
            node,
            spawner,
            "~/get_transition_graph",
            |_| transitions(super::lifecycle::TRANSITIONS.into_iter()),
        )?;
        let mut requests = node.create_service::<ChangeState::Service>(
            "~/change_state",
            QosProfile::services_default(),
        )?;
        if autostart {
            self.loading.load();
            for label in ["configure", "activate"] {
                let Some(step) = Transition::wanted(self.shared.lifecycle.state(), 0, label) else {
                    continue;
                };
                self.shared.lifecycle.begin(step, self.shared.now());
                self.shared.lifecycle.complete(step, self.shared.now());
            }
        }
        self.status.refresh(&self.shared, self.gate.is_enabled());
        // One task: a step waits for the one before it.
        spawner.spawn_local(async move {
            while let Some(request) = requests.next().await {
                let wanted = &request.message.transition;
                let success = self.change(wanted.id, &wanted.label).await;
                respond(request, ChangeState::Response { success });
            }
        })?;
        Ok(())
    }

    /// Takes a step and waits until it is done; false if it cannot be taken from the present state.
    async fn change(&self, id: u8, label: &str) -> bool {
        let lifecycle = &self.shared.lifecycle;
        let state = lifecycle.state();
        let Some(step) = Transition::wanted(state, id, label) else {
            r2r::log_warn!(
                "planner",
                "no transition {id} '{label}' from state {}",
                state.label()
            );
            return false;
        };
        lifecycle.begin(step, self.shared.now());
        match step.to {
            State::Configuring => self.loading.load(),
            State::CleaningUp => self.loading.forget(),
            State::Deactivating | State::ShuttingDown => {
                self.gate.interrupt_all(Interrupt::Deactivated);
                // The goals end with their arm at rest; only then nothing more is published to the controller.
                self.gate.when_idle().await;
                if state == State::Active && step.to == State::ShuttingDown {
                    self.loading.forget();
                }
            }
            _ => {}
        }
        lifecycle.complete(step, self.shared.now());
        self.status.refresh(&self.shared, self.gate.is_enabled());
        r2r::log_info!("planner", "lifecycle state: {}", lifecycle.state().label());
        true
    }
}

fn transitions(transitions: impl Iterator<Item = Transition>) -> GetAvailableTransitions::Response {
    GetAvailableTransitions::Response {
        available_transitions: transitions.map(Transition::to_message).collect(),
    }
}
