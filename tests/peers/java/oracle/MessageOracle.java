import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;

/**
 * Reads messages with Kafka's own generated classes and writes them again.
 *
 * <p>In: one line per message, {@code request|response KEY VERSION HEX}. Out: one line per message,
 * {@code HEADER_VERSION HEX}, or {@code absent} when this Kafka has no such API or
 * version, or {@code error TEXT}.
 */
public final class MessageOracle {
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(answer(line.split(" ", -1)));
        }
        out.flush();
    }

    private static String answer(String[] words) {
        try {
            boolean request = words[0].equals("request");
            ApiMessageType type = type(Short.parseShort(words[1]));
            if (type == null) {
                return "absent";
            }
            short version = Short.parseShort(words[2]);
            ApiMessage message = request ? type.newRequest() : type.newResponse();
            if (version < message.lowestSupportedVersion() || version > message.highestSupportedVersion()) {
                return "absent";
            }
            short header = request ? type.requestHeaderVersion(version) : type.responseHeaderVersion(version);
            ByteBuffer bytes = ByteBuffer.wrap(HEX.parseHex(words[3]));
            message.read(new ByteBufferAccessor(bytes), version);
            if (bytes.hasRemaining()) {
                return "error " + bytes.remaining() + " bytes are left over: " + message;
            }
            ByteBuffer again = MessageUtil.toByteBufferAccessor(message, version).buffer();
            byte[] written = new byte[again.remaining()];
            again.get(written);
            return header + " " + HEX.formatHex(written);
        } catch (RuntimeException e) {
            return "error " + e.toString().replace('\n', ' ');
        }
    }

    /** The API with this key, or null when this Kafka has none. */
    private static ApiMessageType type(short key) {
        try {
            return ApiMessageType.fromApiKey(key);
        } catch (UnsupportedVersionException e) {
            return null;
        }
    }
}
