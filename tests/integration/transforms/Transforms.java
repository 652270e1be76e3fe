import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.runtime.ConnectMetrics;
import org.apache.kafka.connect.runtime.ConnectorConfig;
import org.apache.kafka.connect.runtime.SourceConnectorConfig;
import org.apache.kafka.connect.runtime.TransformationStage;
import org.apache.kafka.connect.runtime.isolation.Plugins;
import org.apache.kafka.connect.runtime.standalone.StandaloneConfig;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;
import org.apache.kafka.connect.util.ConnectorTaskId;

/**
 * What Connect's own transformations make of records as MirrorSourceTask emits them.
 *
 * Reads a line for each record or configuration; fields are in hexadecimal, "-" is null. "c name value ..." sets a
 * connector's configuration; "r topic time key value name value ..." is a record, its headers last, and is answered by
 * "topic key value name value ...", or by "drop".
 */
public class Transforms {
    private static final HexFormat HEX = HexFormat.of();
    private static final SimpleHeaderConverter CONVERTER = new SimpleHeaderConverter();

    public static void main(String[] args) throws Exception {
        CONVERTER.configure(Map.of());
        Map<String, String> worker = Map.of("bootstrap.servers", "none:1", "offset.storage.file.filename", "none",
            "key.converter", "org.apache.kafka.connect.converters.ByteArrayConverter",
            "value.converter", "org.apache.kafka.connect.converters.ByteArrayConverter");
        Plugins plugins = new Plugins(worker);
        plugins.compareAndSwapWithDelegatingLoader();
        ConnectMetrics metrics = new ConnectMetrics("none", new StandaloneConfig(worker), Time.SYSTEM, "none");
        List<TransformationStage<SourceRecord>> stages = List.of();
        int connectors = 0;
        Scanner lines = new Scanner(System.in, StandardCharsets.US_ASCII);
        while (lines.hasNextLine()) {
            String[] fields = lines.nextLine().split(" ");
            if (fields[0].equals("c")) {
                Map<String, String> config = new HashMap<>(Map.of("name", "n", "connector.class", "none"));
                for (int i = 1; i < fields.length; i += 2) {
                    config.put(text(fields[i]), text(fields[i + 1]));
                }
                stages = stages(plugins, config, new ConnectorTaskId("n" + connectors++, 0), metrics);
            } else {
                System.out.println(answer(stages, fields));
            }
        }
    }

    /** Up to Kafka 3.9 without parameters. */
    @SuppressWarnings("unchecked")
    private static List<TransformationStage<SourceRecord>> stages(Plugins plugins, Map<String, String> config,
            ConnectorTaskId task, ConnectMetrics metrics) throws Exception {
        ConnectorConfig connector = new SourceConnectorConfig(plugins, config, false);
        for (var method : ConnectorConfig.class.getMethods()) {
            if (method.getName().equals("transformationStages")) {
                Object[] given = method.getParameterCount() == 0 ? new Object[0] : new Object[] {plugins, task, metrics};
                return (List<TransformationStage<SourceRecord>>) method.invoke(connector, given);
            }
        }
        throw new IllegalStateException("no transformationStages");
    }

    private static String answer(List<TransformationStage<SourceRecord>> stages, String[] fields) {
        ConnectHeaders headers = new ConnectHeaders();
        for (int i = 5; i < fields.length; i += 2) {
            headers.addBytes(text(fields[i]), bytes(fields[i + 1]));
        }
        SourceRecord record = new SourceRecord(Map.of(), Map.of(), text(fields[1]), 0, Schema.OPTIONAL_BYTES_SCHEMA,
            bytes(fields[3]), Schema.BYTES_SCHEMA, bytes(fields[4]), Long.parseLong(fields[2]), headers);
        for (TransformationStage<SourceRecord> stage : stages) {
            record = stage.apply(record);
            if (record == null) {
                return "drop";
            }
        }
        List<String> answer = new ArrayList<>(List.of(hex(record.topic().getBytes(StandardCharsets.UTF_8)),
            hex((byte[]) record.key()), hex((byte[]) record.value())));
        for (Header header : record.headers()) {
            answer.add(hex(header.key().getBytes(StandardCharsets.UTF_8)));
            // Those of the source are bytes and stay so.
            answer.add(hex(header.value() instanceof byte[] bytes ? bytes
                : CONVERTER.fromConnectHeader(record.topic(), header.key(), header.schema(), header.value())));
        }
        return String.join(" ", answer);
    }

    private static byte[] bytes(String field) {
        return field.equals("-") ? null : HEX.parseHex(field.substring(1));
    }

    private static String text(String field) {
        return new String(bytes(field), StandardCharsets.UTF_8);
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "-" : "x" + HEX.formatHex(bytes);
    }
}
