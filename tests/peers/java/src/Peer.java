import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.utils.AppInfoParser;

/** Apache's own Java client as a peer of the wire tests; the protocol is in tests/peers/README.md. */
public final class Peer {
    static final ObjectMapper JSON = new ObjectMapper();
    static final BufferedReader IN =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8), 1 << 16);
    private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    private Peer() {}

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = options(arguments);
        Thread.setDefaultUncaughtExceptionHandler((thread, failure) -> {
            failure.printStackTrace();
            Runtime.getRuntime().halt(1);
        });
        ObjectNode ready = JSON.createObjectNode();
        ready.putObject("ready").put("client", "kafka-clients").put("version", AppInfoParser.getVersion());
        say(ready);
        switch (arguments[0]) {
            case "produce" -> Produce.run(options);
            case "fetch" -> Fetch.run(options);
            case "group" -> Group.run(options);
            case "admin" -> Admins.run(options);
            default -> throw new IllegalArgumentException("unknown role " + arguments[0]);
        }
        say(JSON.createObjectNode().put("done", true));
        System.exit(0);
    }

    /** One JSON line to the test; callbacks of several threads may speak. */
    static void say(ObjectNode line) {
        String text = line.toString();
        synchronized (OUT) {
            OUT.println(text);
            OUT.flush();
        }
    }

    static void sayRecord(int member, ConsumerRecord<byte[], byte[]> record) {
        ObjectNode line = JSON.createObjectNode();
        ObjectNode body = line.putObject("record");
        body.put("m", member).put("p", record.partition()).put("o", record.offset());
        body.put("ts", record.timestamp());
        body.put("k", base64(record.key())).put("v", base64(record.value()));
        ArrayNode headers = body.putArray("h");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(base64(header.value()));
        }
        say(line);
    }

    static String base64(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }

    static byte[] bytes(com.fasterxml.jackson.databind.JsonNode text) {
        return text.isNull() ? null : Base64.getDecoder().decode(text.textValue());
    }

    /** Blocks until the test closes our standard input. */
    static void awaitEndOfInput() throws IOException {
        while (IN.readLine() != null) {
            // Only the end counts.
        }
    }

    static Properties properties(Map<String, String> options) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", options.get("bootstrap"));
        properties.put("client.id", "java-peer");
        properties.put("reconnect.backoff.max.ms", "200");
        if (options.containsKey("rack")) {
            properties.put("client.rack", options.get("rack"));
        }
        return properties;
    }

    private static Map<String, String> options(String[] arguments) {
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at < arguments.length; at += 2) {
            options.put(arguments[at].substring(2), arguments[at + 1]);
        }
        return options;
    }
}
