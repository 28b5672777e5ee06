//! Consumers, and who asks where to go.

use freshet_types::{Offset, TopicPartition};

use super::replica::Stand;
use crate::disk::{index, offset};
use crate::invariants::Asked;
use crate::message::{Message, Read, Refusal, Row};
use crate::network::Host;
use crate::rules::Duty;
use crate::world::{World, host_of};

/// Rows of one answer.
const ROWS: usize = 20;

impl World {
    pub(crate) fn read(&mut self, host: Host, from: Host, read: Read) {
        let id = read.id;
        let outcome = match self.lie_to_reader(read.from) {
            Some(lie) => Err(lie),
            None => self.look(host, read),
        };
        if let Err(refusal) = outcome {
            let Read { epoch, from, .. } = read;
            self.judge_refusal(host, read.at, Asked::Read { epoch, from }, refusal);
        }
        if let Ok((rows, _)) = &outcome {
            self.shown(host, read.at, read.from, &rows.clone());
        }
        self.send(host, from, Message::ReadDone { id, outcome });
    }

    fn look(&mut self, host: Host, read: Read) -> Result<(Vec<Row>, Offset), Refusal> {
        let Read {
            at, from: start, ..
        } = read;
        let settled = self.has(Duty::SettledEnds);
        let committed_only = self.has(Duty::ReadCommitted);
        if self.nodes[host].disk.has_failed {
            return Err(Refusal::Failed);
        }
        let replica = self.replica(host, at).ok_or(Refusal::NotLeader)?;
        // KIP-320: who knows another epoch is told so.
        if read.epoch >= 0 && read.epoch != replica.epoch {
            return Err(match read.epoch < replica.epoch {
                true => Refusal::FencedEpoch,
                false => Refusal::UnknownEpoch,
            });
        }
        let committed = replica.committed;
        if read.end_only {
            return match &replica.stand {
                Stand::Leads { start, .. } if committed >= *start || !settled => {
                    Ok((Vec::new(), committed))
                }
                Stand::Leads { .. } => Err(Refusal::NotAvailable),
                _ => Err(Refusal::NotLeader),
            };
        }
        if matches!(replica.stand, Stand::Waits) {
            return Err(Refusal::NotLeader);
        }
        let leads = matches!(replica.stand, Stand::Leads { .. });
        let log = self.log(host, at);
        if start > log.end() && leads {
            return Err(Refusal::OutOfRange);
        }
        if index(start) < log.start {
            return Err(Refusal::Deleted(offset(log.start)));
        }
        let rows = &log.rows;
        let end = match committed_only {
            true => committed,
            false => offset(rows.len()),
        };
        let from = index(start.min(end));
        let until = (from + ROWS).min(index(end)).min(rows.len());
        Ok((rows[from.min(until)..until].to_vec(), committed))
    }

    pub(crate) fn who_leads(&mut self, host: Host, (from, id): (Host, u64), at: TopicPartition) {
        let applied = self.process(host).applied;
        let partition = self.agreed.image(applied).partition(at);
        let leader = partition.and_then(|p| Some((host_of(p.leader?), p.leader_epoch)));
        let replicas = partition.map(|p| p.replicas.iter().copied().map(host_of).collect());
        let message = Message::Leads {
            id,
            leader,
            replicas: replicas.unwrap_or_default(),
        };
        self.send(host, from, message);
    }
}
