import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Reads a topic from its beginning or from a time, without a group. */
final class Fetch {
    private static final Duration POLL = Duration.ofMillis(200);

    private Fetch() {}

    static void run(Map<String, String> options) throws Exception {
        Properties properties = Peer.properties(options);
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        ByteArrayDeserializer raw = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, raw, raw)) {
            List<TopicPartition> partitions = consumer.partitionsFor(options.get("topic")).stream()
                    .map(info -> new TopicPartition(info.topic(), info.partition()))
                    .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            if (Boolean.parseBoolean(options.get("tail"))) {
                AtomicBoolean ended = new AtomicBoolean();
                Thread watcher = new Thread(() -> {
                    try {
                        Peer.awaitEndOfInput();
                    } catch (java.io.IOException gone) {
                        // Gone is ended too.
                    }
                    ended.set(true);
                });
                watcher.setDaemon(true);
                watcher.start();
                while (!ended.get()) {
                    consumer.poll(POLL).forEach(record -> Peer.sayRecord(0, record));
                }
                return;
            }
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            if (options.containsKey("from")) {
                seekToTime(consumer, ends, Long.parseLong(options.get("from")));
            }
            while (!partitions.stream().allMatch(at -> consumer.position(at) >= ends.get(at))) {
                consumer.poll(POLL).forEach(record -> Peer.sayRecord(0, record));
            }
        }
    }

    /** Where nothing is as late as that, nothing is read. */
    private static void seekToTime(
            KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, Long> ends, long time) {
        Map<TopicPartition, Long> wanted = new HashMap<>();
        ends.keySet().forEach(at -> wanted.put(at, time));
        consumer.offsetsForTimes(wanted)
                .forEach((at, found) -> consumer.seek(at, found == null ? ends.get(at) : found.offset()));
    }
}
