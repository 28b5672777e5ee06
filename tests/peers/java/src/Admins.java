import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.protocol.Errors;

/** Carries out administrative orders, one per input line. */
final class Admins {
    private Admins() {}

    static void run(Map<String, String> options) throws IOException {
        try (Admin admin = Admin.create(Peer.properties(options))) {
            for (String line = Peer.IN.readLine(); line != null; line = Peer.IN.readLine()) {
                ObjectNode reply = Peer.JSON.createObjectNode();
                try {
                    answer(admin, Peer.JSON.readTree(line), reply.putObject("reply"));
                } catch (ExecutionException failure) {
                    reply.removeAll();
                    reply.putObject("error")
                            .put("code", Errors.forException(failure.getCause()).code())
                            .put("text", failure.getCause().toString());
                } catch (InterruptedException stopped) {
                    return;
                }
                Peer.say(reply);
            }
        }
    }

    private static void answer(Admin admin, JsonNode order, ObjectNode reply)
            throws ExecutionException, InterruptedException {
        switch (order.get("op").textValue()) {
            case "list_topics" -> {
                var names = reply.putArray("topics");
                admin.listTopics().names().get().forEach(names::add);
            }
            case "list_groups" -> {
                var names = reply.putArray("groups");
                admin.listGroups().all().get().forEach(group -> names.add(group.groupId()));
            }
            case "describe_group" -> {
                String group = order.get("group").textValue();
                var told = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                reply.put("state", told.groupState().toString()).put("members", told.members().size());
            }
            case "group_offsets" -> {
                var rows = reply.putArray("offsets");
                String group = order.get("group").textValue();
                admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().forEach(
                        (at, told) -> rows.addArray().add(at.topic()).add(at.partition()).add(told.offset()));
            }
            case "delete_group" -> admin.deleteConsumerGroups(List.of(order.get("group").textValue())).all().get();
            default -> answerOfTopic(admin, order, reply);
        }
    }

    private static void answerOfTopic(Admin admin, JsonNode order, ObjectNode reply)
            throws ExecutionException, InterruptedException {
        String topic = order.get("topic").textValue();
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        switch (order.get("op").textValue()) {
            case "create_topic" -> {
                Map<String, String> configs = new HashMap<>();
                order.get("configs").properties().forEach(
                        config -> configs.put(config.getKey(), config.getValue().textValue()));
                var wanted = new NewTopic(topic, Optional.of(order.get("partitions").intValue()), Optional.empty());
                admin.createTopics(List.of(wanted.configs(configs))).all().get();
            }
            case "describe_topic" -> {
                var told = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
                reply.put("partitions", told.partitions().size());
            }
            case "create_partitions" -> admin.createPartitions(
                    Map.of(topic, NewPartitions.increaseTo(order.get("count").intValue()))).all().get();
            case "alter_config" -> {
                var entry = new ConfigEntry(order.get("name").textValue(), order.get("value").textValue());
                var change = new AlterConfigOp(entry, AlterConfigOp.OpType.SET);
                admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
            }
            case "describe_config" -> {
                var config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
                reply.put("value", config.get(order.get("name").textValue()).value());
                reply.put("count", config.entries().size());
            }
            case "delete_topic" -> admin.deleteTopics(List.of(topic)).all().get();
            default -> answerOfPartition(admin, order, reply);
        }
    }

    private static void answerOfPartition(Admin admin, JsonNode order, ObjectNode reply)
            throws ExecutionException, InterruptedException {
        TopicPartition at = new TopicPartition(order.get("topic").textValue(), order.get("partition").intValue());
        switch (order.get("op").textValue()) {
            case "delete_records" -> {
                var before = RecordsToDelete.beforeOffset(order.get("before").longValue());
                var told = admin.deleteRecords(Map.of(at, before)).lowWatermarks().get(at).get();
                reply.put("low", told.lowWatermark());
            }
            case "list_offsets" -> {
                JsonNode when = order.get("at");
                OffsetSpec spec = when.isNumber()
                        ? OffsetSpec.forTimestamp(when.longValue())
                        : when.textValue().equals("earliest") ? OffsetSpec.earliest() : OffsetSpec.latest();
                reply.put("offset", admin.listOffsets(Map.of(at, spec)).partitionResult(at).get().offset());
            }
            default -> throw new IllegalArgumentException("unknown order " + order);
        }
    }
}
