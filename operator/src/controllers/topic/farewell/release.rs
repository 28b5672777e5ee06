//! Lets go of all Topics at once, for an operator that goes itself: nobody would let them go afterwards, and
//! their namespaces could not be deleted.

use std::time::Duration;

use anyhow::{Context, Result};
use freshet_api::Topic;
use kube::api::{ListParams, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt};

use super::super::write::{FINALIZER, finalizers, replaced};
use crate::controllers;

/// Topics in one answer.
const PAGE: u32 = 500;
/// The operator may be ending still, and hold one more: only when nothing is held for this long is it over.
const QUIET: Duration = Duration::from_secs(3);
/// How long it is tried.
const PATIENCE: Duration = Duration::from_secs(100);

/// Takes our finalizer from all Topics of these namespaces (`None` is all), and says from how many. Objects
/// and topics stay.
pub(crate) async fn release(client: &Client, namespaces: &[Option<String>]) -> Result<usize> {
    let mut released = 0;
    let work = async {
        let mut was_quiet = false;
        loop {
            let mut held = 0;
            for namespace in namespaces {
                held += pass(client, namespace.as_deref()).await?;
            }
            if held == 0 && was_quiet {
                return Ok(released);
            }
            was_quiet = held == 0;
            released += held;
            tokio::time::sleep(QUIET).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, work).await;
    ended.context("somebody holds Topics again and again: is the operator at work still?")?
}

/// How many were held.
async fn pass(client: &Client, namespace: Option<&str>) -> Result<usize> {
    let mut page = ListParams::default().limit(PAGE);
    let mut held = 0;
    loop {
        let topics: Api<Topic> = controllers::api(client, namespace);
        let listed = match topics.list_metadata(&page).await {
            // The definitions are gone, and all objects with them.
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(held),
            listed => listed.context("Topics cannot be listed")?,
        };
        page.continue_token = listed.metadata.continue_.filter(|token| !token.is_empty());
        for topic in listed.items {
            held += usize::from(let_go(client, &topic).await?);
        }
        if page.continue_token.is_none() {
            return Ok(held);
        }
    }
}

/// Whether it was held. One that somebody else changes at the same time is seen again at the next pass.
async fn let_go(client: &Client, topic: &PartialObjectMeta<Topic>) -> Result<bool> {
    let Some(finalizers) = finalizers(topic, false) else {
        return Ok(false);
    };
    let patch = replaced(topic, &finalizers);
    let name = topic.name_any();
    let api: Api<Topic> = controllers::api(client, topic.namespace().as_deref());
    match api
        .patch_metadata(&name, &PatchParams::default(), &patch)
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(true),
        Err(error) => {
            Err(error).with_context(|| format!("finalizer {FINALIZER} of Topic {name} stays"))
        }
    }
}
