//! `Cluster`: pools of pods that are brokers and controllers.
//!
//! A look at a cluster, from its name alone:
//!
//! 1. [`fetch`]: everything there is, anew.
//! 2. [`validate`]: the spec, or sentences that say what is wrong with it. Nobody reads it afterwards.
//! 3. [`plan`]: numbers of brokers, voters, who leaves.
//! 4. [`shift`]: brokers that leave are emptied; settings that need no restart are set.
//! 5. [`build`], [`apply`]: the objects; what differs is written.
//! 6. [`shift`] again: a volume whose node is gone is replaced, if others have all of it; the next vote is given or taken, if the quorum is to change; the next pod is
//!    restarted, if one is old and the brokers let it go; new brokers get their share; the level of the
//!    metadata is set, when all brokers can work with it.
//! 7. [`status`].
//!
//! Nothing is remembered from one look to the next.

mod apply;
mod brokers;
mod build;
mod door;
mod fetch;
mod names;
mod plan;
#[cfg(test)]
mod samples;
mod shift;
mod status;
mod validate;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use freshet_api::{Cluster, ConditionType};
use freshet_client::QuorumDescription;
use futures_util::StreamExt;
use futures_util::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, Service};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Api, Resource, ResourceExt};

use self::door::Brokers;
pub(crate) use self::door::Door;
use self::fetch::{Kind, Observed};
use self::names::{CLUSTER, LIVE};
use self::plan::Plan;
use self::shift::Seated;
use self::status::Found;
use self::validate::{Defaults, Wanted, validate};
use crate::conditions::holds;
use crate::context::{Context, Word};
use crate::controllers::{RESYNC, Steady, again, api, reconcile};
use crate::failure::Failure;

/// Clusters that are looked at at the same time.
const AT_ONCE: u16 = 8;
/// What happens shortly after one another is one look.
const TOGETHER: Duration = Duration::from_millis(200);
/// How often it is counted who is ready.
const COUNT: Duration = Duration::from_secs(10);
/// While something is under way that nobody tells of.
const SOON: Duration = Duration::from_secs(2);
/// While a node is gone that may come back.
const LATER: Duration = Duration::from_secs(15);

/// Looks after the Clusters of these namespaces (`None` is all), until nothing is watched any more.
pub(crate) async fn run(context: &Arc<Context>, namespaces: &[Option<String>]) {
    let (stores, works): (Vec<_>, Vec<_>) = namespaces
        .iter()
        .map(|namespace| watch(context, namespace.as_deref()))
        .unzip();
    tokio::select! {
        _ = join_all(works) => {}
        () = count(context, &stores) => {}
    }
}

/// Counts those that are ready, and those that are not.
async fn count(context: &Context, stores: &[Store<DeserializeGuard<Cluster>>]) {
    loop {
        let all = stores.iter().flat_map(Store::state);
        let (ready, other): (Vec<_>, Vec<_>) = all.partition(|guard| is_ready(guard));
        context
            .metrics
            .resources("Cluster", ready.len(), other.len());
        tokio::time::sleep(COUNT).await;
    }
}

fn is_ready(guard: &DeserializeGuard<Cluster>) -> bool {
    let status = guard
        .0
        .as_ref()
        .ok()
        .and_then(|cluster| cluster.status.as_ref());
    let conditions = status.map(|status| status.conditions.as_slice());
    holds(conditions.unwrap_or_default(), ConditionType::Ready)
}

/// What is watched in one namespace, or in all.
fn watch(
    context: &Arc<Context>,
    namespace: Option<&str>,
) -> (Store<DeserializeGuard<Cluster>>, impl Future<Output = ()>) {
    let clusters: Api<DeserializeGuard<Cluster>> = api(&context.client, namespace);
    let ours = watcher::Config::default().labels(CLUSTER).page_size(500);
    let client = &context.client;
    let controller = Controller::new(clusters, watcher::Config::default())
        .with_config(Config::default().concurrency(AT_ONCE).debounce(TOGETHER))
        .trigger_backoff(Steady)
        .watches(api::<StatefulSet>(client, namespace), ours.clone(), |set| {
            owner(&set)
        })
        .watches(api::<Service>(client, namespace), ours.clone(), |service| {
            owner(&service)
        })
        .watches(
            api::<PersistentVolumeClaim>(client, namespace),
            ours.clone(),
            |claim| owner(&claim),
        )
        .watches(api::<Pod>(client, namespace), ours, |pod| owner(&pod));
    let store = controller.store();
    let work = controller
        .run(
            |guard, context| async move { reconcile(&context, &guard, look).await },
            again,
            Arc::clone(context),
        )
        .for_each(|_| std::future::ready(()));
    (store, work)
}

/// The cluster that an object belongs to.
fn owner<K: Resource>(object: &K) -> Option<ObjectRef<DeserializeGuard<Cluster>>> {
    let name = object.labels().get(CLUSTER)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

/// One look.
async fn look(context: Arc<Context>, cluster: Cluster) -> Result<Action, Failure> {
    let defaults = Defaults {
        image: &context.broker_image,
        domain: &context.domain,
        operator_namespace: &context.own_namespace,
    };
    if cluster.metadata.deletion_timestamp.is_some() {
        // What belongs to it goes with it. Volumes stay or go as they were told to.
        return Ok(Action::await_change());
    }
    let mut found = Found::default();
    let wanted = match validate(&cluster, &defaults) {
        Ok(wanted) => wanted,
        Err(refused) => {
            found.refused = refused.0;
            return end(&context, &cluster, None, &Observed::default(), &found).await;
        }
    };
    let observed = Observed::fetch(&context.client, &wanted.names).await?;
    match Plan::of(&wanted, &observed, None, &BTreeSet::new()) {
        Ok(plan) => {
            found.idle = shift::idle(&context, &plan, &observed).await;
            found.plan = Some(plan);
        }
        Err(why) => found.impossible = Some((why.reason, why.message)),
    }
    if !cluster.spec.paused
        && let Some(plan) = found.plan.take()
    {
        found.plan = Some(carry_out(&context, &wanted, plan, &observed, &mut found).await?);
    }
    tell(&context, &cluster, &found).await;
    end(&context, &cluster, Some(&wanted), &observed, &found).await
}

/// Tells people what was done.
async fn tell(context: &Context, cluster: &Cluster, found: &Found) {
    let seated = found.seated.changed.clone();
    let seated = seated.map(|(reason, sentence)| (reason, "ChangeQuorum", sentence));
    let levelled = found.levelled.changed.clone();
    let levelled = levelled.map(|note| ("MetadataVersionChanged", "UpdateFeatures", note));
    let changed = [seated, levelled].into_iter().flatten();
    let changed = changed.map(|(reason, action, note)| Word {
        warning: false,
        reason,
        action,
        note,
    });
    let words = found.rolled.word().into_iter().chain(found.filled.words());
    let lost = found.lost.words(&warned(cluster));
    for word in words.chain(changed).chain(lost) {
        context.tell(cluster, word).await;
    }
}

/// What the condition `Warning` says.
fn warned(cluster: &Cluster) -> String {
    let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
    let mut warnings = conditions.filter(|c| c.type_ == ConditionType::Warning.name());
    warnings
        .next()
        .map(|c| c.message.clone())
        .unwrap_or_default()
}

/// Everything that changes something.
async fn carry_out(
    context: &Context,
    wanted: &Wanted,
    mut plan: Plan,
    observed: &Observed,
    found: &mut Found,
) -> Result<Plan, Failure> {
    let client = reach(context, wanted, observed, found).await;
    let client = client.as_deref();
    let quorum = match client {
        Some(client) => shift::describe(client).await,
        None => None,
    };
    let voters = quorum.as_ref().map(shift::voters);
    let replan = |empty: &BTreeSet<i32>| Plan::of(wanted, observed, voters.as_ref(), empty);
    plan = replan(&BTreeSet::new()).unwrap_or(plan);
    let leaving: Vec<_> = plan.leaving().cloned().collect();
    if let Some(client) = client.filter(|_| !leaving.is_empty()) {
        found.drained = shift::drain(context, client, wanted, &leaving, observed).await?;
        plan = replan(&found.drained.empty).unwrap_or(plan);
    }
    let set = set_live(client, wanted, observed).await?;
    let given = build::given(wanted, observed);
    let mut objects = build::objects(wanted, &plan, &given, &set);
    found.lacking = match build::lacking(wanted, &plan, &given) {
        Some(why) => Some(("AddressesComing", why)),
        None => lacking_secret(context, wanted).await?,
    };
    if found.lacking.is_some() {
        objects.retain(|object| !matches!(object.kind, Kind::ConfigMap | Kind::StatefulSet));
        found.note(apply::apply(context, wanted, &objects, observed).await?);
        return Ok(plan);
    }
    found.note(apply::apply(context, wanted, &objects, observed).await?);
    let occupied = |kind, name: &str| {
        matches!(kind, Kind::StatefulSet | Kind::ConfigMap) && is_occupied(wanted, &plan, name)
    };
    found.written += apply::sweep(context, wanted, &objects, observed, occupied).await?;
    found.written += shift::volumes(context, wanted, &plan, observed, client.is_some()).await?;
    if wanted.monitoring.as_ref().is_some_and(|m| m.pod_monitor) && !observed.knows_pod_monitors {
        found.warnings.push(
            "there are no PodMonitors here: the Prometheus operator is not installed".to_owned(),
        );
    }
    if let Some(client) = client {
        found.ending = shift::settle(context, client, wanted, &plan, observed).await?;
    }
    let scene = shift::Scene {
        wanted,
        plan: &plan,
        observed,
        client,
        rolled: None,
    };
    one_by_one(context, &scene, quorum.as_ref(), found).await?;
    afterwards(context, scene, found).await?;
    Ok(plan)
}

/// What changes one broker after the other. What was written at this look is seen at the next one.
async fn one_by_one(
    context: &Context,
    scene: &shift::Scene<'_>,
    quorum: Option<&QuorumDescription>,
    found: &mut Found,
) -> Result<(), Failure> {
    if found.written > 0 {
        return Ok(());
    }
    found.lost = shift::lost(context, scene, quorum).await?;
    found.warnings.extend(found.lost.stays.values().cloned());
    if found.lost.replaced.is_some() {
        return Ok(());
    }
    let (wanted, plan, observed) = (scene.wanted, scene.plan, scene.observed);
    if let (Some(client), Some(quorum)) = (scene.client, quorum) {
        let around = (observed, &found.drained.empty);
        found.seated = shift::seat(client, wanted, plan, quorum, around).await;
    }
    // A restart is asked of the quorum as it is.
    if found.seated.changed.is_none() {
        let leaving: BTreeSet<_> = plan.leaving().map(|node| node.id).collect();
        let mut moved = shift::moved(scene.client, wanted, plan, observed).await;
        moved.retain(|id| !leaving.contains(id));
        let told = shift::Told {
            moved: &moved,
            roles: &shift::roles(quorum, plan),
            idle: &found.idle,
        };
        found.rolled = shift::roll(context, wanted, plan, observed, &told).await?;
    }
    Ok(())
}

/// What is for calm times.
async fn afterwards(
    context: &Context,
    scene: shift::Scene<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    let is_seen =
        found.written == 0 && found.seated.changed.is_none() && found.lost.replaced.is_none();
    let rolled = Some(&found.rolled).filter(|_| is_seen);
    let scene = shift::Scene { rolled, ..scene };
    found.filled = shift::fill(context, &scene).await?;
    let (wanted, plan, observed) = (scene.wanted, scene.plan, scene.observed);
    if let Some(client) = scene.client {
        let is_calm = is_seen && found.rolled.left == 0;
        found.levelled = shift::level(client, wanted, plan, observed, is_calm).await;
    }
    Ok(())
}

/// Without its Secret no pod could start: none is restarted before it is there.
async fn lacking_secret(
    context: &Context,
    wanted: &Wanted,
) -> Result<Option<(&'static str, String)>, Failure> {
    let Some(name) = wanted.credentials() else {
        return Ok(None);
    };
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &wanted.names.namespace);
    let found = secrets.get_metadata_opt(name).await;
    let what = format!("Secret {name} cannot be looked for");
    let found = match found {
        // Who may not look takes it to be there: a pod without it waits for it.
        Err(kube::Error::Api(status)) if status.is_forbidden() => return Ok(None),
        found => found.map_err(Failure::kubernetes(what))?,
    };
    let why = || format!("there is no Secret {name}, which spec.tiering.credentials names");
    Ok(found.is_none().then(|| ("SecretMissing", why())))
}

/// Sets what needs no restart; gives the names of all that is set by us now.
async fn set_live(
    client: Option<&dyn Brokers>,
    wanted: &Wanted,
    observed: &Observed,
) -> Result<BTreeSet<String>, Failure> {
    let before = live_before(wanted, observed);
    let mut set: BTreeSet<String> = wanted.live.keys().map(ToString::to_string).collect();
    let Some(client) = client else {
        // What is to fall back to its default is not forgotten before it has.
        set.extend(before);
        return Ok(set);
    };
    let changed = shift::live(client, wanted, &before).await?;
    if !changed.is_empty() {
        tracing::info!(cluster = wanted.names.cluster, settings = ?changed, "set without a restart");
    }
    Ok(set)
}

/// Whether a pool that the spec has no more has brokers that are not empty.
fn is_occupied(wanted: &Wanted, plan: &Plan, name: &str) -> bool {
    let mut pools = plan.pools.iter();
    pools.any(|pool| wanted.names.pool(&pool.name) == name && pool.replicas > 0)
}

/// The brokers of the cluster, once one of them serves.
async fn reach(
    context: &Context,
    wanted: &Wanted,
    observed: &Observed,
    found: &mut Found,
) -> Option<Arc<dyn Brokers>> {
    if !observed.pods.iter().any(status::is_ready) {
        // Whoever comes back has other addresses, and may be another cluster.
        context.door.forget(&[wanted.names.replication()]);
        found.unreachable = Some("no broker serves".to_owned());
        return None;
    }
    match context.door.reach(&[wanted.names.replication()]).await {
        Ok(client) => Some(client),
        Err(error) => {
            found.unreachable = Some(format!("the brokers cannot be asked: {error}"));
            None
        }
    }
}

/// The settings that were set by us before, as they are noted on the cluster's first Service.
fn live_before(wanted: &Wanted, observed: &Observed) -> BTreeSet<String> {
    let service = observed.object(Kind::Service, &wanted.names.headless());
    let noted = service.and_then(|service| service["metadata"]["annotations"][LIVE].as_str());
    let names = noted
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Tells what was found, and says when to look again.
async fn end(
    context: &Context,
    cluster: &Cluster,
    wanted: Option<&Wanted>,
    observed: &Observed,
    found: &Found,
) -> Result<Action, Failure> {
    let status = status::status(cluster, wanted, observed, found, context.now());
    let said = |conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
                kind: ConditionType| {
        conditions.iter().find(|c| c.type_ == kind.name()).cloned()
    };
    let valid = said(&status.conditions, ConditionType::Valid);
    let before = cluster
        .status
        .as_ref()
        .and_then(|s| said(&s.conditions, ConditionType::Valid));
    let new = valid.as_ref().map(|c| &c.message) != before.as_ref().map(|c| &c.message);
    if let Some(valid) = valid.filter(|valid| new && valid.status == "False") {
        let word = Word {
            warning: true,
            reason: "NotCarriedOut",
            action: "Validate",
            note: valid.message,
        };
        context.tell(cluster, word).await;
    }
    status::write(context, cluster, &status).await?;
    let waits = found.lacking.is_some()
        || found.rolled.left > 0
        || found.drained.left > 0
        || found.ending > 0
        || !found.filled.brokers.is_empty()
        || found.seated != Seated::default()
        || found.levelled.waits_for.is_some()
        || found.written > 0
        || found.lost.replaced.is_some()
        || found.unreachable.is_some();
    Ok(Action::requeue(match waits {
        true => SOON,
        false if !found.lost.stays.is_empty() => LATER,
        false => RESYNC,
    }))
}

#[cfg(test)]
mod tests;
