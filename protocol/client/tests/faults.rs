//! Producer and consumer against a cluster that breaks connections, moves leaders and refuses.

mod fake;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use fake::{Fake, Faults};
use freshet_client::{
    Client, ClientConfig, ClientError, Consumer, ConsumerConfig, OffsetSpec, Producer,
    ProducerConfig, ProducerRecord, Receipt, Start,
};

const PARTITIONS: i32 = 3;
const RECORDS: usize = 400;

fn config() -> ProducerConfig {
    // A few records to a batch, so that many are under way.
    ProducerConfig {
        batch_bytes: 200,
        linger: Duration::from_millis(1),
        ..Default::default()
    }
}

fn record(i: usize, value: String) -> ProducerRecord {
    ProducerRecord {
        topic: "t".to_owned(),
        partition: Some(i as i32 % PARTITIONS),
        value: Some(Bytes::from(value)),
        ..ProducerRecord::default()
    }
}

async fn send_all(producer: &Producer, value: impl Fn(usize) -> String) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for i in 0..RECORDS {
        receipts.push(
            producer
                .send(record(i, value(i)))
                .await
                .expect("there is room"),
        );
        if i.is_multiple_of(50) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    receipts
}

/// Values of a partition in the order they were sent.
fn expected(partition: i32) -> Vec<String> {
    (0..RECORDS)
        .filter(|i| *i as i32 % PARTITIONS == partition)
        .map(|i| i.to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_neither_lose_nor_duplicate_nor_reorder() {
    for seed in 0..12 {
        let fake = Fake::start(2, PARTITIONS, seed).await;
        fake.state().faults = Faults {
            break_before: 9,
            break_after: 7,
            move_leader: 15,
            refuse: 8,
            forget: 0,
            unknown: None,
        };
        let client = Client::connect(fake.config()).await.expect("it listens");
        let producer = Producer::start(&client, config())
            .await
            .expect("it has a session");
        let receipts = send_all(&producer, |i| i.to_string()).await;
        for (i, receipt) in receipts.into_iter().enumerate() {
            let delivery = receipt.delivered().await;
            let delivery = delivery.unwrap_or_else(|e| panic!("seed {seed}, record {i}: {e}"));
            let values = fake.values(delivery.partition);
            assert_eq!(
                values[delivery.offset as usize],
                i.to_string(),
                "seed {seed}"
            );
        }
        for partition in 0..PARTITIONS {
            assert_eq!(fake.values(partition), expected(partition), "seed {seed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_batch_does_not_take_others_with_it() {
    for seed in 0..12 {
        let fake = Fake::start(2, PARTITIONS, seed).await;
        fake.state().faults = Faults {
            refuse: 8,
            move_leader: 20,
            ..Faults::default()
        };
        let client = Client::connect(fake.config()).await.expect("it listens");
        let producer = Producer::start(&client, config())
            .await
            .expect("it has a session");
        let value = |i: usize| {
            if i.is_multiple_of(37) {
                format!("poison-{i}")
            } else {
                i.to_string()
            }
        };
        let receipts = send_all(&producer, value).await;
        let mut delivered = HashSet::new();
        for (i, receipt) in receipts.into_iter().enumerate() {
            if receipt.delivered().await.is_ok() {
                delivered.insert(i.to_string());
            }
        }
        assert!(
            delivered.len() > RECORDS / 2,
            "seed {seed}: only batches with poison may fail"
        );
        for partition in 0..PARTITIONS {
            let values = fake.values(partition);
            let mut sent = expected(partition);
            sent.retain(|v| delivered.contains(v));
            assert_eq!(
                values, sent,
                "seed {seed}: each once, in order, and nothing else"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_session_is_replaced() {
    let fake = Fake::start(1, PARTITIONS, 3).await;
    fake.state().faults = Faults {
        forget: 20,
        ..Faults::default()
    };
    let client = Client::connect(fake.config()).await.expect("it listens");
    let producer = Producer::start(&client, config())
        .await
        .expect("it has a session");
    let receipts = send_all(&producer, |i| i.to_string()).await;
    let mut failed = 0;
    for receipt in receipts {
        failed += usize::from(receipt.delivered().await.is_err());
    }
    for partition in 0..PARTITIONS {
        let values = fake.values(partition);
        let once: HashSet<_> = values.iter().collect();
        assert_eq!(once.len(), values.len(), "nothing twice");
    }
    let written: usize = (0..PARTITIONS).map(|p| fake.values(p).len()).sum();
    assert!(written + failed >= RECORDS, "what is not there was told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_producer_fails_what_is_left() {
    let fake = Fake::start(1, 1, 1).await;
    let client = Client::connect(fake.config()).await.expect("it listens");
    let slow = ProducerConfig {
        linger: Duration::from_secs(60),
        ..ProducerConfig::default()
    };
    let producer = Producer::start(&client, slow)
        .await
        .expect("it has a session");
    let receipt = producer
        .send(record(0, "late".to_owned()))
        .await
        .expect("there is room");
    drop(producer);
    let outcome = tokio::time::timeout(Duration::from_secs(5), receipt.delivered()).await;
    assert!(matches!(outcome, Ok(Err(ClientError::Closed(_)))));
    assert!(fake.values(0).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_offset_that_nobody_knows_yet_keeps_no_other_from_its_asker() {
    let fake = Fake::start(2, PARTITIONS, 5).await;
    fake.state().faults = Faults {
        unknown: Some(1),
        ..Faults::default()
    };
    let impatient = ClientConfig {
        call_timeout: Duration::from_millis(300),
        ..fake.config()
    };
    let client = Client::connect(impatient).await.expect("it listens");
    let asked = (0..PARTITIONS).map(|p| (("t".to_owned(), p), OffsetSpec::Earliest));
    let asked: Vec<_> = asked.collect();
    let told = client.admin().list_offsets(&asked, false).await;
    let told = told.expect("leaders are known");
    let known = told.iter().map(|(_, offset)| offset.is_ok());
    assert_eq!(known.collect::<Vec<_>>(), [true, false, true]);
    let unknown = told[1].1.as_ref().unwrap_err().to_string();
    let is_its_own = unknown.contains("t-1") && unknown.contains("OFFSET_NOT_AVAILABLE");
    assert!(is_its_own, "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_follows_leaders_and_reads_everything_once() {
    let fake = Fake::start(3, PARTITIONS, 5).await;
    let client = Client::connect(fake.config()).await.expect("it listens");
    let producer = Producer::start(&client, config())
        .await
        .expect("it has a session");
    send_all(&producer, |i| i.to_string()).await;
    producer.flush().await.expect("nothing fails");

    client.topics(&["t".to_owned()]).await.expect("it is there");
    let settings = ConsumerConfig {
        max_wait: Duration::from_millis(5),
        ..Default::default()
    };
    let mut consumer = Consumer::new(&client, settings);
    for partition in 0..PARTITIONS {
        consumer.assign(("t".to_owned(), partition), Start::Earliest);
    }
    let mut read = vec![Vec::new(); PARTITIONS as usize];
    let mut count = 0;
    while count < RECORDS {
        for record in consumer
            .poll(Duration::from_millis(200))
            .await
            .expect("nothing fails")
        {
            let value = record.value.expect("it has one");
            read[record.partition as usize].push(String::from_utf8_lossy(&value).into_owned());
            count += 1;
        }
        for (leader, epoch, _) in fake.state().partitions.values_mut() {
            *leader = (*leader + 1) % 3;
            *epoch += 1;
        }
    }
    for partition in 0..PARTITIONS {
        assert_eq!(read[partition as usize], expected(partition));
    }
    assert!(
        consumer
            .poll(Duration::from_millis(20))
            .await
            .expect("nothing fails")
            .is_empty()
    );
}
