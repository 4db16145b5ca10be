//! What requests do.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::core::Kubernetes;
use super::discovery;
use super::eviction;
use super::failure::Failure;
use super::json::text;
use super::kind::{Key, Kind};
use super::list;
use super::patch;
use super::query::Query;
use super::route::{ObjectPath, Target};
use super::shape;
use super::state::State;
use super::watch::Watch;
use crate::node::power::Timings;

/// A request that is understood and allowed.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    pub(super) query: &'a Query,
    pub(super) content_type: &'a str,
    pub(super) body: &'a Bytes,
}

/// What is answered.
#[derive(Debug)]
pub(super) enum Reply {
    Object(StatusCode, Value),
    Text(&'static str),
    Watch(Watch),
}

impl Reply {
    pub(super) const fn ok(object: Value) -> Self {
        Self::Object(StatusCode::OK, object)
    }
}

/// Does what a request asks for.
pub(super) fn answer(
    kubernetes: &Kubernetes,
    target: &Target,
    request: &Request<'_>,
) -> Result<Reply, Failure> {
    let path = match target {
        Target::Health => return Ok(Reply::Text("ok")),
        Target::Version => return Ok(Reply::ok(discovery::version())),
        Target::Discovery(document) => return Ok(Reply::ok(discovery::document(*document))),
        Target::Unknown(_) => return Err(Failure::no_such_path()),
        Target::Object(path) => path,
    };
    let verbs = path.kind.names().verbs;
    let allowed = |verb| match verbs.contains(&verb) {
        true => Ok(()),
        false => Err(Failure::method_not_allowed()),
    };
    if request.method == Method::GET && request.query.is_set("watch") && path.subresource.is_none() {
        return Watch::begin(kubernetes, path, request.query).map(Reply::Watch);
    }
    let Some(key) = path.key() else {
        return match *request.method {
            Method::GET => list::list(kubernetes, path, request.query).map(Reply::ok),
            Method::POST => {
                allowed("create")?;
                create(kubernetes, path, request)
            }
            _ => Err(Failure::method_not_allowed()),
        };
    };
    match (path.subresource.as_deref(), request.method) {
        (None | Some("status"), &Method::GET) => {
            let state = kubernetes.look();
            let object = state.store.get(&key).ok_or_else(|| Failure::not_found(&key))?;
            Ok(Reply::ok(Value::clone(object)))
        }
        (None | Some("status"), &Method::PATCH) => {
            allowed("patch")?;
            change(kubernetes, path, &key, request, |object| {
                patch::apply(request.content_type, request.body, object)
            })
        }
        (None | Some("status"), &Method::PUT) => {
            allowed("update")?;
            let new = read(request.body)?;
            change(kubernetes, path, &key, request, |object| {
                *object = new;
                Ok(())
            })
        }
        (None, &Method::DELETE) => {
            allowed("delete")?;
            let options = read_or_nothing(request.body)?;
            let preconditions = options["preconditions"].clone();
            let seconds = match options["gracePeriodSeconds"].as_u64() {
                None => request.query.number("gracePeriodSeconds")?,
                seconds => seconds,
            };
            let dry = request.query.is_dry_run() || options["dryRun"] == json!(["All"]);
            kubernetes
                .change(|state| delete(state, &key, seconds, &preconditions, dry))
                .map(Reply::ok)
        }
        (Some("eviction"), &Method::POST) if key.kind == Kind::Pod => {
            let wanted = read(request.body)?;
            let done =
                kubernetes.change(|state| eviction::evict(state, &key, &wanted, request.query.is_dry_run()));
            done.map(|()| {
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
                });
                Reply::Object(StatusCode::CREATED, status)
            })
        }
        (None | Some("status"), _) => Err(Failure::method_not_allowed()),
        (Some("eviction"), _) if key.kind == Kind::Pod => Err(Failure::method_not_allowed()),
        _ => Err(Failure::no_such_path()),
    }
}

/// Reads an object in JSON.
fn read(body: &[u8]) -> Result<Value, Failure> {
    if body.starts_with(b"k8s\0") {
        return Err(Failure::unsupported_media("application/json"));
    }
    let object: Value = serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("error decoding the body: {error}")))?;
    if object.is_object() {
        Ok(object)
    } else {
        Err(Failure::bad_request("the body is no object"))
    }
}

fn read_or_nothing(body: &[u8]) -> Result<Value, Failure> {
    if body.is_empty() {
        Ok(json!({}))
    } else {
        read(body)
    }
}

fn create(kubernetes: &Kubernetes, path: &ObjectPath, request: &Request<'_>) -> Result<Reply, Failure> {
    let object = read(request.body)?;
    let name = text(&object, "/metadata/name").to_owned();
    let key = Key::new(path.kind, path.namespace.clone().unwrap_or_default(), name);
    if key.name.is_empty() {
        return Err(Failure::invalid(
            &key,
            "metadata.name",
            "name or generateName is required",
        ));
    }
    if path.namespace.is_none() {
        return Err(Failure::method_not_allowed());
    }
    shape::check(&key, &object)?;
    let created = kubernetes.change(|state| {
        if state.store.get(&key).is_some() {
            return Err(Failure::already_exists(&key));
        }
        if request.query.is_dry_run() {
            return Ok(object);
        }
        state.ensure_namespace(&key.namespace);
        state.touch();
        let mut object = object;
        object["metadata"]["generation"] = json!(1);
        object["status"] = json!({});
        Ok(Value::clone(&state.store.put(key.clone(), object)))
    });
    created.map(|object| Reply::Object(StatusCode::CREATED, object))
}

/// Changes an object, but for what clients cannot change there.
fn change(
    kubernetes: &Kubernetes,
    path: &ObjectPath,
    key: &Key,
    request: &Request<'_>,
    change: impl FnOnce(&mut Value) -> Result<(), Failure>,
) -> Result<Reply, Failure> {
    let of_status = path.subresource.is_some();
    let changed = kubernetes.change(|state| {
        let before = state
            .store
            .get(key)
            .ok_or_else(|| Failure::not_found(key))?
            .clone();
        let mut after = Value::clone(&before);
        change(&mut after)?;
        shape::check(key, &after)?;
        check(key, &before, &after)?;
        let mut kept = Value::clone(&before);
        if of_status && key.kind == Kind::Pod {
            return Err(Failure::method_not_allowed());
        }
        if of_status {
            kept["status"] = after["status"].take();
        } else {
            for part in ["labels", "annotations", "finalizers", "ownerReferences"] {
                replace(&mut kept["metadata"], part, &mut after["metadata"]);
            }
            replace(&mut kept, "spec", &mut after);
            if key.kind == Kind::Pod && kept["spec"] != before["spec"] {
                return Err(Failure::invalid(
                    key,
                    "spec",
                    "pod updates may not change it here",
                ));
            }
            if kept["spec"] != before["spec"]
                && let Some(generation) = before["metadata"]["generation"].as_u64()
            {
                kept["metadata"]["generation"] = json!(generation + 1);
            }
        }
        if request.query.is_dry_run() {
            return Ok(kept);
        }
        state.touch();
        Ok(Value::clone(&state.store.put(key.clone(), kept)))
    });
    changed.map(Reply::ok)
}

/// Moves a part of one object to another, nothing and empty maps included.
fn replace(kept: &mut Value, part: &str, after: &mut Value) {
    let new = after.get_mut(part).map(Value::take).unwrap_or_default();
    let empty = new.is_null() || new.as_object().is_some_and(serde_json::Map::is_empty);
    if let Value::Object(kept) = kept {
        if empty {
            kept.remove(part);
        } else {
            kept.insert(part.to_owned(), new);
        }
    }
}

/// Refuses what may not change, and changes of an object that has changed meanwhile.
fn check(key: &Key, before: &Value, after: &Value) -> Result<(), Failure> {
    for field in ["name", "namespace", "uid"] {
        let (old, new) = (&before["metadata"][field], &after["metadata"][field]);
        if !new.is_null() && old != new {
            return match field {
                "uid" => Err(Failure::conflict(
                    key,
                    &format!("Precondition failed: UID in precondition: {new}, UID in object meta: {old}"),
                )),
                _ => Err(Failure::invalid(
                    key,
                    &format!("metadata.{field}"),
                    "field is immutable",
                )),
            };
        }
    }
    let version = text(after, "/metadata/resourceVersion");
    if !version.is_empty() && version != text(before, "/metadata/resourceVersion") {
        return Err(Failure::conflict(
            key,
            "the object has been modified; please apply your changes to the latest version and try again",
        ));
    }
    Ok(())
}

/// Deletes an object, a pod in its own time; returns what is left of it.
pub(super) fn delete(
    state: &mut State,
    key: &Key,
    seconds: Option<u64>,
    preconditions: &Value,
    dry: bool,
) -> Result<Value, Failure> {
    let object = state
        .store
        .get(key)
        .ok_or_else(|| Failure::not_found(key))?
        .clone();
    for (field, path) in [
        ("uid", "/metadata/uid"),
        ("resourceVersion", "/metadata/resourceVersion"),
    ] {
        let wanted = text(preconditions, &format!("/{field}"));
        if !wanted.is_empty() && wanted != text(&object, path) {
            return Err(Failure::conflict(
                key,
                &format!("the {field} in the precondition ({wanted}) does not match"),
            ));
        }
    }
    if dry {
        return Ok(Value::clone(&object));
    }
    if key.kind == Kind::Pod {
        let on = state.machine(text(&object, "/spec/nodeName"));
        let grace = on.map_or_else(|| Timings::default().grace, |machine| machine.timings.grace);
        state.terminate(key, seconds, Instant::now(), grace);
    } else {
        state.store.remove(key);
        state.touch();
    }
    let left = state.store.get(key).unwrap_or(&object);
    Ok(Value::clone(left))
}
