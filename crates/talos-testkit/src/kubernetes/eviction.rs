//! Evictions: deletions that budgets may refuse.

use serde_json::Value;

use super::api;
use super::failure::Failure;
use super::kind::{Key, Kind};
use super::objects::{budget, pod};
use super::state::State;

/// Evicts the pod called `key`, as the `Eviction` object in `wanted` asks.
pub(super) fn evict(state: &mut State, key: &Key, wanted: &Value, dry: bool) -> Result<(), Failure> {
    let named = &wanted["metadata"]["name"];
    if !named.is_null() && *named != *key.name {
        return Err(Failure::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let object = state
        .store
        .get(key)
        .ok_or_else(|| Failure::not_found(key))?
        .clone();
    let options = &wanted["deleteOptions"];
    let dry = dry || options["dryRun"] == serde_json::json!(["All"]);
    let runs = object["status"]["phase"] == "Running" && !pod::is_terminating(&object);
    if runs {
        within_budget(state, key, &object)?;
    }
    let seconds = options["gracePeriodSeconds"].as_u64();
    api::delete(state, key, seconds, &options["preconditions"], dry)?;
    Ok(())
}

fn within_budget(state: &State, key: &Key, object: &Value) -> Result<(), Failure> {
    let of_namespace = state
        .store
        .of(Kind::Budget)
        .filter(|(budget, _)| budget.namespace == key.namespace);
    let mut covering = of_namespace.filter(|(_, budget)| budget::covers(budget, object));
    let Some((name, found)) = covering.next() else {
        return Ok(());
    };
    if covering.next().is_some() {
        return Err(Failure::several_budgets());
    }
    let Some(standing) = state.standing(name) else {
        return Ok(());
    };
    if !pod::is_ready(object) {
        let enough = standing.healthy >= standing.desired && standing.desired > 0;
        if enough || budget::lets_unhealthy_go(found) {
            return Ok(());
        }
    }
    match standing.allowed() {
        0 => Err(Failure::disruption_budget(
            &name.name,
            standing.desired,
            standing.healthy,
        )),
        _ => Ok(()),
    }
}
