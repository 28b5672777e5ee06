import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Sends the records that arrive on standard input and tells the fate of each. */
final class Produce {
    private Produce() {}

    static void run(Map<String, String> options) throws IOException {
        Properties properties = Peer.properties(options);
        properties.put("compression.type", options.getOrDefault("codec", "none"));
        properties.put("acks", options.getOrDefault("acks", "all"));
        properties.put("enable.idempotence", options.getOrDefault("idempotent", "true"));
        properties.put("linger.ms", "5");
        // A line that swallows everything is given up sooner than by default.
        properties.put("request.timeout.ms", "10000");
        properties.put("max.request.size", "4000000");
        String topic = options.get("topic");
        ByteArraySerializer raw = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties, raw, raw)) {
            for (String line = Peer.IN.readLine(); line != null; line = Peer.IN.readLine()) {
                JsonNode order = Peer.JSON.readTree(line);
                long number = order.get("i").longValue();
                producer.send(record(topic, order), (metadata, failure) -> {
                    var reply = Peer.JSON.createObjectNode();
                    if (failure == null) {
                        reply.putObject("acked")
                                .put("i", number)
                                .put("p", metadata.partition())
                                .put("o", metadata.offset());
                    } else {
                        reply.putObject("failed").put("i", number).put("why", failure.toString());
                    }
                    Peer.say(reply);
                });
            }
            producer.flush();
        }
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, JsonNode order) {
        List<Header> headers = new ArrayList<>();
        for (JsonNode header : order.get("h")) {
            headers.add(new RecordHeader(header.get(0).textValue(), Peer.bytes(header.get(1))));
        }
        return new ProducerRecord<>(
                topic,
                order.get("p").intValue(),
                order.get("ts").longValue(),
                Peer.bytes(order.get("k")),
                Peer.bytes(order.get("v")),
                headers);
    }
}
