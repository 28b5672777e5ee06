//! The door to a real cluster.

use std::collections::HashMap;
use std::sync::Arc;

use freshet_client::{
    Admin, ClientError, ConfigChange, CreatedTopic, ErrorCode, NewTopic, Outcomes, Survey,
    TopicView,
};
use futures_util::FutureExt;

use super::seen::asks_for_moves;
use super::{Answers, Brokers, Seen};
use crate::clusters::Way;
use crate::context::Context;

/// The brokers of one cluster, by one way in.
pub(crate) struct Real {
    context: Arc<Context>,
    way: Way,
}

impl Real {
    pub(super) fn new(context: Arc<Context>, way: Way) -> Self {
        Self { context, way }
    }

    async fn client(&self) -> Result<freshet_client::Client, ClientError> {
        self.context.clusters.client(&self.way).await
    }

    async fn admin(&self) -> Result<Admin, ClientError> {
        Ok(self.client().await?.admin())
    }
}

impl Brokers for Real {
    fn look<'a>(&'a self, topics: &'a [(String, Option<i32>)]) -> Answers<'a, Option<Seen>> {
        async move { look(&self.admin().await?, topics).await }.boxed()
    }

    fn create<'a>(&'a self, topics: &'a [(String, NewTopic)]) -> Answers<'a, CreatedTopic> {
        let topics: Vec<_> = topics.iter().map(|(_, topic)| topic.clone()).collect();
        async move { self.admin().await?.create_topics(&topics, false).await }.boxed()
    }

    fn configure<'a>(&'a self, topics: &'a [(String, Vec<ConfigChange>)]) -> Answers<'a, ()> {
        async move { self.admin().await?.alter_topic_configs(topics).await }.boxed()
    }

    fn widen<'a>(&'a self, topics: &'a [(String, i32)]) -> Answers<'a, ()> {
        let counts = topics.iter().cloned().collect();
        async move { self.admin().await?.widen_topics(&counts).await }.boxed()
    }

    fn replicate<'a>(&'a self, topics: &'a [(String, i32)]) -> Answers<'a, i32> {
        async move {
            let client = self.client().await?;
            let survey = Survey::take(&client).await?;
            replicate(&client.admin(), &survey, topics).await
        }
        .boxed()
    }

    fn delete<'a>(&'a self, topics: &'a [(String, ())]) -> Answers<'a, ()> {
        let names: Vec<_> = topics.iter().map(|(name, ())| name.clone()).collect();
        async move { self.admin().await?.delete_topics(&names).await }.boxed()
    }

    fn rest(&self) {
        self.context.clusters.forget(&self.way);
    }
}

async fn look(
    admin: &Admin,
    topics: &[(String, Option<i32>)],
) -> Result<Outcomes<String, Option<Seen>>, ClientError> {
    let names: Vec<_> = topics.iter().map(|(name, _)| name.clone()).collect();
    let mut views = HashMap::new();
    let mut outcomes = Vec::with_capacity(names.len());
    for (name, told) in admin.describe_topics(&names).await? {
        match told {
            Ok(Some(view)) => drop(views.insert(name, view)),
            Ok(None) => outcomes.push((name, Ok(None))),
            Err(error) => outcomes.push((name, Err(error))),
        }
    }
    if views.is_empty() {
        return Ok(outcomes);
    }
    let there: Vec<_> = views.keys().cloned().collect();
    let settings = admin.describe_topic_configs(&there).await?;
    let moves = moves(admin, topics, &views).await?;
    for (name, told) in settings {
        let Some(view) = views.remove(&name) else {
            continue;
        };
        let seen = match told {
            Ok(settings) => Ok(Some(Seen::new(&name, &view, settings, &moves))),
            // It went away in between.
            Err(e) if e.code() == Some(ErrorCode::UnknownTopicOrPartition) => Ok(None),
            Err(error) => Err(error),
        };
        outcomes.push((name, seen));
    }
    Ok(outcomes)
}

async fn moves(
    admin: &Admin,
    topics: &[(String, Option<i32>)],
    views: &HashMap<String, TopicView>,
) -> Result<HashMap<freshet_client::TopicPartition, freshet_client::OngoingMove>, ClientError> {
    let asks = |(name, wanted): &(String, Option<i32>)| {
        let view = views.get(name);
        view.is_some_and(|view| asks_for_moves(view, *wanted))
    };
    if !topics.iter().any(asks) {
        return Ok(HashMap::new());
    }
    let moves = admin.list_reassignments().await?.into_iter();
    Ok(moves.map(|m| (m.partition.clone(), m)).collect())
}

async fn replicate(
    admin: &Admin,
    survey: &Survey,
    topics: &[(String, i32)],
) -> Result<Outcomes<String, i32>, ClientError> {
    let mut placement = survey.placement(None);
    let mut begun: HashMap<String, Result<i32, ClientError>> = HashMap::new();
    let mut changes = Vec::new();
    for (topic, copies) in topics {
        let wanted = usize::try_from(*copies).unwrap_or(1);
        let planned = survey.change_copies(&mut placement, topic, wanted);
        let outcome = match planned {
            Ok(moves) => {
                changes.extend(moves);
                Ok(0)
            }
            // As brokers say it when they create a topic.
            Err(why) => Err(ClientError::Refused {
                what: format!("the copies of topic {topic:?} were not changed"),
                code: ErrorCode::InvalidReplicationFactor,
                message: Some(why.to_string()),
            }),
        };
        begun.insert(topic.clone(), outcome);
    }
    if !changes.is_empty() {
        for ((topic, _), outcome) in admin.reassign(&changes).await? {
            let so_far = begun.entry(topic).or_insert(Ok(0));
            match (outcome, so_far) {
                (Ok(()), Ok(count)) => *count += 1,
                (Err(error), so_far @ Ok(_)) => *so_far = Err(error),
                (_, Err(_)) => {}
            }
        }
    }
    Ok(begun.into_iter().collect())
}
