import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.RetriableCommitFailedException;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Some members of one consumer group; each commits what it has shown. */
final class Group {
    private Group() {}

    static void run(Map<String, String> options) throws Exception {
        AtomicBoolean ended = new AtomicBoolean();
        List<Thread> members = new ArrayList<>();
        for (int member = 0; member < Integer.parseInt(options.getOrDefault("members", "1")); member++) {
            int number = member;
            Thread thread = new Thread(() -> member(number, options, ended));
            thread.start();
            members.add(thread);
        }
        Peer.awaitEndOfInput();
        ended.set(true);
        for (Thread thread : members) {
            thread.join();
        }
    }

    private static void member(int member, Map<String, String> options, AtomicBoolean ended) {
        Properties properties = Peer.properties(options);
        properties.put("group.id", options.get("group"));
        properties.put("client.id", "java-peer-" + member);
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        properties.put("session.timeout.ms", "10000");
        properties.put("heartbeat.interval.ms", "500");
        if (options.containsKey("instance")) {
            properties.put("group.instance.id", options.get("instance") + "-" + member);
        }
        ByteArrayDeserializer raw = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, raw, raw)) {
            consumer.subscribe(List.of(options.get("topic")), new Watch(member, consumer));
            while (!ended.get()) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
                records.forEach(record -> Peer.sayRecord(member, record));
                if (!records.isEmpty()) {
                    commit(consumer);
                }
            }
        }
    }

    private static void commit(KafkaConsumer<byte[], byte[]> consumer) {
        try {
            consumer.commitSync(Duration.ofSeconds(20));
        } catch (RebalanceInProgressException | CommitFailedException | RetriableCommitFailedException
                | TimeoutException lost) {
            // The next holder of these partitions shows the records again, as the test allows for restarts.
            System.err.println("commit: " + lost);
        }
    }

    private record Watch(int member, KafkaConsumer<byte[], byte[]> consumer) implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> added) {
            tell();
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> removed) {}

        private void tell() {
            var line = Peer.JSON.createObjectNode();
            var body = line.putObject("assigned").put("m", member);
            var partitions = body.putArray("p");
            consumer.assignment().forEach(at -> partitions.add(at.partition()));
            Peer.say(line);
        }
    }
}
